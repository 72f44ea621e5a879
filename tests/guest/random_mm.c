/*
 * A random sequence of memory calls and accesses, compared step by step with a flat model.
 *
 * The model is one entry per page of an arena: mapped or not, protection, and the word that the
 * page's first eight bytes must hold (all others stay zero, but for the probe area). Whether a
 * page may be read or written is asked through system calls that copy (openat reads a path,
 * clock_gettime writes a time), so that nobody dies of the answer.
 * KTAP_SEED chooses the sequence.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "ktap.h"
#include "pg.h"

#define ARENA_PAGES  192
#define RANGE_MAX    24
#define STEPS        2000
#define PROBE_OFFSET 2048 /* where clock_gettime writes */
#define PROBE_BYTES  16
#define BRK_PAGES    32
#define RW           (PROT_READ | PROT_WRITE)
#define ANON_FIXED   (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)

struct model_page {
    bool mapped;
    int prot;
    uint64_t word;
};

static struct model_page model[ARENA_PAGES];
static uint8_t *arena;
static uint64_t random_state;
static int step_number;

/* The heap, as the model knows it: pages above brk_start, and what each holds. */
static uintptr_t brk_start;
static size_t brk_pages;
static uint64_t brk_words[BRK_PAGES];

static size_t below(size_t bound)
{
    return ktap_random(&random_state) % bound;
}

static uint64_t *page_word(size_t page)
{
    return (uint64_t *)(arena + page * PAGE);
}

static void choose_range(size_t *first, size_t *count)
{
    *first = below(ARENA_PAGES);
    *count = 1 + below(RANGE_MAX);
    if (*first + *count > ARENA_PAGES)
        *count = ARENA_PAGES - *first;
}

static int choose_prot(void)
{
    static const int prots[] = {RW, RW, RW, PROT_READ, PROT_NONE};

    return prots[below(sizeof(prots) / sizeof(prots[0]))];
}

#define CHECK(expr)                                                           \
    do {                                                                      \
        if (!(expr)) {                                                        \
            ktap_fail(__FILE__, __LINE__, "step %d: %s", step_number, #expr); \
            return false;                                                     \
        }                                                                     \
    } while (0)

static bool step_map(void)
{
    size_t first, count;
    int prot = choose_prot();

    choose_range(&first, &count);
    void *at = arena + first * PAGE;
    CHECK(mmap(at, count * PAGE, prot, ANON_FIXED, -1, 0) == at);
    for (size_t i = first; i < first + count; i++)
        model[i] = (struct model_page){.mapped = true, .prot = prot};
    return true;
}

static bool step_unmap(void)
{
    size_t first, count;

    choose_range(&first, &count);
    CHECK(munmap(arena + first * PAGE, count * PAGE) == 0);
    for (size_t i = first; i < first + count; i++)
        model[i] = (struct model_page){0};
    return true;
}

static bool step_protect(void)
{
    size_t first, count, good = 0;
    int prot = choose_prot();

    choose_range(&first, &count);
    while (good < count && model[first + good].mapped)
        good++;
    if (good == 0)
        return true;
    CHECK(mprotect(arena + first * PAGE, good * PAGE, prot) == 0);
    for (size_t i = first; i < first + good; i++)
        model[i].prot = prot;
    return true;
}

static bool step_write(void)
{
    size_t first, count;

    choose_range(&first, &count);
    for (size_t i = first; i < first + count; i++) {
        if (!(model[i].prot & PROT_WRITE))
            continue;
        CHECK(*(volatile uint64_t *)page_word(i) == model[i].word);
        model[i].word = ktap_random(&random_state) | 1;
        *page_word(i) = model[i].word;
    }
    return true;
}

static bool step_read(void)
{
    size_t first, count;

    choose_range(&first, &count);
    for (size_t i = first; i < first + count; i++) {
        if (model[i].prot & PROT_READ)
            CHECK(*(volatile uint64_t *)page_word(i) == model[i].word);
    }
    return true;
}

static bool step_read_whole_page(void)
{
    size_t page = below(ARENA_PAGES);
    uint8_t *start = arena + page * PAGE, *probe = start + PROBE_OFFSET;

    if (!(model[page].prot & PROT_READ))
        return true;
    CHECK(*page_word(page) == model[page].word);
    CHECK(ktap_all_bytes(start + 8, PROBE_OFFSET - 8, 0));
    CHECK(ktap_all_bytes(probe + PROBE_BYTES, PAGE - PROBE_OFFSET - PROBE_BYTES, 0));
    return true;
}

/* Asks the kernel whether the page can be read and written. */
static bool step_probe(void)
{
    size_t page = below(ARENA_PAGES);
    uint8_t *start = arena + page * PAGE;
    long read_answer =
        SYSCALL(SYS_openat, (long)AT_FDCWD, start + PROBE_OFFSET + PROBE_BYTES, 0l, 0l);
    long write_answer = SYSCALL(SYS_clock_gettime, (long)CLOCK_MONOTONIC, start + PROBE_OFFSET);

    /* The path read there is empty. */
    CHECK(read_answer == (model[page].prot & PROT_READ ? -ENOENT : -EFAULT));
    CHECK(write_answer == (model[page].prot & PROT_WRITE ? 0 : -EFAULT));
    return true;
}

static bool step_break(void)
{
    size_t pages = below(BRK_PAGES + 1);
    uintptr_t want = brk_start + pages * PAGE;

    CHECK((uintptr_t)pg_syscall(SYS_brk, want) == want);
    for (size_t i = brk_pages; i < pages; i++)
        brk_words[i] = 0;
    brk_pages = pages;
    for (size_t i = 0; i < pages; i += 1 + below(4)) {
        uint64_t *word = (uint64_t *)(brk_start + i * PAGE);
        CHECK(*(volatile uint64_t *)word == brk_words[i]);
        brk_words[i] = ktap_random(&random_state);
        *word = brk_words[i];
    }
    return true;
}

static bool step(void)
{
    size_t choice = below(100);

    if (choice < 15)
        return step_map();
    if (choice < 27)
        return step_unmap();
    if (choice < 42)
        return step_protect();
    if (choice < 62)
        return step_write();
    if (choice < 77)
        return step_read();
    if (choice < 85)
        return step_read_whole_page();
    if (choice < 95)
        return step_probe();
    return step_break();
}

static bool check_everything(void)
{
    for (size_t i = 0; i < ARENA_PAGES; i++) {
        if (model[i].mapped)
            CHECK(mprotect(arena + i * PAGE, PAGE, RW) == 0);
        if (model[i].mapped)
            CHECK(*page_word(i) == model[i].word);
    }
    return true;
}

/* Consecutive entries of /proc/self/maps say exactly what the model says of each page. */
static bool check_maps(void)
{
    static struct ktap_vma vmas[ARENA_PAGES];
    int count = ktap_vmas(arena, arena + ARENA_PAGES * PAGE, vmas, ARENA_PAGES);

    CHECK(count >= 0);
    for (size_t i = 0; i < ARENA_PAGES; i++) {
        uintptr_t at = (uintptr_t)arena + i * PAGE;
        const struct ktap_vma *found = NULL;
        for (int j = 0; j < count; j++) {
            if (vmas[j].start <= at && at < vmas[j].end)
                found = &vmas[j];
        }
        CHECK((found != NULL) == model[i].mapped);
        if (found != NULL) {
            CHECK((found->prot[0] == 'r') == ((model[i].prot & PROT_READ) != 0));
            CHECK((found->prot[1] == 'w') == ((model[i].prot & PROT_WRITE) != 0));
        }
    }
    return true;
}

/* Takes the heap above all that malloc has: its blocks are made here once and used again later. */
static void take_break(void)
{
    struct ktap_vma vma;

    if (brk_start != 0)
        return;
    ktap_vmas(arena, arena, &vma, 1);
    brk_start = ((uintptr_t)pg_syscall(SYS_brk, 0l) + 64 * PAGE) & -PAGE;
    pg_syscall(SYS_brk, brk_start);
}

static void run(uint64_t seed)
{
    take_break();
    arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(arena != MAP_FAILED);
    random_state = seed;
    for (size_t i = 0; i < ARENA_PAGES; i++)
        model[i] = (struct model_page){.mapped = true, .prot = PROT_NONE};
    for (step_number = 0; step_number < STEPS; step_number++) {
        bool good = step();
        if (good && step_number % 250 == 249)
            good = check_maps();
        if (!good) {
            ktap_note("seed %lu", seed);
            break;
        }
    }
    if (step_number == STEPS)
        check_everything();
    munmap(arena, ARENA_PAGES * PAGE);
}

KTAP_CASE(random_sequence_a)
{
    run(ktap_seed());
}

KTAP_CASE(random_sequence_b)
{
    run(ktap_seed() + 1000003);
}

KTAP_CASE(random_sequence_c)
{
    run(ktap_seed() * 7919 + 17);
}
