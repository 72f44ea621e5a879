#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: advice, locking, residence, protection.
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
run madvise --madvise 1 --madvise-ops 20
run msync --msync 1 --msync-bytes 1M --msync-ops 200
run mincore --mincore 1 --mincore-ops 20
run mlock --mlock 1 --mlock-ops 500
run mprotect --mprotect 1 --mprotect-ops 200
run munmap --munmap 1 --munmap-ops 2
run pageswap --pageswap 1 --pageswap-ops 20
run pagemove --pagemove 1 --pagemove-bytes 4M --pagemove-ops 4
rm -f stress.log
exit $failed
