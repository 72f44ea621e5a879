#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: mapping, moving, remapping.
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
run mmap --mmap 1 --mmap-bytes 8M --mmap-ops 10
run mmapfork --mmapfork 1 --mmapfork-bytes 16M --mmapfork-ops 4
run mmapmany --mmapmany 1 --mmapmany-ops 2000
run mmapaddr --mmapaddr 1 --mmapaddr-ops 100
run mmapfixed --mmapfixed 1 --mmapfixed-ops 4
run mremap --mremap 1 --mremap-bytes 8M --mremap-ops 10
rm -f stress.log
exit $failed
