#!/usr/bin/bash-static
# What only bash has: arrays, process substitution, coprocesses, regular expressions, job control.
cd /tmp || exit 1
set -u

echo "-- arrays"
a=(zero one two); a[5]=five
echo "${#a[@]} ${!a[@]} ${a[-1]} ${a[@]:1:2}"
declare -A m=([red]=1 [green]=2)
m[blue]=3
for k in $(printf '%s\n' "${!m[@]}" | sort); do echo "$k=${m[$k]}"; done
mapfile -t lines < <(seq 1 5)
echo "${lines[*]}"
big=()
for ((i = 0; i < 20000; i++)); do big+=("$i"); done
echo "${#big[@]} ${big[19999]}"

echo "-- expansions"
echo {a..e}{1..3}
s="The quick brown fox"
echo "${s/quick/slow} ${s^^} ${s:4:5} ${s//o/0}"
[[ $s =~ ([a-z]+)\ ([a-z]+) ]] && echo "${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"
printf '%05d|%-6s|%x|%q\n' 42 left 255 'a b'
echo $((2 ** 40)) $((16#ff)) $((7 / 2)) $((-7 % 3))

echo "-- pipes and substitution"
diff <(seq 1 5) <(seq 2 6)
cat <<< "a here-string"
tee >(wc -l > count.txt) < <(seq 1 100) > /dev/null
sleep 0.3
cat count.txt
set -o pipefail
false | true || echo "pipefail: $?"
echo "${PIPESTATUS[@]}"
seq 1 10 | { sum=0; while read -r n; do ((sum += n)); done; echo $sum; }
coproc ADD { while read -r x y; do echo $((x + y)); done; }
add=$ADD_PID # bash forgets it once it has seen the end
echo 20 22 >&"${ADD[1]}"
read -r answer <&"${ADD[0]}"
echo "coproc: $answer"
eval "exec ${ADD[1]}>&-"
wait "$add"

echo "-- jobs and signals"
pids=()
for i in 1 2 3 4; do (sleep 0.0$i; exit $i) & pids+=($!); done
for p in "${pids[@]}"; do wait "$p"; echo -n "$? "; done
echo
(sleep 0.1; exit 4) & wait -n; echo "wait -n: $?"
trap 'echo caught TERM' TERM
kill -TERM $$
trap - TERM
(trap 'echo "exit trap $?"' EXIT; exit 6)
echo "status $?"
sleep 60 & kill -KILL $!; wait $! 2> /dev/null; echo "killed: $?"
time_out() { local end=$((SECONDS + 5)); until [[ -e flag ]]; do ((SECONDS < end)) || return 1; sleep 0.02; done; }
(sleep 0.1; : > flag) & time_out && echo "flag seen"
wait

echo "-- functions and files"
fib() { local n=$1; ((n < 2)) && { echo "$n"; return; }; echo $(($(fib $((n - 1))) + $(fib $((n - 2))))); }
fib 9
while IFS=: read -r name _ uid _; do echo "$name $uid"; break; done < /etc/passwd
exec {fd}> file.txt; echo "by number" >&"$fd"; exec {fd}>&-
cat file.txt
printf 'x%.0s' {1..70000} | wc -c
( ulimit -n 16; ulimit -n )
select_test=$(echo "$BASH_SUBSHELL"; (echo "$BASH_SUBSHELL"))
echo $select_test
rm -f count.txt flag file.txt
