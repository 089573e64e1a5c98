# SPDX-License-Identifier: Apache-2.0
grep -rn red tree | sort
grep -rlc 50 tree | sort
grep -rE '^(17|23)[0-9]$' tree --include=log
grep -rq nothing tree || echo none
grep -c '' tree/logs/log
grep -A1 -m1 17 tree/logs/log
