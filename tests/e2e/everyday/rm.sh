# SPDX-License-Identifier: Apache-2.0
rm tree/a || rm -d tree/a || rm -r tree/a tree/etc/e*
rm -rf none 'tree/with space'
cp -r tree copy
rm -r copy
rmdir tree/etc
rm -v tree/etc/app.*
rmdir -p tree/etc
