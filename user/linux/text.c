/* Texts that grow (see text.h). */
#include "user/linux/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/mmcall.h"

#define GROW_BYTES 4096

bool text_grow(struct text *text, size_t more)
{
    if (text->error)
        return false;
    if (text->room - text->bytes > more)
        return true;
    size_t room = text->room * 2 + GROW_BYTES + more;
    char *data = realloc(text->data, room);
    if (!data) {
        text->error = -LINUX_ENOMEM;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

void text_add(struct text *text, const char *data, size_t bytes)
{
    if (!text_grow(text, bytes))
        return;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

void text_printf(struct text *text, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    int bytes = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (bytes > 0)
        text_add(text, line, (size_t)bytes < sizeof(line) ? (size_t)bytes : sizeof(line) - 1);
}

void text_report(struct text *text, unsigned kind, uint64_t id)
{
    uint64_t offset = 0;

    while (text_grow(text, GROW_BYTES)) {
        long got = mmcall_report(kind, id, text->data + text->bytes, GROW_BYTES, offset);
        if (got < 0)
            text->error = got;
        if (got <= 0)
            break;
        text->bytes += (size_t)got;
        offset += (uint64_t)got;
    }
}
