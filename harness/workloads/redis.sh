#!/usr/bin/dash
# Redis: 100,000 keys, a snapshot by a forked child (BGSAVE) while 10,000 of them are written again,
# and an orderly end.
rm -rf /tmp/redis; mkdir /tmp/redis && cd /tmp/redis || exit 1
redis-server --port 0 --unixsocket /tmp/redis/s --save '' --dir /tmp/redis --enable-debug-command yes \
    --appendonly no --daemonize no --logfile log > out 2>&1 &
server=$!
cli() { redis-cli -s /tmp/redis/s "$@"; }
n=0
until [ "$(cli ping 2> err)" = PONG ]; do
    n=$((n + 1)); [ $n -lt 200 ] || exit 1
    sleep 0.1
done
cli debug populate 100000 key 100 > out
cli bgsave > out
cli eval 'for i = 0, 9999 do redis.call("set", "key:" .. i * 10, "changed") end' 0 > out
n=0
while cli info persistence | grep -q 'rdb_bgsave_in_progress:1'; do
    n=$((n + 1)); [ $n -lt 600 ] || exit 1
    sleep 0.1
done
cli info persistence | grep -q 'rdb_last_bgsave_status:ok' || exit 1
[ "$(cli dbsize)" = 100000 ] || exit 1
cli shutdown nosave
wait $server || exit 1
cd / && rm -rf /tmp/redis
