#!/bin/sh
# barrier.sh BARRIER COUNT NAME COMMAND...: waits until COUNT processes, on whatever hosts, are here; runs COMMAND;
# waits until all have done so, or are gone.
#
# Who is here is an ephemeral file in BARRIER. The one that makes the number full creates BARRIER/ready, by which the
# others know that the barrier is open, even if some of them are through already. The last to leave removes it.
set -eu
barrier=$1
count=$2
name=$3
shift 3

present() {
    find "$barrier" -type f ! -name ready 2>/dev/null | wc -l
}

is_open() {
    [ "$(present)" -lt "$count" ] || : >"$barrier/ready"
    [ -e "$barrier/ready" ]
}

is_left() {
    [ "$(present)" -eq 0 ]
}

# Asks once a watch is set and after each change, until the answer is yes.
wait_until() {
    coming=$(mktemp -u)
    mkfifo "$coming"
    inotifywait -m -e create -e delete "$barrier" >"$coming" 2>&1 9>&- &
    watcher=$!
    while read -r said; do
        case $said in
        "Setting up watches."*) ;;
        *) ! "$1" || break ;;
        esac
    done <"$coming"
    kill "$watcher"
    rm "$coming"
}

exec 9>"$barrier/.zk/ephemeral/$name"
wait_until is_open
"$@" 9>&-
exec 9>&-
wait_until is_left
rm -f "$barrier/ready"
