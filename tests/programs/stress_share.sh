#!/usr/bin/dash
# stress-ng: shared memory, memory files, faults.
. /programs/lib/stress.sh
run shm --shm 1 --shm-bytes 4M --shm-objs 4 --shm-ops 4
run shm-sysv --shm-sysv 1 --shm-sysv-bytes 1M --shm-sysv-segs 4 --shm-sysv-ops 4
run memfd --memfd 1 --memfd-bytes 16M --memfd-fds 16 --memfd-ops 2
run sigsegv --sigsegv 1 --sigsegv-ops 500
end
