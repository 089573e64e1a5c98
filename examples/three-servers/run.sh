#!/bin/sh
# Three servers on this machine, a mount that knows all three, and the leader killed under it.
# BIN: where the programs are. PORT: the first of nine ports in a row. Leaves nothing behind.
set -eu
BIN=${BIN:-$(cd "$(dirname "$0")/../../build/bin" && pwd)}
PORT=${PORT:-21810}
dir=$(mktemp -d)

cleanup() {
    fusermount3 -q -u -z "$dir/mnt" || true
    for n in 1 2 3; do
        "$BIN/zkserver" stop "$dir/$n/zoo.cfg" >/dev/null 2>&1 || true
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# All three know the same members; only dataDir and clientPort are each server's own.
for n in 1 2 3; do
    mkdir -p "$dir/$n/data"
    echo "$n" >"$dir/$n/data/myid"
    cat >"$dir/$n/zoo.cfg" <<END
dataDir=$dir/$n/data
clientPort=$((PORT + n - 1))
clientPortAddress=127.0.0.1
tickTime=500
initLimit=10
syncLimit=5
server.1=127.0.0.1:$((PORT + 3)):$((PORT + 6))
server.2=127.0.0.1:$((PORT + 4)):$((PORT + 7))
server.3=127.0.0.1:$((PORT + 5)):$((PORT + 8))
END
done

start() {
    "$BIN/zkserver" start "$dir/$1/zoo.cfg" >/dev/null 2>&1
}

# Leader, follower, or nothing while the server looks for a leader or is down.
mode() {
    "$BIN/zkserver" status "$dir/$1/zoo.cfg" 2>/dev/null | sed -n 's/^Mode: //p'
}

# Until so many of them serve; then says what they are.
await() {
    while :; do
        modes=$(for n in 1 2 3; do mode $n; done)
        [ "$(echo "$modes" | grep -c .)" -eq "$1" ] && break
        sleep 0.1
    done
    echo "$modes" | sort | uniq -c | sed 's/^ *//'
}

echo '$ three servers start'
for n in 1 2 3; do
    start $n
done
await 3

echo '$ a mount that knows all three'
mkdir "$dir/mnt"
"$BIN/zkfs" "127.0.0.1:$PORT,127.0.0.1:$((PORT + 1)),127.0.0.1:$((PORT + 2))" "$dir/mnt"
mkdir "$dir/mnt/app"
echo 'written to three' >"$dir/mnt/app/value"
cat "$dir/mnt/app/value"

echo '$ kill -9 of the leader'
for n in 1 2 3; do
    [ "$(mode $n)" = leader ] && killed=$n
done
kill -9 "$(cat "$dir/$killed/data/zookeeper_server.pid")"
echo 'written to two' >"$dir/mnt/app/value"
cat "$dir/mnt/app/value"
await 2

echo '$ it comes back'
start "$killed"
await 3

echo '$ and has what it missed: a second mount, on that server alone'
fusermount3 -u "$dir/mnt"
"$BIN/zkfs" "127.0.0.1:$((PORT + killed - 1))" "$dir/mnt"
cat "$dir/mnt/app/value"
