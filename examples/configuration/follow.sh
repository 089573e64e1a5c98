#!/bin/sh
# follow.sh FILE COMMAND...: runs COMMAND now, and again after each change of FILE, wherever it is made.
#
# inotifywait listens before FILE is read for the first time: no change can fall in between. A change that
# comes while COMMAND runs is seen after it.
set -eu
file=$1
shift
inotifywait -m -e close_write -e moved_to -e create --format %f "$(dirname "$file")" 2>&1 |
    while read -r said; do
        case $said in
        "Watches established." | "$(basename "$file")") "$@" <"$file" ;;
        esac
    done
