/*
 * Named pipes: opening waits for the other end, what poll says of an end that nobody had, and the
 * ways back to a pipe through /proc/self/fd. After LTP's mknod, open and pipe tests, and fifo(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define PATH         "/tmp/fifo-test"
#define NR_FCHDIR    50
#define NR_SETITIMER 103
#define NR_UMASK     166
#define NR_FCHMOD    52
#define POLL_IN      1
#define POLL_OUT     4
#define POLL_ERR     8
#define POLL_HUP     16
#define OPEN(...)    SYSCALL(SYS_openat, (long)AT_FDCWD, __VA_ARGS__)

struct poll_fd {
    int32_t fd;
    int16_t events, revents;
};

static bool make(void)
{
    unlink(PATH);
    return SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH, (long)(S_IFIFO | 0640), 0l) == 0;
}

static void nap(long msec)
{
    usleep((useconds_t)(msec * 1000));
}

/* What poll says now. */
static int looks(long fd)
{
    struct poll_fd one = {.fd = (int32_t)fd, .events = POLL_IN | POLL_OUT};
    struct timespec now = {0, 0};

    SYSCALL(SYS_ppoll, &one, 1l, &now, 0l, 8l);
    return one.revents;
}

/* A child that opens the FIFO after a while, and ends with what became of it. */
static pid_t opens_later(long flags)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    nap(40);
    long fd = OPEN(PATH, flags);
    if (fd >= 0 && (flags & O_ACCMODE) == O_WRONLY)
        _exit(write((int)fd, "later", 5) == 5 ? 0 : 2);
    _exit(fd < 0);
}

static int ended(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return status;
}

KTAP_CASE(is_a_node)
{
    struct stat st;

    SYSCALL(NR_UMASK, 022l);
    REQUIRE(make());
    EXPECT_EQ(lstat(PATH, &st), 0);
    EXPECT_EQ(st.st_mode, S_IFIFO | 0640);
    EXPECT_EQ(st.st_nlink, 1);
    EXPECT_EQ(st.st_size, 0);
    EXPECT_ERROR(SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH, (long)(S_IFIFO | 0600), 0l), EEXIST);
    EXPECT_ERROR(SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH "x/y", (long)(S_IFIFO | 0600), 0l),
                 ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH "d", (long)(S_IFDIR | 0700), 0l), EPERM);
    EXPECT_ERROR(SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH "d", (long)(S_IFLNK | 0700), 0l),
                 EINVAL);
    EXPECT_EQ(SYSCALL(SYS_linkat, (long)AT_FDCWD, PATH, (long)AT_FDCWD, PATH "2", 0l), 0);
    EXPECT_EQ(stat(PATH "2", &st), 0);
    EXPECT_EQ(st.st_nlink, 2);
    EXPECT_EQ(unlink(PATH), 0);
    EXPECT_ERROR(OPEN(PATH, (long)(O_RDONLY | O_NONBLOCK)), ENOENT);
    EXPECT_ERROR(OPEN(PATH "2", (long)(O_RDONLY | O_DIRECTORY)), ENOTDIR);
    EXPECT_EQ(unlink(PATH "2"), 0);
}

KTAP_CASE(socket_node)
{
    struct stat st;

    unlink(PATH);
    EXPECT_EQ(SYSCALL(SYS_mknodat, (long)AT_FDCWD, PATH, (long)(S_IFSOCK | 0600), 0l), 0);
    EXPECT_EQ(lstat(PATH, &st), 0);
    EXPECT_EQ(st.st_mode, S_IFSOCK | 0600);
    EXPECT_ERROR(OPEN(PATH, (long)O_RDONLY), ENXIO);
    EXPECT_EQ(unlink(PATH), 0);
}

KTAP_CASE(reader_waits_for_a_writer)
{
    char text[8] = "";

    REQUIRE(make());
    pid_t pid = opens_later(O_WRONLY);
    int fd = open(PATH, O_RDONLY);
    REQUIRE(fd >= 0);
    EXPECT_EQ(read(fd, text, sizeof(text)), 5);
    EXPECT(memcmp(text, "later", 5) == 0);
    EXPECT_EQ(ended(pid), 0);
    EXPECT_EQ(read(fd, text, sizeof(text)), 0);
    EXPECT_EQ(looks(fd), POLL_HUP);
    close(fd);
    unlink(PATH);
}

KTAP_CASE(writer_waits_for_a_reader)
{
    REQUIRE(make());
    pid_t pid = opens_later(O_RDONLY);
    signal(SIGPIPE, SIG_IGN);
    int fd = open(PATH, O_WRONLY);
    REQUIRE(fd >= 0);
    EXPECT_EQ(ended(pid), 0);
    EXPECT_EQ(looks(fd), POLL_OUT | POLL_ERR);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)fd, "x", 1l), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    close(fd);
    unlink(PATH);
}

/* Who came and went at once has come. */
KTAP_CASE(a_short_visit_is_enough)
{
    char byte;

    REQUIRE(make());
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            nap(i);
            _exit(close(open(PATH, O_WRONLY)) != 0);
        }
        int fd = open(PATH, O_RDONLY);
        EXPECT(fd >= 0);
        EXPECT_EQ(read(fd, &byte, 1), 0);
        close(fd);
        EXPECT_EQ(ended(pid), 0);
    }
    unlink(PATH);
}

KTAP_CASE(without_waiting)
{
    char byte;

    REQUIRE(make());
    EXPECT_ERROR(OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK)), ENXIO);
    long reader = OPEN(PATH, (long)(O_RDONLY | O_NONBLOCK));
    REQUIRE(reader >= 0);
    EXPECT_EQ(looks(reader), 0); /* there was no writer that could have gone */
    EXPECT_EQ(read((int)reader, &byte, 1), 0);
    long writer = OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK));
    REQUIRE(writer >= 0);
    EXPECT_EQ(looks(reader), 0);
    EXPECT_ERROR(SYSCALL(SYS_read, reader, &byte, 1l), EAGAIN);
    EXPECT_EQ(looks(writer), POLL_OUT);
    EXPECT_EQ(write((int)writer, "ab", 2), 2);
    EXPECT_EQ(looks(reader), POLL_IN);
    close((int)writer);
    EXPECT_EQ(looks(reader), POLL_IN | POLL_HUP);
    EXPECT_EQ(read((int)reader, &byte, 1), 1);
    /* A second one that comes late sees what is left, and not that somebody has gone. */
    long late = OPEN(PATH, (long)(O_RDONLY | O_NONBLOCK));
    EXPECT_EQ(looks(late), POLL_IN);
    EXPECT_EQ(read((int)late, &byte, 1), 1);
    EXPECT_EQ(byte, 'b');
    EXPECT_EQ(looks(late), 0);
    EXPECT_EQ(looks(reader), POLL_HUP);
    close((int)late);
    close((int)reader);
    unlink(PATH);
}

KTAP_CASE(both_ends_in_one)
{
    struct stat st;
    char byte;

    REQUIRE(make());
    long fd = OPEN(PATH, (long)O_RDWR);
    REQUIRE(fd >= 0);
    EXPECT_EQ(looks(fd), POLL_OUT);
    EXPECT_EQ(write((int)fd, "xyz", 3), 3);
    EXPECT_EQ(looks(fd), POLL_IN | POLL_OUT);
    EXPECT_EQ(read((int)fd, &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    EXPECT_EQ(SYSCALL(SYS_fcntl, fd, 3l) & O_ACCMODE, O_RDWR);
    EXPECT_ERROR(SYSCALL(SYS_lseek, fd, 0l, (long)SEEK_CUR), ESPIPE);
    EXPECT_EQ(fstat((int)fd, &st), 0);
    EXPECT_EQ(st.st_mode, S_IFIFO | 0640);
    /* It is its own other end, and others' too. */
    long writer = OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK));
    EXPECT(writer >= 0);
    close((int)writer);
    close((int)fd);
    /* What nobody read by the last closing is lost. */
    fd = OPEN(PATH, (long)(O_RDONLY | O_NONBLOCK));
    EXPECT_EQ(read((int)fd, &byte, 1), 0);
    close((int)fd);
    unlink(PATH);
}

KTAP_CASE(goes_on_without_its_name)
{
    struct stat st;
    char byte;

    REQUIRE(make());
    long reader = OPEN(PATH, (long)(O_RDONLY | O_NONBLOCK));
    long writer = OPEN(PATH, (long)O_WRONLY);
    REQUIRE(reader >= 0 && writer >= 0);
    EXPECT_EQ(unlink(PATH), 0);
    EXPECT_EQ(write((int)writer, "q", 1), 1);
    EXPECT_EQ(read((int)reader, &byte, 1), 1);
    EXPECT_EQ(fstat((int)writer, &st), 0);
    EXPECT_EQ(st.st_nlink, 0);
    REQUIRE(make()); /* another one of that name */
    EXPECT_ERROR(OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK)), ENXIO);
    close((int)reader);
    close((int)writer);
    unlink(PATH);
}

static volatile sig_atomic_t alarms;

static void alarm_in(long msec)
{
    const int64_t timer[4] = {0, 0, 0, msec * 1000};

    SYSCALL(NR_SETITIMER, 0l, timer, 0l);
}

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* A signal ends the waiting; the end that was half open is gone again. */
KTAP_CASE(waiting_is_interrupted)
{
    struct sigaction action = {.sa_handler = on_alarm};

    REQUIRE(make());
    alarms = 0;
    sigaction(SIGALRM, &action, NULL);
    alarm_in(30);
    EXPECT_ERROR(OPEN(PATH, (long)O_RDONLY), EINTR);
    EXPECT_EQ(alarms, 1);
    EXPECT_ERROR(OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK)), ENXIO);
    /* With SA_RESTART it waits on. */
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    pid_t pid = opens_later(O_WRONLY);
    alarm_in(10);
    long fd = OPEN(PATH, (long)O_RDONLY);
    EXPECT(fd >= 0);
    EXPECT_EQ(alarms, 2);
    EXPECT_EQ(ended(pid), 0);
    close((int)fd);
    /* One that dies waiting leaves nothing either. */
    pid = opens_later(O_RDONLY);
    nap(80);
    kill(pid, SIGKILL);
    EXPECT_EQ(ended(pid), SIGKILL);
    EXPECT_ERROR(OPEN(PATH, (long)(O_WRONLY | O_NONBLOCK)), ENXIO);
    signal(SIGALRM, SIG_DFL);
    unlink(PATH);
}

static const char *fd_path(int fd)
{
    static char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

/* A pipe without a name is opened again through its descriptors, for either end, and never waits.
 */
KTAP_CASE(pipe_opens_again)
{
    struct stat one, other;
    char text[32] = "", byte;
    int ends[2];

    REQUIRE(pipe2(ends, 0) == 0);
    EXPECT_EQ(fstat(ends[0], &one), 0);
    EXPECT_EQ(fstat(ends[1], &other), 0);
    EXPECT_EQ(one.st_ino, other.st_ino);
    EXPECT_EQ(one.st_mode, S_IFIFO | 0600);
    EXPECT_EQ(one.st_nlink, 1);
    EXPECT_EQ(stat(fd_path(ends[1]), &other), 0);
    EXPECT_EQ(one.st_ino, other.st_ino);
    EXPECT(readlink(fd_path(ends[0]), text, sizeof(text)) > 0);
    EXPECT(memcmp(text, "pipe:[", 6) == 0);
    long writer = OPEN(fd_path(ends[0]), (long)O_WRONLY);
    REQUIRE(writer >= 0);
    close(ends[1]);
    EXPECT_EQ(write((int)writer, "again", 5), 5);
    long reader = OPEN(fd_path(ends[0]), (long)O_RDONLY);
    REQUIRE(reader >= 0);
    close(ends[0]);
    EXPECT_EQ(read((int)reader, text, sizeof(text)), 5);
    long again = OPEN(fd_path((int)writer), (long)(O_RDWR | O_NONBLOCK));
    REQUIRE(again >= 0);
    close((int)writer);
    EXPECT_EQ(looks(reader), 0); /* there is one that writes, still */
    close((int)again);
    EXPECT_EQ(looks(reader), POLL_HUP);
    EXPECT_EQ(read((int)reader, &byte, 1), 0);
    /* Nobody writes; opening to read does not wait for anybody. */
    again = OPEN(fd_path((int)reader), (long)O_RDONLY);
    EXPECT(again >= 0);
    EXPECT_EQ(looks(again), POLL_HUP);
    close((int)again);
    close((int)reader);
}

KTAP_CASE(pipe_has_a_mode_and_no_directory)
{
    struct stat st;
    int ends[2];

    REQUIRE(pipe2(ends, 0) == 0);
    EXPECT_EQ(SYSCALL(NR_FCHMOD, (long)ends[0], 0622l), 0);
    EXPECT_EQ(fstat(ends[1], &st), 0);
    EXPECT_EQ(st.st_mode, S_IFIFO | 0622);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)ends[0], "x", 0l), ENOTDIR);
    EXPECT_ERROR(SYSCALL(NR_FCHDIR, (long)ends[0]), ENOTDIR);
    EXPECT_ERROR(OPEN(fd_path(ends[0]), (long)(O_RDONLY | O_NOFOLLOW)), ELOOP);
    close(ends[0]);
    close(ends[1]);
}
