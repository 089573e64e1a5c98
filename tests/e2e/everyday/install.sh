# SPDX-License-Identifier: Apache-2.0
install -D -m 755 tree/logs/log x/y/log
install -d p/q/r s
install -b -m 644 tree/etc/* p
export SIMPLE_BACKUP_SUFFIX=.old
install -b tree/logs/log p/app.conf
install -C tree/logs/log p/app.conf
install -t s tree/a/ü.txt
install tree/none s
install tree/logs/log s -p
cmp s/log tree/logs/log
