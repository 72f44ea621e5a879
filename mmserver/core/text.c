/* A small formatter: the server must not use what keeps state in thread-local storage. */
#include "mmserver/core/text.h"
#include "mmserver/core/place.h"
#include <stdarg.h>
#include <string.h>

#define LOG_LINE_BYTES 200

void text_char(struct text *t, char c)
{
    if (t->at >= t->offset && t->at - t->offset < t->bytes)
        t->buffer[t->at - t->offset] = c;
    t->at++;
}

void text_string(struct text *t, const char *s)
{
    while (*s)
        text_char(t, *s++);
}

void text_pad(struct text *t, uint64_t start, unsigned column)
{
    while (t->at - start < column)
        text_char(t, ' ');
}

void text_number(struct text *t, uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[24];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > count; width--)
        text_char(t, fill);
    while (count)
        text_char(t, digits[--count]);
}

/* At the right end of `width` columns. */
static void format_string(struct text *t, const char *s, unsigned width)
{
    for (size_t length = strlen(s); length < width; length++)
        text_char(t, ' ');
    text_string(t, s);
}

static void format_list(struct text *t, const char *f, va_list list)
{
    for (; *f; f++) {
        unsigned width = 0;
        char fill = ' ';

        if (*f != '%') {
            text_char(t, *f);
            continue;
        }
        if (*++f == '0')
            fill = '0';
        while (*f >= '0' && *f <= '9')
            width = width * 10 + (unsigned)(*f++ - '0');
        while (*f == 'l')
            f++;
        switch (*f) {
        case 's':
            format_string(t, va_arg(list, const char *), width);
            break;
        case 'c':
            text_char(t, (char)va_arg(list, int));
            break;
        case 'u':
            text_number(t, va_arg(list, uint64_t), 10, width, fill);
            break;
        case 'x':
            text_number(t, va_arg(list, uint64_t), 16, width, fill);
            break;
        default:
            text_char(t, '%');
            f--;
        }
    }
}

void text_format(struct text *t, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    format_list(t, format, list);
    va_end(list);
}

void text_log(const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    struct text t = {.buffer = line, .bytes = sizeof line - 1};
    va_list list;

    va_start(list, format);
    text_string(&t, "mmserver: ");
    format_list(&t, format, list);
    va_end(list);
    uint64_t bytes = text_kept(&t);
    line[bytes] = '\n';
    place_log(line, bytes + 1);
}
