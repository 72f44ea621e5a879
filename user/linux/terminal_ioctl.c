/* What ioctl does with terminals and with masters, which mean their slave by most of it. */
#include "user/linux/terminal.h"

#include <string.h>

#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/pty.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

static bool is_master(const struct file *file)
{
    return file->kind == FILE_PTMX;
}

static long set_termios(struct thread *t, struct terminal *terminal, uint64_t address,
                        bool flush_input)
{
    struct linux_termios termios;

    if (copy_in(t->process->space, &termios, address, sizeof(termios)))
        return -LINUX_EFAULT;
    tty_set_termios(&terminal->tty, &termios, flush_input);
    if (terminal->drained)
        terminal->drained(terminal); /* what is accepted may differ in another mode */
    return 0;
}

static long flush(struct terminal *terminal, uint64_t which)
{
    if (which > LINUX_TCIOFLUSH)
        return -LINUX_EINVAL;
    if (which != LINUX_TCOFLUSH) /* of output nothing is held back */
        tty_flush_input(&terminal->tty);
    if (terminal->drained)
        terminal->drained(terminal);
    return 0;
}

static long set_size(struct thread *t, struct terminal *terminal, uint64_t address)
{
    struct linux_winsize size;

    if (copy_in(t->process->space, &size, address, sizeof(size)))
        return -LINUX_EFAULT;
    if (memcmp(&size, &terminal->tty.size, sizeof(size)) == 0)
        return 0;
    terminal->tty.size = size;
    terminal_signal(terminal, LINUX_SIGWINCH);
    return 0;
}

/* ---- its session and foreground group ---- */

/* A leader without a terminal takes this; one of another session's only by force. */
static long take(struct thread *t, struct file *file, struct terminal *terminal, bool force)
{
    const struct process *p = t->process;
    bool may = cred_can(&p->cred, CAP_SYS_ADMIN);

    if (p->sid == p->pid && terminal->tty.session == p->sid)
        return 0;
    if (p->sid != p->pid || terminal_of_session(p->sid) ||
        (terminal->tty.session && !(force && may)))
        return -LINUX_EPERM;
    if ((file->flags & LINUX_O_ACCMODE) == LINUX_O_WRONLY && !may)
        return -LINUX_EPERM;
    terminal->tty.session = p->sid;
    terminal->tty.foreground = p->pgid;
    return 0;
}

/* The leader gives it up, for its session. */
static long give_up(const struct thread *t, struct terminal *terminal)
{
    const struct process *p = t->process;

    if (terminal->tty.session != p->sid)
        return -LINUX_ENOTTY;
    if (p->sid == p->pid) {
        terminal_signal(terminal, LINUX_SIGHUP);
        terminal_signal(terminal, LINUX_SIGCONT);
        terminal->tty.session = terminal->tty.foreground = 0;
    }
    return 0;
}

static long set_foreground(struct thread *t, struct file *file, struct terminal *terminal,
                           uint64_t address)
{
    const struct process *p = t->process;
    int32_t group;

    long result = terminal_before_change(t, file);
    if (result)
        return result == -LINUX_EIO ? -LINUX_ENOTTY : result;
    if (copy_in(p->space, &group, address, sizeof(group)))
        return -LINUX_EFAULT;
    if (group < 0)
        return -LINUX_EINVAL;
    if (terminal->tty.session != p->sid)
        return -LINUX_ENOTTY;
    if (!process_group_exists(group, p->sid))
        return process_group_exists(group, 0) ? -LINUX_EPERM : -LINUX_ESRCH;
    terminal->tty.foreground = group;
    watched_wake(&terminal->watched, TERMINAL_ALL); /* who waits in it may try again */
    return 0;
}

static long get_group(struct thread *t, const struct file *file, struct terminal *terminal,
                      bool session)
{
    int32_t group = session ? terminal->tty.session : terminal->tty.foreground;

    if (!is_master(file) && terminal->tty.session != t->process->sid)
        return -LINUX_ENOTTY;
    if (session && !group)
        return -LINUX_ENOTTY;
    return (long)group;
}

/* ---- all of them ---- */

/* How much a read would give now. */
static long readable(const struct file *file, const struct terminal *terminal)
{
    return is_master(file) ? (long)pty_readable(file->pty) : (long)tty_readable(&terminal->tty);
}

static long tell(struct thread *t, uint64_t address, long value)
{
    int32_t word = (int32_t)value;

    return value < 0 ? value : copy_out(t->process->space, address, &word, sizeof(word));
}

static long changes(struct thread *t, struct file *file, struct terminal *terminal,
                    uint32_t request, uint64_t argument)
{
    long result = terminal_before_change(t, file);

    if (result)
        return result;
    switch (request) {
    case LINUX_TCSETS:
    case LINUX_TCSETSW:
        return set_termios(t, terminal, argument, false);
    case LINUX_TCSETSF:
        return set_termios(t, terminal, argument, true);
    case LINUX_TCFLSH:
        return flush(terminal, argument);
    default: /* TCSBRK: what was written has gone */
        return 0;
    }
}

long terminal_ioctl(struct thread *t, struct file *file, uint32_t request, uint64_t argument)
{
    struct space *space = t->process->space;
    struct terminal *terminal = terminal_of(file);
    struct tty *tty = &terminal->tty;

    if (terminal->hung_up)
        return request == LINUX_TIOCSPGRP ? -LINUX_ENOTTY : -LINUX_EIO;
    switch (request) {
    case LINUX_TCGETS:
        return copy_out(space, argument, &tty->termios, sizeof(tty->termios));
    case LINUX_TCSETS:
    case LINUX_TCSETSW:
    case LINUX_TCSETSF:
    case LINUX_TCFLSH:
    case LINUX_TCSBRK:
        return changes(t, file, terminal, request, argument);
    case LINUX_TIOCGWINSZ:
        return copy_out(space, argument, &tty->size, sizeof(tty->size));
    case LINUX_TIOCSWINSZ:
        return set_size(t, terminal, argument);
    case LINUX_FIONREAD:
        return tell(t, argument, readable(file, terminal));
    case LINUX_TIOCOUTQ:
        return tell(t, argument, 0);
    case LINUX_TIOCSCTTY:
        return take(t, file, terminal, argument == 1);
    case LINUX_TIOCNOTTY:
        return give_up(t, terminal);
    case LINUX_TIOCSPGRP:
        return set_foreground(t, file, terminal, argument);
    case LINUX_TIOCGPGRP:
    case LINUX_TIOCGSID:
        return tell(t, argument, get_group(t, file, terminal, request == LINUX_TIOCGSID));
    default:
        return is_master(file) ? pty_ioctl(t, file->pty, request, argument) : -LINUX_ENOTTY;
    }
}
