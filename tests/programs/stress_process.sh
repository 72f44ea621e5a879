#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: processes, threads, pipes, signals.
cd /tmp || exit 1
run()
{
    name=$1
    shift
    if stress-ng "$@" --verify --no-rand-seed --seed 7 --temp-path /tmp --timeout 300 > stress.log 2>&1; then
        echo "$name: passed"
    else
        echo "$name: status $?"
        cat stress.log
        failed=1
    fi
}
failed=0
run fork --fork 2 --fork-ops 400
run vfork --vfork 1 --vfork-ops 400
run exec --exec 1 --exec-ops 40
run pipe --pipe 1 --pipe-ops 20000
run switch --switch 1 --switch-ops 2000
run futex --futex 1 --futex-ops 2000
run signal --signal 1 --signal-ops 5000
run pthread --pthread 1 --pthread-ops 400
run wait --wait 1 --wait-ops 200
run kill --kill 1 --kill-ops 2000
run mutex --mutex 1 --mutex-ops 2000
run sem --sem 1 --sem-ops 5000
run poll --poll 1 --poll-ops 500
rm -f stress.log
exit $failed
