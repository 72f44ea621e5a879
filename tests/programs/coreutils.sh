#!/usr/bin/dash
# GNU coreutils: dynamic programs on memory files.
rm -rf /tmp/cu; mkdir /tmp/cu && cd /tmp/cu || exit 1
export LC_ALL=C TZ=UTC

echo "-- text"
seq 1 30000 | shuf --random-source=/usr/bin/sort | sort -n | md5sum
seq 1 30000 | sort -R --random-source=/usr/bin/sort | sort -n -S 1M | md5sum
seq 300000 | sort -k1,1 -r -S 2M --parallel=2 | md5sum
printf 'b 2\na 1\nc 3\n' | sort > s1; printf 'a x\nc z\nd w\n' > s2
join s1 s2
comm -12 s1 s1 | head -n 1
printf '1 2\n2 3\n' | tsort
seq 1 20 | paste - - - - -
seq 1 10 | tac | head -n 2
echo "a b c d e f g h i j" | fold -w 7 -s
seq 3 | nl -ba
seq 1 100 | pr -5 -t -l 20 | head -n 2
numfmt --to=iec 123456789
factor 600851475143
seq 5 | od -An -c | head -n 1
printf 'x,y,z\n' | cut -d, -f2
echo hello | base64; echo aGVsbG8K | base64 -d
echo hello | sha512sum | cut -c1-40
echo hello | b2sum | cut -c1-40
expr 12 : '1\(.\)'
echo "a b" | tr -s ' ' '\n'
csplit -s -f part - 3 7 <<EOF
$(seq 1 10)
EOF
wc -l part*
yes x | head -n 100000 | wc

echo "-- files"
dd if=/dev/zero of=big bs=1M count=16 2> /dev/null; stat -c '%s %b' big
truncate -s 64M sparse; stat -c '%s %b' sparse
dd if=/dev/zero of=sparse bs=1 count=1 seek=50M conv=notrunc 2> /dev/null; stat -c '%s' sparse
cp --sparse=always sparse sparse2; cmp sparse sparse2 && echo "sparse copies"
rm sparse sparse2
split -b 4M big piece; ls piece*; cat piece* | cmp - big && echo "split and back"
ln -s big sym; readlink -f sym; stat -c '%F' sym
ln big hard; stat -c %h big; [ hard -ef big ] && echo "same file"
mkdir -p d/e/f; cp -a d d2; ls -R d2
touch -d '2020-01-02 03:04:05.678' t; stat -c '%y' t; date -r t -u '+%F %T'
cp -p t t2; [ t -nt t2 ] || [ t2 -nt t ] || echo "times kept"
chmod u=rw,g=r,o= t; ls -l t | cut -c1-10
install -m 711 t inst; stat -c %a inst
mv t moved; ls t 2>&1
mktemp -p . -t XXXXXX | sed 's/[^/]*$/name/'
realpath d/../big
rm -r d d2; ls d 2> /dev/null || echo removed
i=0; mkdir many; while [ $i -lt 500 ]; do : > many/file$i; i=$((i + 1)); done
ls many | wc -l; ls -U many | sort | md5sum; rm -r many
echo a > ap; echo b >> ap; cat ap
tee t1 t3 < ap > /dev/null; cmp t1 t3 && echo tee
chown 1000:100 ap; stat -c '%u:%g' ap
ls -ld /tmp | cut -c1-10

echo "-- processes"
timeout 0.2 sleep 5; echo $?
timeout -s KILL 0.2 sleep 5; echo $?
env -i X=1 env
nice -n 3 nice
(sleep 0.1 & wait; echo waited)
nohup echo nohup 2> /dev/null
id -u; whoami
uname -s -m
date -u -d @86400 '+%F'
test -w . && echo writable
cat /proc/$$/comm
sync -f . && echo synced
env true; env -u HOME printenv HOME || echo unset
tail -n +2 --pid=1 /proc/sys/kernel/ostype; cat /proc/self/comm
pwd
basename $(pwd)
cd /; rm -rf /tmp/cu; test -e /tmp/cu || echo cleaned
