/* membarrier: who may, what is told, and that it is a barrier on the other harts. */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_MEMBARRIER 283

enum {
    GLOBAL = 1,
    GLOBAL_EXPEDITED = 2,
    REGISTER_GLOBAL = 4,
    PRIVATE = 8,
    REGISTER_PRIVATE = 16,
    SYNC_CORE = 32,
    REGISTER_SYNC_CORE = 64,
    GET_REGISTRATIONS = 512
};

#define ROUNDS 2000

#define HART_0 1UL /* masks */
#define HART_1 2UL
#define ALL    ~0UL

static long barrier(int command, int flags)
{
    return SYSCALL(NR_MEMBARRIER, command, flags, 0);
}

KTAP_CHILD(fresh)
{
    (void)arg;
    long all = barrier(0, 0);
    int wanted = GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL | PRIVATE | REGISTER_PRIVATE |
                 SYNC_CORE | REGISTER_SYNC_CORE | GET_REGISTRATIONS;

    if ((all & wanted) != wanted || barrier(GET_REGISTRATIONS, 0) != 0)
        return 1;
    if (barrier(PRIVATE, 0) != -EPERM || barrier(SYNC_CORE, 0) != -EPERM)
        return 2;
    if (barrier(GLOBAL_EXPEDITED, 0) || barrier(GLOBAL, 0)) /* need no registration */
        return 3;
    if (barrier(REGISTER_SYNC_CORE, 0) || barrier(SYNC_CORE, 0) || barrier(PRIVATE, 0) != -EPERM)
        return 4;
    if (barrier(GET_REGISTRATIONS, 0) != (REGISTER_SYNC_CORE | REGISTER_PRIVATE))
        return 5;
    if (barrier(REGISTER_PRIVATE, 0) || barrier(REGISTER_PRIVATE, 0) || barrier(PRIVATE, 0))
        return 6;
    if (barrier(REGISTER_GLOBAL, 0) ||
        barrier(GET_REGISTRATIONS, 0) != (REGISTER_GLOBAL | REGISTER_SYNC_CORE | REGISTER_PRIVATE))
        return 7;
    return 0;
}

KTAP_CASE(registration_is_needed)
{
    EXPECT_CHILD_EXIT("fresh", "", 0);
}

KTAP_CHILD(unregistered)
{
    (void)arg;
    return barrier(GET_REGISTRATIONS, 0) == 0 && barrier(PRIVATE, 0) == -EPERM ? 0 : 1;
}

KTAP_CASE(fork_inherits_exec_forgets)
{
    int status = 0;

    EXPECT_EQ(barrier(REGISTER_PRIVATE, 0), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(barrier(PRIVATE, 0) == 0 ? 0 : 1);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_CHILD_EXIT("unregistered", "", 0); /* by fork and exec */
}

KTAP_CASE(bad_arguments)
{
    EXPECT_ERROR(barrier(PRIVATE, 1), EINVAL);
    EXPECT_ERROR(barrier(0, 1), EINVAL);
    EXPECT_ERROR(barrier(1 << 20, 0), EINVAL);
    EXPECT_ERROR(barrier(-1, 0), EINVAL);
    EXPECT_ERROR(barrier(GLOBAL | PRIVATE, 0), EINVAL);
    EXPECT_ERROR(barrier(REGISTER_GLOBAL, 2), EINVAL);
    /* Both are ints: what is above does not count. */
    EXPECT_EQ(pg_syscall(NR_MEMBARRIER, (1UL << 32) | GLOBAL_EXPEDITED, 1UL << 32, 0), 0);
}

/* ---- two sides that each store, then load what the other stores: one of them sees it ---- */

struct sides {
    volatile uint32_t fast __attribute__((aligned(64)));
    volatile uint32_t slow __attribute__((aligned(64)));
    volatile uint32_t go __attribute__((aligned(64)));
    volatile uint32_t ready __attribute__((aligned(64)));
    volatile uint32_t seen __attribute__((aligned(64)));
};

static void wait_for(volatile uint32_t *word, uint32_t value)
{
    for (unsigned spins = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; spins++)
        if (spins % 4096 == 0)
            sched_yield();
}

/* Has no barrier of its own but for the compiler. */
static void fast_side(struct sides *s)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        wait_for(&s->go, i);
        s->fast = i;
        __asm__ volatile("" : : : "memory");
        s->seen = s->slow;
        __atomic_store_n(&s->ready, i, __ATOMIC_RELEASE);
    }
}

/* How often neither saw the other's store. */
static unsigned slow_side(struct sides *s, int command)
{
    uint64_t random = ktap_seed();
    unsigned missed = 0;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        unsigned pause = (unsigned)(ktap_random(&random) % 64);

        __atomic_store_n(&s->go, i, __ATOMIC_RELEASE);
        while (pause--)
            __asm__ volatile("");
        s->slow = i;
        if (pg_syscall(NR_MEMBARRIER, command, 0, 0))
            return ROUNDS;
        uint32_t seen = s->fast;
        wait_for(&s->ready, i);
        missed += seen != i && s->seen != i;
    }
    return missed;
}

/* With a mask of more than one bit, anywhere. */
static void stay_on(unsigned long mask)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    set.bits[0] = mask;
    sched_setaffinity(0, sizeof(set), &set);
}

static bool two_harts(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_ISSET(0, &set) && CPU_ISSET(1, &set);
}

static void *fast_thread(void *arg)
{
    stay_on(HART_1);
    fast_side(arg);
    return NULL;
}

KTAP_CASE(threads_pass_a_barrier)
{
    static const int commands[][2] = {{REGISTER_PRIVATE, PRIVATE}, {REGISTER_SYNC_CORE, SYNC_CORE}};
    static struct sides sides[2];

    if (!two_harts())
        SKIP("one hart");
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(barrier(commands[i][0], 0), 0);
        struct pg_thread *thread = pg_thread_create(fast_thread, &sides[i], 0);
        REQUIRE(thread != NULL);
        EXPECT_EQ(slow_side(&sides[i], commands[i][1]), 0);
        pg_thread_join(thread);
    }
}

KTAP_CASE(registered_processes_pass_a_barrier)
{
    struct sides *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;

    if (!two_harts())
        SKIP("one hart");
    REQUIRE(s != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        stay_on(HART_1);
        barrier(REGISTER_GLOBAL, 0);
        fast_side(s);
        _exit(0);
    }
    EXPECT_EQ(slow_side(s, GLOBAL_EXPEDITED), 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    munmap(s, PAGE);
}

/* ---- that they are reached at all, which the cases above show only if a store is late ---- */

#define CALLS 100

static long fences_sent(void)
{
    return ktap_proc_number("/proc/pagoda/stat", "fence_code_remote");
}

static void *spin(void *arg)
{
    volatile uint32_t *state = arg;

    stay_on(HART_1);
    *state = 1;
    while (*state == 1)
        ;
    return NULL;
}

/* How many fences so many calls sent while somebody runs on the other hart. */
static long sent_by(int command, volatile uint32_t *state)
{
    wait_for(state, 1);
    long before = fences_sent();

    for (unsigned i = 0; i < CALLS; i++)
        EXPECT_EQ(barrier(command, 0), 0);
    return fences_sent() - before;
}

KTAP_CASE(pagoda_other_harts_are_interrupted)
{
    static uint32_t state;

    if (!two_harts())
        SKIP("one hart");
    stay_on(HART_0);
    EXPECT_EQ(barrier(REGISTER_PRIVATE, 0), 0);
    EXPECT(sent_by(PRIVATE, &(uint32_t){1}) < CALLS / 2); /* nobody is there */
    struct pg_thread *thread = pg_thread_create(spin, &state, 0);
    REQUIRE(thread != NULL);
    /* All but those that it was switched away for. */
    EXPECT(sent_by(PRIVATE, &state) > CALLS / 2);
    state = 2;
    pg_thread_join(thread);
    stay_on(ALL);
}

KTAP_CASE(pagoda_only_registered_processes_are_interrupted)
{
    volatile uint32_t *state =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (!two_harts())
        SKIP("one hart");
    REQUIRE(state != MAP_FAILED);
    stay_on(HART_0);
    for (unsigned registered = 0; registered < 2; registered++) {
        *state = 0;
        pid_t child = fork();
        if (child == 0) {
            if (registered)
                barrier(REGISTER_GLOBAL, 0);
            spin((void *)(uintptr_t)state);
            _exit(0);
        }
        long sent = sent_by(GLOBAL_EXPEDITED, state);
        EXPECT(registered ? sent > CALLS / 2 : sent < CALLS / 2);
        EXPECT(sent_by(GLOBAL, state) > CALLS / 2);
        *state = 2;
        waitpid(child, NULL, 0);
    }
    munmap((void *)(uintptr_t)state, PAGE);
    stay_on(ALL);
}
