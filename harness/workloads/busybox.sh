#!/usr/bin/busybox sh
# A shell that forks: 200 subshells, 100 pipes of two, 50 programs.
i=0
while [ $i -lt 200 ]; do
    (exit $((i % 7)))
    [ $? -eq $((i % 7)) ] || exit 1
    i=$((i + 1))
done
i=0
while [ $i -lt 100 ]; do
    [ "$(echo $i | cat)" = "$i" ] || exit 1
    i=$((i + 1))
done
i=0
while [ $i -lt 50 ]; do
    /usr/bin/busybox true || exit 1
    i=$((i + 1))
done
