/*
 * The crash record: what the harness recognises, and what a person needs to find the bug.
 *
 *   ==== PAGODA CRASH ====
 *   reason and place, hart, current thread, what the machine knows, last events of every hart
 *   ==== END CRASH ====
 *
 * The first hart that panics writes it; a panic inside it only powers off. Other harts are asked by
 * an interrupt and stop at the next lock they want or panic they run into. No lock is taken here.
 */
#include "kernel/crash.h"
#include "kernel/assert.h"
#include "kernel/hart.h"
#include "kernel/log.h"
#include "arch/arch.h"

#include <pagoda/boot.h>

static uint64_t crash_owner; /* 0: none, else hart id + 1 */

bool crash_in_progress(void)
{
    return __atomic_load_n(&crash_owner, __ATOMIC_RELAXED) != 0;
}

void crash_stop_here(void)
{
    while (crash_in_progress())
        arch_wait();
}

/* NULL before the harts have their structures. */
static struct hart *hart_or_null(void)
{
    return harts_online ? this_hart() : NULL;
}

static void print_thread(const struct thread *t)
{
    if (!t) {
        kprintf("thread: none\n");
        return;
    }
    kprintf("thread: %p state %u event %u pc %#llx\n", (const void *)t, (unsigned)t->state,
            (unsigned)t->event, (unsigned long long)t->x[0]);
    kprintf("  fault: cause %llu address %#llx, client %p, server %p\n",
            (unsigned long long)t->fault_cause, (unsigned long long)t->fault_address,
            (const void *)t->client, (const void *)t->server);
}

static void print_registers(const struct thread *t)
{
    for (unsigned i = 1; i < 32; i++)
        kprintf("  x%-2u %016llx%s", i, (unsigned long long)t->x[i], i % 4 == 3 ? "\n" : "");
}

static void print_trace(const struct hart *h)
{
    uint64_t end = h->trace_next;
    uint64_t start = end > TRACE_EVENTS ? end - TRACE_EVENTS : 0;
    kprintf("events of hart %u, oldest first (time, what, pc, value):\n", (unsigned)h->id);
    for (uint64_t i = start; i < end; i++) {
        const struct trace_event *e = &h->trace[i % TRACE_EVENTS];
        kprintf("  %llu %#llx %#llx %#llx\n", (unsigned long long)e->ticks,
                (unsigned long long)e->what, (unsigned long long)e->pc,
                (unsigned long long)e->value);
    }
}

static void print_record(const char *file, int line, const char *what, const struct thread *server)
{
    struct hart *h = hart_or_null();
    kprintf("\n==== PAGODA CRASH ====\n");
    kprintf("reason: %s\nplace: %s:%d\n", what, file, line);
    if (h) {
        kprintf("hart: %u of %u (machine id %u)\n", (unsigned)h->id, (unsigned)harts_online,
                (unsigned)h->machine_id);
        print_thread(h->current);
    }
    if (server)
        print_registers(server);
    arch_crash_details();
    for (unsigned i = 0; h && i < harts_online; i++)
        print_trace(harts[i]);
    kprintf("==== END CRASH ====\n");
}

static _Noreturn void crash(const char *file, int line, const char *what,
                            const struct thread *server)
{
    struct hart *h = hart_or_null();
    uint64_t self = h ? h->id + 1 : 1, nobody = 0;
    if (!__atomic_compare_exchange_n(&crash_owner, &nobody, self, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST)) {
        if (nobody == self)
            arch_power_off(1);
        crash_stop_here();
    }
    for (unsigned i = 0; h && i < harts_online; i++)
        if (i != h->id)
            arch_interrupt_hart(i);
    print_record(file, line, what, server);
    arch_power_off(1);
}

_Noreturn void kernel_panic(const char *file, int line, const char *what)
{
    crash(file, line, what, NULL);
}

_Noreturn void crash_server(struct thread *t)
{
    this_hart()->current = t;
    crash(__FILE__, __LINE__, "the memory server faulted", t);
}
