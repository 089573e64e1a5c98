# SPDX-License-Identifier: Apache-2.0
mkdir tree/w
echo > tree/w/old
coproc inotifywait -m --format '%e %f' -e close_write,create,delete,move,attrib,modify \
    tree/w 2>&1
while read -r line <&"${COPROC[0]}" && [ "$line" != 'Watches established.' ]; do :; done
cd tree/w
echo 1 > f
echo 2 >> f
mv f g
cp g h
rm g
mkdir d
rmdir d
chmod 600 h
touch old
mv h ../etc
sed -i s/2/3/ ../etc/h
mv ../etc/h .
truncate -s 1 h
touch END
pid=$COPROC_PID
while read -r line <&"${COPROC[0]}" && [ "$line" != 'CREATE END' ]; do echo "$line"; done
kill "$pid"
