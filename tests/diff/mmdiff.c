/*
 * Random memory calls, accesses, forks and threads, told step by step in a form that is the same on
 * every right system: Pagoda's run is compared with Linux's.
 *
 *   mmdiff SEED STEPS [FEATURES [FIRST LAST]]
 *
 * Everything happens in an arena at a fixed address. Each step is one line: the call, and what came
 * of it (answer or errno; for an access the value, or signal, si_code and where; the minor faults
 * that it took). Lines outside FIRST..LAST are not printed but mixed into a hash, which is printed
 * every WINDOW steps: who finds a hash that differs asks again for that window's lines. The lines
 * of an audit say what the system shows of the arena: maps, mincore, contents.
 *
 * FEATURES is a string of letters: f fork, t threads, o objects (memfd), h huge advice; a audits
 * after each step that is shown, to find the first one that matters. All without.
 *
 * Nothing here allocates: the heap would move with the calls under test.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg.h"

#define PAGE         4096ul
#define ARENA        0x1200000000ul
#define ARENA_PAGES  3072ul /* six leaf tables */
#define LONG_PAGES   700ul
#define WINDOW       64u
#define AUDIT_STEPS  256u
#define DEEP_STEPS   2048u /* an audit that also reads every page */
#define FOCUS_PAGES  160ul /* most of what happens lies near to each other */
#define FOCUS_STEPS  300u
#define FORK_DEPTH   3
#define FORK_STEPS   24
#define OBJECTS      3
#define OBJECT_PAGES 96ul
#define LINE_BYTES   256
#define TEXT_BYTES   262144

#define LINUX_SIGCHLD        17
#define MADV_FREE_           8
#define MADV_REMOVE_         9
#define MADV_DONTFORK_       10
#define MADV_DOFORK_         11
#define MADV_WIPEONFORK_     18
#define MADV_KEEPONFORK_     19
#define MADV_COLD_           20
#define MADV_PAGEOUT_        21
#define MADV_POPULATE_READ_  22
#define MADV_POPULATE_WRITE_ 23
#define MREMAP_DONTUNMAP_    4
#define MAP_POPULATE_        0x8000
#define MAP_NORESERVE_       0x4000
#define MAP_FIXED_NOREPLACE_ 0x100000

static uint64_t random_state, hash = 0xcbf29ce484222325ul;
static unsigned step_number, first_shown, last_shown;
static bool with_fork, with_threads, with_objects, with_huge, with_audits;
static int depth; /* of forks */

/*
 * Was the page there at a fork, and not written since? Such a page may be this process's alone
 * again: we see that when mprotect gives the right to write, Linux only at the next write. So
 * whether the first write after a fork took a fault or none is not told.
 */
static bool forked[ARENA_PAGES];
static int object[OBJECTS];
static unsigned object_pages[OBJECTS];

/* ---- telling ---- */

static void hash_bytes(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3ul;
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (bytes >= (int)sizeof(line))
        bytes = sizeof(line) - 1;
    hash_bytes(line, (size_t)bytes);
    if (step_number >= first_shown && step_number <= last_shown) {
        printf("%*s%u %s\n", depth * 2, "", step_number, line);
        fflush(stdout); /* a forked child must not say it again */
    }
}

static uint64_t random_next(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15ul);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t bound)
{
    return random_next() % bound;
}

/* An address as a place in the arena; others as what they are. */
static long relative(long value)
{
    return (unsigned long)value - ARENA < ARENA_PAGES * PAGE ? (long)((unsigned long)value - ARENA)
                                                             : value;
}

/* ---- accesses that may fail ---- */

static jmp_buf caught; /* SA_NODEFER: there is no mask to restore */
static volatile int caught_signal, caught_code;
static volatile unsigned long caught_address;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    caught_signal = signal;
    caught_code = info->si_code;
    caught_address = (unsigned long)info->si_addr;
    longjmp(caught, 1);
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* Of this thread: a fork costs another one, which waits meanwhile, faults at any time. */
static long minor_faults(void)
{
    static long usage[18];

    pg_syscall(SYS_getrusage, 1l, usage);
    return usage[8];
}

static void access_page(uint64_t page, bool write)
{
    volatile uint64_t *word = (uint64_t *)(ARENA + page * PAGE + below(PAGE / 8) * 8);
    long before = minor_faults();
    const char *what = write ? "write" : "read";

    if (setjmp(caught)) {
        tell("%s %lu: signal %d code %d at %lx", what, page, caught_signal, caught_code,
             (unsigned long)relative((long)caught_address));
        return;
    }
    uint64_t old = *word;
    if (write)
        *word = step_number;
    long faults = minor_faults() - before;
    if (write && forked[page]) {
        forked[page] = false;
        if (faults == 1)
            faults = 0;
    }
    tell("%s %lu: %lx faults %ld", what, page, old, faults);
}

/* ---- calls ---- */

struct range {
    uint64_t page, pages;
};

static uint64_t choose_page(void)
{
    static uint64_t focus;

    if (step_number % FOCUS_STEPS == 1)
        focus = 512 * below(ARENA_PAGES / 512) + below(512);
    if (below(12) == 0)
        return below(ARENA_PAGES);
    return (focus + below(FOCUS_PAGES)) % ARENA_PAGES;
}

static struct range choose_range(void)
{
    struct range r;
    uint64_t kind = below(16);

    r.page = choose_page();
    r.pages = kind == 0 ? 1 + below(LONG_PAGES) : kind < 6 ? 1 : 1 + below(12);
    if (kind == 1) /* around a leaf table's end */
        r.page = 512 * (1 + below(ARENA_PAGES / 512 - 1)) - below(6) - 1;
    if (r.page + r.pages > ARENA_PAGES)
        r.pages = ARENA_PAGES - r.page;
    return r;
}

static unsigned long address_of(struct range r)
{
    return ARENA + r.page * PAGE;
}

static long choose_prot(void)
{
    static const uint8_t prots[] = {3, 3, 3, 3, 1, 1, 0, 5, 7, 2};

    return prots[below(sizeof(prots))];
}

static void call_mmap(void)
{
    struct range r = choose_range();
    long prot = choose_prot();
    long flags = MAP_ANONYMOUS | (below(5) ? MAP_PRIVATE : MAP_SHARED);
    long fd = -1, offset = 0;
    uint64_t kind = below(12);

    flags |= kind == 0 ? MAP_FIXED_NOREPLACE_ : MAP_FIXED;
    if (kind == 1)
        flags |= MAP_POPULATE_;
    if (kind == 2)
        flags |= MAP_NORESERVE_;
    if (kind == 3)
        flags |= 0x100; /* grows down */
    if (with_objects && below(3) == 0) {
        uint64_t which = below(OBJECTS);

        flags = (flags & ~(MAP_ANONYMOUS | 0x100));
        fd = object[which];
        offset = (long)below(OBJECT_PAGES + 8);
    }
    long answer =
        pg_syscall(SYS_mmap, address_of(r), r.pages * PAGE, prot, flags, fd, offset * (long)PAGE);
    if (answer == (long)address_of(r))
        memset(forked + r.page, false, r.pages);
    tell("mmap %lu+%lu prot %ld flags %lx offset %ld: %lx", r.page, r.pages, prot, flags,
         fd >= 0 ? offset : -1, relative(answer));
}

static void call_munmap(void)
{
    struct range r = choose_range();
    long answer = pg_syscall(SYS_munmap, address_of(r), r.pages * PAGE);

    tell("munmap %lu+%lu: %ld", r.page, r.pages, answer);
}

static void call_mprotect(void)
{
    struct range r = choose_range();
    long prot = choose_prot();
    long answer = pg_syscall(SYS_mprotect, address_of(r), r.pages * PAGE, prot);

    tell("mprotect %lu+%lu prot %ld: %ld", r.page, r.pages, prot, answer);
}

static void call_madvise(void)
{
    static const uint8_t all[] = {MADV_DONTNEED,
                                  MADV_DONTNEED,
                                  MADV_DONTNEED,
                                  MADV_POPULATE_READ_,
                                  MADV_POPULATE_WRITE_,
                                  MADV_NORMAL,
                                  MADV_RANDOM,
                                  MADV_SEQUENTIAL,
                                  MADV_WILLNEED,
                                  MADV_DONTFORK_,
                                  MADV_DOFORK_,
                                  MADV_WIPEONFORK_,
                                  MADV_KEEPONFORK_,
                                  MADV_COLD_,
                                  MADV_REMOVE_,
                                  14,
                                  15,
                                  99};
    struct range r = choose_range();
    uint64_t chosen = below(sizeof(all) - (with_huge ? 0 : 3));
    long advice = with_huge ? all[chosen] : chosen == sizeof(all) - 4 ? 99 : all[chosen];
    long answer = pg_syscall(SYS_madvise, address_of(r), r.pages * PAGE, advice);

    tell("madvise %lu+%lu %ld: %ld", r.page, r.pages, advice, answer);
}

static void call_mremap(void)
{
    static bool moved[ARENA_PAGES];
    struct range from = choose_range(), to = choose_range();
    uint64_t kind = below(8);
    uint64_t pages = kind < 3 ? from.pages : to.pages;
    long flags = kind == 3 ? 0 : kind == 4 ? 1 | 2 | MREMAP_DONTUNMAP_ : 1 | 2;

    if (kind == 4)
        pages = from.pages;
    long answer = pg_syscall(SYS_mremap, address_of(from), from.pages * PAGE, pages * PAGE, flags,
                             address_of(to));
    if (answer >= 0) { /* the pages have moved, marks and all; at most `from.pages` of them */
        uint64_t first = ((unsigned long)answer - ARENA) / PAGE;

        for (uint64_t i = 0; i < pages && first + i < ARENA_PAGES; i++)
            moved[i] = i < from.pages && forked[from.page + i];
        for (uint64_t i = 0; i < pages && first + i < ARENA_PAGES; i++)
            forked[first + i] = moved[i];
    }
    tell("mremap %lu+%lu to %lu+%lu flags %ld: %lx", from.page, from.pages, to.page, pages, flags,
         relative(answer));
}

static void call_lock(void)
{
    struct range r = choose_range();
    bool lock = below(2);
    long answer = pg_syscall(lock ? SYS_mlock : SYS_munlock, address_of(r), r.pages * PAGE);

    tell("%s %lu+%lu: %ld", lock ? "mlock" : "munlock", r.page, r.pages, answer);
}

static void call_mincore(void)
{
    static unsigned char vector[ARENA_PAGES];
    struct range r = choose_range();
    uint64_t sum = 0;
    long answer = pg_syscall(SYS_mincore, address_of(r), r.pages * PAGE, vector);

    for (uint64_t i = 0; answer == 0 && i < r.pages; i++)
        sum = sum * 3 + (vector[i] & 1);
    tell("mincore %lu+%lu: %ld %lx", r.page, r.pages, answer, sum);
}

static void call_msync(void)
{
    static const uint8_t kinds[] = {0, 1, 2, 4, 5, 6};
    struct range r = choose_range();
    long flags = kinds[below(sizeof(kinds))];
    long answer = pg_syscall(SYS_msync, address_of(r), r.pages * PAGE, flags);

    tell("msync %lu+%lu %ld: %ld", r.page, r.pages, flags, answer);
}

/* Arguments that are refused: unaligned, empty, endless. */
static void call_wrong(void)
{
    static const uint8_t calls[] = {SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mlock, SYS_msync};
    struct range r = choose_range();
    uint64_t kind = below(4);
    unsigned long address = address_of(r) + (kind == 0 ? 1 + below(4094) : 0);
    unsigned long bytes = kind == 1 ? 0 : kind == 2 ? -PAGE * below(100) : r.pages * PAGE + 1;
    long nr = calls[below(sizeof(calls))];
    long argument = nr == SYS_mprotect ? 1 : nr == SYS_madvise ? MADV_DONTNEED : 4;
    long answer = pg_syscall(nr, address, bytes, argument);

    tell("wrong %ld %lx+%lx: %ld", nr, relative((long)address), bytes, answer);
}

/* ---- objects ---- */

static void object_create(unsigned which)
{
    static uint64_t pattern[PAGE / 8];
    char name[8] = {'o', (char)('0' + which), 0};

    object[which] = (int)pg_syscall(SYS_memfd_create, name, 0l);
    object_pages[which] = OBJECT_PAGES;
    for (uint64_t page = 0; page < OBJECT_PAGES; page += 2) {
        memset(pattern, (int)(page + which), sizeof(pattern));
        pg_syscall(SYS_pwrite64, (long)object[which], pattern, PAGE, page * PAGE);
    }
    pg_syscall(SYS_ftruncate, (long)object[which], OBJECT_PAGES * PAGE);
}

static void object_step(void)
{
    uint64_t which = below(OBJECTS), page = below(OBJECT_PAGES), kind = below(4);
    uint64_t word = 0;
    long answer;

    if (kind == 0) {
        uint64_t pages = below(OBJECT_PAGES + 1);

        answer = pg_syscall(SYS_ftruncate, (long)object[which], pages * PAGE + below(3) * 100);
        tell("ftruncate %lu %lu: %ld", which, pages, answer);
    } else if (kind == 1) {
        word = step_number;
        answer = pg_syscall(SYS_pwrite64, (long)object[which], &word, 8ul, page * PAGE + 64);
        tell("pwrite %lu %lu: %ld", which, page, answer);
    } else {
        answer = pg_syscall(SYS_pread64, (long)object[which], &word, 8ul, page * PAGE + 64);
        tell("pread %lu %lu: %ld %lx", which, page, answer, word);
    }
}

/* ---- audits ---- */

static char text[TEXT_BYTES];

static size_t read_text(const char *path)
{
    size_t bytes = 0;
    long fd = pg_syscall(SYS_openat, -100l, path, 0l, 0l);
    long got = 1;

    while (fd >= 0 && got > 0 && bytes < sizeof(text) - 1) {
        got = pg_syscall(SYS_read, fd, text + bytes, sizeof(text) - 1 - bytes);
        bytes += got > 0 ? (size_t)got : 0;
    }
    pg_syscall(SYS_close, fd);
    text[bytes] = '\0';
    return bytes;
}

static uint64_t hex(const char **at)
{
    char *end;
    uint64_t value = strtoul(*at, &end, 16);

    *at = end + (*end != '\0');
    return value;
}

/* The lines of maps that lie in the arena: bounds, rights, offset and name. */
static void audit_maps(void)
{
    read_text("/proc/self/maps");
    for (const char *line = text; *line;) {
        const char *next = strchr(line, '\n');
        const char *at = line;
        uint64_t start = hex(&at), end = hex(&at);
        char rights[5] = {at[0], at[1], at[2], at[3], 0};

        at += 5;
        uint64_t offset = hex(&at);
        const char *name = next;
        while (name && name > at && name[-1] != ' ')
            name--;
        if (start - ARENA < ARENA_PAGES * PAGE)
            tell("maps %lu..%lu %s %lx %.*s", (start - ARENA) / PAGE, (end - ARENA) / PAGE, rights,
                 offset, (int)(next ? next - name : 0), name ? name : "");
        if (!next)
            break;
        line = next + 1;
    }
}

/* What smaps says of each VMA in the arena: how much is there, whose it is, its flags. */
static void audit_smaps(void)
{
    static const char *const keys[] = {"Rss:", "Anonymous:", "Locked:", "VmFlags:"};
    uint64_t start = 0;

    read_text("/proc/self/smaps");
    for (const char *line = text, *next; *line; line = next + 1) {
        next = strchr(line, '\n');
        if (!next)
            break;
        const char *at = line;
        uint64_t number = hex(&at);
        if (at > line + 8 && at[-1] == '-')
            start = number;
        if (start - ARENA >= ARENA_PAGES * PAGE)
            continue;
        for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            if (!strncmp(line, keys[i], strlen(keys[i])))
                tell("smaps %lu %.*s", (start - ARENA) / PAGE, (int)(next - line), line);
        }
    }
}

/* Runs of pages that are present. */
static void audit_incore(void)
{
    unsigned char present;
    uint64_t first = 0;

    for (uint64_t page = 0; page <= ARENA_PAGES; page++) {
        present = 0;
        if (page < ARENA_PAGES && pg_syscall(SYS_mincore, ARENA + page * PAGE, PAGE, &present))
            present = 0;
        if (present & 1)
            continue;
        if (first < page)
            tell("incore %lu..%lu", first, page);
        first = page + 1;
    }
}

static void audit_contents(void)
{
    for (volatile uint64_t page = 0; page < ARENA_PAGES; page++) {
        if (setjmp(caught)) {
            uint64_t seen[2] = {page, (uint64_t)caught_signal << 8 | (uint64_t)caught_code};

            hash_bytes((const char *)seen, sizeof(seen));
            continue;
        }
        const uint64_t *word = (const uint64_t *)(ARENA + page * PAGE);
        uint64_t sum = 0;
        for (unsigned i = 0; i < PAGE / 8; i++)
            sum = sum * 31 + word[i];
        hash_bytes((const char *)&sum, sizeof(sum));
    }
    tell("contents %lx", hash);
}

/* ---- others: a forked child and a thread take some steps, one at a time ---- */

static void step(void);

static void fork_step(void)
{
    if (depth == FORK_DEPTH)
        return;
    fflush(stdout);
    memset(forked, true, sizeof(forked));
    long child = pg_syscall(SYS_clone, (long)LINUX_SIGCHLD, 0l, 0l, 0l, 0l);
    if (child == 0) {
        depth++;
        for (unsigned i = 0; i < FORK_STEPS; i++)
            step();
        audit_maps();
        audit_incore();
        fflush(stdout);
        pg_syscall(SYS_exit_group, (long)(hash & 0x7f));
    }
    int status = -1;
    long answer = child > 0 ? pg_syscall(SYS_wait4, child, &status, 0l, 0l) : child;
    tell("fork: %s %x", answer == child && child > 0 ? "waited" : "failed", (unsigned)status);
}

static void *thread_run(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 8; i++)
        step();
    return NULL;
}

static char thread_stack[2][65536] __attribute__((aligned(16)));
static uint32_t thread_word;
static char thread_tls[4096] __attribute__((aligned(64)));

static int thread_main(void *argument)
{
    thread_run(argument);
    return 0;
}

static void thread_step(void)
{
    static bool within;
    /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, CHILD_CLEARTID */
    const unsigned long flags =
        0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000 | 0x200000;

    if (within)
        return;
    within = true;
    __atomic_store_n(&thread_word, 1, __ATOMIC_SEQ_CST);
    void *tls = pg_tls_init(thread_tls);
    long answer = pg_clone(flags, thread_stack[1] + sizeof(thread_stack[1]), NULL, tls,
                           (int *)&thread_word, thread_main, NULL);
    while (answer > 0 && __atomic_load_n(&thread_word, __ATOMIC_SEQ_CST))
        pg_syscall(SYS_sched_yield);
    within = false;
    tell("thread: %s", answer > 0 ? "joined" : "failed");
}

static void step(void)
{
    uint64_t kind = below(100);

    if (kind < 45)
        access_page(choose_page(), below(2));
    else if (kind < 60)
        call_mmap();
    else if (kind < 66)
        call_munmap();
    else if (kind < 73)
        call_mprotect();
    else if (kind < 80)
        call_madvise();
    else if (kind < 85)
        call_mremap();
    else if (kind < 88)
        call_mincore();
    else if (kind < 90)
        call_lock();
    else if (kind < 91)
        call_msync();
    else if (kind < 93)
        call_wrong();
    else if (kind < 96 && with_objects)
        object_step();
    else if (kind == 96 && with_fork)
        fork_step();
    else if (kind == 97 && with_threads && depth == 0)
        thread_step();
    else
        access_page(choose_page(), true);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: mmdiff SEED STEPS [FEATURES [FIRST LAST]]\n");
        return 2;
    }
    const char *features = argc > 3 ? argv[3] : "-";
    unsigned steps = (unsigned)strtoul(argv[2], NULL, 0);

    random_state = strtoul(argv[1], NULL, 0);
    with_fork = strchr(features, 'f') != NULL;
    with_threads = strchr(features, 't') != NULL;
    with_objects = strchr(features, 'o') != NULL;
    with_huge = strchr(features, 'h') != NULL;
    with_audits = strchr(features, 'a') != NULL;
    first_shown = argc > 5 ? (unsigned)strtoul(argv[4], NULL, 0) : ~0u;
    last_shown = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 0) : 0;
    printf("# mmdiff %s %u %s\n", argv[1], steps, features);
    catch_signals();
    for (unsigned i = 0; with_objects && i < OBJECTS; i++)
        object_create(i);
    /* What the first of each costs is not to be seen: printf's buffer, the text of maps. */
    memset(text, 1, sizeof(text));
    memset(thread_stack, 1, sizeof(thread_stack));
    pg_syscall(SYS_mmap, ARENA, ARENA_PAGES * PAGE, 3l,
               (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1l, 0l);
    for (step_number = 1; step_number <= steps; step_number++) {
        step();
        bool shown = step_number >= first_shown && step_number <= last_shown;
        if (step_number % AUDIT_STEPS == 0 || (with_audits && shown)) {
            audit_maps();
            audit_smaps();
            audit_incore();
        }
        if (step_number % DEEP_STEPS == 0)
            audit_contents();
        if (step_number % WINDOW == 0) {
            printf("hash %u %016lx\n", step_number, hash);
            fflush(stdout);
        }
    }
    printf("mmdiff done %016lx\n", hash);
    return 0;
}
