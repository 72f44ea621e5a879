/*
 * Terminal line discipline: between the bytes of a line and the programs that read and write.
 *
 * Pure: bytes go in by tty_input() and out by the functions in struct tty; there is no waiting and
 * no client memory here. Input is kept as characters with marks, so that one ring serves both
 * modes:
 *
 *   head ──(readable lines)── commit ──(the line being edited)── tail
 *
 * In raw mode everything up to tail is readable.
 */
#ifndef LINUX_TTY_H
#define LINUX_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/linux/abi.h"
#include "user/linux/abi_terminal.h"

#define TTY_INPUT_MAX 4096 /* power of two */
#define TTY_ECHO_MAX  256  /* that waits while output is held; more is lost */

struct tty {
    struct linux_termios termios;
    struct linux_termios locked; /* what is not zero here cannot be changed in `termios` */
    struct linux_winsize size;
    uint32_t input_speed, output_speed; /* of BOTHER */
    int foreground;                     /* process group that gets the signals; 0: none */
    int session;                        /* whose controlling terminal it is; 0: nobody's */

    /* Set by the owner. */
    void (*put)(struct tty *tty, const char *text, size_t bytes); /* to the line */
    void (*signal)(struct tty *tty, int signal);                  /* to the foreground group */
    void (*ready)(struct tty *tty);               /* something can be read now that could not */
    void (*tell)(struct tty *tty, unsigned what); /* TIOCPKT_*: output is held, or goes on, or
                                                     input was thrown away, or the way to hold it
                                                     is another */

    uint16_t input[TTY_INPUT_MAX]; /* byte | TTY_END | TTY_EOF */
    unsigned head, commit, tail;   /* counts, ever growing; index modulo TTY_INPUT_MAX */
    unsigned column;               /* of the cursor, as far as output tells */
    unsigned line_column;          /* where the line being edited began */

    bool held;         /* output waits: who writes looks at it first, an echo goes into `echo` */
    bool held_by_call; /* no character lets it go on */
    char echo[TTY_ECHO_MAX];
    unsigned echo_bytes;
};

void tty_init(struct tty *tty);
void tty_input(struct tty *tty, unsigned char byte);
/* Whether a byte that comes in now finds room, or will find none however much is read: a line that
 * is too long loses its end. */
bool tty_accepts(const struct tty *tty);
/* Up to `bytes` of input; 0: end of file; -EAGAIN: nothing yet. In raw mode VMIN tells how many
 * there must be (but never more than asked for); VMIN 0 never says -EAGAIN. */
long tty_read(struct tty *tty, char *to, size_t bytes);
void tty_write(struct tty *tty, const char *text, size_t bytes);
/* Bytes that a read would give now. */
size_t tty_readable(const struct tty *tty);
bool tty_has_input(const struct tty *tty);
/* Raw mode with VMIN 0 and VTIME: tenths of a second that a read waits for a first byte; 0: none.
 */
unsigned tty_read_timeout(const struct tty *tty);
void tty_set_termios(struct tty *tty, const struct linux_termios *termios, bool flush_input);
void tty_flush_input(struct tty *tty);
/* Hold output, or let it go on, as no character can. */
void tty_hold(struct tty *tty, bool hold);
/* Send the character that tells the other end to stop, or to go on, if there is one. */
void tty_send_flow(struct tty *tty, bool stop);

#endif
