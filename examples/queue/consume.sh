#!/bin/sh
# consume.sh QUEUE MINE COMMAND...: takes items out of the directory QUEUE for ever, each by renaming it into
# the directory MINE, and runs COMMAND with the item as its standard input. Then the item is removed.
#
# A rename succeeds for one of all consumers: it is one ZooKeeper transaction that checks, creates and deletes.
# What is left in MINE after a crash was claimed and not finished.
set -eu
queue=$1
mine=$2
shift 2

take_all() {
    for item in "$queue"/*; do
        claimed=$mine/${item##*/}
        mv "$item" "$claimed" 2>/dev/null || continue # somebody else has it, or there is none
        "$@" <"$claimed"
        rm "$claimed"
    done
}

# Items that came before the watch are there to be listed; those that come later say so.
inotifywait -m -e create -e moved_to "$queue" 2>&1 | while read -r said; do
    case $said in
    "Setting up watches."*) ;;
    *) take_all "$@" ;;
    esac
done
