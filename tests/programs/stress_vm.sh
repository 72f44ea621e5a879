#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: anonymous memory, heap, stack.
cd /tmp || exit 1
run()
{
    name=$1
    shift
    if stress-ng "$@" --verify --no-rand-seed --temp-path /tmp --timeout 900 > stress.log 2>&1; then
        echo "$name: passed"
    else
        echo "$name: status $?"
        cat stress.log
        failed=1
    fi
}
failed=0
run vm --vm 2 --vm-bytes 16M --vm-ops 100
run vm-populate --vm 1 --vm-bytes 16M --vm-populate --vm-method zero-one --vm-ops 50
run brk --brk 1 --brk-bytes 64M --brk-ops 2000
run stack --stack 1 --stack-ops 4
run malloc --malloc 2 --malloc-bytes 32M --malloc-ops 3000
run bigheap --bigheap 1 --bigheap-bytes 128M --bigheap-ops 400
rm -f stress.log
exit $failed
