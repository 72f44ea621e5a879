/* Pseudo-terminals (see pty.h). */
#include "user/linux/pty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/file.h"
#include "user/linux/memfile.h"
#include "user/linux/process.h"
#include "user/linux/ring.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"

#define OUTPUT_BYTES 8192 /* on their way to the master */
#define BUFFER_BYTES 4096

struct pty {
    struct terminal terminal; /* the slave: the first member */
    unsigned number;
    unsigned slaves;        /* files of it */
    bool locked;            /* the slave cannot be opened */
    bool mastered;          /* the master is open */
    bool left;              /* all files of the slave were closed */
    bool packets;           /* the master is in packet mode: each read begins with a byte, 0 or */
    unsigned status;        /* TIOCPKT_*, which is read alone */
    struct ring output;     /* has all its memory from the start, so that nothing fails half-way */
    struct watched watched; /* who waits at the master */
};

static struct pty *ptys[PTYS_MAX];

static const struct file_ops master_ops;

struct terminal *pty_terminal(struct pty *pty)
{
    return &pty->terminal;
}

static struct pty *pty_of(const struct terminal *terminal)
{
    return (struct pty *)(uintptr_t)terminal;
}

int pty_from(int from)
{
    for (int i = from; i < PTYS_MAX; i++) {
        if (ptys[i] && ptys[i]->mastered)
            return i;
    }
    return -1;
}

/* ---- the slave's line ---- */

static void put(struct tty *tty, const char *text, size_t bytes)
{
    struct pty *pty = (struct pty *)tty;
    size_t room = ring_room(&pty->output);

    if (!pty->mastered || !bytes)
        return;
    ring_put(&pty->output, text, bytes < room ? bytes : room);
    watched_wake(&pty->watched, TERMINAL_IN);
}

static size_t room(const struct terminal *terminal)
{
    return ring_room(&pty_of(terminal)->output);
}

static void drained(struct terminal *terminal)
{
    watched_wake(&pty_of(terminal)->watched, TERMINAL_OUT);
}

/* Of what contradicts itself the last counts. */
static void packet(struct terminal *terminal, unsigned what)
{
    struct pty *pty = pty_of(terminal);
    const unsigned flow = LINUX_TIOCPKT_STOP | LINUX_TIOCPKT_START,
                   way = LINUX_TIOCPKT_NOSTOP | LINUX_TIOCPKT_DOSTOP;

    if (!pty->packets)
        return;
    if (what & flow)
        pty->status &= ~flow;
    if (what & way)
        pty->status &= ~way;
    pty->status |= what;
    watched_wake(&pty->watched, TERMINAL_IN | LINUX_POLLPRI);
}

/* It may have gone if neither side is open. */
static void end_unused(struct pty *pty)
{
    if (pty->mastered || pty->slaves)
        return;
    terminal_end(&pty->terminal);
    watched_end(&pty->watched);
    ring_free(&pty->output);
    ptys[pty->number] = NULL;
    free(pty);
}

static void closed(struct terminal *terminal)
{
    struct pty *pty = pty_of(terminal);

    if (--pty->slaves)
        return;
    pty->left = true;
    tty_flush_input(&terminal->tty);
    watched_wake(&pty->watched, TERMINAL_ALL);
    end_unused(pty);
}

/* ---- opening ---- */

static struct pty *pty_make(unsigned number)
{
    struct pty *pty = calloc(1, sizeof(*pty));

    if (!pty)
        return NULL;
    ring_init(&pty->output, OUTPUT_BYTES);
    if (!ring_reserve(&pty->output, OUTPUT_BYTES)) {
        free(pty);
        return NULL;
    }
    pty->number = number;
    pty->locked = pty->mastered = true;
    watched_init(&pty->watched);
    pty->terminal.tty.put = put;
    pty->terminal.room = room;
    pty->terminal.drained = drained;
    pty->terminal.closed = closed;
    pty->terminal.packet = packet;
    terminal_init(&pty->terminal, PTY_DEVICE + number);
    pty->terminal.tty.size = (struct linux_winsize){0};
    pty->terminal.tty.termios.cflag = LINUX_B38400 | LINUX_CS8 | LINUX_CREAD;
    return ptys[number] = pty;
}

long pty_open_master(const struct place *place, uint32_t flags, struct file **made)
{
    unsigned number = 0;

    while (number < PTYS_MAX && ptys[number])
        number++;
    if (number == PTYS_MAX)
        return -LINUX_ENOSPC;
    struct pty *pty = pty_make(number);
    struct file *file = pty ? file_open(FILE_PTMX, &master_ops, flags) : NULL;
    if (!file) {
        if (pty) {
            pty->mastered = false;
            end_unused(pty);
        }
        return pty ? -LINUX_ENFILE : -LINUX_ENOMEM;
    }
    file->pty = pty;
    place_set(&file->place, place);
    *made = file;
    return 0;
}

long pty_open_again(struct terminal *slave, const struct place *place, uint32_t flags,
                    struct file **made)
{
    struct pty *pty = pty_of(slave);

    if (pty->locked || !pty->mastered)
        return -LINUX_EIO;
    *made = terminal_file(slave, place, flags);
    if (!*made)
        return -LINUX_ENFILE;
    pty->slaves++;
    pty->left = false;
    return 0;
}

long pty_open_slave(const struct place *place, uint32_t flags, struct file **made)
{
    struct pty *pty = ptys[place->number];

    return pty ? pty_open_again(&pty->terminal, place, flags, made) : -LINUX_EIO;
}

/* ---- the master ---- */

size_t pty_readable(const struct pty *pty)
{
    return ring_filled(&pty->output);
}

static long master_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct pty *pty = file->pty;
    size_t filled = ring_filled(&pty->output), head = pty->packets;
    uint8_t first = (uint8_t)pty->status;

    if (!filled && !first)
        return pty->left ? -LINUX_EIO : -LINUX_EAGAIN;
    if (head && copy_out(space, address, &first, 1))
        return -LINUX_EFAULT;
    pty->status = 0;
    if (first || bytes == head)
        return 1;
    if (bytes - head < filled)
        filled = bytes - head;
    size_t done = ring_copy_out(&pty->output, 0, space, address + head, filled);
    if (!done)
        return -LINUX_EFAULT;
    ring_drop(&pty->output, done);
    watched_wake(&pty->terminal.watched, TERMINAL_OUT);
    return (long)(head + done);
}

static long master_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                         size_t wanted)
{
    static char buffer[BUFFER_BYTES]; /* under the big lock */
    struct tty *tty = &file->pty->terminal.tty;
    size_t done = 0;

    (void)wanted;
    while (done < bytes && tty_accepts(tty)) {
        size_t part = bytes - done < BUFFER_BYTES ? bytes - done : BUFFER_BYTES, used = 0;
        size_t copied = copy_in_some(space, buffer, address + done, part);
        while (used < copied && tty_accepts(tty))
            tty_input(tty, (unsigned char)buffer[used++]);
        done += used;
        if (copied < part)
            return done ? (long)done : -LINUX_EFAULT;
    }
    return done || !bytes ? (long)done : -LINUX_EAGAIN;
}

static unsigned master_poll(const struct file *file)
{
    const struct pty *pty = file->pty;

    return (pty_readable(pty) || pty->status ? TERMINAL_IN : 0) |
           (pty->status ? LINUX_POLLPRI : 0) |
           (tty_accepts(&pty->terminal.tty) ? TERMINAL_OUT : 0) | (pty->left ? LINUX_POLLHUP : 0);
}

static struct watched *master_watched(const struct file *file)
{
    return &file->pty->watched;
}

static void master_close(struct file *file)
{
    struct pty *pty = file->pty;

    pty->mastered = false;
    terminal_hang_up(&pty->terminal);
    end_unused(pty);
}

static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .watched = master_watched,
    .close = master_close,
};

/* ---- what a master can be asked ---- */

/* TIOCGPTPEER: the slave, whatever its name leads to where the caller is. */
static long open_peer(struct thread *t, struct pty *pty, uint32_t flags)
{
    struct place root = fs_root(), place;
    char path[32];
    struct file *file;

    snprintf(path, sizeof(path), "/dev/pts/%u", pty->number);
    long error = fs_walk(&root, path, strlen(path), FS_FOLLOW, t->process->pid, &place);
    if (!error)
        error = terminal_open(t, &place, flags & (LINUX_O_ACCMODE | LINUX_O_NONBLOCK),
                              !(flags & LINUX_O_NOCTTY), &file);
    if (error)
        return error;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}

long pty_ioctl(struct thread *t, struct pty *pty, uint32_t request, uint64_t argument)
{
    struct space *space = t->process->space;
    int32_t word;

    switch (request) {
    case LINUX_TIOCGPTN:
        word = (int32_t)pty->number;
        return copy_out(space, argument, &word, sizeof(word));
    case LINUX_TIOCGPTLCK:
        word = pty->locked;
        return copy_out(space, argument, &word, sizeof(word));
    case LINUX_TIOCSPTLCK:
        if (copy_in(space, &word, argument, sizeof(word)))
            return -LINUX_EFAULT;
        pty->locked = word != 0;
        return 0;
    case LINUX_TIOCGPKT:
        word = pty->packets;
        return copy_out(space, argument, &word, sizeof(word));
    case LINUX_TIOCPKT:
        if (copy_in(space, &word, argument, sizeof(word)))
            return -LINUX_EFAULT;
        if (!word || !pty->packets)
            pty->status = 0;
        pty->packets = word != 0;
        return 0;
    case LINUX_TIOCGPTPEER:
        return open_peer(t, pty, (uint32_t)argument);
    case LINUX_TIOCSIG:
        if (argument != LINUX_SIGINT && argument != LINUX_SIGQUIT && argument != LINUX_SIGTSTP)
            return -LINUX_EINVAL;
        terminal_signal(&pty->terminal, (int)argument);
        return 0;
    default:
        return -LINUX_ENOTTY;
    }
}
