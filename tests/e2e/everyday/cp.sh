# SPDX-License-Identifier: Apache-2.0
cp -a tree copy && diff -r tree copy && cp -au tree/. copy
cp tree/etc/* none
mkdir into
cp -r --parents tree/a/b into
cp -n tree/logs/log tree/etc/app.conf
cp --backup=numbered tree/etc/app.json tree/etc/app.conf
cp -t into tree/etc/* tree/a/*.txt
mv tree/etc/app.conf.~1~ tree/etc/old
rm into/*~
cp --sparse=always --reflink=auto tree/logs/log into/sparse
cp /dev/null tree/etc/app.json
