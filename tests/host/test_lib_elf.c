/* The ELF reader: a good image, and one bad field at a time. */
#include "ktap.h"
#include "lib/elf.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS = 4, FILE_BYTES = 0x3000 };

static uint8_t file[FILE_BYTES];

static void put(size_t at, uint64_t value, size_t bytes)
{
    memcpy(file + at, &value, bytes);
}

static size_t header_at(unsigned i)
{
    return 64 + (size_t)i * ELF_HEADER_BYTES;
}

static void header(unsigned i, uint32_t type, uint32_t flags, uint64_t offset, uint64_t address,
                   uint64_t file_bytes, uint64_t memory_bytes)
{
    size_t at = header_at(i);
    put(at, type, 4);
    put(at + 4, flags, 4);
    put(at + 8, offset, 8);
    put(at + 16, address, 8);
    put(at + 24, address, 8);
    put(at + 32, file_bytes, 8);
    put(at + 40, memory_bytes, 8);
    put(at + 48, 4096, 8);
}

static void build(void)
{
    memset(file, 0, sizeof file);
    memcpy(file, "\177ELF\2\1\1", 7);
    put(16, 2, 2);   /* ET_EXEC */
    put(18, 243, 2); /* RISC-V */
    put(20, 1, 4);
    put(24, 0x10100, 8); /* entry */
    put(32, 64, 8);      /* program headers */
    put(54, ELF_HEADER_BYTES, 2);
    put(56, HEADERS, 2);
    header(0, 1, ELF_FLAG_R | ELF_FLAG_X, 0, 0x10000, 0x1000, 0x1000);
    header(1, 1, ELF_FLAG_R | ELF_FLAG_W, 0x1000, 0x20000, 0x800, 0x5000);
    header(2, 7, ELF_FLAG_R, 0x1000, 0x20000, 0x10, 0x30);
    header(3, 0x6474e551, ELF_FLAG_R | ELF_FLAG_W, 0, 0, 0, 0);
}

/* Read from a copy of exact size, so that the sanitizer sees every step outside. */
static int open_copy(struct elf_image *image, size_t bytes)
{
    uint8_t *copy = malloc(bytes + 1);
    memcpy(copy, file, bytes);
    int error = elf_open(image, copy, bytes);
    free(copy);
    return error;
}

static int open_file(void)
{
    struct elf_image image;
    return open_copy(&image, FILE_BYTES);
}

KTAP_CASE(elf_good_image_is_described)
{
    struct elf_image image;
    struct elf_segment s;
    unsigned i = 0;
    build();
    EXPECT_EQ(elf_open(&image, file, FILE_BYTES), ELF_OK);
    EXPECT_EQ(image.entry, 0x10100);
    EXPECT_EQ(image.start, 0x10000);
    EXPECT_EQ(image.end, 0x25000);
    EXPECT_EQ(image.header_address, 0x10040);
    EXPECT(!image.dynamic && image.has_stack_flags && !image.stack_exec);
    EXPECT(elf_next_load(&image, &i, &s));
    EXPECT_EQ(s.address, 0x10000);
    EXPECT_EQ(s.flags, ELF_FLAG_R | ELF_FLAG_X);
    EXPECT(elf_next_load(&image, &i, &s));
    EXPECT_EQ(s.memory_bytes, 0x5000);
    EXPECT(!elf_next_load(&image, &i, &s));
    EXPECT(elf_tls(&image, &s));
    EXPECT_EQ(s.memory_bytes, 0x30);
}

KTAP_CASE(elf_bad_file_headers_are_refused)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        int error;
    } bad[] = {
        {0, 0, 1, ELF_MAGIC},
        {4, 1, 1, ELF_MACHINE},
        {5, 2, 1, ELF_MACHINE},
        {6, 0, 1, ELF_MACHINE},
        {18, 62, 2, ELF_MACHINE},
        {20, 2, 4, ELF_MACHINE},
        {16, 1, 2, ELF_TYPE},
        {32, ~0UL, 8, ELF_HEADERS},
        {32, FILE_BYTES - 8, 8, ELF_HEADERS},
        {54, 32, 2, ELF_HEADERS},
        {56, 0, 2, ELF_HEADERS},
        {56, 0xffff, 2, ELF_HEADERS},
        {24, 0x20000, 8, ELF_ENTRY},
        {24, 0x11000, 8, ELF_ENTRY},
        {24, ~0UL, 8, ELF_ENTRY},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        build();
        put(bad[i].at, bad[i].value, bad[i].bytes);
        EXPECT_EQ(open_file(), bad[i].error);
    }
}

KTAP_CASE(elf_bad_segments_are_refused)
{
    static const struct {
        size_t at; /* in a program header */
        uint64_t value;
        int error;
    } bad[] = {
        {8, FILE_BYTES + 0x1000, ELF_SEGMENT}, /* offset */
        {8, ~0xfffUL, ELF_SEGMENT},
        {8, 0x1800, ELF_ALIGN},
        {16, ~0UL - 0xfff, ELF_SEGMENT}, /* address wraps */
        {16, 0x20800, ELF_ALIGN},
        {16, 0x10000, ELF_ORDER},
        {16, 0x8000, ELF_ORDER},
        {32, 0x6000, ELF_SEGMENT}, /* larger in the file than in memory */
        {40, ~0UL, ELF_SEGMENT},
        {40, 0x100, ELF_SEGMENT},
        {48, 3, ELF_ALIGN},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        build();
        put(header_at(1) + bad[i].at, bad[i].value, 8);
        EXPECT_EQ(open_file(), bad[i].error);
    }
}

/* Where only its beginning is at hand, the headers have to be in it; the contents need not. */
KTAP_CASE(elf_headers_lie_in_the_head)
{
    struct elf_image image;
    size_t headers_end = header_at(4);
    build();
    EXPECT_EQ(elf_open_head(&image, file, headers_end, FILE_BYTES), ELF_OK);
    EXPECT_EQ(elf_open_head(&image, file, headers_end - 1, FILE_BYTES), ELF_HEADERS);
    EXPECT_EQ(elf_open_head(&image, file, 63, FILE_BYTES), ELF_SHORT);
    EXPECT_EQ(elf_open_head(&image, file, FILE_BYTES, 63), ELF_SHORT);
}

KTAP_CASE(elf_kinds_that_are_told_apart)
{
    struct elf_image image;
    build();
    put(16, 3, 2);
    EXPECT_EQ(elf_open(&image, file, FILE_BYTES), ELF_OK);
    EXPECT(image.dynamic);
    put(header_at(3), 3, 4);
    EXPECT_EQ(open_file(), ELF_INTERPRETER);
    build();
    put(header_at(3) + 4, ELF_FLAG_X, 4);
    EXPECT_EQ(elf_open(&image, file, FILE_BYTES), ELF_OK);
    EXPECT(image.stack_exec);
    build();
    put(header_at(0), 0, 4);
    put(header_at(1), 0, 4);
    EXPECT_EQ(open_file(), ELF_EMPTY);
}

KTAP_CASE(elf_cut_anywhere_is_an_error)
{
    struct elf_image image;
    build();
    for (size_t bytes = 0; bytes < 0x1800; bytes++)
        EXPECT(open_copy(&image, bytes) != ELF_OK);
    EXPECT_EQ(open_copy(&image, 0x1800), ELF_OK);
}

KTAP_CASE(elf_errors_have_sentences)
{
    for (int i = ELF_OK; i <= ELF_ENTRY; i++)
        EXPECT(strcmp(elf_error_text(i), "unknown error") != 0);
    EXPECT(strcmp(elf_error_text(100), "unknown error") == 0);
}
