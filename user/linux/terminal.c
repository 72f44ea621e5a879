/* Terminals (see terminal.h). Their ioctls are terminal_ioctl.c's. */
#include "user/linux/terminal.h"

#include "user/linux/console.h"
#include "user/linux/file.h"
#include "user/linux/job.h"
#include "user/linux/memfile.h"
#include "user/linux/process.h"
#include "user/linux/pty.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define BUFFER_BYTES 4096

static LIST_HEAD(, terminal) terminals = LIST_HEAD_INITIALIZER(terminals);
static char buffer[BUFFER_BYTES]; /* between terminals and clients, under the big lock */

static const struct file_ops terminal_ops;

/* ---- life ---- */

static void send_signal(struct tty *tty, int signal)
{
    const struct signal_info info = {.code = LINUX_SI_KERNEL};

    if (tty->foreground)
        signal_send_group(tty->foreground, signal, &info);
}

void terminal_signal(struct terminal *terminal, int signal)
{
    send_signal(&terminal->tty, signal);
}

static void ready(struct tty *tty)
{
    watched_wake(&((struct terminal *)tty)->watched, TERMINAL_IN);
}

static void tell(struct tty *tty, unsigned what)
{
    struct terminal *terminal = (struct terminal *)tty;

    if (what & LINUX_TIOCPKT_START)
        watched_wake(&terminal->watched, TERMINAL_OUT);
    if (terminal->packet)
        terminal->packet(terminal, what);
}

void terminal_init(struct terminal *terminal, uint32_t device)
{
    terminal->tty.signal = send_signal;
    terminal->tty.ready = ready;
    terminal->tty.tell = tell;
    terminal->device = device;
    tty_init(&terminal->tty);
    watched_init(&terminal->watched);
    LIST_INSERT_HEAD(&terminals, terminal, beside);
}

void terminal_end(struct terminal *terminal)
{
    LIST_REMOVE(terminal, beside);
    watched_end(&terminal->watched);
}

void terminal_hang_up(struct terminal *terminal)
{
    const struct signal_info info = {.code = LINUX_SI_KERNEL};
    struct process *leader = process_by_pid(terminal->tty.session);

    terminal->hung_up = true;
    if (terminal->tty.session && leader) {
        signal_send_process(leader, LINUX_SIGHUP, &info);
        signal_send_process(leader, LINUX_SIGCONT, &info);
    }
    terminal->tty.session = terminal->tty.foreground = 0;
    tty_flush_input(&terminal->tty);
    watched_wake(&terminal->watched, TERMINAL_ALL);
}

/* ---- sessions ---- */

struct terminal *terminal_of_session(int sid)
{
    struct terminal *terminal;

    LIST_FOREACH(terminal, &terminals, beside)
    {
        if (terminal->tty.session == sid)
            return terminal;
    }
    return NULL;
}

struct terminal *terminal_of_process(const struct process *p)
{
    return p->no_terminal ? NULL : terminal_of_session(p->sid);
}

void terminal_take(struct terminal *terminal, struct process *leader)
{
    leader->no_terminal = false;
    terminal->tty.session = leader->sid;
    terminal->tty.foreground = leader->pgid;
}

void terminal_leader_gone(const struct process *leader)
{
    struct terminal *terminal =
        leader->sid == leader->pid ? terminal_of_session(leader->sid) : NULL;

    if (!terminal)
        return;
    terminal_signal(terminal, LINUX_SIGHUP);
    terminal->tty.session = terminal->tty.foreground = 0;
    watched_wake(&terminal->watched, TERMINAL_ALL); /* nobody is in the background any more */
}

/*
 * t is about to do what only the foreground of its terminal may: 0 if it is that, or may all the
 * same. Else its group is sent the signal, which stops it, and it tries again when it goes on.
 */
static long in_foreground(struct thread *t, struct file *file, int signal)
{
    const struct signal_info info = {.code = LINUX_SI_KERNEL};
    const struct terminal *terminal = terminal_of(file);
    const struct tty *tty = &terminal->tty;
    struct process *p = t->process;

    if (terminal_of_process(p) != terminal || !tty->foreground || tty->foreground == p->pgid)
        return 0;
    if ((t->mask & signal_bit(signal)) || signal_is_ignored(p, signal))
        return signal == LINUX_SIGTTIN ? -LINUX_EIO : 0;
    if (job_is_orphaned(p->pgid))
        return -LINUX_EIO;
    signal_send_group(p->pgid, signal, &info);
    return request_wait_file(t, file);
}

long terminal_before_change(struct thread *t, struct file *file)
{
    return in_foreground(t, file, LINUX_SIGTTOU);
}

long terminal_before_write(struct thread *t, struct file *file)
{
    struct terminal *terminal = file->terminal;

    if (terminal->hung_up)
        return -LINUX_EIO;
    return terminal->tty.termios.lflag & LINUX_TOSTOP ? terminal_before_change(t, file) : 0;
}

/* Raw input that is not to be waited for: how long the read waits for a first byte. */
static long read_timed(struct thread *t, struct file *file)
{
    const struct tty *tty = &file->terminal->tty;
    unsigned tenths = tty_read_timeout(tty);

    if (!tenths || t->timed_out || tty_has_input(tty) || (file->flags & LINUX_O_NONBLOCK))
        return 0;
    if (!t->deadline.ticks)
        deadline_set(t, time_after(time_hz() * tenths / 10));
    return request_wait_file(t, file);
}

long terminal_before_read(struct thread *t, struct file *file)
{
    if (file->terminal->hung_up)
        return t->held ? -LINUX_EIO : 0; /* who waited is told; later there is only the end */
    long result = in_foreground(t, file, LINUX_SIGTTIN);
    return result ? result : read_timed(t, file);
}

/* ---- files ---- */

static long terminal_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct terminal *terminal = file->terminal;

    if (terminal->hung_up)
        return 0;
    long got = tty_read(&terminal->tty, buffer, bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES);
    if (got <= 0)
        return got;
    if (terminal->drained)
        terminal->drained(terminal);
    return copy_out(space, address, buffer, (size_t)got) ? -LINUX_EFAULT : got;
}

/* As much as its line has room for, whatever becomes of it there: a line's end becomes two bytes.
 * None while output is held. */
static size_t room_of(const struct terminal *terminal)
{
    if (terminal->tty.held)
        return 0;
    return terminal->room ? terminal->room(terminal) / 2 : SIZE_MAX;
}

static long terminal_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                           size_t wanted)
{
    struct terminal *terminal = file->terminal;
    size_t done = 0;

    (void)wanted;
    if (terminal->hung_up)
        return -LINUX_EIO;
    while (done < bytes) {
        size_t part = bytes - done < BUFFER_BYTES ? bytes - done : BUFFER_BYTES;
        if (part > room_of(terminal))
            part = room_of(terminal);
        if (!part)
            return done ? (long)done : -LINUX_EAGAIN;
        size_t copied = copy_in_some(space, buffer, address + done, part);
        tty_write(&terminal->tty, buffer, copied);
        done += copied;
        if (copied < part)
            break;
    }
    return done || !bytes ? (long)done : -LINUX_EFAULT;
}

static unsigned terminal_poll(const struct file *file)
{
    const struct terminal *terminal = file->terminal;

    if (terminal->hung_up)
        return TERMINAL_ALL;
    return (tty_has_input(&terminal->tty) ? TERMINAL_IN : 0) |
           (room_of(terminal) ? TERMINAL_OUT : 0);
}

static struct watched *terminal_watched(const struct file *file)
{
    return &file->terminal->watched;
}

static void terminal_close(struct file *file)
{
    if (file->terminal->closed)
        file->terminal->closed(file->terminal);
}

static const struct file_ops terminal_ops = {
    .read = terminal_read,
    .write = terminal_write,
    .poll = terminal_poll,
    .watched = terminal_watched,
    .close = terminal_close,
};

struct file *terminal_file(struct terminal *terminal, const struct place *place, uint32_t flags)
{
    struct file *file = file_open(FILE_TERMINAL, &terminal_ops, flags);

    if (file) {
        file->terminal = terminal;
        place_set(&file->place, place);
    }
    return file;
}

struct terminal *terminal_of(const struct file *file)
{
    return file->kind == FILE_TERMINAL ? file->terminal
           : file->kind == FILE_PTMX   ? pty_terminal(file->pty)
                                       : NULL;
}

bool terminal_is_node(enum node_kind kind)
{
    return kind == NODE_CONSOLE || kind == NODE_TTY || kind == NODE_PTMX || kind == NODE_PTY;
}

/* The console is nobody's unless its leader asks for it (TIOCSCTTY). */
static void take_if_free(struct process *p, struct terminal *terminal)
{
    if (p->sid != p->pid || terminal->tty.session || terminal_of_session(p->sid))
        return;
    terminal_take(terminal, p);
}

long terminal_open(struct thread *t, const struct place *place, uint32_t flags, bool take,
                   struct file **made)
{
    struct terminal *terminal = console_terminal();

    switch (place->node->kind) {
    case NODE_PTMX:
        return pty_open_master(place, flags, made);
    case NODE_PTY: {
        long error = pty_open_slave(place, flags, made);
        if (!error && take)
            take_if_free(t->process, (*made)->terminal);
        return error;
    }
    case NODE_TTY:
        terminal = terminal_of_process(t->process);
        if (!terminal)
            return -LINUX_ENXIO;
        if (terminal != console_terminal())
            return pty_open_again(terminal, place, flags, made);
        break;
    default: /* NODE_CONSOLE */
        break;
    }
    *made = terminal_file(terminal, place, flags);
    return *made ? 0 : -LINUX_ENFILE;
}
