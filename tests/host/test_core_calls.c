/*
 * The memory calls one by one: every way in which a change of a part joins its neighbours, limits,
 * locks, NUMA policies, advice, and the end of a large address space in parts.
 */
#include "core_world.h"

#include "mmserver/core/limit.h"
#include <string.h>

#define BASE 0x1000000000UL
#define RW   (PROT_READ | PROT_WRITE)

static struct client *program;

static void boot(void)
{
    core_world_boot(&(struct world){0});
    program = core_world_program(0);
}

static void end(void)
{
    core_world_end(program);
    core_world_check();
}

static vaddr_t page(uint64_t n)
{
    return BASE + (n << PAGE_SHIFT);
}

static long call(long number, uint64_t first, uint64_t pages, uint64_t p, uint64_t q)
{
    return core_world_call(program, number, page(first), pages << PAGE_SHIFT, p, q, 0);
}

static long map(uint64_t first, uint64_t pages, uint64_t prot, uint64_t flags)
{
    return (long)core_world_mmap(program, page(first), pages << PAGE_SHIFT, prot,
                                 flags | MAP_FIXED);
}

static void touch(uint64_t first, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint8_t value = 1;

        EXPECT(sim_access(program, page(first + i), SIM_WRITE, &value).done);
    }
}

/* VMAs that begin in the first twelve pages, as a number with a digit for the length of each. */
static uint64_t lengths(void)
{
    uint64_t number = 0;

    for (struct vma *v = vma_find(program->mm, BASE); v && v->start < page(12); v = vma_next(v))
        number = number * 10 + vma_pages(v);
    return number;
}

/* Three VMAs of three pages each: [0, 3) and [6, 9) with `sides`, the middle with `middle`. */
static void three(uint64_t sides, uint64_t middle, bool touched)
{
    EXPECT_EQ(call(NR_munmap, 0, 12, 0, 0), 0);
    EXPECT_EQ(map(0, 9, RW, 0), (long)BASE);
    if (touched)
        touch(0, 9);
    EXPECT_EQ(call(NR_mprotect, 3, 3, middle, 0), 0);
    if (sides != RW) {
        EXPECT_EQ(call(NR_mprotect, 0, 3, sides, 0), 0);
        EXPECT_EQ(call(NR_mprotect, 6, 3, sides, 0), 0);
    }
    EXPECT_EQ(lengths(), 333);
}

KTAP_CASE(core_calls_every_merge_and_split)
{
    boot();
    for (int touched = 0; touched < 2; touched++) {
        static const struct {
            uint64_t first, pages, after;
        } cases[] = {
            {3, 3, 9},   {3, 1, 423}, {5, 1, 324}, {4, 1, 31113}, {0, 3, 333},
            {3, 2, 513}, {4, 2, 315}, {2, 2, 423}, {5, 2, 324},   {0, 9, 9},
        };
        for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
            three(RW, PROT_READ, touched);
            EXPECT_EQ(call(NR_mprotect, cases[i].first, cases[i].pages, RW, 0), 0);
            EXPECT_EQ(lengths(), cases[i].after);
            core_world_check();
        }
        /* One side only. */
        three(RW, PROT_READ, touched);
        EXPECT_EQ(call(NR_mprotect, 6, 3, PROT_READ | PROT_EXEC, 0), 0);
        EXPECT_EQ(call(NR_mprotect, 3, 3, RW, 0), 0);
        EXPECT_EQ(lengths(), 63);
        EXPECT_EQ(call(NR_mprotect, 3, 3, PROT_READ | PROT_EXEC, 0), 0);
        EXPECT_EQ(lengths(), 36);
        core_world_check();
    }
    end();
}

KTAP_CASE(core_calls_holes_and_fillings)
{
    boot();
    EXPECT_EQ(map(0, 9, RW, 0), (long)BASE);
    EXPECT_EQ(call(NR_munmap, 4, 1, 0, 0), 0);
    EXPECT_EQ(lengths(), 44);
    EXPECT_EQ(map(4, 1, RW, 0), (long)page(4));
    EXPECT_EQ(lengths(), 9);
    EXPECT_EQ(call(NR_munmap, 0, 1, 0, 0), 0);
    EXPECT_EQ(call(NR_munmap, 8, 1, 0, 0), 0);
    EXPECT_EQ(lengths(), 7);
    EXPECT_EQ(map(0, 1, RW, 0), (long)page(0));
    EXPECT_EQ(map(8, 1, RW, 0), (long)page(8));
    EXPECT_EQ(lengths(), 9);
    /* A shrink to the same size cuts nothing. */
    EXPECT_EQ(core_world_call(program, NR_mremap, page(4), PAGE_BYTES, PAGE_BYTES, 0, 0),
              (long)page(4));
    EXPECT_EQ(lengths(), 9);
    EXPECT_EQ(call(NR_munmap, 0, 12, 0, 0), 0);
    EXPECT_EQ(lengths(), 0);
    end();
}

KTAP_CASE(core_calls_limits)
{
    boot();
    struct mm *mm = program->mm;
    uint64_t total = mm->total_pages << PAGE_SHIFT, data = mm->data_pages << PAGE_SHIFT;

    EXPECT_EQ(limit_set(mm, MM_LIMITS, 0), -LINUX_EINVAL);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_AS, total + 4 * PAGE_BYTES), 0);
    EXPECT_EQ(map(0, 5, RW, 0), -LINUX_ENOMEM);
    EXPECT_EQ(map(0, 4, RW, 0), (long)BASE);
    EXPECT_EQ(map(1, 2, PROT_READ, 0), (long)page(1)); /* what it replaces does not count */
    EXPECT_EQ(call(NR_munmap, 0, 4, 0, 0), 0);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_AS, LIMIT_NONE), 0);

    EXPECT_EQ(limit_set(mm, MM_LIMIT_DATA, data + 2 * PAGE_BYTES), 0);
    EXPECT_EQ(map(0, 3, RW, 0), -LINUX_ENOMEM);
    EXPECT_EQ(map(0, 3, PROT_READ, 0), (long)BASE);
    EXPECT_EQ(call(NR_mprotect, 0, 3, RW, 0), -LINUX_ENOMEM);
    EXPECT_EQ(call(NR_mprotect, 0, 2, RW, 0), 0);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_DATA, LIMIT_NONE), 0);

    EXPECT_EQ(limit_set(mm, MM_LIMIT_LOCK_FREE, 0), 0);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_MEMLOCK, 0), 0);
    EXPECT_EQ(call(NR_mlock, 0, 1, 0, 0), -LINUX_EPERM);
    EXPECT_EQ(map(4, 1, RW, MAP_LOCKED), -LINUX_EPERM);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_MEMLOCK, 2 * PAGE_BYTES), 0);
    EXPECT_EQ(call(NR_mlock, 0, 3, 0, 0), -LINUX_ENOMEM);
    EXPECT_EQ(call(NR_mlock, 0, 2, 0, 0), 0);
    EXPECT_EQ(call(NR_mlock, 0, 2, 0, 0), 0); /* the same pages again */
    EXPECT_EQ(mm->locked_pages, 2);
    EXPECT_EQ(map(4, 1, RW, MAP_LOCKED), -LINUX_EAGAIN);
    EXPECT_EQ(core_world_call(program, NR_mlockall, 1, 0, 0, 0, 0), -LINUX_ENOMEM);
    EXPECT_EQ(limit_set(mm, MM_LIMIT_LOCK_FREE, 1), 0);
    EXPECT_EQ(map(4, 1, RW, MAP_LOCKED), (long)page(4));
    EXPECT_EQ(call(NR_munlock, 0, 5, 0, 0), -LINUX_ENOMEM); /* page 3 is a hole */
    EXPECT_EQ(core_world_call(program, NR_munlockall, 0, 0, 0, 0, 0), 0);
    EXPECT_EQ(mm->locked_pages, 0);
    EXPECT_EQ(map(0, 1UL << 30, RW, 0), -LINUX_ENOMEM); /* more than could ever be met */
    end();
}

KTAP_CASE(core_calls_advice_that_vmas_keep)
{
    static const struct {
        uint64_t advice, undo, flag;
    } cases[] = {
        {MADV_DONTFORK, MADV_DOFORK, VM_DONTFORK},
        {MADV_WIPEONFORK, MADV_KEEPONFORK, VM_WIPEONFORK},
        {MADV_DONTDUMP, MADV_DODUMP, VM_DONTDUMP},
        {MADV_RANDOM, MADV_NORMAL, VM_RAND_READ},
        {MADV_SEQUENTIAL, MADV_NORMAL, VM_SEQ_READ},
        {MADV_MERGEABLE, MADV_UNMERGEABLE, VM_MERGEABLE},
    };

    boot();
    EXPECT_EQ(map(0, 9, RW, 0), (long)BASE);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        EXPECT_EQ(call(NR_madvise, 3, 3, cases[i].advice, 0), 0);
        EXPECT_EQ(lengths(), 333);
        EXPECT(vma_at(program->mm, page(4))->flags & cases[i].flag);
        EXPECT_EQ(call(NR_madvise, 3, 3, cases[i].undo, 0), 0);
        EXPECT_EQ(lengths(), 9);
    }
    EXPECT_EQ(call(NR_madvise, 0, 9, 9999, 0), -LINUX_EINVAL);
    EXPECT_EQ(call(NR_madvise, 8, 2, MADV_NORMAL, 0), -LINUX_ENOMEM);
    /* MADV_FREE leaves what is there until memory is short. */
    touch(0, 9);
    EXPECT_EQ(call(NR_madvise, 0, 9, MADV_FREE, 0), 0);
    EXPECT_EQ(program->mm->anon_pages >= 9, true);
    core_world_check();
    end();
}

KTAP_CASE(core_calls_policies)
{
    boot();
    EXPECT_EQ(map(0, 1, RW, 0), (long)BASE);
    uint64_t mask = 1;
    core_world_poke(program, BASE, &mask, sizeof mask);
    EXPECT_EQ(core_world_call(program, NR_set_mempolicy, MPOL_BIND, BASE, 64, 0, 0), 0);
    EXPECT_EQ(core_world_call(program, NR_set_mempolicy, MPOL_MODES, BASE, 64, 0, 0),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(program, NR_set_mempolicy, MPOL_DEFAULT, BASE, 64, 0, 0),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(program, NR_get_mempolicy, BASE + 64, BASE + 128, 64, 0, 0), 0);
    int32_t mode;
    core_world_peek(program, BASE + 64, &mode, sizeof mode);
    EXPECT_EQ(mode, MPOL_BIND);
    core_world_peek(program, BASE + 128, &mask, sizeof mask);
    EXPECT_EQ(mask, 1);
    mask = 1UL << 40; /* a node that is not there */
    core_world_poke(program, BASE, &mask, sizeof mask);
    EXPECT_EQ(core_world_call(program, NR_set_mempolicy, MPOL_BIND, BASE, 64, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(program, NR_set_mempolicy, MPOL_DEFAULT, 0, 0, 0, 0), 0);
    end();
}

/* A text of the VMAs, read in windows of so many bytes from `from` on, into `to`: its length. */
static uint64_t read_windows(uint64_t kind, uint64_t window, uint64_t from, char *to, uint64_t room)
{
    vaddr_t at = program->mm->stack_top - 2 * PAGE_BYTES;
    long got;

    for (uint64_t done = from; done < room; done += (uint64_t)got) {
        got = core_world_call(program, MM_REPORT, kind, 0, at, window, done);
        EXPECT(got >= 0 && got <= (long)window);
        if (got <= 0)
            return done;
        core_world_peek(program, at, to + done, (uint64_t)got);
    }
    return room;
}

/* Texts of many VMAs: the same in windows of any size; and one that goes on after its beginning has
 * changed goes on where it was. */
KTAP_CASE(core_calls_texts_in_windows)
{
    static char whole[256 << 10], parts[256 << 10];
    const uint64_t kinds[] = {MM_REPORT_MAPS, MM_REPORT_SMAPS}, windows[] = {100, 1000, 3333};

    boot();
    for (uint64_t i = 0; i < 200; i++)
        EXPECT_EQ(map(i, 1, i % 2 ? RW : PROT_READ, 0), (long)page(i));
    for (unsigned kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
        uint64_t bytes = read_windows(kinds[kind], PAGE_BYTES, 0, whole, sizeof whole);
        EXPECT(bytes > 2 * PAGE_BYTES && bytes < sizeof whole);
        for (unsigned i = 0; i < ARRAY_COUNT(windows); i++) {
            EXPECT_EQ(read_windows(kinds[kind], windows[i], 0, parts, sizeof parts), bytes);
            EXPECT(memcmp(whole, parts, bytes) == 0);
        }
        uint64_t middle = 2 * PAGE_BYTES;
        EXPECT_EQ(read_windows(kinds[kind], PAGE_BYTES, 0, parts, middle), middle);
        EXPECT_EQ(call(NR_munmap, 2, 1, 0, 0), 0);
        EXPECT_EQ(read_windows(kinds[kind], PAGE_BYTES, middle, parts, sizeof parts), bytes);
        EXPECT(memcmp(whole, parts, bytes) == 0);
        EXPECT(read_windows(kinds[kind], PAGE_BYTES, 0, parts, sizeof parts) < bytes);
        EXPECT_EQ(map(2, 1, PROT_READ, 0), (long)page(2));
    }
    end();
}

KTAP_CASE(core_calls_large_space_ends_in_parts)
{
    boot();
    struct client *personality = core_world_personality();
    uint64_t mm = program->mm->id, parts = 0;
    long error;

    EXPECT_EQ(map(0, 9000, RW, MAP_POPULATE), (long)BASE);
    EXPECT(program->mm->anon_pages >= 9000);
    EXPECT_EQ(core_world_call(personality, MM_THREAD_DESTROY, program->id, 0, 0, 0, 0), 0);
    while ((error = core_world_call(personality, MM_RELEASE, mm, 0, 0, 0, 0)) == -LINUX_EAGAIN) {
        parts++;
        core_world_check();
    }
    EXPECT_EQ(error, 0);
    EXPECT_EQ(parts, 2);
    core_world_check();
}

/*
 * Operations that go with a call's answer are held half-way while another hart wants the same mm.
 * It waits for them: by mprotect, by a fault, by a look that never waits. `fails`: the client was
 * stopped meanwhile, and the worker has to do what the kernel has not.
 */
static void held_answer(long number, bool fails)
{
    core_world_boot(&(struct world){.harts = 2});
    program = core_world_program(0);
    struct client *other = core_world_thread(program, 1);
    uint64_t before = program->mm->anon_pages;
    uint8_t value = 7;

    EXPECT_EQ(map(0, 4, RW, 0), (long)BASE);
    touch(0, 4);
    sim_hold_next_reply(fails);
    EXPECT_EQ(call(number, 0, 2, PROT_READ, 0), 0);
    EXPECT(sim_reply_is_held() && program->mm->sender == 1);
    EXPECT(!mm_trylock(program->mm) && !mm_seize(program->mm));
    EXPECT(sim_reply_is_held());
    EXPECT(!sim_access(other, page(9), SIM_WRITE, &value).done); /* a fault, for nothing */
    EXPECT(!sim_reply_is_held() && !program->mm->sender);
    EXPECT(!sim_access(other, page(1), SIM_WRITE, &value).done);
    EXPECT_EQ(program->mm->anon_pages, before + (number == NR_munmap ? 2 : 4));
    core_world_check();
    /* The next one is performed at once, and the lock is taken over without a wait. */
    EXPECT_EQ(call(number, 2, 1, PROT_READ, 0), 0);
    EXPECT_EQ(program->mm->sender, 1);
    EXPECT(mm_trylock(program->mm));
    mm_unlock(program->mm);
    EXPECT_EQ(call(number, 3, 1, PROT_READ, 0), 0);
    EXPECT(mm_seize(program->mm));
    mm_let_go(program->mm);
    EXPECT_EQ(call(NR_munmap, 0, 4, 0, 0), 0);
    EXPECT_EQ(program->mm->anon_pages, before);
    EXPECT_EQ(core_world_call(core_world_personality(), MM_THREAD_DESTROY, other->id, 0, 0, 0, 0),
              0);
    end();
}

KTAP_CASE(core_calls_other_harts_wait_for_an_answer)
{
    held_answer(NR_mprotect, false);
    held_answer(NR_munmap, false);
}

KTAP_CASE(core_calls_an_answer_that_is_refused_is_performed)
{
    held_answer(NR_mprotect, true);
    held_answer(NR_munmap, true);
}

/* Pages that an unmap leaves for its answer are nobody else's before: where the hart's list has no
 * room for them, or they belong elsewhere, they are taken out first. */
KTAP_CASE(core_calls_pages_leave_with_the_answer)
{
    boot();
    struct worker *w = sim_worker(0);
    uint64_t sent;

    EXPECT_EQ(map(0, 8, RW, 0), (long)BASE);
    touch(0, 8);
    uint64_t had = w->hot_count;
    sent = w->count[MMCOUNT_batch_calls];
    EXPECT_EQ(call(NR_munmap, 0, 2, 0, 0), 0);
    EXPECT_EQ(w->count[MMCOUNT_batch_calls] - sent, 1);
    EXPECT(w->hot_count == had + 2 && program->mm->sender == 1);
    had = w->hot_high;
    w->hot_high = w->hot_count + 1;
    EXPECT_EQ(call(NR_munmap, 2, 2, 0, 0), 0);
    EXPECT(!program->mm->sender && !w->left_count);
    w->hot_high = had;
    EXPECT_EQ(call(NR_madvise, 4, 2, MADV_DONTNEED, 0), 0);
    EXPECT_EQ(program->mm->sender, 1);
    EXPECT_EQ(call(NR_munmap, 0, 8, 0, 0), 0);
    end();
}

/* The newest VMA is in no tree; whatever else is mapped or changed ties it in. */
KTAP_CASE(core_calls_newest_mapping_is_loose)
{
    boot();
    struct mm *mm = program->mm;

    EXPECT_EQ(map(0, 1, RW, 0), (long)BASE);
    EXPECT(mm->loose && mm->loose->start == page(0));
    touch(0, 1);
    core_world_check();
    EXPECT_EQ(call(NR_munmap, 0, 1, 0, 0), 0);
    EXPECT(!mm->loose && !vma_at(mm, page(0)));
    core_world_check();
    EXPECT_EQ(map(0, 1, RW, 0), (long)BASE);
    EXPECT_EQ(map(4, 1, RW, 0), (long)page(4));
    EXPECT(mm->loose->start == page(4) && vma_at(mm, page(0)) && vma_at(mm, page(4)));
    EXPECT(vma_find(mm, page(1)) == mm->loose && !vma_at(mm, page(5)));
    core_world_check();
    EXPECT_EQ(call(NR_mprotect, 4, 1, PROT_READ, 0), 0);
    EXPECT_EQ(call(NR_munmap, 0, 1, 0, 0), 0);
    EXPECT(!mm->loose);
    core_world_check();
    /* Room is looked for with the loose one in the way. */
    vaddr_t high = core_world_mmap(program, 0, PAGE_BYTES, RW, 0);
    EXPECT(mm->loose->start == high);
    vaddr_t low = core_world_mmap(program, 0, PAGE_BYTES, PROT_READ, 0);
    EXPECT_EQ(low, high - PAGE_BYTES);
    core_world_check();
    end();
}

/* The break goes up and down, over pages that are there or not, and out of a leaf table. */
KTAP_CASE(core_calls_break_goes_down)
{
    boot();
    struct mm *mm = program->mm;
    vaddr_t low = (vaddr_t)core_world_call(program, NR_brk, 0, 0, 0, 0, 0);
    uint64_t before = mm->anon_pages, pages = 2 * TABLE_ENTRIES;
    uint8_t value = 5;

    low = PAGE_UP(low);
    for (uint64_t step = 1; step <= 12; step++) {
        vaddr_t high = low + (pages << PAGE_SHIFT);

        EXPECT_EQ(core_world_call(program, NR_brk, high, 0, 0, 0, 0), (long)high);
        for (uint64_t i = 0; i < pages; i += 3)
            EXPECT(sim_access(program, low + (i << PAGE_SHIFT), SIM_WRITE, &value).done);
        while (high > low) {
            high -= min_u64(high - low, step << PAGE_SHIFT);
            EXPECT_EQ(core_world_call(program, NR_brk, high, 0, 0, 0, 0), (long)high);
            EXPECT(!sim_access(program, high, SIM_READ, &value).done);
        }
        EXPECT_EQ(mm->anon_pages, before);
        core_world_check();
    }
    end();
}

static vaddr_t brk_to(vaddr_t end)
{
    return (vaddr_t)core_world_call(program, NR_brk, end, 0, 0, 0, 0);
}

/* The heap is one VMA as long as it may be; what stands in its way, or limits it, keeps the break
 * where it is. */
KTAP_CASE(core_calls_break_goes_up)
{
    boot();
    struct mm *mm = program->mm;
    vaddr_t low = PAGE_UP(brk_to(0)) + PAGE_BYTES;

    EXPECT_EQ(brk_to(low), low);
    uint64_t vmas = mm->map_count, total = mm->total_pages, promised = mm->committed_pages;
    for (uint64_t i = 1; i <= 700; i++)
        EXPECT_EQ(brk_to(low + i * PAGE_BYTES - 5), low + i * PAGE_BYTES - 5);
    EXPECT(mm->map_count == vmas && mm->total_pages == total + 700 &&
           mm->committed_pages == promised + 700);
    core_world_check();
    /* A mapping above it, with a page between that has to stay free, and then just there. */
    vaddr_t high = low + 700 * PAGE_BYTES;
    EXPECT_EQ(core_world_mmap(program, high + 3 * PAGE_BYTES, PAGE_BYTES, RW, MAP_FIXED),
              high + 3 * PAGE_BYTES);
    EXPECT_EQ(brk_to(high + 3 * PAGE_BYTES), high - 5);
    EXPECT_EQ(brk_to(high + 2 * PAGE_BYTES + 1), high - 5);
    EXPECT_EQ(brk_to(high + 2 * PAGE_BYTES), high + 2 * PAGE_BYTES);
    EXPECT_EQ(brk_to(high + 2 * PAGE_BYTES + 1), high + 2 * PAGE_BYTES);
    /* What cannot be an end at all. */
    EXPECT_EQ(brk_to(~0UL), high + 2 * PAGE_BYTES);
    EXPECT_EQ(brk_to(mm_user_end), high + 2 * PAGE_BYTES);
    EXPECT_EQ(brk_to(mm->brk_start - 1), high + 2 * PAGE_BYTES);
    EXPECT_EQ(brk_to(low), low);
    core_world_check();
    /* The end of the heap is of another kind: it goes on with a VMA of its own. */
    EXPECT_EQ(core_world_call(program, NR_mprotect, low - PAGE_BYTES, PAGE_BYTES, PROT_READ, 0, 0),
              0);
    vmas = mm->map_count;
    EXPECT_EQ(brk_to(low + PAGE_BYTES), low + PAGE_BYTES);
    EXPECT_EQ(mm->map_count, vmas + 1);
    mm->limit[MM_LIMIT_DATA] = mm->data_pages << PAGE_SHIFT;
    EXPECT_EQ(brk_to(low + 2 * PAGE_BYTES), low + PAGE_BYTES);
    mm->limit[MM_LIMIT_DATA] = LIMIT_NONE;
    mm->limit[MM_LIMIT_AS] = mm->total_pages << PAGE_SHIFT;
    EXPECT_EQ(brk_to(low + 2 * PAGE_BYTES), low + PAGE_BYTES);
    mm->limit[MM_LIMIT_AS] = LIMIT_NONE;
    EXPECT_EQ(brk_to(low + 2 * PAGE_BYTES), low + 2 * PAGE_BYTES);
    EXPECT_EQ(mm->map_count, vmas + 1);
    core_world_check();
    end();
}

/* A whole mapping that is moved keeps its VMA and its pages' numbers, and joins nobody. */
KTAP_CASE(core_calls_whole_mapping_moves_itself)
{
    boot();
    struct mm *mm = program->mm;
    uint64_t bytes = 3 * PAGE_BYTES, flags = MREMAP_MAYMOVE | MREMAP_FIXED;

    EXPECT_EQ(map(0, 3, RW, 0), (long)BASE);
    touch(0, 3);
    struct vma *v = vma_at(mm, page(0));
    uint64_t offset = v->offset;
    EXPECT_EQ(core_world_call(program, NR_mremap, page(0), bytes, bytes, flags, page(600)),
              (long)page(600));
    EXPECT(vma_at(mm, page(600)) == v && v->offset == offset && !vma_at(mm, page(0)));
    core_world_check();
    /* Where it may have to be joined with a neighbour it is copied. */
    EXPECT_EQ(map(3, 3, RW, 0), (long)page(3));
    touch(3, 3);
    EXPECT_EQ(core_world_call(program, NR_mremap, page(600), bytes, bytes, flags, page(0)),
              (long)page(0));
    EXPECT(vma_at(mm, page(0)) && vma_at(mm, page(3)) && !vma_at(mm, page(600)));
    core_world_check();
    end();
}
