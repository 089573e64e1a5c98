#!/bin/sh
# campaign.sh ELECTION NAME COMMAND...: waits until it is the leader among all who do the same, then runs COMMAND.
#
# A candidate is a znode that exists as long as this process: killed, or on a host that is gone, it has
# withdrawn. The oldest is the leader. Each candidate watches the next older one only.
set -eu
election=$1
name=$2
shift 2

exec 9<>"$election/.zk/ephemeral-sequential/candidate-"
echo "$name" >&9
read -r me <&9

# The youngest candidate that is older than this one; nothing if there is none.
older() {
    # shellcheck disable=SC2012 # the names are the server's
    ls "$election" | sort | sed -n "/^$me\$/q; p" | tail -n 1
}

while other=$(older) && [ -n "$other" ]; do
    # It fails if the other has withdrawn in this moment. A child that held 9 would stay a candidate.
    inotifywait -q -q -e delete_self "$election/$other" 2>/dev/null 9>&- || true
done
exec "$@"
