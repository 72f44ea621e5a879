/*
 * Knobs: files of /proc/sys/vm and /sys/kernel/mm that hold one number or one word and can be
 * changed. Their values are the memory server's (MM_TUNE_*) where it goes by them. What it has no
 * use for yet is kept here and told.
 */
#include "user/linux/proc.h"

#include <string.h>

#include "user/linux/mmcall.h"
#include "user/linux/text.h"

#define PROACTIVENESS_MAX 100

static const char *const enabled_words[] = {"always", "madvise", "never", NULL};
static const char *const defrag_words[] = {"always",  "defer", "defer+madvise",
                                           "madvise", "never", NULL};

static const char *const shmem_words[] = {"always", "within_size", "advise", "never",
                                          "deny",   "force",       NULL};
#define SHMEM_NEVER 3

/* Numbers that tools read and set and that nothing here goes by: there is no swap, nothing is
 * written back to a disk, no page is merged into a huge one but by MADV_COLLAPSE. */
static struct {
    enum proc_text kind;
    uint64_t value, most;
} numbers[] = {
    {PROC_SYS_SWAPPINESS, 60, 200},
    {PROC_SYS_PAGE_CLUSTER, 3, 31},
    {PROC_SYS_DIRTY_RATIO, 20, 100},
    {PROC_SYS_DIRTY_BACKGROUND_RATIO, 10, 100},
    {PROC_SYS_VFS_CACHE_PRESSURE, 100, INT32_MAX},
    {PROC_SYS_STAT_INTERVAL, 1, INT32_MAX},
    {PROC_SYS_LAPTOP_MODE, 0, INT32_MAX},
    {PROC_KHUGE_DEFRAG, 1, 1},
    {PROC_KHUGE_PAGES_TO_SCAN, 4096, UINT32_MAX},
    {PROC_KHUGE_SCAN_SLEEP, 10000, UINT32_MAX},
    {PROC_KHUGE_ALLOC_SLEEP, 60000, UINT32_MAX},
    {PROC_KHUGE_MAX_NONE, 511, 511},
    {PROC_KHUGE_MAX_SWAP, 64, 511},
    {PROC_KHUGE_MAX_SHARED, 256, 511},
};

static long proactiveness(uint64_t value)
{
    static uint64_t kept = 20; /* as the memory server begins */
    long error = 0;

    if (value == ~0UL)
        return (long)kept;
    if (value > PROACTIVENESS_MAX)
        return -LINUX_EINVAL;
    error = mmcall_compact(MM_COMPACT_PROACTIVENESS, value);
    if (!error)
        kept = value;
    return error;
}

/* Pages are not merged, and so nothing can be begun; nor is there anything to undo. */
static long ksm_run(uint64_t value)
{
    return value == ~0UL || value == 0 || value == 2 ? 0 : -LINUX_EINVAL;
}

/* Files of memory have small pages. */
static long shmem_huge(uint64_t value)
{
    return value == ~0UL || value == SHMEM_NEVER ? SHMEM_NEVER : -LINUX_EINVAL;
}

/* As Linux: what cannot be had or given back is no error; reading tells. */
static long huge_pool(uint64_t value)
{
    return mmcall_huge_pool(value);
}

static const struct knob {
    enum proc_text kind;
    unsigned tune;                 /* enum mm_tune, or: */
    long (*value)(uint64_t value); /* ~0: what it is; else 0 or more, or -errno */
    const char *const *words;      /* what its values are called, NULL: they are numbers */
} knobs[] = {
    {PROC_SYS_OVERCOMMIT_MEMORY, MM_TUNE_OVERCOMMIT, NULL, NULL},
    {PROC_SYS_OVERCOMMIT_RATIO, MM_TUNE_OVERCOMMIT_RATIO, NULL, NULL},
    {PROC_SYS_MAX_MAP_COUNT, MM_TUNE_MAP_COUNT, NULL, NULL},
    {PROC_SYS_MIN_FREE, MM_TUNE_MIN_FREE, NULL, NULL},
    {PROC_HUGE_ENABLED, MM_TUNE_HUGE, NULL, enabled_words},
    {PROC_HUGE_DEFRAG, MM_TUNE_HUGE_DEFRAG, NULL, defrag_words},
    {PROC_HUGE_ZERO_PAGE, MM_TUNE_HUGE_ZERO, NULL, NULL},
    {PROC_SYS_NR_HUGEPAGES, 0, huge_pool, NULL},
    {PROC_SYS_COMPACTION_PROACTIVENESS, 0, proactiveness, NULL},
    {PROC_SHMEM_HUGE, 0, shmem_huge, shmem_words},
    {PROC_KSM_RUN, 0, ksm_run, NULL},
};

static const struct knob *knob_of(enum proc_text kind)
{
    for (unsigned i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
        if (knobs[i].kind == kind)
            return &knobs[i];
    }
    return NULL;
}

static long turn(const struct knob *knob, uint64_t value)
{
    return knob->value ? knob->value(value) : mmcall_tune(knob->tune, value);
}

/* The index of a number that is only kept, or -1. */
static int number_of(enum proc_text kind)
{
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].kind == kind)
            return (int)i;
    }
    return -1;
}

bool knob_text(struct text *text, enum proc_text kind)
{
    const struct knob *knob = knob_of(kind);
    int index = number_of(kind);

    if (index >= 0)
        text_printf(text, "%lu\n", numbers[index].value);
    if (!knob)
        return index >= 0;
    long value = turn(knob, ~0UL);
    if (!knob->words) {
        text_printf(text, "%ld\n", value);
        return true;
    }
    for (long i = 0; knob->words[i]; i++)
        text_printf(text, i == value ? "%s[%s]" : "%s%s", i ? " " : "", knob->words[i]);
    text_printf(text, "\n");
    return true;
}

/* The number of a word, which a line's end may follow; false: it is none of them. */
static bool word_number(const char *const *words, const char *text, uint64_t *value)
{
    size_t bytes = strcspn(text, "\n");

    for (*value = 0; words[*value]; ++*value) {
        if (strlen(words[*value]) == bytes && memcmp(words[*value], text, bytes) == 0)
            return true;
    }
    return false;
}

bool knob_write(enum proc_text kind, const char *text, long *error)
{
    const struct knob *knob = knob_of(kind);
    int index = number_of(kind);
    uint64_t value;

    if (index >= 0) {
        bool fits = proc_number(text, &value) && value <= numbers[index].most;
        *error = fits ? 0 : -LINUX_EINVAL;
        if (fits)
            numbers[index].value = value;
        return true;
    }
    if (!knob)
        return false;
    bool good = knob->words ? word_number(knob->words, text, &value) : proc_number(text, &value);
    *error = good && value != ~0UL ? turn(knob, value) : -LINUX_EINVAL;
    if (*error > 0)
        *error = 0;
    return true;
}
