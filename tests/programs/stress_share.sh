#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: shared memory, memory files, faults.
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
run shm --shm 1 --shm-bytes 4M --shm-objs 4 --shm-ops 8
run shm-sysv --shm-sysv 1 --shm-sysv-bytes 1M --shm-sysv-segs 4 --shm-sysv-ops 8
run memfd --memfd 1 --memfd-bytes 16M --memfd-fds 16 --memfd-ops 4
run sigsegv --sigsegv 1 --sigsegv-ops 2000
run stackmmap --stackmmap 1 --stackmmap-ops 4
run memthrash --memthrash 1 --memthrash-ops 20
run memrate --memrate 1 --memrate-bytes 4M --memrate-ops 2
run null --null 1 --null-ops 2000
run zero --zero 1 --zero-ops 2000
rm -f stress.log
exit $failed
