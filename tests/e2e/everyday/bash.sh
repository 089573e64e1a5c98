# SPDX-License-Identifier: Apache-2.0
cd tree/etc
while read -r key _ value; do echo "$key is $value"; done < app.conf
cat > here <<END
a document of $(wc -l < ../logs/log) lines
END
cat <<< "a string" >> here
exec 3<> here 4>> here
read -r line <&3
echo "first: $line"
echo three >&4
exec 3>&- 4>&-
set -C
echo no > here || echo kept
echo yes >| other
set +C
mapfile -t lines < here
echo "${#lines[@]}: $(< here)"
[[ -s here && ! -s empty && -d ../a && here -nt app.conf && ! -e none ]] && echo tests
for f in *.json e*; do echo "$f"; done
shopt -s globstar
printf '%s\n' ../**/d*
{ echo out; echo err >&2; } > both 2>&1
: > here
for i in {1..20}; do echo "$i" >> here; done
diff <(cat here) <(seq 20) && echo same
echo x=42 > source.sh
. ./source.sh
echo "$x"
