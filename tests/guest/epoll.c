/*
 * Waiting for files: epoll in all its modes, and ppoll and pselect6 beside it, on pipes. What other
 * kinds of files do with readiness is tested with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR    16l
#define NO_SUCH_FD 99l
#define NS_PER_MS  1000000l

struct ends {
    int read, write;
};

static struct ends make_pipe(void)
{
    struct ends ends = {-1, -1};
    int fds[2];

    if (pipe2(fds, O_NONBLOCK) == 0)
        ends = (struct ends){fds[0], fds[1]};
    EXPECT(ends.read >= 0);
    return ends;
}

static void close_pipe(struct ends ends)
{
    close(ends.read);
    close(ends.write);
}

static int make_epoll(void)
{
    long fd = SYSCALL(SYS_epoll_create1, 0l);

    EXPECT(fd >= 0);
    return (int)fd;
}

static long control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return SYSCALL(SYS_epoll_ctl, (long)epoll, (long)operation, (long)fd, &event);
}

static long wait_for(int epoll, struct epoll_event *events, int max, int milliseconds)
{
    return SYSCALL(SYS_epoll_pwait, (long)epoll, events, (long)max, (long)milliseconds, 0l, 8l);
}

/* How many there are now. */
static long look(int epoll)
{
    struct epoll_event events[16];

    return wait_for(epoll, events, 16, 0);
}

static void put(int fd)
{
    EXPECT_EQ(write(fd, "x", 1), 1);
}

static void take(int fd)
{
    char byte;

    EXPECT_EQ(read(fd, &byte, 1), 1);
}

/* ---- epoll ---- */

KTAP_CASE(level_stays_until_it_is_read)
{
    struct ends pipe = make_pipe();
    struct epoll_event event;
    int epoll = make_epoll();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 0x123456789abcul), 0);
    EXPECT_EQ(look(epoll), 0);
    put(pipe.write);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(wait_for(epoll, &event, 1, -1), 1);
        EXPECT_EQ(event.events, EPOLLIN);
        EXPECT_EQ(event.data.u64, 0x123456789abcul);
    }
    take(pipe.read);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
    close_pipe(pipe);
}

KTAP_CASE(edge_is_told_once)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN | EPOLLET, 1), 0);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_EQ(look(epoll), 0);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_EQ(look(epoll), 0);
    take(pipe.read);
    EXPECT_EQ(look(epoll), 0);
    EXPECT_EQ(control(epoll, EPOLL_CTL_MOD, pipe.read, EPOLLIN | EPOLLET, 1), 0);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
    close_pipe(pipe);
}

KTAP_CASE(edge_of_what_was_ready_before)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();

    put(pipe.write);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN | EPOLLET, 1), 0);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.write, EPOLLOUT | EPOLLET, 2), 0);
    EXPECT_EQ(look(epoll), 2);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
    close_pipe(pipe);
}

KTAP_CASE(oneshot_is_silent_until_armed_again)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN | EPOLLONESHOT, 1), 0);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_EQ(look(epoll), 0);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 0);
    EXPECT_EQ(control(epoll, EPOLL_CTL_MOD, pipe.read, EPOLLIN | EPOLLONESHOT, 2), 0);
    EXPECT_EQ(look(epoll), 1);
    close(pipe.write);
    EXPECT_EQ(look(epoll), 0);
    close(pipe.read);
    close(epoll);
}

KTAP_CASE(hangup_and_error_are_always_told)
{
    struct ends one = make_pipe(), two = make_pipe();
    struct epoll_event event;
    int epoll = make_epoll();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, one.read, 0, 1), 0);
    EXPECT_EQ(look(epoll), 0);
    close(one.write);
    EXPECT_EQ(wait_for(epoll, &event, 1, -1), 1);
    EXPECT_EQ(event.events, EPOLLHUP);
    close(one.read);
    EXPECT_EQ(look(epoll), 0);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, two.write, 0, 2), 0);
    close(two.read);
    EXPECT_EQ(wait_for(epoll, &event, 1, -1), 1);
    EXPECT_EQ(event.events, EPOLLERR);
    EXPECT_EQ(event.data.u64, 2);
    close(two.write);
    close(epoll);
}

KTAP_CASE(a_descriptor_is_added_once)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), copy = dup(pipe.read);

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), EEXIST);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_MOD, copy, EPOLLIN, 1), ENOENT);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_DEL, copy, 0, 1), ENOENT);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, copy, EPOLLIN, 2), 0);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 2);
    EXPECT_EQ(control(epoll, EPOLL_CTL_DEL, pipe.read, 0, 0), 0);
    EXPECT_EQ(look(epoll), 1);
    close(copy);
    /* The file is still open: what was added by the copy's number stays. */
    EXPECT_EQ(look(epoll), 1);
    close_pipe(pipe);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
}

KTAP_CASE(many_take_turns)
{
    struct ends pipes[8];
    int epoll = make_epoll();
    unsigned seen = 0;

    for (int i = 0; i < 8; i++) {
        pipes[i] = make_pipe();
        EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipes[i].read, EPOLLIN, (uint64_t)i), 0);
        put(pipes[i].write);
    }
    for (int i = 0; i < 4; i++) {
        struct epoll_event events[2];
        EXPECT_EQ(wait_for(epoll, events, 2, 0), 2);
        seen |= 1u << events[0].data.u32 | 1u << events[1].data.u32;
    }
    EXPECT_EQ(seen, 0xff);
    EXPECT_EQ(look(epoll), 8);
    for (int i = 0; i < 8; i++)
        close_pipe(pipes[i]);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
}

KTAP_CASE(an_epoll_in_an_epoll)
{
    struct ends pipe = make_pipe();
    int inner = make_epoll(), outer = make_epoll();
    struct pollfd poll = {.fd = outer, .events = POLLIN};

    EXPECT_EQ(control(inner, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_EQ(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2), 0);
    EXPECT_EQ(look(outer), 0);
    EXPECT_EQ(SYSCALL(SYS_ppoll, &poll, 1l, &(struct timespec){0}, 0l, 8l), 0);
    put(pipe.write);
    EXPECT_EQ(SYSCALL(SYS_ppoll, &poll, 1l, 0l, 0l, 8l), 1);
    EXPECT_EQ(look(outer), 1);
    EXPECT_EQ(look(inner), 1);
    take(pipe.read);
    EXPECT_EQ(look(outer), 0);
    EXPECT_ERROR(control(inner, EPOLL_CTL_ADD, outer, EPOLLIN, 3), ELOOP);
    EXPECT_ERROR(control(inner, EPOLL_CTL_ADD, inner, EPOLLIN, 3), EINVAL);
    put(pipe.write);
    close(inner);
    EXPECT_EQ(look(outer), 0);
    close(outer);
    close_pipe(pipe);
}

KTAP_CASE(nesting_has_a_limit)
{
    int epoll[8], depth = 1;

    for (int i = 0; i < 8; i++)
        epoll[i] = make_epoll();
    while (depth < 8 && control(epoll[depth - 1], EPOLL_CTL_ADD, epoll[depth], EPOLLIN, 1) == 0)
        depth++;
    EXPECT_EQ(depth, 5);
    EXPECT_ERROR(control(epoll[4], EPOLL_CTL_ADD, epoll[5], EPOLLIN, 1), ELOOP);
    EXPECT_EQ(control(epoll[5], EPOLL_CTL_ADD, epoll[6], EPOLLIN, 1), 0);
    EXPECT_ERROR(control(epoll[3], EPOLL_CTL_ADD, epoll[5], EPOLLIN, 1), ELOOP);
    EXPECT_EQ(control(epoll[2], EPOLL_CTL_ADD, epoll[5], EPOLLIN, 1), 0);
    for (int i = 0; i < 8; i++)
        close(epoll[i]);
}

KTAP_CASE(bad_calls)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), self = open(ktap_self(), O_RDONLY);
    struct epoll_event event;

    EXPECT_ERROR(SYSCALL(SYS_epoll_create1, 1l), EINVAL);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_ADD, self, EPOLLIN, 1), EPERM);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_ADD, 99, EPOLLIN, 1), EBADF);
    EXPECT_ERROR(control(99, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), EBADF);
    EXPECT_ERROR(control(pipe.write, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), EINVAL);
    EXPECT_ERROR(control(epoll, 77, pipe.read, EPOLLIN, 1), EINVAL);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_MOD, pipe.read, EPOLLIN, 1), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_epoll_ctl, (long)epoll, (long)EPOLL_CTL_ADD, (long)pipe.read, BAD_PTR),
                 EFAULT);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_ERROR(wait_for(epoll, &event, 0, 0), EINVAL);
    EXPECT_ERROR(wait_for(epoll, &event, -1, 0), EINVAL);
    EXPECT_ERROR(wait_for(pipe.read, &event, 1, 0), EINVAL);
    EXPECT_ERROR(wait_for(99, &event, 1, 0), EBADF);
    put(pipe.write);
    EXPECT_ERROR(wait_for(epoll, (void *)BAD_PTR, 1, 0), EFAULT);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)epoll, &event, 8l), EINVAL);
    close(self);
    close(epoll);
    close_pipe(pipe);
}

KTAP_CASE(exclusive_is_checked)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), other = make_epoll();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN | EPOLLEXCLUSIVE, 1), 0);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_MOD, pipe.read, EPOLLIN, 1), EINVAL);
    EXPECT_ERROR(control(epoll, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE, 1), EINVAL);
    EXPECT_ERROR(
        control(epoll, EPOLL_CTL_ADD, pipe.write, EPOLLOUT | EPOLLONESHOT | EPOLLEXCLUSIVE, 1),
        EINVAL);
    put(pipe.write);
    EXPECT_EQ(look(epoll), 1);
    EXPECT_EQ(control(epoll, EPOLL_CTL_DEL, pipe.read, 0, 0), 0);
    close(other);
    close(epoll);
    close_pipe(pipe);
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

KTAP_CASE(waiting_ends_by_time)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();
    struct epoll_event event;
    long start = now_ms();

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_EQ(wait_for(epoll, &event, 1, 20), 0);
    EXPECT(now_ms() - start >= 19);
    close(epoll);
    close_pipe(pipe);
}

KTAP_CASE(waiting_ends_by_finer_time)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();
    struct epoll_event event;
    struct timespec limit = {.tv_nsec = 20 * NS_PER_MS};
    long start = now_ms();

    SKIP_EMULATED("has no epoll_pwait2");
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait2, (long)epoll, &event, 1l, &limit, 0l, 8l), 0);
    EXPECT(now_ms() - start >= 19);
    limit.tv_nsec = 1000 * NS_PER_MS;
    EXPECT_ERROR(SYSCALL(SYS_epoll_pwait2, (long)epoll, &event, 1l, &limit, 0l, 8l), EINVAL);
    close(epoll);
    close_pipe(pipe);
}

static void *write_later(void *arg)
{
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&pause, NULL);
    put(*(int *)arg);
    return NULL;
}

KTAP_CASE(a_writer_wakes_who_waits)
{
    struct ends pipe = make_pipe();
    int outer = make_epoll(), inner = make_epoll();
    struct epoll_event event;

    EXPECT_EQ(control(inner, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    EXPECT_EQ(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 7), 0);
    struct pg_thread *thread = pg_thread_create(write_later, &pipe.write, 0);
    REQUIRE(thread != NULL);
    EXPECT_EQ(wait_for(outer, &event, 1, -1), 1);
    EXPECT_EQ(event.data.u64, 7);
    EXPECT_EQ(wait_for(inner, &event, 1, -1), 1);
    EXPECT_EQ(event.data.u64, 1);
    pg_thread_join(thread);
    close(inner);
    close(outer);
    close_pipe(pipe);
}

struct add_later {
    int epoll, fd;
};

static void *add_and_write(void *arg)
{
    struct add_later *later = arg;
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&pause, NULL);
    EXPECT_EQ(control(later->epoll, EPOLL_CTL_ADD, later->fd, EPOLLOUT, 3), 0);
    return NULL;
}

KTAP_CASE(what_is_added_wakes_who_waits)
{
    struct ends pipe = make_pipe();
    struct add_later later = {make_epoll(), pipe.write};
    struct epoll_event event;
    struct pg_thread *thread = pg_thread_create(add_and_write, &later, 0);

    REQUIRE(thread != NULL);
    EXPECT_EQ(wait_for(later.epoll, &event, 1, -1), 1);
    EXPECT_EQ(event.events, EPOLLOUT);
    pg_thread_join(thread);
    close(later.epoll);
    close_pipe(pipe);
}

/* The epoll is in use by the call that waits, whatever becomes of its number. */
static void *close_and_write(void *arg)
{
    int *fds = arg;
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&pause, NULL);
    EXPECT_EQ(close(fds[0]), 0);
    nanosleep(&pause, NULL);
    put(fds[1]);
    return NULL;
}

KTAP_CASE(closed_while_somebody_waits)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), fds[2] = {epoll, pipe.write};
    struct epoll_event event;

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 5), 0);
    struct pg_thread *thread = pg_thread_create(close_and_write, fds, 0);
    REQUIRE(thread != NULL);
    EXPECT_EQ(wait_for(epoll, &event, 1, -1), 1);
    EXPECT_EQ(event.data.u64, 5);
    pg_thread_join(thread);
    EXPECT_ERROR(wait_for(epoll, &event, 1, 0), EBADF);
    close_pipe(pipe);
}

KTAP_CASE(a_pipe_closed_while_somebody_reads)
{
    int fds[2], closed[2];
    char byte = 0;

    REQUIRE(pipe2(fds, 0) == 0);
    closed[0] = fds[0];
    closed[1] = fds[1];
    struct pg_thread *thread = pg_thread_create(close_and_write, closed, 0);
    REQUIRE(thread != NULL);
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    pg_thread_join(thread);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)fds[0], &byte, 1l), EBADF);
    close(fds[1]);
}

KTAP_CASE(a_child_shares_the_epoll)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), status = 0;

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 5), 0);
    put(pipe.write);
    int pid = fork();
    if (pid == 0) {
        bool good = look(epoll) == 1 && control(epoll, EPOLL_CTL_DEL, pipe.read, 0, 0) == 0;
        _exit(good ? 7 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 7 << 8);
    EXPECT_EQ(look(epoll), 0);
    close(epoll);
    close_pipe(pipe);
}

/* A process killed while it waits leaves nothing that the others could stumble over. */
KTAP_CASE(killed_while_it_waits)
{
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};
    struct ends pipe = make_pipe();
    int epoll = make_epoll(), status = 0;
    struct epoll_event event;

    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 5), 0);
    for (int round = 0; round < 3; round++) {
        int pid = fork();
        if (pid == 0) {
            struct pollfd poll[2] = {{.fd = pipe.read, .events = POLLIN}, {.fd = epoll}};
            if (round == 0)
                wait_for(epoll, &event, 1, -1);
            else if (round == 1)
                SYSCALL(SYS_ppoll, poll, 2l, 0l, 0l, 8l);
            fcntl(pipe.read, F_SETFL, 0);
            read(pipe.read, &event, 1);
            _exit(1);
        }
        REQUIRE(pid > 0);
        nanosleep(&pause, NULL);
        EXPECT_EQ(kill(pid, SIGKILL), 0);
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, SIGKILL);
    }
    put(pipe.write);
    EXPECT_EQ(look(epoll), 1);
    close(epoll);
    close_pipe(pipe);
}

/* ---- ppoll and pselect6 ---- */

KTAP_CASE(poll_tells_each)
{
    struct ends pipe = make_pipe();
    struct pollfd poll[4] = {{.fd = pipe.read, .events = POLLIN | POLLRDNORM},
                             {.fd = pipe.write, .events = POLLOUT},
                             {.fd = -1, .events = POLLIN, .revents = 9},
                             {.fd = 99, .events = POLLIN}};
    struct timespec limit = {.tv_sec = 100};

    put(pipe.write);
    EXPECT_EQ(SYSCALL(SYS_ppoll, poll, 4l, &limit, 0l, 8l), 3);
    EXPECT_EQ(poll[0].revents, POLLIN | POLLRDNORM);
    EXPECT_EQ(poll[1].revents, POLLOUT);
    EXPECT_EQ(poll[2].revents, 0);
    EXPECT_EQ(poll[3].revents, POLLNVAL);
    /* What is left of the time comes back. */
    EXPECT(limit.tv_sec == 99 || (limit.tv_sec == 100 && limit.tv_nsec == 0));
    EXPECT_ERROR(SYSCALL(SYS_ppoll, BAD_PTR, 1l, 0l, 0l, 8l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_ppoll, poll, 1l, 0l, &poll, 3l), EINVAL);
    close_pipe(pipe);
}

KTAP_CASE(poll_is_woken_by_any)
{
    struct ends one = make_pipe(), two = make_pipe();
    struct pollfd poll[2] = {{.fd = one.read, .events = POLLIN},
                             {.fd = two.read, .events = POLLIN}};
    struct pg_thread *thread = pg_thread_create(write_later, &two.write, 0);

    REQUIRE(thread != NULL);
    EXPECT_EQ(SYSCALL(SYS_ppoll, poll, 2l, 0l, 0l, 8l), 1);
    EXPECT_EQ(poll[1].revents, POLLIN);
    pg_thread_join(thread);
    close_pipe(one);
    close_pipe(two);
}

KTAP_CASE(select_tells_each)
{
    struct ends pipe = make_pipe();
    struct timespec limit = {0};
    uint64_t in = 1ul << pipe.read | 1ul << pipe.write, out = in, except = in;
    long all = (pipe.read > pipe.write ? pipe.read : pipe.write) + 1;

    put(pipe.write);
    EXPECT_EQ(SYSCALL(SYS_pselect6, all, &in, &out, &except, &limit, 0l), 2);
    EXPECT_EQ(in, 1ul << pipe.read);
    EXPECT_EQ(out, 1ul << pipe.write);
    EXPECT_EQ(except, 0);
    in = 1ul << pipe.read;
    EXPECT_EQ(SYSCALL(SYS_pselect6, all, &in, 0l, 0l, 0l, 0l), 1);
    take(pipe.read);
    EXPECT_EQ(SYSCALL(SYS_pselect6, all, &in, 0l, 0l, &limit, 0l), 0);
    EXPECT_EQ(in, 0);
    in = 1ul << 63;
    EXPECT_ERROR(SYSCALL(SYS_pselect6, 64l, &in, 0l, 0l, &limit, 0l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_pselect6, -1l, 0l, 0l, 0l, &limit, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_pselect6, all, BAD_PTR, 0l, 0l, &limit, 0l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_pselect6, 0l, 0l, 0l, 0l, BAD_PTR, 0l), EFAULT);
    close_pipe(pipe);
}

KTAP_CASE(select_waits)
{
    struct ends pipe = make_pipe();
    uint64_t in = 1ul << pipe.read;
    struct timespec limit = {.tv_nsec = 20 * NS_PER_MS};
    long start = now_ms();

    EXPECT_EQ(SYSCALL(SYS_pselect6, (long)pipe.read + 1, &in, 0l, 0l, &limit, 0l), 0);
    EXPECT(now_ms() - start >= 19);
    in = 1ul << pipe.read;
    struct pg_thread *thread = pg_thread_create(write_later, &pipe.write, 0);
    REQUIRE(thread != NULL);
    EXPECT_EQ(SYSCALL(SYS_pselect6, (long)pipe.read + 1, &in, 0l, 0l, 0l, 0l), 1);
    EXPECT_EQ(in, 1ul << pipe.read);
    pg_thread_join(thread);
    close_pipe(pipe);
}

static void note_signal(int signal)
{
    (void)signal;
}

/* A signal that the call's mask lets through ends it. */
KTAP_CASE(signals_end_waiting)
{
    struct ends pipe = make_pipe();
    int epoll = make_epoll();
    struct epoll_event event;
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART}, old;
    uint64_t blocked = 1ul << (SIGUSR1 - 1), none = 0;
    struct {
        uint64_t *mask;
        uint64_t bytes;
    } argument = {&none, 8};

    EXPECT_EQ(sigaction(SIGUSR1, &action, &old), 0);
    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_BLOCK, &blocked, 0l, 8l), 0);
    EXPECT_EQ(control(epoll, EPOLL_CTL_ADD, pipe.read, EPOLLIN, 1), 0);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(wait_for(epoll, &event, 1, 0), 0);
    EXPECT_ERROR(SYSCALL(SYS_epoll_pwait, (long)epoll, &event, 1l, -1l, &none, 8l), EINTR);
    kill(getpid(), SIGUSR1);
    EXPECT_ERROR(SYSCALL(SYS_ppoll, 0l, 0l, 0l, &none, 8l), EINTR);
    kill(getpid(), SIGUSR1);
    EXPECT_ERROR(SYSCALL(SYS_pselect6, 0l, 0l, 0l, 0l, 0l, &argument), EINTR);
    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_UNBLOCK, &blocked, 0l, 8l), 0);
    sigaction(SIGUSR1, &old, NULL);
    close(epoll);
    close_pipe(pipe);
}

/* ---- what a pipe holds ---- */

#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#endif

KTAP_CASE(the_size_of_a_pipe)
{
    static char data[70000];
    struct ends pipe = make_pipe();
    int self = open(ktap_self(), O_RDONLY);

    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)pipe.read, (long)F_GETPIPE_SZ, 0l), 65536);
    EXPECT_EQ(write(pipe.write, data, sizeof(data)), 65536);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pipe.write, data, 1l), EAGAIN);
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)pipe.read, (long)F_SETPIPE_SZ, 4096l), EBUSY);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)pipe.write, (long)F_SETPIPE_SZ, 100000l), 131072);
    EXPECT_EQ(write(pipe.write, data, sizeof(data)), 65536);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(read(pipe.read, data, 65536), 65536);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)pipe.write, (long)F_SETPIPE_SZ, 1l), 4096);
    EXPECT_EQ(write(pipe.write, data, sizeof(data)), 4096);
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)self, (long)F_SETPIPE_SZ, 4096l), EBADF);
    close(self);
    close_pipe(pipe);
}
