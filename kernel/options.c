/* The kernel's own boot arguments: words "name=value" between blanks. The last of a name wins. */
#include "kernel/options.h"

#include <pagoda/boot.h>
#include <string.h>

static bool is(const char *value, size_t bytes, const char *text)
{
    return strlen(text) == bytes && memcmp(value, text, bytes) == 0;
}

static bool read_paging(struct options *o, const char *value, size_t bytes)
{
    for (unsigned levels = 3; levels <= 5; levels++) {
        static const char *const name[] = {[3] = "sv39", [4] = "sv48", [5] = "sv57"};
        if (is(value, bytes, name[levels])) {
            o->levels = levels;
            return true;
        }
    }
    return false;
}

static bool read_pager(struct options *o, const char *value, size_t bytes)
{
    o->pager_kernel = is(value, bytes, "kernel");
    return o->pager_kernel || is(value, bytes, "user");
}

/* asid=0 uses none; asid=1 as many as the machine has. */
static bool read_asid(struct options *o, const char *value, size_t bytes)
{
    o->asid_off = is(value, bytes, "0");
    return o->asid_off || is(value, bytes, "1");
}

static bool read_harts(struct options *o, const char *value, size_t bytes)
{
    unsigned n = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < '0' || value[i] > '9' || n > HARTS_MAX)
            return false;
        n = n * 10 + (unsigned)(value[i] - '0');
    }
    o->harts_max = n;
    return bytes > 0 && n >= 1 && n <= HARTS_MAX;
}

static bool read_messages(struct options *o, const char *value, size_t bytes)
{
    o->plain = is(value, bytes, "plain");
    return o->plain || is(value, bytes, "straight");
}

static const struct {
    const char *name;
    bool (*read)(struct options *o, const char *value, size_t bytes);
} words[] = {
    {"paging=", read_paging},  {"pager=", read_pager},       {"asid=", read_asid},
    {"maxharts=", read_harts}, {"messages=", read_messages},
};

const char *options_read(struct options *o, const char *args)
{
    *o = (struct options){.levels = 3, .harts_max = HARTS_MAX};
    for (const char *word = args + strspn(args, " "); *word;) {
        size_t bytes = strcspn(word, " ");
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            size_t name_bytes = strlen(words[i].name);
            if (bytes >= name_bytes && memcmp(word, words[i].name, name_bytes) == 0 &&
                !words[i].read(o, word + name_bytes, bytes - name_bytes))
                return word;
        }
        word += bytes;
        word += strspn(word, " ");
    }
    return NULL;
}
