/*
 * Reader of riscv64 ELF executables: at fixed addresses (ET_EXEC) and position-independent
 * (ET_DYN), with or without an interpreter that is to load the rest.
 *
 * elf_open() checks everything that loading relies on: the headers, that every segment's contents
 * lie in the file, that loadable segments are sorted, do not overlap and do not wrap, that
 * addresses and offsets agree modulo the page size, and that the entry point is executable. The
 * file is only looked at and need not be aligned; it must not change while it is used. Nothing is
 * allocated.
 */
#ifndef LIB_ELF_H
#define LIB_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_PAGE_BYTES   4096u
#define ELF_SEGMENTS_MAX 64u
#define ELF_PATH_MAX     4096u

enum elf_error {
    ELF_OK,
    ELF_SHORT,       /* the file ends inside a header */
    ELF_MAGIC,       /* not an ELF file */
    ELF_MACHINE,     /* not 64-bit little-endian RISC-V */
    ELF_TYPE,        /* neither ET_EXEC nor ET_DYN */
    ELF_HEADERS,     /* program headers: none, too many, of a wrong size or outside the file */
    ELF_INTERPRETER, /* the name of its dynamic loader is malformed */
    ELF_SEGMENT, /* a segment lies outside the file, wraps, or is larger in file than in memory */
    ELF_ALIGN,   /* a segment's address, offset and alignment disagree */
    ELF_ORDER,   /* loadable segments overlap or are not sorted by address */
    ELF_EMPTY,   /* there is no loadable segment */
    ELF_ENTRY    /* the entry point is in no executable segment */
};

#define ELF_FLAG_STARTUP 0x00100000u /* ours: only the program's start needs it */
#define ELF_FLAG_X       1u
#define ELF_FLAG_W       2u
#define ELF_FLAG_R       4u

struct elf_segment {
    uint64_t address;      /* virtual */
    uint64_t memory_bytes; /* not less than file_bytes; the rest is zero */
    uint64_t file_offset;
    uint64_t file_bytes;
    uint64_t align;
    uint32_t flags; /* ELF_FLAG_* */
};

struct elf_image {
    const uint8_t *file;
    uint64_t file_bytes;
    uint64_t head_bytes; /* of them those that can be read at `file` */
    uint64_t entry;
    uint64_t start, end;     /* first and one past the last address of the loadable segments */
    uint64_t header_offset;  /* of the program headers in the file */
    uint64_t header_address; /* where they are in memory once loaded; 0 if in no segment */
    uint32_t header_count;
    uint64_t interpreter_offset; /* in the file: the NUL-terminated path of the dynamic loader */
    uint64_t interpreter_bytes;  /* with the NUL; 0: it needs none */
    bool dynamic;         /* ET_DYN: all addresses are relative to a base of the loader's choice */
    bool has_stack_flags; /* there is a PT_GNU_STACK, and: */
    bool stack_exec;      /* it asks for an executable stack */
};

#define ELF_HEADER_BYTES 56u /* of one program header: AT_PHENT */

/* enum elf_error */
int elf_open(struct elf_image *image, const void *file, size_t file_bytes);
/* The same where only the file's first head_bytes are at hand, in which its headers and the name of
 * its dynamic loader then have to be. */
int elf_open_head(struct elf_image *image, const void *head, size_t head_bytes,
                  uint64_t file_bytes);
const char *elf_error_text(int error);

/* Loadable segments with nonzero size, in ascending order; start with *index = 0. */
bool elf_next_load(const struct elf_image *image, unsigned *index, struct elf_segment *segment);
/* The thread-local storage template; false if there is none. */
bool elf_tls(const struct elf_image *image, struct elf_segment *segment);

#endif
