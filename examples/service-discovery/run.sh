#!/bin/sh
# Instances of a web service come and go on several hosts; a load balancer on another follows.
# PORT and the four behind it are used.
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"
here=$(dirname "$0")
front=127.0.0.1:$((PORT + 1))

mount_as balancer
mkdir -p "$dir/balancer/services/web"
background "$here/balance.sh" "$dir/balancer/services/web" "$front" "$dir"

# A web server whose one page is its name.
instance() {
    mkdir "$dir/$1.www"
    echo "$1" >"$dir/$1.www/index.html"
    background "$here/instance.sh" "$dir/$1/services/web" "$1" "127.0.0.1:$2" \
        python3 -m http.server --bind 127.0.0.1 --directory "$dir/$1.www" "$2" >/dev/null 2>&1
}

# Who answers six requests.
answers() {
    for _ in 1 2 3 4 5 6; do
        curl -s --max-time 5 "http://$front/" || true
    done | sort -u | xargs
}
served_by() {
    [ "$(answers)" = "$1" ]
}

mount_as red
instance red $((PORT + 2))
red=$!
mount_as green
instance green $((PORT + 3))
green=$!
mount_as blue
instance blue $((PORT + 4))
blue=$!
await served_by 'blue green red'
echo '$ ls services/web'
ls "$dir/balancer/services/web"
echo "answers come from: $(answers)"

echo '$ kill -9 of green'
kill -9 "$green"
await served_by 'blue red'
ls "$dir/balancer/services/web"
echo "answers come from: $(answers)"

echo '$ it is started again'
rm -r "$dir/green.www"
instance green $((PORT + 3))
green=$!
await served_by 'blue green red'
echo "answers come from: $(answers)"

kill "$red" "$green" "$blue"
is_removed() {
    rmdir "$dir/balancer/services/web" 2>/dev/null
}
await is_removed
rmdir "$dir/balancer/services"
