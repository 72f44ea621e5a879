/* The newc reader: good archives, and each way in which one can be bad. */
#include "ktap.h"
#include "lib/cpio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct archive {
    char *bytes;
    size_t used;
};

static void pad(struct archive *a)
{
    while (a->used % 4)
        a->bytes[a->used++] = 0;
}

static void add(struct archive *a, const char *name, const char *data, unsigned mode)
{
    size_t bytes = strlen(data);
    a->bytes = realloc(a->bytes, a->used + 256 + strlen(name) + bytes);
    a->used += (size_t)sprintf(
        a->bytes + a->used, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 7, mode,
        0, 0, 2, 99, (unsigned)bytes, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
    memcpy(a->bytes + a->used, name, strlen(name) + 1);
    a->used += strlen(name) + 1;
    pad(a);
    memcpy(a->bytes + a->used, data, bytes);
    a->used += bytes;
    pad(a);
}

static struct archive sample(void)
{
    struct archive a = {0};
    add(&a, ".", "", CPIO_TYPE_DIR | 0755);
    add(&a, "./sbin/one", "hello", CPIO_TYPE_FILE | 0755);
    add(&a, "/etc/two", "", CPIO_TYPE_FILE | 0644);
    add(&a, "sbin/one", "later", CPIO_TYPE_FILE | 0700);
    add(&a, "TRAILER!!!", "", 0);
    return a;
}

KTAP_CASE(cpio_walks_all_entries)
{
    struct archive a = sample();
    struct cpio_entry e;
    size_t position = 0;
    int entries = 0;
    while (cpio_next(a.bytes, a.used, &position, &e) == 1)
        entries++;
    EXPECT_EQ(entries, 4);
    free(a.bytes);
}

KTAP_CASE(cpio_find_gives_the_last_of_a_path)
{
    struct archive a = sample();
    struct cpio_entry e;
    EXPECT_EQ(cpio_find(a.bytes, a.used, "/sbin/one", &e), 1);
    EXPECT_EQ(e.bytes, 5);
    EXPECT(memcmp(e.data, "later", 5) == 0);
    EXPECT_EQ(e.mode, CPIO_TYPE_FILE | 0700);
    EXPECT_EQ(e.mtime, 99);
    EXPECT_EQ(cpio_find(a.bytes, a.used, "etc/two", &e), 1);
    EXPECT_EQ(e.bytes, 0);
    EXPECT_EQ(cpio_find(a.bytes, a.used, "etc/three", &e), 0);
    free(a.bytes);
}

/* Wherever an archive is cut off, reading it ends with an error; sanitizers watch the bounds. */
KTAP_CASE(cpio_cut_anywhere_is_an_error)
{
    struct archive a = sample();
    struct cpio_entry e;
    size_t trailer_end = a.used - 1; /* padding of the trailer is not needed */
    for (size_t bytes = 0; bytes < trailer_end - 4; bytes++) {
        char *cut = malloc(bytes + 1);
        memcpy(cut, a.bytes, bytes);
        EXPECT(cpio_find(cut, bytes, "nothing", &e) < 0);
        free(cut);
    }
    free(a.bytes);
}

KTAP_CASE(cpio_bad_fields_have_their_errors)
{
    struct archive a = sample();
    struct cpio_entry e;
    size_t position = 0;
    a.bytes[0] = 'x';
    EXPECT_EQ(cpio_next(a.bytes, a.used, &position, &e), -CPIO_MAGIC);
    a.bytes[0] = '0';
    a.bytes[10] = 'g';
    EXPECT_EQ(cpio_next(a.bytes, a.used, &position, &e), -CPIO_NUMBER);
    a.bytes[10] = '0';
    memcpy(a.bytes + 94, "00000001", 8); /* name of one byte: empty */
    EXPECT_EQ(cpio_next(a.bytes, a.used, &position, &e), -CPIO_NAME);
    memcpy(a.bytes + 94, "ffffffff", 8);
    EXPECT_EQ(cpio_next(a.bytes, a.used, &position, &e), -CPIO_SHORT);
    memcpy(a.bytes + 94, "00000002", 8);
    memcpy(a.bytes + 54, "ffffffff", 8); /* contents */
    EXPECT_EQ(cpio_next(a.bytes, a.used, &position, &e), -CPIO_SHORT);
    EXPECT_EQ(position, 0);
    free(a.bytes);
}

KTAP_CASE(cpio_errors_have_sentences)
{
    for (int i = CPIO_OK; i <= CPIO_NAME; i++)
        EXPECT(strcmp(cpio_error_text(-i), "unknown error") != 0);
    EXPECT(strcmp(cpio_error_text(100), "unknown error") == 0);
}
