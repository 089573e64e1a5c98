#!/bin/sh
# Three hosts compute in two steps; none begins the second before all have done the first.
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"
here=$(dirname "$0")

mount_as admin
mkdir "$dir/admin/start" "$dir/admin/second"
: >"$dir/log"

cat >"$dir/compute.sh" <<'END'
#!/bin/sh
# Each host is slower than the one before.
"$1/barrier.sh" "$2/start" 3 "$3" sh -c "sleep 0.$4; echo first step >>$5"
"$1/barrier.sh" "$2/second" 3 "$3" sh -c "echo second step >>$5"
END
chmod +x "$dir/compute.sh"

here=$(cd "$here" && pwd)
for number in 1 2 3; do
    mount_as host$number
    await test -d "$dir/host$number/second"
done
for number in 1 2; do
    background "$dir/compute.sh" "$here" "$dir/host$number" host$number $((2 * number)) "$dir/log"
done

present() {
    [ "$(find "$dir/admin/start" -type f | wc -l)" -eq 2 ]
}
await present
echo "two of three are at the barrier: $(wc -l <"$dir/log") steps done"
background "$dir/compute.sh" "$here" "$dir/host3" host3 6 "$dir/log"

finished() {
    [ "$(wc -l <"$dir/log")" -eq 6 ] && [ -z "$(find "$dir/admin/start" "$dir/admin/second" -type f 2>/dev/null)" ]
}
await finished
cat "$dir/log"
rmdir "$dir/admin/start" "$dir/admin/second"
