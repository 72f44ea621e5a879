/* RLIMIT_NOFILE, RLIMIT_FSIZE and RLIMIT_MEMLOCK: what they refuse, and whom they do not bind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define LIMIT_FSIZE   1
#define LIMIT_NOFILE  7
#define LIMIT_MEMLOCK 8
#define FILE_NAME     "/tmp/limits_test"

static long limit(int which, const struct rlimit *new, struct rlimit *old)
{
    return SYSCALL(261l /* prlimit64 */, 0l, (long)which, new, old);
}

static long limit_soft(int which, uint64_t soft)
{
    struct rlimit value;
    long error = limit(which, NULL, &value);

    value.rlim_cur = soft;
    return error ? error : limit(which, &value, NULL);
}

/* ---- open files ---- */

KTAP_CHILD(opens_within_16)
{
    int high = (int)pg_syscall(SYS_fcntl, 0, F_DUPFD, 40), last = -1, fd;
    struct {
        int fd;
        short events, revents;
    } polled[17] = {{0}};

    if (high != 40 || limit_soft(LIMIT_NOFILE, 16))
        return 1;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    if (errno != EMFILE || last != 15)
        return 2;
    if (SYSCALL(SYS_dup3, 0l, 16l, 0l) != -EBADF || SYSCALL(SYS_dup3, 0l, 15l, 0l) != 15)
        return 3;
    if (SYSCALL(SYS_fcntl, 0l, (long)F_DUPFD, 16l) != -EINVAL ||
        SYSCALL(SYS_fcntl, 0l, (long)F_DUPFD, 3l) != -EMFILE)
        return 4;
    if (SYSCALL(73l /* ppoll */, polled, 17l, 0l, 0l, 8l) != -EINVAL)
        return 5;
    return fcntl(high, F_GETFD) == 0 ? 0 : 6; /* what was open stays so */
}

KTAP_CASE(lowered_limit_on_files_binds)
{
    SKIP_EMULATED("has files of its own");
    EXPECT_CHILD_EXIT("opens_within_16", "", 0);
}

KTAP_CHILD(opens_beyond_10000)
{
    const struct rlimit more = {10032, 10032};
    int status = -1;

    if (limit(LIMIT_NOFILE, &more, NULL))
        return 1;
    if (SYSCALL(SYS_dup3, 0l, 10031l, 0l) != 10031 || SYSCALL(SYS_dup3, 0l, 10032l, 0l) != -EBADF)
        return 2;
    if (SYSCALL(SYS_fcntl, 0l, (long)F_DUPFD, 5000l) != 5000)
        return 3;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fcntl(10031, F_GETFD) == 0 && fcntl(5000, F_GETFD) == 0 && fcntl(9999, F_GETFD) < 0 &&
                      open("/dev/null", O_RDONLY) == 3
                  ? 0
                  : 1);
    if (waitpid(pid, &status, 0) != pid || status)
        return 4;
    return close(10031) == 0 && close(5000) == 0 && close(5000) < 0 ? 0 : 5;
}

KTAP_CASE(raised_limit_on_files_gives_more)
{
    SKIP_EMULATED("may raise no limit");
    EXPECT_CHILD_EXIT("opens_beyond_10000", "", 0);
}

KTAP_CHILD(may_not_raise)
{
    struct rlimit value;

    if (pg_syscall(146 /* setuid */, 65534) || limit(LIMIT_NOFILE, NULL, &value))
        return 1;
    value.rlim_cur = value.rlim_max; /* up to the hard one everybody may */
    if (limit(LIMIT_NOFILE, &value, NULL))
        return 2;
    value.rlim_max++;
    return limit(LIMIT_NOFILE, &value, NULL) == -EPERM ? 0 : 3;
}

KTAP_CASE(hard_limit_is_raised_by_root_only)
{
    SKIP_EMULATED("may change no user");
    EXPECT_CHILD_EXIT("may_not_raise", "", 0);
}

/* ---- size of files ---- */

static volatile int signals;

static void count(int signal)
{
    (void)signal;
    signals++;
}

KTAP_CASE(files_grow_to_their_limit)
{
    static char bytes[3000];
    struct rlimit before;
    int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0 && limit(LIMIT_FSIZE, NULL, &before) == 0);
    signal(SIGXFSZ, count);
    signals = 0;
    EXPECT_EQ(limit_soft(LIMIT_FSIZE, 5000), 0);
    EXPECT_EQ(write(fd, bytes, 3000), 3000);
    EXPECT_EQ(write(fd, bytes, 3000), 2000); /* as far as it goes */
    EXPECT_EQ(signals, 0);
    EXPECT_ERROR(SYSCALL(SYS_write, fd, bytes, 1l), EFBIG);
    EXPECT_EQ(signals, 1);
    EXPECT_ERROR(SYSCALL(46l /* ftruncate */, fd, 5001l), EFBIG);
    EXPECT_EQ(signals, 2);
    EXPECT_ERROR(SYSCALL(47l /* fallocate */, fd, 0l, 4000l, 2000l), EFBIG);
    EXPECT_EQ(signals, 3);
    EXPECT_EQ(SYSCALL(46l, fd, 100l), 0);
    EXPECT_EQ(SYSCALL(46l, fd, 5000l), 0);
    EXPECT_EQ(SYSCALL(68l /* pwrite64 */, fd, bytes, 10l, 4000l), 10);
    EXPECT_EQ(signals, 3);
    EXPECT_EQ(limit(LIMIT_FSIZE, &before, NULL), 0);
    EXPECT_EQ(SYSCALL(46l, fd, 6000l), 0);
    EXPECT_EQ(SYSCALL(46l, fd, 0l), 0);
    signal(SIGXFSZ, SIG_DFL);
    close(fd);
    unlink(FILE_NAME);
}

KTAP_CHILD(writes_too_much)
{
    int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || limit_soft(LIMIT_FSIZE, 0))
        return 1;
    return write(fd, "x", 1) == 1 ? 2 : 3;
}

KTAP_CASE(writing_beyond_it_ends_a_program)
{
    EXPECT_CHILD_SIGNAL("writes_too_much", "", SIGXFSZ);
    unlink(FILE_NAME);
}

/* ---- locked memory ---- */

KTAP_CHILD(locks_memory)
{
    void *at = ktap_map(64 * PAGE, PROT_READ | PROT_WRITE);

    if (limit_soft(LIMIT_MEMLOCK, 32 * PAGE))
        return 1;
    if (SYSCALL(228l /* mlock */, at, 64 * PAGE)) /* root may */
        return 2;
    if (SYSCALL(229l /* munlock */, at, 64 * PAGE) || pg_syscall(146 /* setuid */, 65534))
        return 3;
    if (SYSCALL(228l, at, 64 * PAGE) != -ENOMEM || SYSCALL(228l, at, 32 * PAGE))
        return 4;
    return SYSCALL(228l, (char *)at + 32 * PAGE, PAGE) == -ENOMEM ? 0 : 5;
}

KTAP_CASE(limit_on_locked_memory_binds_all_but_root)
{
    SKIP_EMULATED("may change no user");
    EXPECT_CHILD_EXIT("locks_memory", "", 0);
}
