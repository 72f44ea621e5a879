/*
 * The placement in user mode: kernel calls by ecall, the worker in tp, the log by its kernel call.
 */
#include "mmserver/core/place.h"
#include "mmserver/core/text.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/own.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/vmap.h"
#include "mmserver/place/place_server.h"
#include "mmserver/place/user/apart.h"
#include "mmserver/server/server.h"
#include <pagoda/batch.h>
#include <string.h>

#define STACK_BYTES (4 * PAGE_BYTES)

/* In the lower half of user space, far from the image and the linear map above 64 GiB. */
vaddr_t place_own_start = 0x400000000, place_own_end = 0x400000000 + PLACE_OWN_BYTES_MAX;
uint64_t place_own_bias;
uint64_t place_linear_base;

static char *stack[BOOT_HARTS_MAX];

_Static_assert(offsetof(struct worker, serving) == WORKER_SERVING, "as start.S has it");
_Static_assert(offsetof(struct worker, answered) == WORKER_ANSWERED, "as start.S has it");
_Static_assert(offsetof(struct worker, batch_ops) == WORKER_BATCH_OPS, "as start.S has it");
_Static_assert(ANSWER_REPLY == ANSWER_KIND_REPLY && ANSWER_FORWARD == ANSWER_KIND_FORWARD &&
                   ANSWER_BATCH == ANSWER_KIND_BATCH && ANSWER_CALL == ANSWER_KIND_CALL,
               "as start.S has it");
_Static_assert(ERR_CALL == ERR_CALL_VALUE, "as start.S has it");

long place_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5, uint64_t out[2])
{
    register uint64_t x10 __asm__("a0") = a0;
    register uint64_t x11 __asm__("a1") = a1;
    register uint64_t x12 __asm__("a2") = a2;
    register uint64_t x13 __asm__("a3") = a3;
    register uint64_t x14 __asm__("a4") = a4;
    register uint64_t x15 __asm__("a5") = a5;
    register long x17 __asm__("a7") = number;

    __asm__ volatile("ecall"
                     : "+r"(x10), "+r"(x11), "+r"(x12), "+r"(x13), "+r"(x14), "+r"(x15), "+r"(x17)
                     :
                     : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a6");
    if (out) {
        out[0] = x11;
        out[1] = x12;
    }
    return (long)x10;
}

void place_relax(void)
{
    __asm__ volatile("" ::: "memory");
}

bool place_data(unsigned i, const void **from, uint64_t *bytes)
{
    extern char mmserver_data_start[], mmserver_data_end[];

    *from = mmserver_data_start;
    *bytes = (uint64_t)(mmserver_data_end - mmserver_data_start);
    return i == 0;
}

void place_log(const char *text, size_t bytes)
{
    place_call(CALL_LOG_WRITE, SLOT_KERNEL, (uintptr_t)text, bytes, 0, 0, 0, NULL);
}

_Noreturn void place_power_off(uint64_t status)
{
    place_call(CALL_POWER_OFF, SLOT_KERNEL, status, 0, 0, 0, 0, NULL);
    for (;;)
        place_relax();
}

_Noreturn void place_panic(const char *file, int line, const char *what)
{
    text_log("panic: %s:%lu: %s", file, (uint64_t)line, what);
    place_power_off(1);
}

#ifdef LOCK_CHECK
uint32_t *lock_ranks(void)
{
    static uint32_t at_start; /* nobody is a worker yet */
    struct worker *w;

    __asm__ volatile("mv %0, tp" : "=r"(w));
    return w ? &w->lock_ranks : &at_start;
}
#endif

/* A stack lies between two pages that are never mapped: its own guard and that of what is below. */
static bool stack_make(struct worker *boot, const struct worker *w)
{
    stack[w->hart] = vm_alloc(boot, STACK_BYTES);
    return stack[w->hart] != NULL;
}

bool place_worker_prepare(struct worker *boot, struct worker *w)
{
    long error = place_thread_set(w->thread_slot, THREAD_SPACE, SLOT_SPACE, 0);

    if (!error)
        error = place_thread_set(w->thread_slot, THREAD_TABLE, SLOT_TABLE, 0);
    return !error && stack_make(boot, w);
}

long place_worker_bind(struct worker *w)
{
    return place_call(CALL_WORKER_BIND, w->thread_slot, SLOT_ENDPOINT, (uintptr_t)apart_entry(),
                      (uintptr_t)stack[w->hart] + STACK_BYTES, (uintptr_t)w, WORKER_IDLE, NULL);
}

/* The code of the start goes, and its memory becomes like any other. Other harts' workers may be at
 * work; none of them calls any of it (harness/bootrefs.py). */
static void startup_release(struct worker *w, const struct boot_info *info)
{
    extern char image_text_boot[], image_text_rest[];
    uint64_t pages = (uint64_t)(image_text_rest - image_text_boot) >> PAGE_SHIFT;

    lock_take(&own_lock);
    own_unmap_locked(w, (vaddr_t)image_text_boot, pages, false);
    own_flush_locked(w);
    lock_drop(&own_lock);
    for (uint32_t i = 0; i < info->ranges; i++) {
        const struct boot_range *r = &info->range[i];

        if ((r->flags & BOOT_RANGE_STARTUP) &&
            phys_give(r->first_page, r->first_page + r->pages, SLOT_MEMORY + i, r->node))
            (void)memblock_free(&memblock, r->first_page << PAGE_SHIFT, r->pages << PAGE_SHIFT);
    }
}

_Noreturn void server_main(const struct boot_info *info)
{
    place_linear_base = info->linear_base;
    mmserver_start(info);
    startup_release(&workers[info->boot_hart], info);
    /* The first thread has done its work. */
    place_call_switching(CALL_THREAD_STOP, SLOT_THREAD, 0, 0);
    place_panic(__FILE__, __LINE__, "the first thread was started again");
}
