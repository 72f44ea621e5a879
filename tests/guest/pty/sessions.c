/* Sessions with a terminal of their own: who has it, who hears of it, who must wait. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "pty.h"

/* A session of its own with the slave as its terminal; the result is the exit status. */
static pid_t session(struct pair *pair, int (*leader)(struct pair *pair))
{
    pid_t pid = fork();

    if (pid)
        return pid;
    setsid();
    close(pair->slave);
    pair->slave = open(pair->name, O_RDWR);
    _exit(pair->slave < 0 ? 100 : leader(pair));
}

static void expect_status(pid_t pid, int wanted)
{
    int status = -1;

    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, wanted);
}

static volatile int handled;

static void handle(int signal)
{
    handled = signal;
}

static int waits_for(struct pair *pair, int wanted)
{
    signal(wanted, handle);
    put(pair->slave, "ready");
    for (int i = 0; i < 400 && handled != wanted; i++)
        usleep(5000);
    return handled == wanted ? 0 : 1;
}

static int waits_for_int(struct pair *pair)
{
    return waits_for(pair, SIGINT);
}

static int waits_for_winch(struct pair *pair)
{
    struct winsize size;

    return waits_for(pair, SIGWINCH) || control(pair->slave, TIOCGWINSZ, &size) ||
           size.ws_row != 5 || size.ws_col != 70;
}

static int waits_for_hup(struct pair *pair)
{
    close(pair->master);
    return waits_for(pair, SIGHUP);
}

KTAP_CASE(interrupt_character_sends_a_signal)
{
    struct pair pair = make_pair(0);
    pid_t pid = session(&pair, waits_for_int);

    expect_text(pair.master, "ready");
    put(pair.master, "\003"); /* Linux may throw away what the master has not read, but for this */
    expect_status(pid, 0);
    expect_text(pair.master, "^C");
    close_pair(&pair);
}

KTAP_CASE(new_size_sends_a_signal)
{
    struct pair pair = make_pair(0);
    struct winsize size = {.ws_row = 5, .ws_col = 70}, got = {.ws_row = 1};
    pid_t pid = session(&pair, waits_for_winch);

    EXPECT_EQ(control(pair.master, TIOCGWINSZ, &got), 0);
    EXPECT(got.ws_row == 0 && got.ws_col == 0);
    expect_text(pair.master, "ready");
    EXPECT_EQ(control(pair.master, SWINSZ, &size), 0);
    expect_status(pid, 0);
    close_pair(&pair);
}

KTAP_CASE(leader_hears_of_the_masters_end)
{
    struct pair pair = make_pair(0);
    pid_t pid = session(&pair, waits_for_hup);

    expect_text(pair.master, "ready");
    close(pair.master);
    expect_status(pid, 0);
    close(pair.slave);
}

static int has_its_terminal(struct pair *pair)
{
    int group = 0, tty = open("/dev/tty", O_RDWR);

    if (tty < 0)
        return 1;
    put(tty, "by name");
    if (control(pair->slave, TIOCGPGRP, &group) || group != getpid())
        return 2;
    if (control(tty, GSID, &group) || group != getpid())
        return 3;
    group = 32000; /* no such group */
    if (control(tty, TIOCSPGRP, &group) != -ESRCH)
        return 4;
    group = -1;
    if (control(tty, TIOCSPGRP, &group) != -EINVAL)
        return 5;
    group = getppid(); /* a group of another session, or of none */
    long error = control(tty, TIOCSPGRP, &group);
    if (error != -EPERM && error != -ESRCH)
        return 6;
    if (control(tty, TIOCSPGRP, (void *)BAD_PTR) != -EFAULT)
        return 7;
    if (control(tty, TIOCSCTTY, 0) != 0) /* it has it already */
        return 8;
    if (control(tty, NOTTY, 0) == 0 && open("/dev/tty", O_RDWR) >= 0)
        return 9;
    return errno == ENXIO ? 0 : 10;
}

KTAP_CASE(session_has_a_terminal)
{
    struct pair pair = make_pair(0);
    int group = 0;

    EXPECT_ERROR(control(pair.slave, TIOCGPGRP, &group), ENOTTY);
    signal(SIGHUP, SIG_IGN); /* the child's, when it gives its terminal up */
    pid_t pid = session(&pair, has_its_terminal);
    expect_status(pid, 0);
    signal(SIGHUP, SIG_DFL);
    expect_text(pair.master, "by name");
    close_pair(&pair);
}

/* One that does not lead gives it up for itself and its children. */
static int child_has_none(struct pair *pair)
{
    int status, group;

    if (fork() == 0) {
        if (control(pair->slave, NOTTY, 0) != 0 || open("/dev/tty", O_RDWR) >= 0)
            _exit(1);
        if (control(pair->slave, NOTTY, 0) != -ENOTTY ||
            control(pair->slave, TIOCGPGRP, &group) != -ENOTTY)
            _exit(2);
        if (fork() == 0)
            _exit(open("/dev/tty", O_RDWR) >= 0);
        wait(&status);
        _exit(status ? 3 : 0);
    }
    wait(&status);
    return status ? 1 : open("/dev/tty", O_RDWR) >= 0 ? 0 : 2;
}

KTAP_CASE(who_does_not_lead_gives_it_up_for_itself)
{
    struct pair pair = make_pair(0);

    expect_status(session(&pair, child_has_none), 0);
    close_pair(&pair);
}

/* What is not its own cannot be taken twice, nor by one that leads no session. */
static int takes_twice(struct pair *pair)
{
    struct pair other = make_pair(0);
    int status;

    if (control(other.slave, TIOCSCTTY, 0) != -EPERM)
        return 1;
    if (fork() == 0)
        _exit(control(other.slave, TIOCSCTTY, 0) == -EPERM ? 0 : 1);
    wait(&status);
    if (status)
        return 2;
    if (fork() == 0) {
        setsid();
        _exit(control(pair->slave, TIOCSCTTY, 0) == -EPERM ? 0 : 1);
    }
    wait(&status);
    close_pair(&other);
    return status ? 3 : 0;
}

KTAP_CASE(terminal_of_others_is_not_taken)
{
    struct pair pair = make_pair(0);

    expect_status(session(&pair, takes_twice), 0);
    close_pair(&pair);
}

/* ---- in the background ---- */

/* A child in a group of its own does it: it is stopped by the signal, and goes on in the
 * foreground. */
static int background(struct pair *pair, int wanted, int (*act)(struct pair *pair))
{
    int status, group;

    signal(SIGTTOU, SIG_DFL);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        _exit(act(pair));
    }
    if (waitpid(pid, &status, UNTRACED) != pid || status != (wanted << 8 | 0x7f))
        return 1;
    group = pid;
    if (control(pair->slave, TIOCSPGRP, &group))
        return 2;
    kill(pid, SIGCONT);
    if (waitpid(pid, &status, 0) != pid || status)
        return 3;
    group = getpid();
    signal(SIGTTOU, SIG_IGN); /* this is the background now */
    return control(pair->slave, TIOCSPGRP, &group) ? 4 : 0;
}

static int reads_a_line(struct pair *pair)
{
    char line[8];

    return read(pair->slave, line, sizeof(line)) == 3 ? 0 : 1;
}

static int writes_some(struct pair *pair)
{
    return write(pair->slave, "x", 1) == 1 ? 0 : 1;
}

static int changes_modes(struct pair *pair)
{
    struct termios termios;

    return tcgetattr(pair->slave, &termios) || tcsetattr(pair->slave, TCSANOW, &termios);
}

static int backgrounds(struct pair *pair)
{
    struct termios termios;

    put(pair->master, "ab\n");
    int failed = background(pair, SIGTTIN, reads_a_line);
    if (failed)
        return failed;
    failed = background(pair, SIGTTOU, changes_modes);
    if (failed)
        return 10 + failed;
    tcgetattr(pair->slave, &termios);
    termios.c_lflag |= TOSTOP;
    tcsetattr(pair->slave, TCSANOW, &termios);
    failed = background(pair, SIGTTOU, writes_some);
    return failed ? 20 + failed : 0;
}

KTAP_CASE(background_is_stopped)
{
    struct pair pair = make_pair(0);

    expect_status(session(&pair, backgrounds), 0);
    close_pair(&pair);
}

static int reads_without_stop(struct pair *pair)
{
    char byte;
    int status;

    if (fork() == 0) {
        setpgid(0, 0);
        signal(SIGTTIN, SIG_IGN);
        _exit(SYSCALL(SYS_read, (long)pair->slave, &byte, 1l) == -EIO ? 0 : 1);
    }
    wait(&status);
    return status != 0;
}

KTAP_CASE(background_that_ignores_stops_reads_nothing)
{
    struct pair pair = make_pair(0);

    expect_status(session(&pair, reads_without_stop), 0);
    close_pair(&pair);
}

/* The end of a leader: the foreground hears of it. */
static int ends_before_its_child(struct pair *pair)
{
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGHUP, handle);
        put(pair->slave, "r");
        for (int i = 0; i < 400 && !handled; i++)
            usleep(5000);
        put(pair->slave, handled == SIGHUP ? "h" : "-");
        _exit(0);
    }
    expect_text(pair->master, "r");
    return 0;
}

KTAP_CASE(foreground_hears_of_its_leaders_end)
{
    struct pair pair = make_pair(0);

    expect_status(session(&pair, ends_before_its_child), 0);
    expect_text(pair.master, "h");
    close_pair(&pair);
}
