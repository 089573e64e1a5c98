# SPDX-License-Identifier: Apache-2.0
find tree -type f -exec du -b {} + | sort -k2
wc -c tree/*/*.*
stat -c '%s %F' tree/etc/*
