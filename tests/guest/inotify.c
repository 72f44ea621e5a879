/*
 * inotify: what is told of files and of directories, in which order, and what the queue does with
 * it. After LTP's inotify tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_INIT      26
#define NR_ADD       27
#define NR_REMOVE    28
#define NR_FCHMOD    52
#define NR_FCHMODAT  53
#define NR_RENAMEAT2 276
#define AT_CWD       (-100l)
#define BAD_PTR      16l
#define NREAD        0x541bl
#define QUEUE_MAX    16384

#define ACCESS        0x001u
#define MODIFY        0x002u
#define ATTRIB        0x004u
#define CLOSE_WRITE   0x008u
#define CLOSE_NOWRITE 0x010u
#define OPEN          0x020u
#define MOVED_FROM    0x040u
#define MOVED_TO      0x080u
#define CREATE        0x100u
#define DELETE        0x200u
#define DELETE_SELF   0x400u
#define MOVE_SELF     0x800u
#define ALL           0xfffu
#define Q_OVERFLOW    0x4000u
#define IGNORED       0x8000u
#define ONLYDIR       0x01000000u
#define DONT_FOLLOW   0x02000000u
#define EXCL_UNLINK   0x04000000u
#define MASK_CREATE   0x10000000u
#define MASK_ADD      0x20000000u
#define ISDIR         0x40000000u
#define ONESHOT       0x80000000u

#define DIR "/tmp/inotify"

struct event {
    int32_t wd;
    uint32_t mask, cookie, len;
    char name[48];
};

static int make(void)
{
    int fd = (int)SYSCALL(NR_INIT, (long)O_NONBLOCK);

    EXPECT(fd >= 0);
    return fd;
}

static long add(int fd, const char *path, uint32_t mask)
{
    return SYSCALL(NR_ADD, (long)fd, path, (long)mask);
}

/* The next event, which has a name. */
static bool next(int fd, struct event *event)
{
    memset(event, 0, sizeof(*event));
    return SYSCALL(SYS_read, (long)fd, event, 32l) == 32;
}

static void expect_next(int line, int fd, long wd, uint32_t mask, const char *name)
{
    struct event event;
    long got;

    /* One without a name is read with 16 bytes of room, so that no other comes along. */
    memset(&event, 0, sizeof(event));
    got = SYSCALL(SYS_read, (long)fd, &event, *name ? 32l : 16l);
    if (got != (*name ? 32 : 16) || event.wd != wd || event.mask != mask ||
        strcmp(event.name, name) != 0)
        ktap_fail(__FILE__, line, "read %ld: watch %d, mask 0x%x, name \"%s\"; not 0x%x, \"%s\"",
                  got, event.wd, event.mask, event.name, mask, name);
}

#define EXPECT_NEXT(fd, wd, mask, name) expect_next(__LINE__, fd, wd, mask, name)
#define EXPECT_NONE(fd)                 EXPECT_ERROR(SYSCALL(SYS_read, (long)fd, room, 512l), EAGAIN)

static char room[512];

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    EXPECT(fd >= 0);
    EXPECT_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void begin(void)
{
    unlink(DIR "/a");
    unlink(DIR "/b");
    rmdir(DIR "/d");
    rmdir(DIR);
    EXPECT_EQ(mkdir(DIR, 0755), 0);
}

static long rename_to(const char *from, const char *to)
{
    return SYSCALL(NR_RENAMEAT2, AT_CWD, from, AT_CWD, to, 0l);
}

static long change_mode(const char *path, unsigned mode)
{
    return SYSCALL(NR_FCHMODAT, AT_CWD, path, (long)mode);
}

KTAP_CASE(bad_arguments)
{
    begin();
    write_file(DIR "/a", "x");
    EXPECT_ERROR(SYSCALL(NR_INIT, 1l), EINVAL);
    int fd = make(), other = open(DIR "/a", O_RDONLY);
    EXPECT_ERROR(add(fd, DIR, 0), EINVAL);
    EXPECT_ERROR(add(fd, DIR, 0x1000), EINVAL);
    EXPECT_ERROR(add(99, DIR, ALL), EBADF);
    EXPECT_ERROR(add(other, DIR, ALL), EINVAL);
    EXPECT_ERROR(add(fd, DIR "/none", ALL), ENOENT);
    EXPECT_ERROR(add(fd, "", ALL), ENOENT);
    EXPECT_ERROR(add(fd, (const char *)BAD_PTR, ALL), EFAULT);
    EXPECT_ERROR(add(fd, DIR "/a", ALL | ONLYDIR), ENOTDIR);
    EXPECT_ERROR(add(fd, DIR "/a/", ALL), ENOTDIR);
    EXPECT_ERROR(add(fd, DIR, ALL | MASK_ADD | MASK_CREATE), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_REMOVE, (long)fd, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_REMOVE, (long)other, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_REMOVE, 99l, 1l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)fd, room, 1l), EBADF);
    EXPECT_NONE(fd);
    close(other);
    close(fd);
}

KTAP_CASE(life_of_a_file_in_a_directory)
{
    struct event one, two;
    char byte;

    begin();
    int fd = make();
    long wd = add(fd, DIR, ALL);
    EXPECT_EQ(wd, 1);
    write_file(DIR "/a", "xy");
    EXPECT_NEXT(fd, wd, CREATE, "a");
    EXPECT_NEXT(fd, wd, OPEN, "a");
    EXPECT_NEXT(fd, wd, MODIFY, "a");
    EXPECT_NEXT(fd, wd, CLOSE_WRITE, "a");
    int file = open(DIR "/a", O_RDONLY);
    int copy = dup(file);
    EXPECT_EQ(read(file, &byte, 1), 1);
    close(file);
    EXPECT_NEXT(fd, wd, OPEN, "a");
    EXPECT_NEXT(fd, wd, ACCESS, "a");
    EXPECT_NONE(fd); /* it is still open */
    EXPECT_EQ(read(copy, &byte, 1), 1);
    EXPECT_EQ(read(copy, &byte, 1), 0); /* the end is no access */
    close(copy);
    EXPECT_NEXT(fd, wd, ACCESS, "a");
    EXPECT_NEXT(fd, wd, CLOSE_NOWRITE, "a");
    file = open(DIR "/a", O_WRONLY | O_TRUNC);
    close(file);
    EXPECT(next(fd, &one) && next(fd, &two)); /* in either order, by Linux's version */
    EXPECT_EQ(one.mask | two.mask, OPEN | MODIFY);
    EXPECT_NEXT(fd, wd, CLOSE_WRITE, "a");
    EXPECT_EQ(change_mode(DIR "/a", 0600), 0);
    EXPECT_NEXT(fd, wd, ATTRIB, "a");
    EXPECT_EQ(unlink(DIR "/a"), 0);
    EXPECT_NEXT(fd, wd, DELETE, "a");
    EXPECT_NONE(fd);
    close(fd);
}

KTAP_CASE(directories_say_that_they_are)
{
    begin();
    int fd = make();
    long wd = add(fd, DIR, ALL | ONLYDIR);
    EXPECT_EQ(mkdir(DIR "/d", 0700), 0);
    EXPECT_NEXT(fd, wd, CREATE | ISDIR, "d");
    int dir = open(DIR, O_RDONLY);
    close(dir);
    EXPECT_NEXT(fd, wd, OPEN | ISDIR, "");
    EXPECT_NEXT(fd, wd, CLOSE_NOWRITE | ISDIR, "");
    EXPECT_EQ(rmdir(DIR "/d"), 0);
    EXPECT_NEXT(fd, wd, DELETE | ISDIR, "d");
    EXPECT_EQ(SYSCALL(SYS_symlinkat, "a", AT_CWD, DIR "/b"), 0);
    EXPECT_NEXT(fd, wd, CREATE, "b");
    EXPECT_NONE(fd);
    close(fd);
}

KTAP_CASE(both_halves_of_a_move_belong_together)
{
    struct event from, to;

    begin();
    write_file(DIR "/a", "x");
    EXPECT_EQ(mkdir(DIR "/d", 0755), 0);
    int fd = make();
    long wd = add(fd, DIR, ALL), below = add(fd, DIR "/d", MOVED_FROM | MOVED_TO);
    EXPECT_EQ(rename_to(DIR "/a", DIR "/d/b"), 0);
    EXPECT(next(fd, &from) && next(fd, &to));
    EXPECT(from.wd == wd && from.mask == MOVED_FROM && strcmp(from.name, "a") == 0);
    EXPECT(to.wd == below && to.mask == MOVED_TO && strcmp(to.name, "b") == 0);
    EXPECT(from.cookie == to.cookie && from.cookie != 0);
    EXPECT_EQ(rename_to(DIR "/d/b", DIR "/d/c"), 0);
    EXPECT(next(fd, &to));
    EXPECT(to.mask == MOVED_FROM && to.cookie != from.cookie);
    EXPECT_NEXT(fd, below, MOVED_TO, "c");
    EXPECT_NONE(fd);
    close(fd);
    unlink(DIR "/d/c");
}

KTAP_CASE(file_hears_of_itself)
{
    begin();
    write_file(DIR "/a", "x");
    write_file(DIR "/b", "x");
    int fd = make(), other = make();
    long wd = add(fd, DIR "/a", ALL), replaced = add(other, DIR "/b", ATTRIB | DELETE_SELF);
    EXPECT_EQ(SYSCALL(SYS_linkat, AT_CWD, DIR "/a", AT_CWD, DIR "/c", 0l), 0);
    EXPECT_NEXT(fd, wd, ATTRIB, "");
    EXPECT_EQ(unlink(DIR "/c"), 0);
    EXPECT_NEXT(fd, wd, ATTRIB, "");
    EXPECT_EQ(rename_to(DIR "/a", DIR "/b"), 0);
    EXPECT_NEXT(fd, wd, MOVE_SELF, "");
    EXPECT_NEXT(other, replaced, ATTRIB, "");
    EXPECT_NEXT(other, replaced, DELETE_SELF, "");
    EXPECT_NEXT(other, replaced, IGNORED, "");
    EXPECT_EQ(unlink(DIR "/b"), 0);
    EXPECT_NEXT(fd, wd, ATTRIB, "");
    EXPECT_NEXT(fd, wd, DELETE_SELF, "");
    EXPECT_NEXT(fd, wd, IGNORED, "");
    EXPECT_ERROR(SYSCALL(NR_REMOVE, (long)fd, wd), EINVAL);
    EXPECT_NONE(fd);
    EXPECT_NONE(other);
    close(fd);
    close(other);
}

/* What has lost its name while it is open ends later; its directory hears of it, if it wants. */
KTAP_CASE(file_without_a_name)
{
    begin();
    write_file(DIR "/a", "x");
    int fd = make(), without = make(), self = make();
    int file = open(DIR "/a", O_RDWR);
    long wd = add(fd, DIR, MODIFY | CLOSE_WRITE), of_file = add(self, DIR "/a", DELETE_SELF);
    EXPECT(add(without, DIR, MODIFY | CLOSE_WRITE | EXCL_UNLINK) > 0);
    EXPECT_EQ(unlink(DIR "/a"), 0);
    EXPECT_NONE(self);
    EXPECT_EQ(write(file, "y", 1), 1);
    EXPECT_NEXT(fd, wd, MODIFY, "a");
    EXPECT_NONE(without);
    close(file);
    EXPECT_NEXT(fd, wd, CLOSE_WRITE, "a");
    EXPECT_NEXT(self, of_file, DELETE_SELF, "");
    EXPECT_NEXT(self, of_file, IGNORED, "");
    EXPECT_NONE(without);
    close(fd);
    close(without);
    close(self);
}

KTAP_CASE(mask_of_a_watch_changes)
{
    begin();
    write_file(DIR "/a", "x");
    int fd = make();
    long wd = add(fd, DIR "/a", ATTRIB);
    EXPECT_EQ(add(fd, DIR "/./a", CLOSE_WRITE | MASK_ADD), wd);
    EXPECT_ERROR(add(fd, DIR "/a", OPEN | MASK_CREATE), EEXIST);
    write_file(DIR "/a", "y");
    EXPECT_EQ(change_mode(DIR "/a", 0600), 0);
    EXPECT_NEXT(fd, wd, CLOSE_WRITE, "");
    EXPECT_NEXT(fd, wd, ATTRIB, "");
    EXPECT_EQ(add(fd, DIR "/a", OPEN), wd);
    write_file(DIR "/a", "y");
    EXPECT_NEXT(fd, wd, OPEN, "");
    EXPECT_EQ(SYSCALL(NR_REMOVE, (long)fd, wd), 0);
    EXPECT_NEXT(fd, wd, IGNORED, "");
    write_file(DIR "/a", "y");
    EXPECT_NONE(fd);
    EXPECT(add(fd, DIR "/a", OPEN | MASK_CREATE) > wd); /* numbers do not come again at once */
    close(fd);
}

KTAP_CASE(watch_for_once)
{
    begin();
    int fd = make();
    long wd = add(fd, DIR, CREATE | ONESHOT);
    write_file(DIR "/a", "x");
    write_file(DIR "/b", "x");
    EXPECT_NEXT(fd, wd, CREATE, "a");
    EXPECT_NEXT(fd, wd, IGNORED, "");
    EXPECT_NONE(fd);
    close(fd);
}

KTAP_CASE(links_are_followed_or_not)
{
    begin();
    write_file(DIR "/a", "x");
    EXPECT_EQ(SYSCALL(SYS_symlinkat, "a", AT_CWD, DIR "/b"), 0);
    int fd = make();
    long wd = add(fd, DIR "/b", OPEN),
         of_link = add(fd, DIR "/b", OPEN | DELETE_SELF | DONT_FOLLOW);
    EXPECT(wd != of_link);
    write_file(DIR "/b", "x");
    EXPECT_NEXT(fd, wd, OPEN, "");
    EXPECT_EQ(unlink(DIR "/b"), 0);
    EXPECT_NEXT(fd, of_link, DELETE_SELF, "");
    EXPECT_NEXT(fd, of_link, IGNORED, "");
    close(fd);
}

KTAP_CASE(like_events_are_one)
{
    int bytes;

    begin();
    write_file(DIR "/a", "x");
    int fd = make(), file = open(DIR "/a", O_RDWR);
    long wd = add(fd, DIR, MODIFY | ATTRIB);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(write(file, "y", 1), 1);
    EXPECT_EQ(change_mode(DIR "/a", 0600), 0);
    EXPECT_EQ(write(file, "y", 1), 1);
    EXPECT_EQ(SYSCALL(SYS_ioctl, (long)fd, NREAD, &bytes), 0);
    EXPECT_EQ(bytes, 3 * 32);
    EXPECT_NEXT(fd, wd, MODIFY, "a");
    EXPECT_NEXT(fd, wd, ATTRIB, "a");
    EXPECT_NEXT(fd, wd, MODIFY, "a");
    EXPECT_NONE(fd);
    close(file);
    close(fd);
}

KTAP_CASE(only_whole_events_are_read)
{
    begin();
    int fd = make();
    EXPECT(add(fd, DIR, CREATE) > 0);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)fd, room, 8l), EAGAIN);
    write_file(DIR "/a", "x");
    write_file(DIR "/b", "x");
    EXPECT_ERROR(SYSCALL(SYS_read, (long)fd, room, 31l), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_read, (long)fd, room, 63l), 32);
    EXPECT_EQ(SYSCALL(SYS_read, (long)fd, room, 512l), 32);
    EXPECT_NONE(fd);
    close(fd);
}

KTAP_CASE(who_waits_is_woken)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7}, got;
    struct pollfd want = {.events = POLLIN};
    struct timespec now = {0};
    int status;

    begin();
    int fd = (int)SYSCALL(NR_INIT, 0l), epoll = (int)SYSCALL(SYS_epoll_create1, 0l);
    long wd = add(fd, DIR, CREATE);
    want.fd = fd;
    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, (long)fd, &event), 0);
    EXPECT_EQ(SYSCALL(SYS_ppoll, &want, 1l, &now, 0l, 8l), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        usleep(20000);
        write_file(DIR "/a", "x");
        _exit(0);
    }
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, (long)epoll, &got, 1l, -1l, 0l, 8l), 1);
    EXPECT_EQ(SYSCALL(SYS_ppoll, &want, 1l, 0l, 0l, 8l), 1);
    EXPECT_NEXT(fd, wd, CREATE, "a");
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        usleep(20000);
        write_file(DIR "/b", "x");
        _exit(0);
    }
    EXPECT_NEXT(fd, wd, CREATE, "b"); /* waits */
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    close(epoll);
    close(fd);
}

/* How many events are in the queue; *last is the mask of the last. */
static unsigned drain(int fd, uint32_t *last)
{
    static char events[PAGE];
    unsigned count = 0;
    long got;

    while ((got = SYSCALL(SYS_read, (long)fd, events, sizeof(events))) > 0) {
        for (long at = 0; at < got; count++) {
            struct event head;
            memcpy(&head, events + at, 16);
            *last = head.mask;
            at += 16 + head.len;
        }
    }
    EXPECT_EQ(got, -EAGAIN);
    return count;
}

KTAP_CASE(queue_overflows_once)
{
    uint32_t last = 0;

    begin();
    write_file(DIR "/a", "x");
    int fd = make();
    EXPECT(add(fd, DIR, MOVED_FROM | MOVED_TO) > 0);
    EXPECT(add(fd, DIR "/a", MOVE_SELF) > 0);
    for (int i = 0; i < QUEUE_MAX / 3 + 2; i++) { /* three at a time */
        if (rename_to(i % 2 ? DIR "/b" : DIR "/a", i % 2 ? DIR "/a" : DIR "/b") != 0)
            break;
    }
    EXPECT_EQ(drain(fd, &last), QUEUE_MAX + 1);
    EXPECT_EQ(last, Q_OVERFLOW);
    write_file(DIR "/a", "x");
    EXPECT_EQ(rename_to(DIR "/a", DIR "/b"), 0); /* and it goes on */
    EXPECT(drain(fd, &last) >= 2);
    EXPECT(last != Q_OVERFLOW);
    close(fd);
    begin();
    rmdir(DIR);
}
