#!/usr/bin/dash
# stress-ng: processes, threads, pipes, signals.
. /programs/lib/stress.sh
run fork --fork 1 --fork-ops 100
run vfork --vfork 1 --vfork-ops 100
run exec --exec 1 --exec-ops 10
run pipe --pipe 1 --pipe-ops 2000
run switch --switch 1 --switch-ops 500
run signal --signal 1 --signal-ops 1000
run pthread --pthread 1 --pthread-ops 100
run kill --kill 1 --kill-ops 500
run poll --poll 1 --poll-ops 100
end
