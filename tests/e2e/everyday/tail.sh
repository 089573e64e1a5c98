# SPDX-License-Identifier: Apache-2.0
sleep 0.5  # the file is quiet: what is read of it the kernel caches
coproc tail -n 2 -s 0.1 -F tree/logs/log 2> /dev/null
next() { read -r -t 20 l <&"${COPROC[0]}"; echo "$l"; }
next
next
echo appended >> tree/logs/log
next
mv tree/logs/log tree/logs/log.1
echo rotated > tree/logs/log
next
seq 3 >> tree/logs/log
next
next
next
kill "$COPROC_PID"
