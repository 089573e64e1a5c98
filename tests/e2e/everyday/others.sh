# SPDX-License-Identifier: Apache-2.0
sort -rn -o tree/logs/log tree/logs/log
split -l 700 tree/logs/log part.
cat part.* | cmp - tree/logs/log
gzip -nk part.aa
gunzip -c part.aa.gz | tail -n 1
gzip -dc part.aa.gz > x
paste x part.ab | head -n 2
sha256sum part.* > sums
sha256sum -c --quiet sums && echo right
csplit -s sums 2
shuf -n 3 xx00 | wc -l
perl -pi -e 's/part/PART/' sums
cat sums
mktemp -p tree XXXX | wc -c
rm tree/????
printf 'all: x.out\nx.out: x\n\tcp x x.out\n' > Makefile
make -s
make
until [ x -nt x.out ]; do touch x; done # times are coarse
make
