#!/bin/sh
# One lock for two hosts, with nothing but flock(1).
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"

mount_as host1
mount_as host2
mkdir "$dir/host1/locks" "$dir/host1/locks/nightly"
echo 0 >"$dir/host1/locks/number"
await test -d "$dir/host2/locks/nightly"
await test -e "$dir/host2/locks/number"

echo '$ two hosts start the nightly job at the same time'
nightly() {
    flock -n "$dir/$1/locks/nightly/.zk/lock" sh -c 'echo ran; sleep 1' || echo skipped
}
nightly host1 >"$dir/1.log" &
first=$!
nightly host2 >"$dir/2.log"
wait $first
sort "$dir/1.log" "$dir/2.log"

echo '$ four shells on each host add 1 to a number, ten times each'
# shellcheck disable=SC2016 # the inner shell expands
add='cd "$1" && for i in 1 2 3 4 5 6 7 8 9 10; do
    flock number sh -c "echo \$((\$(cat number) + 1)) >number"
done'
shells=
for host in host1 host2 host1 host2 host1 host2 host1 host2; do
    sh -c "$add" sh "$dir/$host/locks" &
    shells="$shells $!"
done
for shell in $shells; do
    wait "$shell"
done
cat "$dir/host2/locks/number"

# A process that takes the lock, says with which token, and keeps it.
cat >"$dir/keep.sh" <<'END'
#!/bin/sh
exec 9<"$1"
flock 9
getfattr --absolute-names --only-values -n user.zk.fence /dev/fd/9 >"$2"
exec sleep 1000
END
chmod +x "$dir/keep.sh"

echo '$ the holder is killed; who has waited on the other host gets the lock'
background "$dir/keep.sh" "$dir/host1/locks/number" "$dir/token1"
await test -s "$dir/token1"
background "$dir/keep.sh" "$dir/host2/locks/number" "$dir/token2"
flock -n "$dir/host2/locks/number" true || echo "the lock is taken"
kill -9 "$(echo "$jobs" | cut -d" " -f2)"
await test -s "$dir/token2"
echo "the lock has passed on"

echo '$ its fencing token is greater'
[ $(($(cat "$dir/token2"))) -gt $(($(cat "$dir/token1"))) ] && echo yes

kill -9 "$(echo "$jobs" | cut -d" " -f3)"
await flock -n "$dir/host1/locks/number" true
rm -r "$dir/host1/locks"
