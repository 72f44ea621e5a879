#!/usr/bin/dash
# stress-ng, each stressor with its own checks (--verify), bounded by operations: mapping, moving, remapping.
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
run mmap --mmap 1 --mmap-bytes 8M --mmap-ops 20
run mmapfork --mmapfork 1 --mmapfork-bytes 16M --mmapfork-ops 4
run mmapmany --mmapmany 1 --mmapmany-ops 2000
run mmapaddr --mmapaddr 1 --mmapaddr-ops 200
run mmapfixed --mmapfixed 1 --mmapfixed-ops 40
run mremap --mremap 1 --mremap-bytes 8M --mremap-ops 20
run remap --remap 1 --remap-ops 2
rm -f stress.log
exit $failed
