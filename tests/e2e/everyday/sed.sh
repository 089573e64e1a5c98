# SPDX-License-Identifier: Apache-2.0
sed -n '/red/w out' tree/etc/app.conf
sed -i.bak 's/red/green/' tree/etc/app.*
cat out
sed -i -e '1~3d' -e '$d' tree/logs/log
sed -n '5,10p' tree/logs/log
