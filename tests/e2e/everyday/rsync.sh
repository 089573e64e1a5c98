# SPDX-License-Identifier: Apache-2.0
rsync -a tree/ copy
diff -r tree copy
echo more >> tree/logs/log
rm tree/etc/empty
rsync -rci --delete tree/ copy
rsync -ac --backup --suffix=.old tree/ "$TMPDIR/r"
seq 10 > tree/logs/log
rsync -ac --backup --suffix=.old tree/ copy
rsync -r "$TMPDIR/r/" tree
