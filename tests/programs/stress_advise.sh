#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: synchronising, locking, residence, protection.
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
run msync --msync 1 --msync-bytes 1M --msync-ops 100
run mincore --mincore 1 --mincore-ops 10
run mlock --mlock 1 --mlock-ops 100
run mprotect --mprotect 1 --mprotect-ops 50
run munmap --munmap 1 --munmap-ops 1
rm -f stress.log
exit $failed
