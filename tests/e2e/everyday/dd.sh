# SPDX-License-Identifier: Apache-2.0
dd if=tree/logs/log of=x bs=1000 count=3 skip=1 status=none
dd if=x of=y bs=7 seek=3 status=none
dd if=x of=tree/logs/log bs=100 count=2 seek=4 conv=notrunc status=none
dd if=x of=z conv=fsync,ucase oflag=append conv=notrunc status=none
dd if=y of=w bs=4096 oflag=direct iflag=fullblock status=none
dd if=w bs=4096 iflag=direct status=none | md5sum
dd if=/dev/zero of=z bs=64k count=8 status=none
dd if=/dev/null of=tree/etc/app.conf bs=1 seek=5 status=none
md5sum [w-z] tree/*/log
