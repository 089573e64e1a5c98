#!/bin/sh
# Three hosts follow one configuration file; a fourth changes it.
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"
here=$(dirname "$0")

# What an application would do with its new configuration. Here it only says so.
cat >"$dir/apply.sh" <<'END'
#!/bin/sh
echo "$1 listens on $(sed -n 's/^port=//p')" >>"$2"
END
chmod +x "$dir/apply.sh"

# All three have applied it.
applied() {
    for host in web1 web2 web3; do
        [ "$(tail -n 1 "$dir/$host.log")" = "$host listens on $1" ] || return 1
    done
}

mount_as admin
mkdir "$dir/admin/configuration"
cat >"$dir/admin/configuration/app.conf" <<'END'
# read by all web servers
port=8080
END

for host in web1 web2 web3; do
    mount_as $host
    : >"$dir/$host.log"
    background "$here/follow.sh" "$dir/$host/configuration/app.conf" \
        "$dir/apply.sh" $host "$dir/$host.log"
done
await applied 8080
echo '$ three hosts run with the configuration'
tail -q -n 1 "$dir"/web?.log

echo '$ sed -i on a fourth'
sed -i s/8080/8081/ "$dir/admin/configuration/app.conf"
await applied 8081
tail -q -n 1 "$dir"/web?.log

echo '$ too large to be a znode: refused, and nobody sees half of it'
head -c 2000000 /dev/zero 2>/dev/null >"$dir/admin/configuration/app.conf" || echo refused
cat "$dir/web1/configuration/app.conf"

rm -r "$dir/admin/configuration"
