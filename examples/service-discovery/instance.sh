#!/bin/sh
# instance.sh SERVICE NAME ADDRESS COMMAND...: runs COMMAND as one instance of a service.
#
# The instance is in the directory SERVICE for exactly as long as COMMAND runs: its file is an ephemeral znode
# that ends with the descriptor 9, which COMMAND inherits. exit, kill -9 and a lost host all end it.
set -eu
service=$1
name=$2
address=$3
shift 3
exec 9>"$service/.zk/ephemeral/$name"
echo "$address" >&9
exec "$@"
