/*
 * Random mmap, munmap, mprotect, mremap, madvise and accesses in a window of a program, against a
 * model that has one byte of rights and one of content for each page.
 */
#include "core_world.h"

#include <string.h>

#define PAGES  1500UL
#define BASE   0x10003f0000UL /* the window lies across leaf tables */
#define STEPS  4000
#define ABSENT 0x80

static struct client *program;
static uint8_t rights[PAGES]; /* ABSENT or PROT_* */
static uint8_t content[PAGES];

static vaddr_t address_of(uint64_t page)
{
    return BASE + (page << PAGE_SHIFT);
}

static bool all_absent(uint64_t page, uint64_t count, bool absent)
{
    for (uint64_t i = 0; i < count; i++) {
        if ((rights[page + i] == ABSENT) != absent)
            return false;
    }
    return true;
}

static void model_map(uint64_t page, uint64_t count, uint8_t prot)
{
    memset(rights + page, prot, count);
    memset(content + page, 0, count);
}

/* A part of the window, or a whole VMA in it: with those calls take their straight ways. */
static void pick(uint64_t *page, uint64_t *count)
{
    const struct vma *v = vma_find(program->mm, address_of(ktap_random_below(PAGES)));

    if (v && v->start >= BASE && v->end < address_of(PAGES) && ktap_random_below(3) == 0) {
        *page = (v->start - BASE) >> PAGE_SHIFT;
        *count = vma_pages(v);
        return;
    }
    *count = 1 + ktap_random_below(ktap_random_below(4) ? 40 : 700);
    *page = ktap_random_below(PAGES - *count);
}

static uint8_t pick_prot(void)
{
    static const uint8_t prots[] = {
        PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
        PROT_WRITE};

    return prots[ktap_random_below(sizeof prots)];
}

static void step_mmap(void)
{
    uint64_t page, count;
    uint8_t prot = pick_prot();
    bool replace = ktap_random_below(2);

    pick(&page, &count);
    uint64_t at = core_world_mmap(program, address_of(page), count << PAGE_SHIFT, prot,
                                  replace ? MAP_FIXED : MAP_FIXED_NOREPLACE);
    if (replace || all_absent(page, count, true)) {
        EXPECT_EQ(at, address_of(page));
        model_map(page, count, prot);
    } else {
        EXPECT_EQ(at, -LINUX_EEXIST);
    }
}

/* A page where the system likes comes and goes, written to or not. */
static void step_anywhere(void)
{
    static vaddr_t at;
    uint8_t value = 1;

    if (at) {
        EXPECT_EQ(core_world_call(program, NR_munmap, at, PAGE_BYTES, 0, 0, 0), 0);
        at = 0;
        return;
    }
    at = core_world_mmap(program, 0, PAGE_BYTES, PROT_READ | PROT_WRITE, 0);
    EXPECT(at > address_of(PAGES) && !(at & PAGE_MASK));
    if (ktap_random_below(2))
        EXPECT(sim_access(program, at, SIM_WRITE, &value).done);
}

static void step_munmap(void)
{
    uint64_t page, count;

    pick(&page, &count);
    EXPECT_EQ(core_world_call(program, NR_munmap, address_of(page), count << PAGE_SHIFT, 0, 0, 0),
              0);
    model_map(page, count, ABSENT);
}

static void step_mprotect(void)
{
    uint64_t page, count, done = 0;
    uint8_t prot = pick_prot();

    pick(&page, &count);
    long error =
        core_world_call(program, NR_mprotect, address_of(page), count << PAGE_SHIFT, prot, 0, 0);
    while (done < count && rights[page + done] != ABSENT)
        rights[page + done++] = prot;
    EXPECT_EQ(error, done == count ? 0 : -LINUX_ENOMEM);
}

static void step_dontneed(void)
{
    uint64_t page, count;

    pick(&page, &count);
    long error = core_world_call(program, NR_madvise, address_of(page), count << PAGE_SHIFT,
                                 MADV_DONTNEED, 0, 0);
    EXPECT_EQ(error, all_absent(page, count, false) ? 0 : -LINUX_ENOMEM);
    memset(content + page, 0, count);
}

/* Does one VMA hold all of it? Which neighbours with equal rights are one depends on where their
 * pages came from, see compare_vmas(). */
static bool one_vma(uint64_t page, uint64_t count)
{
    struct vma *v = vma_at(program->mm, address_of(page));

    return v && v->end >= address_of(page + count);
}

static void step_mremap(void)
{
    uint64_t from, count, to, other;

    pick(&from, &count);
    pick(&to, &other);
    if (to + count > PAGES)
        return;
    bool one = one_vma(from, count);
    bool overlap = from < to + count && to < from + count;
    long at = core_world_call(program, NR_mremap, address_of(from), count << PAGE_SHIFT,
                              count << PAGE_SHIFT, MREMAP_MAYMOVE | MREMAP_FIXED, address_of(to));
    if (rights[from] == ABSENT) {
        EXPECT_EQ(at, -LINUX_EFAULT);
        return;
    }
    if (overlap) {
        EXPECT_EQ(at, -LINUX_EINVAL);
        return;
    }
    /* The destination goes even if the source then turns out to be more than one VMA. */
    model_map(to, count, ABSENT);
    if (!one) {
        EXPECT_EQ(at, -LINUX_EFAULT);
        return;
    }
    EXPECT_EQ(at, address_of(to));
    memcpy(rights + to, rights + from, count);
    memcpy(content + to, content + from, count);
    model_map(from, count, ABSENT);
}

static void touch(uint64_t page, bool write)
{
    uint8_t value = (uint8_t)(1 + ktap_random_below(255));
    struct sim_outcome o =
        sim_access(program, address_of(page) + 9, write ? SIM_WRITE : SIM_READ, &value);
    uint8_t needed = write ? PROT_WRITE : PROT_READ | PROT_WRITE;

    if (rights[page] == ABSENT || !(rights[page] & needed)) {
        /* What was fetched or written once can be read: entries cannot be without R. */
        if (!write && o.done && rights[page] == PROT_EXEC)
            return;
        EXPECT(!o.done);
        EXPECT_EQ(o.signal, LINUX_SIGSEGV);
        EXPECT_EQ(o.code, rights[page] == ABSENT ? SEGV_MAPERR : SEGV_ACCERR);
        return;
    }
    EXPECT(o.done);
    if (write)
        content[page] = value;
    else
        EXPECT_EQ(value, content[page]);
}

static void step_touch(void)
{
    uint64_t page, count;
    bool write = ktap_random_below(2);

    pick(&page, &count);
    if (count > 40)
        count = 40;
    for (uint64_t i = 0; i < count; i++)
        touch(page + i, write);
}

/* Neighbours of equal rights are one VMA, unless their pages are numbered differently (one was
 * moved), are promised on one side only, or had anonymous pages on one side only. */
static bool seam_is_needed(const struct vma *a, const struct vma *b)
{
    return a->offset + vma_pages(a) != b->offset || a->flags != b->flags || a->anon || b->anon;
}

/* The VMAs in the window against the model. */
static void compare_vmas(void)
{
    uint64_t page = 0;

    for (struct vma *v = vma_find(program->mm, BASE); v && v->start < address_of(PAGES);
         v = vma_next(v)) {
        uint64_t start = (v->start - BASE) >> PAGE_SHIFT, end = (v->end - BASE) >> PAGE_SHIFT;

        EXPECT(v->start >= BASE && v->end <= address_of(PAGES));
        for (; page < start; page++)
            EXPECT_EQ(rights[page], ABSENT);
        EXPECT(!page || rights[page - 1] != rights[page] || seam_is_needed(vma_prev(v), v));
        for (; page < end; page++)
            EXPECT_EQ(rights[page], v->flags & VM_ACCESS);
    }
    for (; page < PAGES; page++)
        EXPECT_EQ(rights[page], ABSENT);
}

static void run(uint32_t levels)
{
    static void (*const steps[])(void) = {step_mmap,   step_mmap,     step_anywhere, step_anywhere,
                                          step_munmap, step_mprotect, step_dontneed, step_mremap,
                                          step_touch,  step_touch,    step_touch};

    core_world_boot(&(struct world){.levels = levels});
    program = core_world_program(0);
    memset(rights, ABSENT, sizeof rights);
    for (unsigned i = 0; i < STEPS; i++) {
        steps[ktap_random_below(sizeof steps / sizeof steps[0])]();
        if (i % 16 == 0)
            sim_idle(0);
        if (i % 64 == 0)
            compare_vmas();
        if (i % 500 == 0)
            core_world_check();
    }
    compare_vmas();
    for (uint64_t page = 0; page < PAGES; page++)
        touch(page, false);
    core_world_check();
    core_world_end(program);
    core_world_check();
}

KTAP_CASE(core_vma_random_sv39)
{
    run(3);
}

KTAP_CASE(core_vma_random_sv57)
{
    run(5);
}

/* Gap search: every answer is free, aligned, and nothing higher would have done. */
KTAP_CASE(core_vma_gap_is_the_highest)
{
    core_world_boot(&(struct world){0});
    program = core_world_program(0);
    for (unsigned i = 0; i < 600; i++) {
        uint64_t bytes = (1 + ktap_random_below(30)) << PAGE_SHIFT;
        vaddr_t at = core_world_mmap(program, 0, bytes, (uint64_t)(i % 3), 0);

        EXPECT(!(at & PAGE_MASK) && at + bytes <= program->mm->mmap_base);
        vaddr_t below = program->mm->mmap_base;
        for (struct vma *v = vma_last(program->mm); v; v = vma_prev(v)) {
            if (v->start <= at)
                break;
            if (v->start < at + bytes || v->end > program->mm->mmap_base)
                continue;
            EXPECT(below - v->end < bytes);
            below = v->start;
        }
        if (ktap_random_below(3) == 0)
            EXPECT_EQ(core_world_call(program, NR_munmap, at, bytes / 2 + 1, 0, 0, 0), 0);
    }
    core_world_check();
}
