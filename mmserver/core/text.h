/*
 * Text for reports: written to a window of a longer text, so that a reader can ask for any part.
 * The whole text is produced each time; only what lies in the window is kept. A report that knows
 * where in its text something begins may set `at` and begin there, and may end when it is full.
 */
#ifndef MMSERVER_CORE_TEXT_H
#define MMSERVER_CORE_TEXT_H

#include "mmserver/core/types.h"

struct text {
    char *buffer;
    uint64_t offset; /* of the window in the text */
    uint64_t bytes;  /* size of the window */
    uint64_t at;     /* produced so far */
};

void text_char(struct text *t, char c);
void text_string(struct text *t, const char *s);
/* Pad with spaces to column `column` counted from `start`, which text_mark() gave. */
void text_pad(struct text *t, uint64_t start, unsigned column);
static inline uint64_t text_mark(const struct text *t)
{
    return t->at;
}
/* At least `width` digits or characters, filled with `fill`. */
void text_number(struct text *t, uint64_t value, unsigned base, unsigned width, char fill);
/* %s %c %u %x (64-bit), with a width and a leading 0: "%08x". */
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether what follows lies behind the window. */
static inline bool text_is_full(const struct text *t)
{
    return t->at >= t->offset + t->bytes;
}
/* Bytes that were put into the window. */
static inline uint64_t text_kept(const struct text *t)
{
    return t->at <= t->offset ? 0 : min_u64(t->at - t->offset, t->bytes);
}

/* Format a line (at most 200 bytes) and log it. */
void text_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
