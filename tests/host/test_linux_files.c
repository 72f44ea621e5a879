/* Descriptor tables, pipes, deadlines and wait queues, with open files and requests stood in for.
 */
#include "ktap.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/fd.c"
#include "user/linux/pipe.c"
#include "user/linux/sleep.c"
#include "user/linux/time.c"
#include "user/linux/timer.c"

static unsigned gets, puts_done, polls, wakes;
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

void file_poll_wake(void)
{
    polls++;
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
    static struct fd_table table;
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
    static struct fd_table table;
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

/* ---- pipes ---- */

KTAP_CASE(a_pipe_keeps_bytes_in_order)
{
    struct pipe *pipe = pipe_create();
    unsigned char in = 0, out = 0;

    for (int round = 0; round < 20000; round++) {
        char *to;
        const char *from;
        size_t part = pipe_write_piece(pipe, ktap_random_below(300) + 1, &to);
        for (size_t i = 0; i < part; i++)
            to[i] = (char)in++;
        pipe_write_done(pipe, part);
        part = pipe_read_piece(pipe, ktap_random_below(300) + 1, &from);
        for (size_t i = 0; i < part; i++)
            EXPECT_EQ((unsigned char)from[i], out++);
        pipe_read_done(pipe, part);
        EXPECT_EQ(pipe_filled(pipe) + pipe_room(pipe), PIPE_BYTES);
    }
    pipe_close_reader(pipe);
    pipe_close_writer(pipe);
}

KTAP_CASE(a_pipe_is_bounded)
{
    struct pipe *pipe = pipe_create();
    char *to;
    size_t total = 0, part;

    while ((part = pipe_write_piece(pipe, 1000, &to)) != 0) {
        memset(to, 1, part);
        pipe_write_done(pipe, part);
        total += part;
    }
    EXPECT_EQ(total, PIPE_BYTES);
    EXPECT_EQ(pipe_room(pipe), 0);
    pipe_close_writer(pipe);
    pipe_close_reader(pipe);
}

KTAP_CASE(waiters_of_a_pipe_are_woken)
{
    struct pipe *pipe = pipe_create();
    static struct thread t;

    queue_join(&pipe->read_wait, &t);
    pipe_write_done(pipe, 0);
    EXPECT_EQ(wakes, 1);
    EXPECT(t.queue == NULL);
    queue_join(&pipe->read_wait, &t);
    pipe_close_writer(pipe);
    EXPECT_EQ(wakes, 2);
    EXPECT(polls >= 2);
    pipe_close_reader(pipe);
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
