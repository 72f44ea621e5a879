#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: shared memory, memory files, faults.
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
run shm --shm 1 --shm-bytes 4M --shm-objs 4 --shm-ops 4
run shm-sysv --shm-sysv 1 --shm-sysv-bytes 1M --shm-sysv-segs 4 --shm-sysv-ops 4
run memfd --memfd 1 --memfd-bytes 16M --memfd-fds 16 --memfd-ops 2
run sigsegv --sigsegv 1 --sigsegv-ops 500
rm -f stress.log
exit $failed
