# SPDX-License-Identifier: Apache-2.0
mv tree/etc/app.conf tree/logs/
mv tree/logs tree/a/b
mv -n tree/etc/app.json tree/etc/empty
mv -T 'tree/with space' tree/x
mkdir y
mv -t y tree/etc/*
mv tree/a tree/x
mv tree/x/. z
mv --backup --suffix=.old y/app.json y/empty
mv y/none y/n
mv tree renamed
