/* Descriptor tables, rings, readiness, deadlines and wait queues, with open files and requests
 * stood in for.
 */
#include "ktap.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/fd.c"
#include "user/linux/pipe.h"
#include "user/linux/ring.c"
#include "user/linux/sleep.c"
#include "user/linux/time.c"
#include "user/linux/timer.c"
#include "user/linux/watch.c"

static unsigned gets, puts_done, notified, wakes;
static struct thread *woken[16];

void file_get(struct file *file)
{
    file->users++;
    gets++;
}

void file_put(struct file *file)
{
    file->users--;
    puts_done++;
}

struct watched *file_watched(const struct file *file)
{
    (void)file;
    return NULL;
}

void filelock_closed(const struct fd_table *table, const struct file *file)
{
    (void)table, (void)file;
}

void epoll_notify(struct watch *watch)
{
    (void)watch;
    notified++;
}

long request_wait(struct thread *t, struct wait_queue *queue)
{
    (void)t, (void)queue;
    return REQUEST_WAITS;
}

void request_wake(struct thread *t)
{
    woken[wakes++ % 16] = t;
}

uint64_t time_now_ticks(void)
{
    return 0;
}

void linux_panic(const char *file, int line, const char *what)
{
    ktap_fail(file, line, "panic: %s", what);
}

/* ---- descriptors ---- */

KTAP_CASE(the_lowest_number_is_given)
{
    static struct fd_table table = {.limit = FDS_SOFT};
    struct file file = {.users = 9};

    for (int i = 0; i < 5; i++)
        EXPECT_EQ(fd_install(&table, &file, 0, false), i);
    EXPECT_EQ(fd_close(&table, 2), 0);
    EXPECT_EQ(fd_install(&table, &file, 0, true), 2);
    EXPECT(fd_is_close_exec(&table, 2));
    EXPECT_EQ(fd_install(&table, &file, 100, false), 100);
    fd_close_exec(&table);
    EXPECT(fd_get(&table, 2) == NULL);
    EXPECT(fd_get(&table, 100) == &file);
}

KTAP_CASE(numbers_outside_the_table)
{
    static struct fd_table table = {.limit = FDS_MAX};
    struct file file = {.users = 9};

    EXPECT(fd_get(&table, -1) == NULL);
    EXPECT(fd_get(&table, FDS_MAX) == NULL);
    EXPECT_EQ(fd_close(&table, FDS_MAX), -LINUX_EBADF);
    EXPECT_EQ(fd_close(&table, 0), -LINUX_EBADF);
    for (int i = 0; i < FDS_MAX; i++)
        EXPECT_EQ(fd_install(&table, &file, 0, false), i);
    EXPECT_EQ(fd_install(&table, &file, 0, false), -LINUX_EMFILE);
}

KTAP_CASE(uses_are_counted)
{
    struct fd_table *one = fd_table_create(NULL);
    struct file a = {.users = 1}, b = {.users = 1};

    fd_install(one, &a, 0, false);
    struct fd_table *two = fd_table_create(one);
    EXPECT_EQ(a.users, 2);
    fd_replace(two, 0, &b, false);
    EXPECT_EQ(a.users, 1);
    fd_table_put(one);
    fd_table_put(two);
    EXPECT_EQ(a.users + b.users, 0);
}

KTAP_CASE(a_shared_table_is_closed_by_its_last_user)
{
    struct fd_table *table = fd_table_create(NULL), *own = table;
    struct file file = {.users = 1};

    EXPECT(fd_table_unshare(&own) && own == table);
    fd_install(table, &file, 0, false);
    table->users = 3;
    EXPECT(fd_table_unshare(&own) && own != table);
    EXPECT_EQ(table->users, 2);
    EXPECT_EQ(file.users, 2);
    fd_table_put(table);
    EXPECT_EQ(file.users, 2);
    fd_table_put(table);
    EXPECT_EQ(file.users, 1);
    fd_table_put(own);
    EXPECT_EQ(file.users, 0);
}

/* ---- rings ---- */

/* A client's memory is ours here. */
size_t copy_in_some(struct space *space, void *to, uint64_t from, size_t bytes)
{
    (void)space;
    memcpy(to, (const void *)from, bytes);
    return bytes;
}

size_t copy_out_some(struct space *space, uint64_t to, const void *from, size_t bytes)
{
    (void)space;
    memcpy((void *)to, from, bytes);
    return bytes;
}

KTAP_CASE(a_ring_keeps_bytes_in_order)
{
    unsigned char in = 0, out = 0, data[5000];
    struct ring ring;

    ring_init(&ring, 16384);
    for (int round = 0; round < 20000; round++) {
        size_t bytes = ktap_random_below(ktap_random_below(10) ? 300 : sizeof(data)) + 1;
        for (size_t i = 0; i < bytes; i++)
            data[i] = (unsigned char)(in + i);
        long put = ring_write(&ring, NULL, (uint64_t)data, bytes);
        in += (unsigned char)put;
        bytes = ktap_random_below(ring_filled(&ring) + 1) % sizeof(data);
        EXPECT_EQ(ring_copy_out(&ring, 0, NULL, (uint64_t)data, bytes), bytes);
        ring_drop(&ring, bytes);
        for (size_t i = 0; i < bytes; i++)
            EXPECT_EQ(data[i], out++);
        EXPECT_EQ(ring_filled(&ring) + ring_room(&ring), 16384);
        EXPECT(ring.bytes <= 16384);
    }
    ring_free(&ring);
}

KTAP_CASE(a_ring_is_bounded)
{
    char data[1000] = {0};
    struct ring ring;
    size_t total = 0;
    long put;

    ring_init(&ring, PIPE_BYTES);
    while ((put = ring_write(&ring, NULL, (uint64_t)data, sizeof(data))) > 0)
        total += (size_t)put;
    EXPECT_EQ(total, PIPE_BYTES);
    EXPECT_EQ(ring_room(&ring), 0);
    ring_drop(&ring, PIPE_BYTES - 5000);
    EXPECT(ring_set_limit(&ring, 8192));
    EXPECT_EQ(ring.bytes, 8192);
    EXPECT_EQ(ring_room(&ring), 8192 - 5000);
    ring_free(&ring);
}

KTAP_CASE(a_ring_that_is_emptied_stays_small)
{
    char data[3000] = {0};
    struct ring ring;

    ring_init(&ring, PIPE_BYTES);
    for (int round = 0; round < 100; round++) {
        EXPECT_EQ(ring_write(&ring, NULL, (uint64_t)data, sizeof(data)), sizeof(data));
        ring_drop(&ring, sizeof(data));
    }
    EXPECT_EQ(ring.bytes, 4096);
    ring_free(&ring);
}

/* ---- readiness ---- */

KTAP_CASE(who_waits_is_woken)
{
    static struct thread t, poller;
    struct watched watched;
    struct watch watch = {.events = LINUX_POLLOUT, .poller = &poller};

    watched_init(&watched);
    queue_join(&watched.wait, &t);
    watch_start(&watch, &watched);
    watched_wake(&watched, LINUX_POLLIN);
    EXPECT_EQ(wakes, 1);
    EXPECT(woken[0] == &t && t.queue == NULL);
    watched_wake(&watched, LINUX_POLLOUT);
    EXPECT_EQ(wakes, 2);
    EXPECT(woken[1] == &poller);
    watch_end(&watch);
    watched_wake(&watched, LINUX_POLLOUT);
    EXPECT_EQ(wakes, 2);
    watched_end(&watched);
}

/* ---- waiting ---- */

KTAP_CASE(deadlines_come_in_order)
{
    static struct thread t[8];
    const uint64_t when[] = {50, 10, 30, 10, 80, 20, 70, 60};

    for (int i = 0; i < 8; i++)
        deadline_set(&t[i], when[i]);
    EXPECT_EQ(timers_next(), 10);
    deadline_clear(&t[5]);
    timers_run(9);
    EXPECT_EQ(wakes, 0);
    timers_run(50);
    EXPECT_EQ(wakes, 4);
    EXPECT(woken[0] == &t[1] && woken[1] == &t[3] && woken[2] == &t[2] && woken[3] == &t[0]);
    EXPECT(t[0].timed_out && !t[5].timed_out && t[0].deadline.ticks == 0);
    deadline_set(&t[4], 55);
    EXPECT_EQ(timers_next(), 55);
    timers_run(1000);
    EXPECT_EQ(timers_next(), TIME_NEVER);
    EXPECT_EQ(wakes, 7);
}

KTAP_CASE(times_are_converted_without_loss)
{
    time_init(10000000, 0);
    struct linux_timespec ns = {.sec = 0, .nsec = 1};
    EXPECT_EQ(time_to_ticks(&ns), 1);
    ns = (struct linux_timespec){.sec = 3, .nsec = 999999999};
    EXPECT_EQ(time_to_ticks(&ns), 40000000);
    EXPECT_EQ(time_from_ticks(12345678).sec, 1);
    EXPECT_EQ(time_from_ticks(12345678).nsec, 234567800);
    ns.sec = INT64_MAX;
    EXPECT_EQ(time_to_ticks(&ns), TIME_NEVER);
    EXPECT(!time_valid(&(struct linux_timespec){.sec = -1}));
    EXPECT(!time_valid(&(struct linux_timespec){.nsec = 1000000000}));
    EXPECT(!time_valid(&(struct linux_timespec){.nsec = -1}));
}
