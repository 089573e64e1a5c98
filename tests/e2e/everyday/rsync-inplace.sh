# SPDX-License-Identifier: Apache-2.0
rsync -a --inplace tree/ copy
seq 2990 3100 >> tree/logs/log
echo x > tree/a/ü.txt
rsync -ac --inplace --no-whole-file tree/ copy
diff -r tree copy
seq 3200 >> tree/etc/app.conf
rsync -a --append-verify tree/ copy
diff -r tree copy
