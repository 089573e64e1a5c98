# SPDX-License-Identifier: Apache-2.0
truncate -s 100 tree/logs/log
truncate -s +20 tree/logs/log
truncate -s 5 tree/etc/empty
truncate -cs 3 none
truncate -s 0 new
truncate -r tree/etc/app.conf new
truncate -s '<10' new
truncate -s %64 tree/etc/app.json
stat -c '%s %n' tree/*/*[!b]
truncate -s 1 tree/a
md5sum tree/*/l*
