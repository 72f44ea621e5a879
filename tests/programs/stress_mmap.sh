#!/usr/bin/dash
# stress-ng: mapping, moving, remapping.
. /programs/lib/stress.sh
run mmap --mmap 1 --mmap-bytes 8M --mmap-ops 10
run mmapfork --mmapfork 1 --mmapfork-bytes 16M --mmapfork-ops 4
run mmapmany --mmapmany 1 --mmapmany-ops 2000
run mmapaddr --mmapaddr 1 --mmapaddr-ops 100
run mmapfixed --mmapfixed 1 --mmapfixed-ops 4
run mremap --mremap 1 --mremap-bytes 8M --mremap-ops 10
end
