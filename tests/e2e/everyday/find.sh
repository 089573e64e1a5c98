# SPDX-License-Identifier: Apache-2.0
find tree -printf '%P %y\n' | sort
find tree -type f -size +1k
find tree -empty | sort
find tree -name '*.c*' -newer tree/logs/none -o -iname 'LOG' -mmin -10 -user "$(id -un)"
find tree -type f -print0 | sort -z | xargs -0 wc -c
find tree -type f -name 'a*' -exec cp {} {}.bak \;
find tree -depth -name 'd*' -delete
find tree -xdev -inum "$(stat -c %i tree/a)"
