#!/usr/bin/dash
# stress-ng: what is bounded by time. An operation of these is long, or it never counts as many as it was told to.
. /programs/lib/stress.sh
stress 5 madvise --madvise 1
stress 5 memthrash --memthrash 1
stress 5 futex --futex 1
stress 5 mutex --mutex 1
stress 5 sem --sem 1
stress 5 wait --wait 1
end
