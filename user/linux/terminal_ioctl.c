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

/* ---- termios, in its three forms ---- */

static uint32_t baud(uint32_t code, uint32_t other)
{
    static const uint32_t slow[] = {0,   50,   75,   110,  134,  150,  200,   300,
                                    600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    static const uint32_t fast[] = {0,       57600,   115200,  230400,  460800,  500000,
                                    576000,  921600,  1000000, 1152000, 1500000, 2000000,
                                    2500000, 3000000, 3500000, 4000000};

    if (code == LINUX_BOTHER)
        return other;
    return code & LINUX_CBAUDEX ? fast[code & 15] : slow[code & 15];
}

static struct linux_termios2 termios_of(const struct tty *tty)
{
    uint32_t flags = tty->termios.cflag, input = flags >> LINUX_IBSHIFT & LINUX_CBAUD;
    struct linux_termios2 both = {
        .termios = tty->termios,
        .output_speed = baud(flags & LINUX_CBAUD, tty->output_speed),
    };

    both.input_speed = input ? baud(input, tty->input_speed) : both.output_speed;
    return both;
}

static void apply(struct terminal *terminal, const struct linux_termios2 *both, bool flush_input)
{
    terminal->tty.input_speed = both->input_speed;
    terminal->tty.output_speed = both->output_speed;
    tty_set_termios(&terminal->tty, &both->termios, flush_input);
    if (terminal->drained)
        terminal->drained(terminal); /* what is accepted may differ in another mode */
}

/* `bytes`: of the form that is meant; the shorter one has no numbers for speeds. */
static long set_termios(struct thread *t, struct terminal *terminal, uint64_t address, size_t bytes,
                        bool flush_input)
{
    struct linux_termios2 both = termios_of(&terminal->tty);

    if (copy_in(t->process->space, &both, address, bytes))
        return -LINUX_EFAULT;
    apply(terminal, &both, flush_input);
    return 0;
}

static long get_termios(struct thread *t, const struct terminal *terminal, uint64_t address,
                        size_t bytes)
{
    const struct linux_termios2 both = termios_of(&terminal->tty);

    return copy_out(t->process->space, address, &both, bytes);
}

static uint32_t lower_half(uint32_t flags, uint16_t lower)
{
    return (flags & 0xffff0000) | lower;
}

/* What the old form does not tell of stays. */
static long set_termio(struct thread *t, struct terminal *terminal, uint64_t address,
                       bool flush_input)
{
    struct linux_termios2 both = termios_of(&terminal->tty);
    struct linux_termios *new = &both.termios;
    struct linux_termio old;

    if (copy_in(t->process->space, &old, address, sizeof(old)))
        return -LINUX_EFAULT;
    new->iflag = lower_half(new->iflag, old.iflag);
    new->oflag = lower_half(new->oflag, old.oflag);
    new->cflag = lower_half(new->cflag, old.cflag);
    new->lflag = lower_half(new->lflag, old.lflag);
    new->line = old.line;
    memcpy(new->cc, old.cc, sizeof(old.cc));
    apply(terminal, &both, flush_input);
    return 0;
}

static long get_termio(struct thread *t, const struct terminal *terminal, uint64_t address)
{
    const struct linux_termios *termios = &terminal->tty.termios;
    struct linux_termio old = {
        .iflag = (uint16_t)termios->iflag,
        .oflag = (uint16_t)termios->oflag,
        .cflag = (uint16_t)termios->cflag,
        .lflag = (uint16_t)termios->lflag,
        .line = termios->line,
    };

    memcpy(old.cc, termios->cc, sizeof(old.cc));
    return copy_out(t->process->space, address, &old, sizeof(old));
}

/* TIOCSLCKTRMIOS */
static long set_locked(struct thread *t, struct terminal *terminal, uint64_t address)
{
    struct linux_termios locked;

    if (!cred_can(&t->process->cred, CAP_SYS_ADMIN))
        return -LINUX_EPERM;
    if (copy_in(t->process->space, &locked, address, sizeof(locked)))
        return -LINUX_EFAULT;
    terminal->tty.locked = locked;
    return 0;
}

/* ---- the line ---- */

/* TCXONC */
static long control_flow(const struct file *file, struct terminal *terminal, uint64_t what)
{
    if (what > LINUX_TCION)
        return -LINUX_EINVAL;
    if (is_master(file)) /* it cannot be held by itself */
        return -LINUX_ENOTTY;
    if (what == LINUX_TCOOFF || what == LINUX_TCOON)
        tty_hold(&terminal->tty, what == LINUX_TCOOFF);
    else
        tty_send_flow(&terminal->tty, what == LINUX_TCIOFF);
    return 0;
}

static long flush(struct terminal *terminal, uint64_t which)
{
    if (which > LINUX_TCIOFLUSH)
        return -LINUX_EINVAL;
    if (which != LINUX_TCOFLUSH)
        tty_flush_input(&terminal->tty);
    if (which) /* what was written is with the line already: it is only told */
        terminal->tty.tell(&terminal->tty, LINUX_TIOCPKT_FLUSHWRITE);
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
    struct process *p = t->process;
    bool may = cred_can(&p->cred, CAP_SYS_ADMIN);

    if (p->sid == p->pid && terminal->tty.session == p->sid)
        return 0;
    if (p->sid != p->pid || terminal_of_process(p) || (terminal->tty.session && !(force && may)))
        return -LINUX_EPERM;
    if ((file->flags & LINUX_O_ACCMODE) == LINUX_O_WRONLY && !may)
        return -LINUX_EPERM;
    terminal_take(terminal, p);
    return 0;
}

/* The leader gives it up for its session, another process for itself. */
static long give_up(const struct thread *t, struct terminal *terminal)
{
    struct process *p = t->process;

    if (terminal_of_process(p) != terminal)
        return -LINUX_ENOTTY;
    if (p->sid != p->pid) {
        p->no_terminal = true;
        return 0;
    }
    terminal_signal(terminal, LINUX_SIGHUP);
    terminal_signal(terminal, LINUX_SIGCONT);
    terminal->tty.session = terminal->tty.foreground = 0;
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
    if (terminal_of_process(p) != terminal)
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

    if (!is_master(file) && terminal_of_process(t->process) != terminal)
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
        return set_termios(t, terminal, argument, sizeof(struct linux_termios), false);
    case LINUX_TCSETSF:
        return set_termios(t, terminal, argument, sizeof(struct linux_termios), true);
    case LINUX_TCSETS2:
    case LINUX_TCSETSW2:
        return set_termios(t, terminal, argument, sizeof(struct linux_termios2), false);
    case LINUX_TCSETSF2:
        return set_termios(t, terminal, argument, sizeof(struct linux_termios2), true);
    case LINUX_TCSETA:
    case LINUX_TCSETAW:
        return set_termio(t, terminal, argument, false);
    case LINUX_TCSETAF:
        return set_termio(t, terminal, argument, true);
    case LINUX_TCXONC:
        return control_flow(file, terminal, argument);
    case LINUX_TCFLSH:
        return flush(terminal, argument);
    default: /* TCSBRK, TCSBRKP: what was written has gone */
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
        return get_termios(t, terminal, argument, sizeof(struct linux_termios));
    case LINUX_TCGETS2:
        return get_termios(t, terminal, argument, sizeof(struct linux_termios2));
    case LINUX_TCGETA:
        return get_termio(t, terminal, argument);
    case LINUX_TIOCGLCKTRMIOS:
        return copy_out(space, argument, &tty->locked, sizeof(tty->locked));
    case LINUX_TIOCSLCKTRMIOS:
        return set_locked(t, terminal, argument);
    case LINUX_TCSETS:
    case LINUX_TCSETSW:
    case LINUX_TCSETSF:
    case LINUX_TCSETS2:
    case LINUX_TCSETSW2:
    case LINUX_TCSETSF2:
    case LINUX_TCSETA:
    case LINUX_TCSETAW:
    case LINUX_TCSETAF:
    case LINUX_TCXONC:
    case LINUX_TCFLSH:
    case LINUX_TCSBRK:
    case LINUX_TCSBRKP:
        return changes(t, file, terminal, request, argument);
    case LINUX_TIOCGWINSZ:
        return copy_out(space, argument, &tty->size, sizeof(tty->size));
    case LINUX_TIOCSWINSZ:
        return set_size(t, terminal, argument);
    case LINUX_FIONREAD:
        return tell(t, argument, readable(file, terminal));
    case LINUX_TIOCGDEV:
        return tell(t, argument, is_master(file) ? PTMX_DEVICE : (long)terminal->device);
    case LINUX_TIOCGETD: /* the one line discipline */
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
