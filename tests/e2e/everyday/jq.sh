# SPDX-License-Identifier: Apache-2.0
cd tree/etc
jq .size app.json
jq '.size = 2' app.json > app.json.tmp && mv app.json.tmp app.json
t=$(mktemp app.XXXXXX)
jq -c '. + {list: [1, 2]}' app.json > "$t" && cat "$t" > app.json
rm "$t"
new=$(jq '.list += [3]' app.json) && printf '%s\n' "$new" > app.json
jq -r '.list | @csv' ./*.json
