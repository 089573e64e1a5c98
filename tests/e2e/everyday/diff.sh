# SPDX-License-Identifier: Apache-2.0
cp -r tree other
diff -r tree other && echo same
echo x >> other/logs/log
rm other/etc/empty
touch 'tree/with space/f'
diff -rq tree other | sort
diff -U1 tree/logs/log other/logs/log | tail -n3
diff -u tree/etc/app.conf - <<< 'colour = red' | sed 1,2d > p
patch -s tree/etc/app.conf < p
patch -sR tree/etc/app.conf < p
cmp tree/etc/app.conf other/etc/app.conf
cmp tree/logs/log other/logs/log
