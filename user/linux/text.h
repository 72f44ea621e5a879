/* Texts that grow: what the files of /proc are made in. Big lock held. */
#ifndef LINUX_TEXT_H
#define LINUX_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t bytes, room;
    long error;
};

/* Make room for `more` bytes and a NUL. False without memory. */
bool text_grow(struct text *text, size_t more);
void text_add(struct text *text, const char *data, size_t bytes);
__attribute__((format(printf, 2, 3))) void text_printf(struct text *text, const char *format, ...);
/* A whole report of the memory server (MM_REPORT_*). */
void text_report(struct text *text, unsigned kind, uint64_t id);

#endif
