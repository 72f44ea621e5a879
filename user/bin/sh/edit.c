/*
 * The line editor: one line on a terminal in raw mode, with history and completion.
 *
 * The terminal is raw only while a line is read, so commands find it as they expect it. A line
 * longer than the terminal is shown through a window that moves with the cursor. What is typed at
 * the end of a line that fits is echoed as it is; everything else redraws the line.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "user/bin/sh/sh.h"

#define COLUMNS_DEFAULT 80
#define COLUMNS_MIN     20
#define CTRL(c)         ((c)&0x1f)
#define KEY_ESCAPE      0x1b
#define KEY_BACKSPACE   0x7f
#define KEY_EOF         (-1)

/* Keys that arrive as escape sequences. */
enum special_key {
    KEY_UP = 256,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
    KEY_UNKNOWN
};

struct editor {
    const char *prompt;
    char *text; /* SH_LINE_SIZE bytes, NUL-terminated */
    size_t length;
    size_t cursor;
    size_t columns;           /* of the terminal */
    size_t history_index;     /* the line shown; history_count means the new one */
    char saved[SH_LINE_SIZE]; /* the new line while an old one is shown */
};

static char *history[SH_HISTORY];
static size_t history_count;

void edit_add_history(const char *line)
{
    if (line[strspn(line, " \t")] == '\0')
        return;
    if (history_count > 0 && strcmp(history[history_count - 1], line) == 0)
        return;
    char *copy = strdup(line);
    if (copy == NULL)
        return;
    if (history_count == SH_HISTORY) {
        free(history[0]);
        memmove(history, history + 1, (SH_HISTORY - 1) * sizeof(*history));
        history_count--;
    }
    history[history_count++] = copy;
}

const char *edit_history(size_t i)
{
    return i < history_count ? history[i] : NULL;
}

static void put(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t done = write(1, text, length);
        if (done <= 0)
            return;
        text += done;
        length -= (size_t)done;
    }
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

/* Shows the part of the line around the cursor, and the cursor in it. One write, no flicker. */
static void redraw(const struct editor *e)
{
    char out[2 * SH_LINE_SIZE];
    size_t prompt = strlen(e->prompt);
    size_t room = e->columns - 1 > prompt ? e->columns - 1 - prompt : 1;
    size_t first = e->cursor > room ? e->cursor - room : 0;
    size_t shown = e->length - first < room ? e->length - first : room;
    int used =
        snprintf(out, sizeof(out), "\r%s%.*s\x1b[K\r", e->prompt, (int)shown, e->text + first);
    size_t column = prompt + e->cursor - first;

    if (column > 0)
        used += snprintf(out + used, sizeof(out) - (size_t)used, "\x1b[%zuC", column);
    put(out, (size_t)used);
}

static int read_byte(void)
{
    unsigned char byte;

    return read(0, &byte, 1) == 1 ? byte : KEY_EOF;
}

/* ESC [ A, ESC O A, ESC [ 3 ~ and their like. */
static int read_escape(void)
{
    static const int by_number[] = {KEY_UNKNOWN, KEY_HOME,    KEY_UNKNOWN, KEY_DELETE, KEY_END,
                                    KEY_UNKNOWN, KEY_UNKNOWN, KEY_HOME,    KEY_END};
    int kind = read_byte();
    int key = kind == '[' || kind == 'O' ? read_byte() : kind;

    if (kind == '[' && isdigit(key)) {
        int number = 0, end = key;
        while (isdigit(end) || end == ';') {
            number = isdigit(end) ? number * 10 + end - '0' : 0;
            if (number > 99)
                number = 99;
            end = read_byte();
        }
        if (end == '~')
            return number < (int)(sizeof(by_number) / sizeof(int)) ? by_number[number]
                                                                   : KEY_UNKNOWN;
        key = end; /* ESC [ 1 ; 5 C: an arrow with a modifier */
    }
    switch (key) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case 'C':
        return KEY_RIGHT;
    case 'D':
        return KEY_LEFT;
    case 'H':
        return KEY_HOME;
    case 'F':
        return KEY_END;
    case KEY_EOF:
        return KEY_EOF;
    default:
        return KEY_UNKNOWN;
    }
}

static int read_key(void)
{
    int key = read_byte();

    return key == KEY_ESCAPE ? read_escape() : key;
}

static void insert(struct editor *e, const char *text, size_t length)
{
    if (e->length + length >= SH_LINE_SIZE) {
        put("\a", 1);
        return;
    }
    memmove(e->text + e->cursor + length, e->text + e->cursor, e->length - e->cursor + 1);
    memcpy(e->text + e->cursor, text, length);
    e->length += length;
    e->cursor += length;
    if (e->cursor == e->length && strlen(e->prompt) + e->length < e->columns)
        put(text, length);
    else
        redraw(e);
}

/* Removes [from, to) and leaves the cursor there. */
static void erase(struct editor *e, size_t from, size_t to)
{
    memmove(e->text + from, e->text + to, e->length - to + 1);
    e->length -= to - from;
    e->cursor = from;
    redraw(e);
}

static void move(struct editor *e, size_t to)
{
    e->cursor = to;
    redraw(e);
}

static void erase_word(struct editor *e)
{
    size_t from = e->cursor;

    while (from > 0 && e->text[from - 1] == ' ')
        from--;
    while (from > 0 && e->text[from - 1] != ' ')
        from--;
    erase(e, from, e->cursor);
}

/* Goes to the older (-1) or newer (+1) line. */
static void move_in_history(struct editor *e, int direction)
{
    if ((direction < 0 && e->history_index == 0) ||
        (direction > 0 && e->history_index == history_count))
        return;
    if (e->history_index == history_count)
        memcpy(e->saved, e->text, e->length + 1);
    e->history_index += (size_t)direction;
    const char *line = e->history_index == history_count ? e->saved : history[e->history_index];
    e->length = strlen(line);
    memcpy(e->text, line, e->length + 1);
    move(e, e->length);
}

static void list_words(const struct editor *e, const struct completion *c)
{
    size_t widest = 0, per_line;

    for (size_t i = 0; i < c->count; i++)
        widest = strlen(c->words[i]) > widest ? strlen(c->words[i]) : widest;
    per_line = e->columns / (widest + 2) > 0 ? e->columns / (widest + 2) : 1;
    put_text("\n");
    for (size_t i = 0; i < c->count; i++) {
        char cell[2 * SH_PATH_SIZE];
        snprintf(cell, sizeof(cell), "%-*s", (int)widest + 2, c->words[i]);
        put_text(cell);
        if (i % per_line == per_line - 1 || i == c->count - 1)
            put_text("\n");
    }
    redraw(e);
}

static void complete_word(struct editor *e)
{
    struct completion c;

    complete(e->text, e->cursor, &c);
    size_t typed = e->cursor - c.start;
    if (c.count == 0) {
        put("\a", 1);
    } else if (c.count == 1) {
        insert(e, c.words[0] + typed, c.common - typed);
        if (c.words[0][c.common - 1] != '/')
            insert(e, " ", 1);
    } else if (c.common > typed) {
        insert(e, c.words[0] + typed, c.common - typed);
    } else {
        list_words(e, &c);
    }
    complete_free(&c);
}

/* What a key does to the line. Enter, Ctrl-C and the end of input are edit_line's. */
static void handle_key(struct editor *e, int key)
{
    char c = (char)key;

    switch (key) {
    case KEY_LEFT:
    case CTRL('B'):
        if (e->cursor > 0)
            move(e, e->cursor - 1);
        break;
    case KEY_RIGHT:
    case CTRL('F'):
        if (e->cursor < e->length)
            move(e, e->cursor + 1);
        break;
    case KEY_HOME:
    case CTRL('A'):
        move(e, 0);
        break;
    case KEY_END:
    case CTRL('E'):
        move(e, e->length);
        break;
    case KEY_UP:
    case CTRL('P'):
        move_in_history(e, -1);
        break;
    case KEY_DOWN:
    case CTRL('N'):
        move_in_history(e, 1);
        break;
    case KEY_BACKSPACE:
    case CTRL('H'):
        if (e->cursor > 0)
            erase(e, e->cursor - 1, e->cursor);
        break;
    case KEY_DELETE:
    case CTRL('D'):
        if (e->cursor < e->length)
            erase(e, e->cursor, e->cursor + 1);
        break;
    case CTRL('K'):
        erase(e, e->cursor, e->length);
        break;
    case CTRL('U'):
        erase(e, 0, e->cursor);
        break;
    case CTRL('W'):
        erase_word(e);
        break;
    case CTRL('L'):
        put_text("\x1b[H\x1b[2J");
        redraw(e);
        break;
    case '\t':
        complete_word(e);
        break;
    default:
        if (key >= ' ' && key < 256)
            insert(e, &c, 1);
    }
}

/* The editing itself, on a raw terminal. The line's length, or -1 at the end of input. */
static int edit(struct editor *e)
{
    put_text(e->prompt);
    for (;;) {
        int key = read_key();
        if (key == KEY_EOF || (key == CTRL('D') && e->length == 0)) {
            put_text("\n");
            return -1;
        }
        if (key == '\r' || key == '\n') {
            put_text("\n");
            return (int)e->length;
        }
        if (key == CTRL('C')) {
            put_text("^C\n");
            e->text[0] = '\0';
            return 0;
        }
        handle_key(e, key);
    }
}

int edit_line(const char *prompt, char line[SH_LINE_SIZE])
{
    static struct editor e;
    struct termios before, raw;
    struct winsize size = {0};

    ioctl(0, TIOCGWINSZ, &size);
    e = (struct editor){.prompt = prompt,
                        .text = line,
                        .columns = size.ws_col >= COLUMNS_MIN ? size.ws_col : COLUMNS_DEFAULT,
                        .history_index = history_count};
    line[0] = '\0';
    fflush(stdout);
    if (tcgetattr(0, &before) < 0)
        return -1;
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(0, TCSADRAIN, &raw);
    int length = edit(&e);
    tcsetattr(0, TCSADRAIN, &before);
    return length;
}
