#!/usr/bin/busybox sh
# The tools of busybox, each started as a process of its own, on files in memory.
b=/usr/bin/busybox
rm -rf /tmp/bbt; mkdir -p /tmp/bbt/a/b/c && cd /tmp/bbt || exit 1

echo "-- files"
for i in 1 2 3 4 5 6 7 8 9 10; do echo "file $i" > a/f$i; done
$b cp -r a copy
$b find copy -type f | $b sort
$b mv copy/f1 copy/renamed
$b rm copy/f2
$b ls copy
$b ln -s a/f3 link
$b readlink link
$b cat link
$b ln a/f4 hard
echo changed > hard
$b cat a/f4
$b stat -c '%h %s %F' a/f4
$b chmod 640 hard
$b stat -c '%a' a/f4
$b touch -d '2001-02-03 04:05:06' a/f5
$b stat -c '%y' a/f5 | $b cut -c1-19
[ a/f6 -nt a/f5 ] && echo newer
$b mkdir -p x/y/z && $b rmdir x/y/z && $b rmdir x/y && $b rmdir x && echo gone
$b rmdir a 2> /dev/null || echo "not empty"
$b du -s a > /dev/null && echo "du works"
$b mktemp -d /tmp/bbt/mk.XXXXXX | $b sed 's/mk\..*/mk/'
$b mkfifo fifo
(echo through the fifo > fifo) &
$b cat fifo
wait

echo "-- text"
$b seq 1 50 | $b awk '{ s += $1; q += $1 * $1 } END { print s, q, NR }'
$b printf 'pear\napple\nfig\napple\n' > fruit
$b sort fruit | $b uniq -c | $b sed 's/^ *//'
$b grep -n apple fruit
$b tr a-z A-Z < fruit | $b paste -s -d, 
$b cut -c2-3 fruit
$b head -c 5 fruit; echo
$b tail -n 1 fruit
$b wc -lwc < fruit
$b cmp fruit a/f1 > /dev/null || echo differ
$b diff fruit fruit && echo same
$b expr 17 \* 3
$b basename /x/y.c .c
$b rev fruit | $b head -n 1
$b od -An -tx1 fruit | $b head -n 1
$b xargs -n 2 echo < fruit
$b sed -n '2,3{s/\(.\)\(.\)/\2\1/;p}' fruit

echo "-- archives"
$b dd if=/dev/zero of=zeros bs=64k count=64 2> /dev/null
$b md5sum zeros
$b seq 1 200000 > numbers
$b sha256sum numbers
$b gzip -c numbers > numbers.gz
$b gunzip -c numbers.gz | $b cmp - numbers && echo "gzip and back"
$b tar cf all.tar a numbers
$b mkdir out && $b tar xf all.tar -C out && $b cmp out/numbers numbers && echo "tar and back"
$b ls out/a | $b wc -l
$b bzip2 -c numbers | $b bunzip2 -c | $b md5sum

echo "-- system"
$b uname -s
$b id -u
$b test -c /dev/null && echo "null is a device"
$b env -i A=1 $b env
$b sleep 0.05
$b timeout 1 $b sleep 10; echo "timeout: $?"
$b ps > /dev/null && echo "ps works"
$b free > /dev/null && echo "free works"
$b pwd
cd / && $b rm -rf /tmp/bbt && [ ! -e /tmp/bbt ] && echo cleaned
