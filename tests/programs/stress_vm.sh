#!/usr/bin/dash
# stress-ng: anonymous memory, heap, stack.
. /programs/lib/stress.sh
run vm --vm 2 --vm-bytes 16M --vm-ops 100
run vm-populate --vm 1 --vm-bytes 16M --vm-populate --vm-method zero-one --vm-ops 50
run brk --brk 1 --brk-bytes 64M --brk-ops 2000
run stack --stack 1 --stack-ops 4
run malloc --malloc 2 --malloc-bytes 32M --malloc-ops 3000
run bigheap --bigheap 1 --bigheap-bytes 128M --bigheap-ops 400
end
