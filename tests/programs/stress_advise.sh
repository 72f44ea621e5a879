#!/usr/bin/dash
# stress-ng: synchronising, locking, residence, protection.
. /programs/lib/stress.sh
run msync --msync 1 --msync-bytes 1M --msync-ops 100
run mincore --mincore 1 --mincore-ops 10
run mlock --mlock 1 --mlock-ops 100
run mprotect --mprotect 1 --mprotect-ops 50
run munmap --munmap 1 --munmap-ops 1
end
