# SPDX-License-Identifier: Apache-2.0
chmod 644 tree/etc/app.conf
chmod -R u+rwX,go+rX tree
chmod --reference=tree/etc/empty tree/etc/app.json
chown "$(id -u)" tree/etc/app.conf
chgrp -R "$(id -g)" tree
stat -c '%a %u %n' tree/etc/*
touch -d 2001-02-03 tree/etc/empty
touch -r tree/logs/log tree/etc/empty
chmod 644 tree/none
