/* Advisory locks: of records, by processes and by open files, and flock. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define PATH     "/tmp/ktap-filelock"
#define BAD_PTR  16l
#define NO_LIMIT 0

/* The kernel's numbers. */
enum { READ_LOCK, WRITE_LOCK, NO_LOCK };
enum { GET = 5, SET = 6, SET_WAIT = 7, OFD_GET = 36, OFD_SET = 37, OFD_SET_WAIT = 38 };
enum { SHARED = 1, EXCLUSIVE = 2, NONBLOCKING = 4, UNLOCK = 8 };

struct record {
    int16_t type, whence;
    int64_t start, bytes;
    int32_t pid;
};

static int open_file(void)
{
    int fd = open(PATH, O_RDWR | O_CREAT, 0600);

    EXPECT(fd >= 0);
    return fd;
}

static long lock(int fd, int command, int type, long start, long bytes)
{
    struct record record = {.type = (int16_t)type, .start = start, .bytes = bytes};

    return SYSCALL(SYS_fcntl, (long)fd, (long)command, &record);
}

/* The lock that would prevent an exclusive one of that range. */
static struct record ask(int fd, int command, long start, long bytes)
{
    struct record record = {.type = WRITE_LOCK, .start = start, .bytes = bytes};

    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)fd, (long)command, &record), 0);
    return record;
}

/* What a child finds: the file is opened anew there. Its answer is a small number. */
static int in_child(int (*fn)(int fd))
{
    int status = -1, pid = fork();

    if (pid == 0)
        _exit(fn(open_file()));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int tries_tenth(int fd)
{
    return lock(fd, SET, WRITE_LOCK, 10, 1) == 0;
}

static int tries_first(int fd)
{
    return lock(fd, SET, WRITE_LOCK, 0, 1) == 0;
}

static int reads_tenth(int fd)
{
    return lock(fd, SET, READ_LOCK, 10, 1) == 0;
}

KTAP_CASE(a_record_is_the_processes)
{
    int fd = open_file(), other = open_file();

    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 5, 10), 0);
    EXPECT_EQ(lock(other, SET, WRITE_LOCK, 5, 10), 0);
    EXPECT_EQ(in_child(tries_tenth), 0);
    EXPECT_EQ(lock(fd, SET, READ_LOCK, 5, 10), 0);
    EXPECT_EQ(in_child(tries_tenth), 0);
    EXPECT_EQ(in_child(reads_tenth), 1);
    EXPECT_EQ(lock(fd, SET, NO_LOCK, 10, 1), 0);
    EXPECT_EQ(in_child(tries_tenth), 1);
    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 0, NO_LIMIT), 0);
    EXPECT_EQ(in_child(tries_tenth), 0);
    /* Closing any descriptor of the file ends them all. */
    close(other);
    EXPECT_EQ(in_child(tries_tenth), 1);
    close(fd);
}

static int asks(int fd)
{
    struct record a = ask(fd, GET, 0, 8), b = ask(fd, GET, 10, 1), c = ask(fd, GET, 12, NO_LIMIT);

    if (a.type != WRITE_LOCK || a.whence != SEEK_SET || a.start != 5 || a.bytes != 5 ||
        a.pid != getppid())
        return 1;
    if (b.type != NO_LOCK)
        return 2;
    return c.type == READ_LOCK && c.start == 12 && c.bytes == 0 ? 0 : 3;
}

KTAP_CASE(records_are_split_and_joined)
{
    int fd = open_file();

    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 5, 3), 0);
    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 8, 4), 0);
    EXPECT_EQ(lock(fd, SET, READ_LOCK, 12, NO_LIMIT), 0);
    EXPECT_EQ(lock(fd, SET, NO_LOCK, 10, 2), 0);
    EXPECT_EQ(in_child(asks), 0);
    EXPECT_EQ(ask(fd, GET, 0, NO_LIMIT).type, NO_LOCK);
    close(fd);
}

static int relative(int fd)
{
    struct record record = {.type = WRITE_LOCK, .whence = SEEK_END, .start = 0, .bytes = -4};

    SYSCALL(SYS_fcntl, (long)fd, (long)GET, &record);
    return record.type == WRITE_LOCK ? (int)record.start * 16 + (int)record.bytes : 255;
}

KTAP_CASE(ranges_from_elsewhere)
{
    int fd = open_file();
    struct record record = {.type = WRITE_LOCK, .whence = SEEK_CUR, .start = -1, .bytes = 2};

    EXPECT_EQ(ftruncate(fd, 10), 0);
    EXPECT_EQ(lseek(fd, 8, SEEK_SET), 8);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)fd, (long)SET, &record), 0);
    EXPECT_EQ(in_child(relative), 7 * 16 + 2);
    record.start = -9;
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)SET, &record), EINVAL);
    record = (struct record){.start = INT64_MAX, .bytes = 2};
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)SET, &record), EOVERFLOW);
    record = (struct record){.type = 9};
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)SET, &record), EINVAL);
    record = (struct record){.whence = 9};
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)SET, &record), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)SET, BAD_PTR), EFAULT);
    close(fd);
    fd = open(PATH, O_RDONLY);
    EXPECT_ERROR(lock(fd, SET, WRITE_LOCK, 0, 1), EBADF);
    EXPECT_EQ(lock(fd, SET, READ_LOCK, 0, 1), 0);
    close(fd);
    unlink(PATH);
}

KTAP_CASE(who_waits_gets_it)
{
    struct timespec pause = {.tv_nsec = 20000000};
    int fd = open_file(), status = -1, ends[2];
    char byte;

    REQUIRE(pipe(ends) == 0);
    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 0, 1), 0);
    int pid = fork();
    if (pid == 0) {
        int own = open_file();
        write(ends[1], "x", 1);
        _exit(lock(own, SET_WAIT, WRITE_LOCK, 0, 1) == 0 ? 7 : 1);
    }
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    nanosleep(&pause, NULL);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    EXPECT_EQ(lock(fd, SET, NO_LOCK, 0, 1), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 7 << 8);
    /* It has ended, and its lock with it. */
    EXPECT_EQ(lock(fd, SET_WAIT, WRITE_LOCK, 0, 1), 0);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

KTAP_CASE(a_killed_holder_lets_go)
{
    int fd = open_file(), ends[2];
    char byte;

    REQUIRE(pipe(ends) == 0);
    int pid = fork();
    if (pid == 0) {
        lock(open_file(), SET, WRITE_LOCK, 0, 1);
        write(ends[1], "x", 1);
        for (;;)
            nanosleep(&(struct timespec){.tv_sec = 100}, NULL);
    }
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    EXPECT_ERROR(lock(fd, SET, WRITE_LOCK, 0, 1), EAGAIN);
    kill(pid, SIGKILL);
    EXPECT_EQ(lock(fd, SET_WAIT, WRITE_LOCK, 0, 1), 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

KTAP_CASE(a_circle_is_a_deadlock)
{
    struct timespec pause = {.tv_nsec = 20000000};
    int fd = open_file(), status = -1, ends[2];
    char byte;

    REQUIRE(pipe(ends) == 0);
    EXPECT_EQ(lock(fd, SET, WRITE_LOCK, 0, 1), 0);
    int pid = fork();
    if (pid == 0) {
        int own = open_file();
        if (lock(own, SET, WRITE_LOCK, 1, 1) != 0)
            _exit(1);
        write(ends[1], "x", 1);
        _exit(lock(own, SET_WAIT, WRITE_LOCK, 0, 1) == 0 ? 7 : 2);
    }
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    nanosleep(&pause, NULL);
    EXPECT_ERROR(lock(fd, SET_WAIT, WRITE_LOCK, 1, 1), EDEADLK);
    EXPECT_EQ(lock(fd, SET, NO_LOCK, 0, 1), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 7 << 8);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

KTAP_CASE(a_record_of_an_open_file)
{
    int fd = open_file(), other = open_file(), copy = dup(fd);

    EXPECT_EQ(lock(fd, OFD_SET, WRITE_LOCK, 0, 5), 0);
    EXPECT_EQ(lock(copy, OFD_SET, WRITE_LOCK, 0, 5), 0);
    EXPECT_ERROR(lock(other, OFD_SET, WRITE_LOCK, 0, 5), EAGAIN);
    EXPECT_ERROR(lock(other, SET, WRITE_LOCK, 0, 5), EAGAIN);
    struct record record = ask(other, OFD_GET, 0, 1);
    EXPECT_EQ(record.type, WRITE_LOCK);
    EXPECT_EQ(record.pid, -1);
    record.pid = 3;
    EXPECT_ERROR(SYSCALL(SYS_fcntl, (long)fd, (long)OFD_SET, &record), EINVAL);
    close(copy);
    EXPECT_ERROR(lock(other, OFD_SET, WRITE_LOCK, 0, 5), EAGAIN);
    close(fd);
    EXPECT_EQ(lock(other, OFD_SET_WAIT, WRITE_LOCK, 0, 5), 0);
    close(other);
}

static void *close_later(void *arg)
{
    struct timespec pause = {.tv_nsec = 20000000};

    nanosleep(&pause, NULL);
    close(*(int *)arg);
    return NULL;
}

/* Who waits for a lock at a descriptor that is closed meanwhile gets none that stays. */
KTAP_CASE(closed_while_somebody_waits)
{
    int fd = open_file(), ends[2];
    char byte;

    REQUIRE(pipe(ends) == 0);
    int pid = fork();
    if (pid == 0) {
        struct timespec pause = {.tv_nsec = 200000000};
        lock(open_file(), SET, WRITE_LOCK, 0, 1);
        write(ends[1], "x", 1);
        nanosleep(&pause, NULL);
        _exit(0);
    }
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    struct pg_thread *thread = pg_thread_create(close_later, &fd, 0);
    REQUIRE(thread != NULL);
    EXPECT_ERROR(lock(fd, SET_WAIT, WRITE_LOCK, 0, 1), EBADF);
    pg_thread_join(thread);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_EQ(in_child(tries_first), 1);
    close(ends[0]);
    close(ends[1]);
}

static long flock_of(int fd, int operation)
{
    return SYSCALL(SYS_flock, (long)fd, (long)operation);
}

KTAP_CASE(flock_is_of_the_open_file)
{
    int fd = open_file(), other = open_file(), copy = dup(fd), status = -1;

    EXPECT_EQ(flock_of(fd, EXCLUSIVE), 0);
    EXPECT_ERROR(flock_of(other, EXCLUSIVE | NONBLOCKING), EAGAIN);
    EXPECT_EQ(lock(other, SET, WRITE_LOCK, 0, 1), 0);
    EXPECT_EQ(flock_of(copy, SHARED), 0);
    EXPECT_EQ(flock_of(other, SHARED | NONBLOCKING), 0);
    EXPECT_ERROR(flock_of(fd, EXCLUSIVE | NONBLOCKING), EAGAIN);
    EXPECT_EQ(flock_of(other, UNLOCK), 0);
    EXPECT_EQ(flock_of(fd, EXCLUSIVE), 0);
    int pid = fork();
    if (pid == 0) {
        int own = open_file();
        close(other);
        _exit(flock_of(own, EXCLUSIVE) == 0 ? 7 : 1);
    }
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    close(fd);
    close(copy);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0); /* the child has it too */
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(flock_of(other, EXCLUSIVE), 0);
    EXPECT_ERROR(flock_of(other, 3), EINVAL);
    EXPECT_ERROR(flock_of(99, SHARED), EBADF);
    close(other);
    unlink(PATH);
}
