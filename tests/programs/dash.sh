#!/usr/bin/dash
# dash and its dynamic loader: many short processes, and a big environment.
cd /tmp || exit 1
set -e
n=0
while [ $n -lt 60 ]; do
    out=$(/usr/bin/expr $n + 1)
    n=$out
done
echo $n
i=0
big=x
while [ $i -lt 12 ]; do big=$big$big; i=$((i + 1)); done
export big
echo ${#big} $(env | grep '^big=' | wc -c)
/usr/bin/dash -c 'echo "child sees ${#big}"'
unset big
f() { if [ $1 -gt 0 ]; then f $(($1 - 1)); else echo bottom; fi; }
f 200
(
    set +e
    /usr/bin/dash -c 'kill -SEGV $$'
    echo "segv: $?"
    /usr/bin/dash -c 'exit 300'
    echo "exit 300: $?"
    /no/such/program 2> /dev/null
    echo "missing: $?"
    : > plain
    ./plain 2> /dev/null
    echo "not executable: $?"
    rm plain
)
for f in 1 2 3; do echo $f; done | while read -r x; do echo "[$x]"; done
printf 'a\0b' | od -c | head -n 1
cat <<EOF | sort -r
$(seq 1 3)
EOF
umask 027; : > um; stat -c %a um; rm um
cd /; cd usr; cd ..; pwd
eval 'x=5; echo $x'
trap 'echo bye' EXIT
