# SPDX-License-Identifier: Apache-2.0
cd tree/etc
vim -N -u NONE -i NONE -es -c '%s/red/green/' -c wn -c '%s/red/blue/' -c wq app.conf app.json
vim -N -u NONE -i NONE -es -c 'r app.conf' -c 'saveas! new.conf' -c 'normal Gdd' -c wq empty
head -n 20 *
