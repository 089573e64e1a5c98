# shellcheck shell=sh
# What the examples share; each run.sh reads it in: . "$(dirname "$0")/../setup.sh"
#
# BIN   where the programs are (build/bin)
# ZK    a ZooKeeper to use, host:port; without it a zkserver is started here, and stopped at the end
# PORT  where that one listens (21810)
#
# Gives $dir, a directory that is removed at the end, and mount_as NAME, which mounts the tree at $dir/NAME.
# Each mount is a session of its own, as on a host of its own. Nothing is left behind.
set -eu
BIN=${BIN:-$(cd "$(dirname "$0")/../../build/bin" && pwd)}
PORT=${PORT:-21810}
dir=$(mktemp -d)
started=
mounts=
jobs=

if [ -z "${ZK:-}" ]; then
    mkdir "$dir/data"
    printf 'dataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\n' "$dir/data" "$PORT" \
        >"$dir/zoo.cfg"
    "$BIN/zkserver" start "$dir/zoo.cfg" >/dev/null 2>&1
    started=yes
    ZK=127.0.0.1:$PORT
fi

cleanup() {
    for group in $jobs; do
        kill -- "-$group" 2>/dev/null || true
    done
    wait
    for name in $mounts; do
        fusermount3 -q -u -z "$dir/$name" || true
    done
    [ -z "$started" ] || "$BIN/zkserver" stop "$dir/zoo.cfg" >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mount_as() {
    mkdir "$dir/$1"
    "$BIN/zkfs" "$ZK" "$dir/$1"
    mounts="$1 $mounts"
}

# Runs a command, and what it starts, in the background until the end of the example.
background() {
    setsid "$@" &
    jobs="$jobs $!"
}

# Waits, at most half a minute, until a command succeeds.
await() {
    tries=300
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "waited in vain for: $*" >&2; exit 1; }
        sleep 0.1
    done
}
