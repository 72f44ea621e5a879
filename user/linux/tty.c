/* Terminal line discipline (see tty.h). */
#include "user/linux/tty.h"

#include <string.h>

#define TTY_END 0x100 /* the line ends with this character, which belongs to it */
#define TTY_EOF 0x200 /* the line ends before this character, which is not data */

#define CONTROL(letter) ((letter)&0x1f)
#define DELETE          0x7f
#define DISABLED        0 /* a control character that is not assigned */
#define TAB_COLUMNS     8

void tty_init(struct tty *tty)
{
    tty->termios = (struct linux_termios){
        .iflag = LINUX_ICRNL | LINUX_IXON,
        .oflag = LINUX_OPOST | LINUX_ONLCR,
        .cflag = LINUX_B115200 | LINUX_CS8 | LINUX_CREAD,
        .lflag = LINUX_ISIG | LINUX_ICANON | LINUX_ECHO | LINUX_ECHOE | LINUX_ECHOK |
                 LINUX_ECHOCTL | LINUX_ECHOKE | LINUX_IEXTEN,
        .cc =
            {
                [LINUX_VINTR] = CONTROL('C'),
                [LINUX_VQUIT] = CONTROL('\\'),
                [LINUX_VERASE] = DELETE,
                [LINUX_VKILL] = CONTROL('U'),
                [LINUX_VEOF] = CONTROL('D'),
                [LINUX_VMIN] = 1,
                [LINUX_VSTART] = CONTROL('Q'),
                [LINUX_VSTOP] = CONTROL('S'),
                [LINUX_VSUSP] = CONTROL('Z'),
                [LINUX_VREPRINT] = CONTROL('R'),
                [LINUX_VDISCARD] = CONTROL('O'),
                [LINUX_VWERASE] = CONTROL('W'),
                [LINUX_VLNEXT] = CONTROL('V'),
            },
    };
    tty->size = (struct linux_winsize){.rows = 24, .columns = 80};
    tty->head = tty->commit = tty->tail = 0;
    tty->column = tty->line_column = 0;
    tty->held = tty->held_by_call = false;
    tty->echo_bytes = 0;
    tty->input_speed = tty->output_speed = 0;
}

static bool local(const struct tty *tty, uint32_t flag)
{
    return (tty->termios.lflag & flag) != 0;
}

static bool is_control(const struct tty *tty, unsigned char byte, enum linux_cc which)
{
    return byte != DISABLED && tty->termios.cc[which] == byte;
}

/* ---- output ---- */

static void track_column(struct tty *tty, char c)
{
    unsigned char byte = (unsigned char)c;

    if (c == '\n' || c == '\r')
        tty->column = 0;
    else if (c == '\t')
        tty->column += TAB_COLUMNS - tty->column % TAB_COLUMNS;
    else if (c == '\b')
        tty->column -= tty->column > 0;
    else if (byte >= ' ' && byte != DELETE && (byte & 0xc0) != 0x80)
        tty->column++;
}

void tty_write(struct tty *tty, const char *text, size_t bytes)
{
    bool post = (tty->termios.oflag & LINUX_OPOST) != 0;
    size_t from = 0;

    for (size_t i = 0; i < bytes; i++) {
        track_column(tty, text[i]);
        if (text[i] == '\n' && post && (tty->termios.oflag & LINUX_ONLCR)) {
            tty->put(tty, text + from, i - from);
            tty->put(tty, "\r\n", 2);
            from = i + 1;
        } else if (text[i] == '\r' && post && (tty->termios.oflag & LINUX_OCRNL)) {
            tty->put(tty, text + from, i - from);
            tty->put(tty, "\n", 1);
            from = i + 1;
        }
    }
    if (from < bytes)
        tty->put(tty, text + from, bytes - from);
}

/* What the terminal shows by itself; it waits while output is held. */
static void show(struct tty *tty, const char *text, size_t bytes)
{
    if (!tty->held)
        tty_write(tty, text, bytes);
    else if (bytes <= TTY_ECHO_MAX - tty->echo_bytes) {
        memcpy(tty->echo + tty->echo_bytes, text, bytes);
        tty->echo_bytes += (unsigned)bytes;
    }
}

static void hold(struct tty *tty)
{
    if (tty->held)
        return;
    tty->held = true;
    tty->tell(tty, LINUX_TIOCPKT_STOP);
}

static void go_on(struct tty *tty)
{
    if (!tty->held || tty->held_by_call)
        return;
    tty->held = false;
    tty_write(tty, tty->echo, tty->echo_bytes);
    tty->echo_bytes = 0;
    tty->tell(tty, LINUX_TIOCPKT_START);
}

void tty_hold(struct tty *tty, bool by_call)
{
    if (by_call) {
        tty->held_by_call = true;
        hold(tty);
    } else if (tty->held_by_call) {
        tty->held_by_call = false;
        go_on(tty);
    }
}

void tty_send_flow(struct tty *tty, bool stop)
{
    char byte = (char)tty->termios.cc[stop ? LINUX_VSTOP : LINUX_VSTART];

    if (byte != DISABLED)
        tty->put(tty, &byte, 1);
}

/* Whether a character is echoed as ^X. */
static bool shown_as_control(const struct tty *tty, unsigned char byte)
{
    return local(tty, LINUX_ECHOCTL) && byte != '\n' && byte != '\t' &&
           (byte < ' ' || byte == DELETE);
}

static void echo(struct tty *tty, unsigned char byte)
{
    char text[2] = {(char)byte};

    if (shown_as_control(tty, byte)) {
        text[0] = '^';
        text[1] = (char)(byte ^ 0x40);
        show(tty, text, 2);
    } else {
        show(tty, text, 1);
    }
}

/* ---- editing ---- */

static uint16_t *at(struct tty *tty, unsigned position)
{
    return &tty->input[position % TTY_INPUT_MAX];
}

/* Columns of the line being edited, shown from line_column on. */
static unsigned line_columns(struct tty *tty)
{
    unsigned column = tty->line_column;

    for (unsigned i = tty->commit; i != tty->tail; i++) {
        unsigned char byte = (unsigned char)*at(tty, i);
        if (byte == '\t')
            column += TAB_COLUMNS - column % TAB_COLUMNS;
        else if (shown_as_control(tty, byte))
            column += 2;
        else if ((byte & 0xc0) != 0x80)
            column++;
    }
    return column;
}

/* Take the last character back, a whole one if it is UTF-8. */
static void erase_one(struct tty *tty)
{
    unsigned before = line_columns(tty);

    while (tty->tail != tty->commit) {
        tty->tail--;
        if ((*at(tty, tty->tail) & 0xc0) != 0x80)
            break;
    }
    if (!local(tty, LINUX_ECHO) || !local(tty, LINUX_ECHOE))
        return;
    for (unsigned after = line_columns(tty); after < before; after++)
        show(tty, "\b \b", 3);
}

static void erase_word(struct tty *tty)
{
    while (tty->tail != tty->commit && *at(tty, tty->tail - 1) == ' ')
        erase_one(tty);
    while (tty->tail != tty->commit && *at(tty, tty->tail - 1) != ' ')
        erase_one(tty);
}

static void erase_line(struct tty *tty)
{
    while (tty->tail != tty->commit)
        erase_one(tty);
}

static void reprint(struct tty *tty)
{
    echo(tty, tty->termios.cc[LINUX_VREPRINT]);
    show(tty, "\n", 1);
    tty->line_column = 0;
    for (unsigned i = tty->commit; i != tty->tail; i++)
        echo(tty, (unsigned char)*at(tty, i));
}

/* ---- input ---- */

/* One place stays free for the end of the line in canonical mode. */
static bool is_full(const struct tty *tty)
{
    return tty->tail - tty->head >= TTY_INPUT_MAX - 1;
}

bool tty_accepts(const struct tty *tty)
{
    return !is_full(tty) || (local(tty, LINUX_ICANON) && tty->head == tty->commit);
}

static void append(struct tty *tty, uint16_t character)
{
    *at(tty, tty->tail) = character;
    tty->tail++;
}

static bool input_signal(struct tty *tty, unsigned char byte)
{
    int signal;

    if (!local(tty, LINUX_ISIG))
        return false;
    if (is_control(tty, byte, LINUX_VINTR))
        signal = LINUX_SIGINT;
    else if (is_control(tty, byte, LINUX_VQUIT))
        signal = LINUX_SIGQUIT;
    else if (is_control(tty, byte, LINUX_VSUSP))
        signal = LINUX_SIGTSTP;
    else
        return false;
    if (!local(tty, LINUX_NOFLSH)) {
        tty->echo_bytes = 0;
        tty_flush_input(tty);
        tty->tell(tty, LINUX_TIOCPKT_FLUSHWRITE);
    }
    if (tty->termios.iflag & LINUX_IXON)
        go_on(tty);
    if (local(tty, LINUX_ECHO))
        echo(tty, byte);
    tty->signal(tty, signal);
    return true;
}

/* Editing characters of canonical mode. */
static bool input_edit(struct tty *tty, unsigned char byte)
{
    if (is_control(tty, byte, LINUX_VERASE) || (byte == '\b' && tty->termios.cc[LINUX_VERASE])) {
        erase_one(tty);
    } else if (is_control(tty, byte, LINUX_VKILL)) {
        erase_line(tty);
    } else if (local(tty, LINUX_IEXTEN) && is_control(tty, byte, LINUX_VWERASE)) {
        erase_word(tty);
    } else if (local(tty, LINUX_IEXTEN) && is_control(tty, byte, LINUX_VREPRINT)) {
        reprint(tty);
    } else {
        return false;
    }
    return true;
}

/* The characters that hold output and let it go on, and any other one that may do the latter. */
static bool input_flow(struct tty *tty, unsigned char byte)
{
    if (!(tty->termios.iflag & LINUX_IXON))
        return false;
    if (is_control(tty, byte, LINUX_VSTART))
        go_on(tty);
    else if (is_control(tty, byte, LINUX_VSTOP))
        hold(tty);
    else
        return false;
    return true;
}

static void end_line(struct tty *tty, uint16_t character)
{
    append(tty, character);
    tty->commit = tty->tail;
    tty->ready(tty);
}

static void input_canonical(struct tty *tty, unsigned char byte)
{
    if (input_edit(tty, byte))
        return;
    if (is_control(tty, byte, LINUX_VEOF)) {
        if (tty->tail - tty->head < TTY_INPUT_MAX)
            end_line(tty, TTY_EOF);
        return;
    }
    bool ends =
        byte == '\n' || is_control(tty, byte, LINUX_VEOL) || is_control(tty, byte, LINUX_VEOL2);
    if (is_full(tty) && !(ends && tty->tail - tty->head < TTY_INPUT_MAX))
        return;
    if (tty->tail == tty->commit)
        tty->line_column = tty->column;
    if (local(tty, LINUX_ECHO) || (byte == '\n' && local(tty, LINUX_ECHONL)))
        echo(tty, byte);
    if (ends)
        end_line(tty, byte | TTY_END);
    else
        append(tty, byte);
}

void tty_input(struct tty *tty, unsigned char byte)
{
    uint32_t flags = tty->termios.iflag;

    if (flags & LINUX_ISTRIP)
        byte &= 0x7f;
    if (byte == '\r') {
        if (flags & LINUX_IGNCR)
            return;
        if (flags & LINUX_ICRNL)
            byte = '\n';
    } else if (byte == '\n' && (flags & LINUX_INLCR)) {
        byte = '\r';
    }
    if (input_flow(tty, byte) || input_signal(tty, byte))
        return;
    if ((flags & LINUX_IXON) && (flags & LINUX_IXANY))
        go_on(tty);
    if (local(tty, LINUX_ICANON)) {
        input_canonical(tty, byte);
        return;
    }
    if (is_full(tty))
        return;
    if (local(tty, LINUX_ECHO))
        echo(tty, byte);
    append(tty, byte);
    tty->commit = tty->tail;
    tty->ready(tty);
}

void tty_flush_input(struct tty *tty)
{
    tty->head = tty->commit = tty->tail;
    tty->tell(tty, LINUX_TIOCPKT_FLUSHREAD);
}

/* ---- reading ---- */

static size_t raw_minimum(const struct tty *tty, size_t bytes)
{
    size_t minimum = tty->termios.cc[LINUX_VMIN];

    /* With VTIME a read may end before VMIN bytes came; what is there is given at once. */
    if (minimum > 1 && tty->termios.cc[LINUX_VTIME])
        minimum = 1;
    return minimum < bytes ? minimum : bytes;
}

bool tty_has_input(const struct tty *tty)
{
    size_t minimum = local(tty, LINUX_ICANON) ? 1 : raw_minimum(tty, TTY_INPUT_MAX);

    return tty->commit - tty->head >= (minimum ? minimum : 1);
}

unsigned tty_read_timeout(const struct tty *tty)
{
    bool timed = !local(tty, LINUX_ICANON) && tty->termios.cc[LINUX_VMIN] == 0;

    return timed ? tty->termios.cc[LINUX_VTIME] : 0;
}

size_t tty_readable(const struct tty *tty)
{
    size_t bytes = 0;

    for (unsigned i = tty->head; i != tty->commit; i++) {
        uint16_t character = tty->input[i % TTY_INPUT_MAX];
        bytes += !(character & TTY_EOF);
        if (local(tty, LINUX_ICANON) && (character & (TTY_END | TTY_EOF)))
            break;
    }
    return bytes;
}

long tty_read(struct tty *tty, char *to, size_t bytes)
{
    bool canonical = local(tty, LINUX_ICANON);
    size_t done = 0;

    if (bytes == 0)
        return 0;
    if (canonical ? tty->head == tty->commit : tty->commit - tty->head < raw_minimum(tty, bytes))
        return -LINUX_EAGAIN;
    while (done < bytes && tty->head != tty->commit) {
        uint16_t character = *at(tty, tty->head++);
        if (!(character & TTY_EOF))
            to[done++] = (char)character;
        if (canonical && (character & (TTY_END | TTY_EOF)))
            return (long)done;
    }
    /* The reader had room for the whole line: its end of file, if that follows, belongs to it. */
    if (canonical && done == bytes && tty->head != tty->commit && (*at(tty, tty->head) & TTY_EOF))
        tty->head++;
    return (long)done;
}

/* Whether ^S and ^Q, and no other characters, hold output and let it go on. */
static bool flow_is_usual(const struct linux_termios *termios)
{
    return (termios->iflag & LINUX_IXON) && termios->cc[LINUX_VSTOP] == CONTROL('S') &&
           termios->cc[LINUX_VSTART] == CONTROL('Q');
}

/* What of it is locked is as it was. */
static struct linux_termios without_locked(const struct tty *tty,
                                           const struct linux_termios *wanted)
{
    const struct linux_termios *locked = &tty->locked, *old = &tty->termios;
    struct linux_termios new = {
        .iflag = (wanted->iflag & ~locked->iflag) | (old->iflag & locked->iflag),
        .oflag = (wanted->oflag & ~locked->oflag) | (old->oflag & locked->oflag),
        .cflag = (wanted->cflag & ~locked->cflag) | (old->cflag & locked->cflag),
        .lflag = (wanted->lflag & ~locked->lflag) | (old->lflag & locked->lflag),
        .line = locked->line ? old->line : wanted->line,
    };

    for (unsigned i = 0; i < LINUX_NCCS; i++)
        new.cc[i] = locked->cc[i] ? old->cc[i] : wanted->cc[i];
    return new;
}

void tty_set_termios(struct tty *tty, const struct linux_termios *wanted, bool flush_input)
{
    bool was_canonical = local(tty, LINUX_ICANON), was_usual = flow_is_usual(&tty->termios);
    bool had_flow = (tty->termios.iflag & LINUX_IXON) != 0;

    tty->termios = without_locked(tty, wanted);
    if (flush_input)
        tty_flush_input(tty);
    if (had_flow && !(tty->termios.iflag & LINUX_IXON))
        go_on(tty);
    if (was_usual != flow_is_usual(&tty->termios))
        tty->tell(tty, was_usual ? LINUX_TIOCPKT_NOSTOP : LINUX_TIOCPKT_DOSTOP);
    /* What was typed so far is readable as it is, in either mode. */
    if (was_canonical != local(tty, LINUX_ICANON)) {
        tty->commit = tty->tail;
        if (tty->head != tty->commit)
            tty->ready(tty);
    }
}
