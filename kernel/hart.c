/*
 * Harts: the kernel lock, waiting for other harts' straight paths, the trace of slow events.
 *
 * The kernel lock is a ticket lock: harts get it in the order in which they asked, so none starves.
 */
#include "kernel/hart.h"
#include "kernel/assert.h"
#include "kernel/crash.h"
#include "arch/arch.h"

struct hart *harts[HARTS_MAX];
uint32_t harts_online;

static struct {
    uint32_t next;    /* ticket for the next who asks */
    uint32_t serving; /* ticket whose turn it is */
    struct hart *holder;
} lock;

void hart_setup(struct hart *h, unsigned id, uint64_t machine_id)
{
    h->id = id;
    h->machine_id = machine_id;
    for (unsigned p = 0; p <= PRIORITY_MAX; p++)
        TAILQ_INIT(&h->run[p]);
    TAILQ_INIT(&h->stops);
    TAILQ_INIT(&h->workers);
}

void kernel_lock(void)
{
    struct hart *h = this_hart();
    kassert(lock.holder != h);
    uint32_t ticket = __atomic_fetch_add(&lock.next, 1, __ATOMIC_RELAXED);
    hart_idle(h);
    while (__atomic_load_n(&lock.serving, __ATOMIC_ACQUIRE) != ticket) {
        crash_stop_here();
        arch_relax();
    }
    __atomic_store_n(&lock.holder, h, __ATOMIC_RELAXED);
}

void kernel_unlock(void)
{
    kassert(lock.holder == this_hart());
    __atomic_store_n(&lock.holder, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&lock.serving, lock.serving + 1, __ATOMIC_RELEASE);
}

bool kernel_lock_held(void)
{
    return __atomic_load_n(&lock.holder, __ATOMIC_RELAXED) == this_hart();
}

/*
 * A hart that is busy now may have found what was just made unreachable; one that becomes busy
 * later cannot. The fence here pairs with the one in hart_busy(): either the other hart's look-up
 * sees what was unlinked, or its busy flag is seen here.
 */
void harts_quiesce(void)
{
    struct hart *self = this_hart();
    kassert(kernel_lock_held());
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < harts_online; i++) {
        while (harts[i] != self && __atomic_load_n(&harts[i]->busy, __ATOMIC_ACQUIRE)) {
            crash_stop_here();
            arch_relax();
        }
    }
}

void hart_trace(struct hart *h, uint64_t what, uint64_t pc, uint64_t value)
{
    h->trace[h->trace_next++ % TRACE_EVENTS] =
        (struct trace_event){.ticks = arch_time(), .what = what, .pc = pc, .value = value};
}
