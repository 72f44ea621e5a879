/*
 * Marks for harness/events_plugin.c: what happens between MARK_OPEN and MARK_CLOSE is a row's. They
 * are instructions without effect, so a program with marks runs anywhere. A plugin sees no
 * registers, only addresses: the load behind a mark says which row is meant.
 */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

enum { MARK_OPEN = 1, MARK_CLOSE, MARK_ROW_BEGINS, MARK_ROW_ADDS, MARK_ROW_ENDS, MARK_TELL };

static inline void mark_open(void)
{
    __asm__ volatile("sltiu zero, zero, %0" ::"i"(MARK_OPEN) : "memory");
}

/* Not compressed: the load stands 4 bytes behind the mark. */
#define MARK_AT(mark, at)                       \
    __asm__ volatile(".option push\n\t"         \
                     ".option norvc\n\t"        \
                     "sltiu zero, zero, %0\n\t" \
                     "lbu zero, 0(%1)\n\t"      \
                     ".option pop" ::"i"(mark), \
                     "r"(at)                    \
                     : "memory")

/* The row is complete, and this is its name. */
static inline void mark_tell(const void *row, const char *name)
{
    static const char origin[256];

    MARK_AT(MARK_ROW_ENDS, row);
    MARK_AT(MARK_TELL, origin);
    do {
        MARK_AT(MARK_TELL, origin + (unsigned char)*name);
    } while (*name++ != '\0');
}

#endif
