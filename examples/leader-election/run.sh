#!/bin/sh
# Three hosts elect a leader; it is killed, and the next takes over.
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"
here=$(dirname "$0")

mount_as admin
mkdir "$dir/admin/election"

cat >"$dir/lead.sh" <<'END'
#!/bin/sh
echo "$1 leads" >>"$2"
exec sleep 1000
END
chmod +x "$dir/lead.sh"

candidates() {
    [ "$(find "$dir/admin/election" -type f | wc -l)" -eq "$1" ]
}
leads() {
    [ "$(tail -n 1 "$dir/log")" = "$1 leads" ]
}

: >"$dir/log"
count=0
for host in host1 host2 host3; do
    mount_as $host
    await test -d "$dir/$host/election"
    background "$here/campaign.sh" "$dir/$host/election" $host "$dir/lead.sh" $host "$dir/log"
    count=$((count + 1))
    await candidates $count
done
await leads host1

# shellcheck disable=SC2086 # a list
set -- $jobs
echo '$ cat election/*'
cat "$dir"/admin/election/*
echo '$ the second is killed, then the leader'
kill -9 "$2"
await candidates 2
kill -9 "$1"
await leads host3
cat "$dir/log"
echo '$ cat election/*'
cat "$dir"/admin/election/*

kill -9 "$3"
await candidates 0
rmdir "$dir/admin/election"
