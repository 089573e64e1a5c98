# SPDX-License-Identifier: Apache-2.0
tar -cf all.tar --sort=name tree
tar -czf "$TMPDIR/all.tgz" tree
tar -tf all.tar
mkdir x y
tar -xf all.tar -C x
tar -xzpf "$TMPDIR/all.tgz" -C y
diff -r tree x/tree
diff -r x y
tar -rf all.tar -C tree/etc app.conf
tar --delete -f all.tar tree/logs/log
tar -tf all.tar | wc -l
tar -xf all.tar -C x --overwrite
tar -df all.tar
rm all.tar
tar -cf - tree | tar -xf - -C x
