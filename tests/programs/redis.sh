#!/usr/bin/dash
# Redis under its own benchmark, with 50 clients, and a snapshot (fork, copy on write) meanwhile.
rm -rf /tmp/redis; mkdir /tmp/redis && cd /tmp/redis || exit 1
/usr/bin/busybox ifconfig lo up 2> /dev/null # Linux has it down at first
redis-server --port 6379 --bind 127.0.0.1 --unixsocket /tmp/redis/s --save '' --dir /tmp/redis --enable-debug-command yes \
    --appendonly no --daemonize no --logfile log > /dev/null 2>&1 &
server=$!
cli() { redis-cli "$@"; }
n=0
until [ "$(cli ping 2> /dev/null)" = PONG ]; do
    n=$((n + 1)); [ $n -lt 600 ] || { echo "no answer"; cat log; exit 1; }
    sleep 0.1
done
echo "-- by hand"
cli set greeting hello
cli get greeting
cli -s /tmp/redis/s get greeting
cli incrby counter 41; cli incr counter
cli rpush list a b c; cli lrange list 0 -1
cli hset hash f1 v1 f2 v2; cli hgetall hash
cli zadd z 1 one 2 two; cli zrangebyscore z 1 2 withscores
cli eval "return redis.call('get', KEYS[1])" 1 greeting
cli debug populate 50000 filler 100
cli dbsize
echo "-- 50 clients, and a snapshot"
cli set before snapshot
redis-benchmark -q -c 50 -n 2000 -r 1000 -t set,get,incr,lpush,sadd > bench.txt 2>&1 &
bench=$!
sleep 0.5
cli bgsave
wait $bench
echo "benchmark ended: $?"
tr '\r' '\n' < bench.txt | sed -n 's/^\([A-Z]*\): [0-9.]* requests per second.*/\1 done/p'
n=0
while cli info persistence | grep -q 'rdb_bgsave_in_progress:1'; do
    n=$((n + 1)); [ $n -lt 1200 ] || { echo "never saved"; exit 1; }
    sleep 0.1
done
cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
redis-benchmark -q -c 50 -n 2000 -P 16 -t ping_mbulk -s /tmp/redis/s > bench2.txt 2>&1
echo "pipelined: $?"
cli get before
redis-check-rdb dump.rdb | grep -c 'RDB looks OK'
echo "-- again from the snapshot"
cli shutdown nosave
wait $server
echo "server ended: $?"
redis-server --port 6379 --bind 127.0.0.1 --save '' --dir /tmp/redis --logfile log2 > /dev/null 2>&1 &
server=$!
n=0
until [ "$(cli ping 2> /dev/null)" = PONG ]; do
    n=$((n + 1)); [ $n -lt 600 ] || { echo "no answer"; cat log2; exit 1; }
    sleep 0.1
done
cli get greeting
cli get counter
cli get before
cli exists filler:49999
cli shutdown nosave
wait $server
echo "server ended: $?"
cd /; rm -rf /tmp/redis
