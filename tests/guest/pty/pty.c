/* Both ends of pseudo-terminals, the line discipline between them, and what is left when one side
 * goes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "pty.h"

long control(int fd, long request, void *argument)
{
    return SYSCALL(SYS_ioctl, (long)fd, request, argument);
}

static int make_master(struct pair *pair, int flags)
{
    int number = -1;

    pair->master = open("/dev/ptmx", O_RDWR | NOCTTY | flags);
    EXPECT(pair->master >= 0);
    EXPECT_EQ(control(pair->master, GPTN, &number), 0);
    snprintf(pair->name, sizeof(pair->name), "/dev/pts/%d", number);
    return number;
}

static void unlock(const struct pair *pair)
{
    int off = 0;

    EXPECT_EQ(control(pair->master, SPTLCK, &off), 0);
}

struct pair make_pair(int flags)
{
    struct pair pair;

    make_master(&pair, flags);
    unlock(&pair);
    pair.slave = open(pair.name, O_RDWR | NOCTTY | flags);
    EXPECT(pair.slave >= 0);
    return pair;
}

void close_pair(const struct pair *pair)
{
    close(pair->slave);
    close(pair->master);
}

static void set_modes(int fd, tcflag_t input, tcflag_t output, tcflag_t local)
{
    struct termios termios;

    EXPECT_EQ(tcgetattr(fd, &termios), 0);
    termios.c_iflag = input;
    termios.c_oflag = output;
    termios.c_lflag = local;
    termios.c_cc[VMIN] = 1;
    termios.c_cc[VTIME] = 0;
    EXPECT_EQ(tcsetattr(fd, TCSANOW, &termios), 0);
}

void put(int fd, const char *text)
{
    EXPECT_EQ(write(fd, text, strlen(text)), strlen(text));
}

void expect_text(int fd, const char *text)
{
    char got[128];
    size_t bytes = 0, wanted = strlen(text);

    while (bytes < wanted) {
        ssize_t part = read(fd, got + bytes, wanted - bytes);
        EXPECT(part > 0);
        if (part <= 0)
            return;
        bytes += (size_t)part;
    }
    EXPECT(memcmp(got, text, wanted) == 0);
}

static int ready(int fd)
{
    struct pollfd want = {.fd = fd, .events = POLLIN | POLLOUT};
    struct timespec now = {0};

    EXPECT(SYSCALL(SYS_ppoll, &want, 1l, &now, 0l, 8l) >= 0);
    return want.revents;
}

/* So many bytes can be read there, if not yet then soon. */
static bool has_bytes(int fd, int bytes)
{
    int value = -1;

    for (int i = 0; i < 100 && value != bytes; i++) {
        EXPECT_EQ(control(fd, IOC_NREAD, &value), 0);
        if (value != bytes)
            usleep(1000);
    }
    return value == bytes;
}

/* ---- the two ends ---- */

KTAP_CASE(slave_is_locked_at_first)
{
    struct pair pair;
    struct stat stat;
    int value, number = make_master(&pair, 0);

    EXPECT(number >= 0);
    if (!ktap_emulated()) {
        EXPECT_EQ(control(pair.master, GPTLCK, &value), 0);
        EXPECT_EQ(value, 1);
    }
    EXPECT_ERROR(SYSCALL(SYS_openat, -100l, pair.name, (long)(O_RDWR | NOCTTY)), EIO);
    EXPECT_ERROR(control(pair.master, SPTLCK, (void *)BAD_PTR), EFAULT);
    unlock(&pair);
    int slave = open(pair.name, O_RDWR | NOCTTY);
    EXPECT(slave >= 0);
    EXPECT_EQ(fstat(slave, &stat), 0);
    EXPECT(S_ISCHR(stat.st_mode));
    EXPECT_EQ(stat.st_rdev, 136 << 8 | number);
    EXPECT_ERROR(control(slave, GPTN, &value), ENOTTY);
    close(slave);
    close(pair.master);
    EXPECT_ERROR(SYSCALL(SYS_openat, -100l, pair.name, (long)(O_RDWR | NOCTTY)), ENOENT);
}

KTAP_CASE(master_opens_its_slave)
{
    struct pair pair;

    SKIP_EMULATED("the lock may be passed over");
    make_master(&pair, 0);
    EXPECT_ERROR(SYSCALL(SYS_ioctl, (long)pair.master, GPTPEER, (long)(O_RDWR | NOCTTY)), EIO);
    unlock(&pair);
    pair.slave = ioctl(pair.master, GPTPEER, (long)(O_RDWR | NOCTTY));
    EXPECT(pair.slave >= 0);
    put(pair.slave, "x");
    expect_text(pair.master, "x");
    EXPECT_ERROR(SYSCALL(SYS_lseek, (long)pair.slave, 0l, 0l), ESPIPE);
    EXPECT_ERROR(SYSCALL(SYS_pread64, (long)pair.master, pair.name, 1l, 0l), ESPIPE);
    close_pair(&pair);
}

KTAP_CASE(names_are_listed)
{
    struct pair one = make_pair(0), two = make_pair(0);
    struct stat stat_one, stat_two;
    char link[64], text[64];

    EXPECT_EQ(stat(one.name, &stat_one), 0);
    EXPECT_EQ(stat(two.name, &stat_two), 0);
    EXPECT(stat_one.st_ino != stat_two.st_ino && stat_one.st_rdev != stat_two.st_rdev);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", two.slave);
    ssize_t bytes = readlink(link, text, sizeof(text));
    EXPECT_EQ(bytes, strlen(two.name));
    EXPECT(bytes > 0 && memcmp(text, two.name, (size_t)bytes) == 0);
    close_pair(&one);
    close_pair(&two);
}

KTAP_CASE(line_is_edited_and_echoed)
{
    struct pair pair = make_pair(0);
    char line[16];

    put(pair.master, "ax\177b");
    EXPECT_EQ(ready(pair.slave) & POLLIN, 0);
    put(pair.master, "\r");
    EXPECT(ready(pair.slave) & POLLIN);
    EXPECT(has_bytes(pair.slave, 3));
    EXPECT_EQ(read(pair.slave, line, sizeof(line)), 3);
    EXPECT(memcmp(line, "ab\n", 3) == 0);
    expect_text(pair.master, "ax\b \bb\r\n");
    put(pair.slave, "c\nd");
    EXPECT(has_bytes(pair.master, 4));
    expect_text(pair.master, "c\r\nd");
    put(pair.master, "\004");
    EXPECT_EQ(read(pair.slave, line, sizeof(line)), 0); /* the end, once */
    close_pair(&pair);
}

KTAP_CASE(raw_modes_change_nothing)
{
    struct pair pair = make_pair(O_NONBLOCK);
    char byte;

    set_modes(pair.master, 0, 0, 0); /* the slave's, from either side */
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.slave, &byte, 1l), EAGAIN);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.master, &byte, 1l), EAGAIN);
    put(pair.master, "\003\r\n\004");
    expect_text(pair.slave, "\003\r\n\004");
    put(pair.slave, "\n\377");
    expect_text(pair.master, "\n\377");
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.master, &byte, 1l), EAGAIN);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pair.slave, BAD_PTR, 1l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pair.master, BAD_PTR, 1l), EFAULT);
    EXPECT_ERROR(control(pair.slave, TCSETS, (void *)BAD_PTR), EFAULT);
    if (!ktap_emulated())
        EXPECT_ERROR(control(pair.slave, 0x54ffl, NULL), ENOTTY);
    close_pair(&pair);
}

/* ---- held output, packets, speeds ---- */

#define TCXONC_  0x540al
#define TIOCPKT_ 0x5420l
#define TCFLSH_  0x540bl
#define TCGETS2_ 0x802c542al
#define TCSETS2_ 0x402c542bl
#define BOTHER_  0010000u
#define CBAUD_   0010017u

struct termios2 {
    uint32_t flags[4];
    uint8_t line, cc[19];
    uint32_t input_speed, output_speed;
};

/* What goes through a line discipline may arrive a little later on Linux. */
static bool comes(int fd, short events)
{
    struct pollfd want = {.fd = fd, .events = events};
    struct timespec at_most = {.tv_sec = 10};

    return SYSCALL(SYS_ppoll, &want, 1l, &at_most, 0l, 8l) == 1 && (want.revents & events);
}

static void expect_packet(int master, unsigned char first, const char *text)
{
    char got[64] = {0};

    EXPECT(comes(master, POLLIN | POLLPRI));
    long bytes = SYSCALL(SYS_read, (long)master, got, sizeof(got) - 1);
    EXPECT_EQ(bytes, 1 + (long)strlen(text));
    EXPECT_EQ((unsigned char)got[0], first);
    EXPECT(strcmp(got + 1, text) == 0);
}

KTAP_CASE(output_is_held)
{
    struct pair pair = make_pair(O_NONBLOCK);

    EXPECT(ready(pair.slave) & POLLOUT);
    put(pair.master, "\023");
    EXPECT_EQ(ready(pair.slave) & POLLOUT, 0);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pair.slave, "x", 1l), EAGAIN);
    put(pair.master, "\021");
    EXPECT(ready(pair.slave) & POLLOUT);
    put(pair.slave, "y");
    EXPECT(has_bytes(pair.master, 1));
    expect_text(pair.master, "y");
    EXPECT_EQ(control(pair.slave, TCXONC_, (void *)0), 0);
    put(pair.master, "\021");
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pair.slave, "x", 1l), EAGAIN);
    EXPECT_EQ(control(pair.slave, TCXONC_, (void *)1), 0);
    put(pair.slave, "z");
    EXPECT(has_bytes(pair.master, 1));
    expect_text(pair.master, "z");
    EXPECT_EQ(control(pair.slave, TCXONC_, (void *)2), 0);
    EXPECT_EQ(control(pair.slave, TCXONC_, (void *)3), 0);
    EXPECT(has_bytes(pair.master, 2));
    expect_text(pair.master, "\023\021");
    EXPECT_ERROR(control(pair.slave, TCXONC_, (void *)4), EINVAL);
    close_pair(&pair);
}

KTAP_CASE(held_writer_goes_on)
{
    struct pair pair = make_pair(0);
    pid_t pid;
    int status = -1;

    put(pair.master, "\023");
    if ((pid = fork()) == 0)
        _exit(write(pair.slave, "late", 4) != 4);
    usleep(20000);
    EXPECT_EQ(ready(pair.master) & POLLIN, 0);
    put(pair.master, "\021");
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    expect_text(pair.master, "late");
    close_pair(&pair);
}

KTAP_CASE(packet_mode_tells_what_happens)
{
    struct pair pair = make_pair(O_NONBLOCK);
    int on = 1, off = 0;

    EXPECT_EQ(control(pair.master, TIOCPKT_, &on), 0);
    EXPECT_ERROR(control(pair.slave, TIOCPKT_, &on), ENOTTY);
    put(pair.slave, "a");
    EXPECT(has_bytes(pair.master, 1));
    expect_packet(pair.master, 0, "a");
    put(pair.master, "\023");
    EXPECT(comes(pair.master, POLLPRI));
    expect_packet(pair.master, 4, "");
    EXPECT_EQ(ready(pair.master) & POLLIN, 0);
    put(pair.master, "\021");
    expect_packet(pair.master, 8, "");
    EXPECT_EQ(control(pair.slave, TCFLSH_, (void *)0), 0);
    expect_packet(pair.master, 1, "");
    set_modes(pair.slave, 0, 0, 0);
    expect_packet(pair.master, 16, "");
    EXPECT_EQ(control(pair.master, TIOCPKT_, &off), 0);
    put(pair.slave, "b");
    EXPECT(has_bytes(pair.master, 1));
    expect_text(pair.master, "b");
    EXPECT_ERROR(control(pair.master, TIOCPKT_, (void *)BAD_PTR), EFAULT);
    close_pair(&pair);
}

KTAP_CASE(speeds_are_numbers)
{
    struct pair pair = make_pair(0);
    struct termios2 modes;

    SKIP_EMULATED("it knows no termios2");
    REQUIRE(control(pair.slave, TCGETS2_, &modes) == 0);
    EXPECT(modes.input_speed == 38400 && modes.output_speed == 38400);
    modes.flags[2] = (modes.flags[2] & ~CBAUD_) | BOTHER_;
    modes.input_speed = modes.output_speed = 31250;
    EXPECT_EQ(control(pair.slave, TCSETS2_, &modes), 0);
    memset(&modes, 0, sizeof(modes));
    EXPECT_EQ(control(pair.slave, TCGETS2_, &modes), 0);
    EXPECT(modes.output_speed == 31250 && (modes.flags[2] & CBAUD_) == BOTHER_);
    modes.flags[2] = (modes.flags[2] & ~CBAUD_) | 0010002u;
    EXPECT_EQ(control(pair.slave, TCSETS2_, &modes), 0);
    EXPECT_EQ(control(pair.slave, TCGETS2_, &modes), 0);
    EXPECT_EQ(modes.output_speed, 115200);
    close_pair(&pair);
}

/* Of 16 bits a flag, and eight characters: what it does not tell of stays. */
struct old_termio {
    uint16_t flags[4];
    uint8_t line, cc[8];
};

#define TCGETA_         0x5405l
#define TCSETA_         0x5406l
#define TCSETAF_        0x5408l
#define TIOCGLCKTRMIOS_ 0x5456l
#define TIOCSLCKTRMIOS_ 0x5457l
#define VSUSP_          10

KTAP_CASE(old_form_of_modes)
{
    struct pair pair = make_pair(O_NONBLOCK);
    struct old_termio old, again;
    struct termios modes;
    char byte;

    SKIP_EMULATED("it knows no termio");
    REQUIRE(tcgetattr(pair.slave, &modes) == 0);
    REQUIRE(control(pair.slave, TCGETA_, &old) == 0);
    EXPECT(old.flags[0] == modes.c_iflag && old.flags[3] == (uint16_t)modes.c_lflag);
    EXPECT(memcmp(old.cc, modes.c_cc, sizeof(old.cc)) == 0);
    modes.c_lflag |= 0x10000;
    modes.c_cc[VSUSP_] = 5;
    EXPECT_EQ(control(pair.slave, TCSETS, &modes), 0);
    old.flags[3] &= (uint16_t)~ICANON;
    old.cc[VINTR] = 6;
    EXPECT_EQ(control(pair.slave, TCSETA_, &old), 0);
    EXPECT_EQ(control(pair.master, TCGETA_, &again), 0);
    EXPECT(again.flags[3] == old.flags[3] && again.cc[VINTR] == 6);
    EXPECT_EQ(tcgetattr(pair.slave, &modes), 0);
    EXPECT(modes.c_lflag & 0x10000 && !(modes.c_lflag & ICANON));
    EXPECT(modes.c_cc[VSUSP_] == 5 && modes.c_cc[VINTR] == 6);
    put(pair.master, "x");
    EXPECT(comes(pair.slave, POLLIN));
    EXPECT_EQ(control(pair.slave, TCSETAF_, &old), 0); /* and throws input away */
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.slave, &byte, 1l), EAGAIN);
    EXPECT_ERROR(control(pair.slave, TCSETA_, (void *)BAD_PTR), EFAULT);
    EXPECT_ERROR(control(pair.slave, TCGETA_, (void *)BAD_PTR), EFAULT);
    close_pair(&pair);
}

KTAP_CASE(locked_modes_stay)
{
    struct pair pair = make_pair(0);
    struct termios modes, locked;

    SKIP_EMULATED("it knows no locks");
    memset(&locked, 1, sizeof(locked));
    REQUIRE(control(pair.slave, TIOCGLCKTRMIOS_, &locked) == 0);
    EXPECT(!locked.c_iflag && !locked.c_lflag && !locked.c_cc[VINTR]);
    locked.c_lflag = ECHO;
    locked.c_cc[VINTR] = 1;
    REQUIRE(control(pair.slave, TIOCSLCKTRMIOS_, &locked) == 0);
    EXPECT_EQ(tcgetattr(pair.slave, &modes), 0);
    modes.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    modes.c_cc[VINTR] = 6;
    modes.c_cc[VQUIT] = 7;
    EXPECT_EQ(control(pair.slave, TCSETS, &modes), 0);
    EXPECT_EQ(tcgetattr(pair.slave, &modes), 0);
    EXPECT(modes.c_lflag & ECHO && !(modes.c_lflag & ISIG));
    EXPECT(modes.c_cc[VINTR] == 3 && modes.c_cc[VQUIT] == 7);
    EXPECT_ERROR(control(pair.slave, TIOCSLCKTRMIOS_, (void *)BAD_PTR), EFAULT);
    close_pair(&pair);
}

/* ---- waiting ---- */

/* As much as fits. */
static long fill(int fd)
{
    static const char part[500];
    long done = 0, got;

    while ((got = SYSCALL(SYS_write, (long)fd, part, sizeof(part))) > 0)
        done += got;
    EXPECT_EQ(got, -EAGAIN);
    return done;
}

static long drain(int fd)
{
    char part[500];
    long done = 0, got;

    while ((got = SYSCALL(SYS_read, (long)fd, part, sizeof(part))) > 0)
        done += got;
    EXPECT_EQ(got, -EAGAIN);
    return done;
}

KTAP_CASE(who_is_not_read_must_wait)
{
    struct pair pair = make_pair(O_NONBLOCK);

    set_modes(pair.slave, 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        int from = i ? pair.master : pair.slave, to = i ? pair.slave : pair.master;
        EXPECT_EQ(ready(from), POLLOUT);
        long bytes = fill(from);
        EXPECT(bytes >= 4000);
        EXPECT_EQ(ready(from), 0);
        EXPECT_EQ(ready(to) & POLLIN, POLLIN);
        EXPECT_EQ(drain(to), bytes);
        EXPECT_EQ(ready(from), POLLOUT);
    }
    close_pair(&pair);
}

KTAP_CASE(epoll_tells_of_both_ends)
{
    struct pair pair = make_pair(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 1}, got[2];
    int epoll = (int)SYSCALL(SYS_epoll_create1, 0l);

    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, (long)pair.slave, &event), 0);
    event.data.u64 = 2;
    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, (long)pair.master, &event), 0);
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, (long)epoll, got, 2l, 0l, 0l, 8l), 0);
    put(pair.slave, "x");
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, (long)epoll, got, 2l, -1l, 0l, 8l), 1);
    EXPECT_EQ(got[0].data.u64, 2);
    set_modes(pair.slave, 0, 0, 0);
    put(pair.master, "y");
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, (long)epoll, got, 2l, -1l, 0l, 8l), 1);
    EXPECT_EQ(got[0].data.u64, 1);
    close(epoll);
    close_pair(&pair);
}

/* A writer that waits goes on when it is read. */
KTAP_CASE(blocked_ends_go_on)
{
    struct pair pair = make_pair(0);
    char *data = ktap_map(32 * PAGE, PROT_READ | PROT_WRITE);
    size_t bytes = 32 * PAGE, got = 0;
    int status;

    REQUIRE(data != NULL);
    set_modes(pair.slave, 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        int from = i ? pair.master : pair.slave, to = i ? pair.slave : pair.master;
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            memset(data, 'a', bytes);
            _exit(write(from, data, bytes) == (ssize_t)bytes ? 0 : 1);
        }
        for (got = 0; got < bytes;) {
            char part[3000];
            ssize_t done = read(to, part, sizeof(part));
            if (done <= 0 || !ktap_all_bytes(part, (size_t)done, 'a'))
                break;
            got += (size_t)done;
        }
        EXPECT_EQ(got, bytes);
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, 0);
    }
    munmap(data, bytes);
    close_pair(&pair);
}

/* ---- the end of a side ---- */

KTAP_CASE(master_sees_the_last_slave_go)
{
    struct pair pair;
    char byte;

    make_master(&pair, O_NONBLOCK);
    unlock(&pair);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.master, &byte, 1l), EAGAIN);
    EXPECT_EQ(ready(pair.master) & (POLLIN | POLLHUP), 0);
    pair.slave = open(pair.name, O_RDWR | NOCTTY);
    int other = open(pair.name, O_RDWR | NOCTTY);
    put(pair.slave, "x");
    close(pair.slave);
    EXPECT_EQ(ready(pair.master) & POLLHUP, 0);
    close(other);
    EXPECT_EQ(ready(pair.master) & (POLLIN | POLLHUP), POLLIN | POLLHUP);
    expect_text(pair.master, "x");
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.master, &byte, 1l), EIO);
    pair.slave = open(pair.name, O_RDWR | NOCTTY);
    EXPECT(pair.slave >= 0);
    EXPECT_EQ(ready(pair.master) & POLLHUP, 0);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)pair.master, &byte, 1l), EAGAIN);
    close_pair(&pair);
}

KTAP_CASE(slave_without_a_master_is_hung_up)
{
    struct pair pair = make_pair(0);
    struct termios termios;
    char byte;

    put(pair.master, "unread\n");
    close(pair.master);
    EXPECT_EQ(read(pair.slave, &byte, 1), 0);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)pair.slave, "x", 1l), EIO);
    EXPECT_ERROR(control(pair.slave, TCGETS, &termios), EIO);
    EXPECT_EQ(ready(pair.slave) & (POLLIN | POLLOUT | POLLHUP), POLLIN | POLLOUT | POLLHUP);
    EXPECT_ERROR(SYSCALL(SYS_openat, -100l, pair.name, (long)(O_RDWR | NOCTTY)), ENOENT);
    close(pair.slave);
}

KTAP_CASE(blocked_reader_hears_of_the_end)
{
    struct pair pair = make_pair(0);
    int status;
    char byte;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        close(pair.master);
        long got = SYSCALL(SYS_read, (long)pair.slave, &byte, 1l);
        _exit(got == -EIO || got == 0 ? 0 : 1);
    }
    usleep(20000);
    close(pair.master);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(pair.slave);
}
