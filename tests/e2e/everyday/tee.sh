# SPDX-License-Identifier: Apache-2.0
seq 3 | tee -a tree/logs/log tree/logs/new | tee tree/etc/empty
date +%s%N | tee x > y
cmp x y
rm x y
for i in 1 2 3 4; do
    for j in 1 2 3 4 5; do echo $i | tee -a par > /dev/null; done &
done
wait
sort par | uniq -c
sort -o par par
