# SPDX-License-Identifier: Apache-2.0
flock tree/etc/empty echo one
exec 9> tree/etc/lock
flock 9
flock -n tree/etc/lock echo two || echo held
flock -w 0.2 -E 7 tree/etc/lock true
echo $?
(flock -u 9)
flock -sn tree/etc/lock echo shared
echo 0 > n
for i in 1 2 3 4 5; do
    (flock 8; read -r x < n; echo $((x + 1)) > n) 8>> tree/etc/l &
done
wait
cat n
