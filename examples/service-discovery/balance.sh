#!/bin/sh
# balance.sh SERVICE ADDRESS DIR: a haproxy on ADDRESS in front of all instances of a service; its files are in DIR.
#
# inotifywait says when an instance comes, changes its address or goes; then haproxy gets a new list. The new process
# takes the socket over, the old one ends when its last request is answered. It ends with this script.
set -eu
service=$1
address=$2
dir=$3
trap 'kill "$(cat "$dir/haproxy.pid")"' EXIT
trap 'exit 1' INT TERM

configure() {
    cat <<END
global
    stats socket $dir/haproxy.sock mode 600 expose-fd listeners
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    retries 3
    option redispatch
frontend front
    bind $address
    default_backend instances
backend instances
    balance roundrobin
END
    for instance in "$service"/*; do
        instance_address=$(cat "$instance" 2>/dev/null) || continue # gone since it was listed
        [ -z "$instance_address" ] || echo "    server ${instance##*/} $instance_address"
    done
}

reload() {
    configure >"$dir/haproxy.cfg.new"
    cmp -s "$dir/haproxy.cfg.new" "$dir/haproxy.cfg" && return
    mv "$dir/haproxy.cfg.new" "$dir/haproxy.cfg"
    if [ -e "$dir/haproxy.pid" ]; then
        haproxy -D -f "$dir/haproxy.cfg" -p "$dir/haproxy.pid" -x "$dir/haproxy.sock" \
            -sf "$(cat "$dir/haproxy.pid")"
    else
        haproxy -D -f "$dir/haproxy.cfg" -p "$dir/haproxy.pid"
    fi
}

inotifywait -m -e create -e close_write -e delete "$service" 2>&1 | while read -r said; do
    case $said in
    "Setting up watches."*) ;;
    *) reload ;;
    esac
done
