#!/usr/bin/busybox sh
# What a POSIX shell is made of: pipes, loops, subshells, here-documents, background jobs, traps.
cd /tmp || exit 1

echo "-- pipes"
seq 1 1000 | grep 7 | sed 's/7/x/g' | sort -r | head -n 3
echo one two three | tr ' ' '\n' | while read -r word; do echo "<$word>"; done
seq 1 100000 | tail -n 1
yes | head -n 3
echo "status of a pipe: $(false | true; echo $?) $(true | false; echo $?)"

echo "-- loops"
i=0
while [ $i -lt 2000 ]; do i=$((i + 1)); done
echo $i
for a in 1 2 3; do for b in x y; do printf '%s%s ' $a $b; done; done
echo
until [ $i -eq 1990 ]; do i=$((i - 1)); [ $i -eq 1995 ] && break; done
echo $i

echo "-- subshells"
x=outer
(x=inner; echo $x; (exit 7); echo "status $?")
echo $x
echo "nested $(echo $(echo $(echo deep)))"
{ echo grouped; echo too; } | wc -l

echo "-- here-documents"
cat <<END
x is $x, sum $((6 * 7))
END
cat <<'END'
x is $x
END
cat <<-END
	no tab
	END

echo "-- redirections"
echo first > bb.txt
echo second >> bb.txt
cat < bb.txt
ls /no/such/file 2> /dev/null || echo "ls failed: $?"
exec 3> bb3.txt
echo to three >&3
exec 3>&-
exec 4< bb3.txt
read -r line <&4
echo "read: $line"
{ echo out; echo err >&2; } > both.txt 2>&1
sort both.txt
set -C
(echo over > bb.txt) 2> /dev/null || echo "noclobber holds"
set +C

echo "-- background jobs"
(sleep 0.2; echo late > late.txt) &
pid=$!
echo started
wait $pid
echo "waited: $?"
cat late.txt
for i in 1 2 3 4 5 6 7 8; do (exit $i) & eval p$i=$!; done
for i in 1 2 3 4 5 6 7 8; do eval wait \$p$i; printf '%s ' $?; done
echo
sleep 100 &
kill $!
wait $! 2> /dev/null
echo "killed: $?"

echo "-- traps and functions"
double() { local n=$1; echo $((n * 2)); return 3; }
double 21
echo "returned $?"
(trap 'echo leaving' EXIT; echo inside)
(trap 'echo got usr1; exit 5' USR1; kill -USR1 $(exec sh -c 'echo $PPID'); sleep 1; echo not reached)
echo "after the trap: $?"
case hello.c in *.h) echo header ;; *.c) echo source ;; esac
v=/usr/share/doc/x.tar.gz
echo ${v##*/} ${v%.*} ${v#*/} ${v%%.*} ${#v} ${nope:-default}
set -- a 'b c' d
echo $# "$2"
shift
echo "$*"

echo "-- a script of its own"
cat > own.sh <<'END'
#!/usr/bin/busybox sh
echo "I am ${0##*/} with $# arguments: $1"
exit 9
END
chmod +x own.sh
./own.sh arg
echo "status $?"
rm -f bb.txt bb3.txt both.txt late.txt own.sh
