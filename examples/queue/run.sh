#!/bin/sh
# Two producers and four consumers, each on a host of its own; every item is taken exactly once.
# shellcheck source=examples/setup.sh
. "$(dirname "$0")/../setup.sh"
here=$(dirname "$0")

mount_as admin
mkdir "$dir/admin/queue" "$dir/admin/claimed"

for consumer in 1 2 3 4; do
    mount_as consumer$consumer
    mkdir "$dir/consumer$consumer/claimed/$consumer"
    : >"$dir/$consumer.log"
    background "$here/consume.sh" "$dir/consumer$consumer/queue" \
        "$dir/consumer$consumer/claimed/$consumer" tee -a "$dir/$consumer.log" >/dev/null
done

# An item appears in the queue whole: it is written elsewhere first and renamed.
produce() {
    for number in $(seq 1 50); do
        echo "order $1-$number" >"$dir/$1/order.$1.$number"
        mv "$dir/$1/order.$1.$number" "$dir/$1/queue/$(printf '%03d' "$number")-$1"
    done
}
for producer in north south; do
    mount_as $producer
done
produce north &
north=$!
produce south
wait $north

all_done() {
    [ "$(cat "$dir"/?.log | wc -l)" -ge 100 ] &&
        [ -z "$(find "$dir/admin/queue" "$dir/admin/claimed" -type f)" ]
}
await all_done
echo "items done: $(cat "$dir"/?.log | wc -l)"
echo "different items: $(sort -u "$dir"/?.log | wc -l)"
echo "left in the queue: $(find "$dir/admin/queue" -type f | wc -l)"

rm -r "$dir/admin/queue" "$dir/admin/claimed"
