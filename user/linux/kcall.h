/*
 * Kernel calls of the personality: thin stubs, one each. Errors are negative ERR_x (error.h). None
 * of those here switches threads except kcall_call(), whose stub and the answering calls are in
 * entry.S.
 */
#ifndef LINUX_KCALL_H
#define LINUX_KCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pagoda/call.h>
#include <pagoda/error.h>
#include <pagoda/mm.h>

#ifdef PAGODA_HOST
/* Tests give a kernel of their own. */
long kcall6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
long kcall_three(long number, uint64_t value, uint64_t more[2]);
#else
/* Memory is clobbered as a whole: the kernel reads and writes through the pointers given. */
static inline long kcall6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                          uint64_t f)
{
    register uint64_t a0 __asm__("a0") = a;
    register uint64_t a1 __asm__("a1") = b;
    register uint64_t a2 __asm__("a2") = c;
    register uint64_t a3 __asm__("a3") = d;
    register uint64_t a4 __asm__("a4") = e;
    register uint64_t a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;

    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5), "+r"(a7)
                     :
                     : "memory", "a6", "t0", "t1", "t2", "t3", "t4", "t5", "t6");
    return (long)a0;
}

/* A call of one argument that answers in a1 and a2 too. */
static inline long kcall_three(long number, uint64_t value, uint64_t more[2])
{
    register uint64_t a0 __asm__("a0") = value;
    register uint64_t a1 __asm__("a1");
    register uint64_t a2 __asm__("a2");
    register long a7 __asm__("a7") = number;

    __asm__ volatile("ecall"
                     : "+r"(a0), "=r"(a1), "=r"(a2), "+r"(a7)
                     :
                     : "memory", "a3", "a4", "a5", "a6", "t0", "t1", "t2", "t3", "t4", "t5", "t6");
    more[0] = a1;
    more[1] = a2;
    return (long)a0;
}
#endif

static inline long kcall_reply_keep(uint64_t slot)
{
    return kcall6(CALL_REPLY_KEEP, slot, 0, 0, 0, 0, 0);
}

static inline long kcall_reply_send(uint64_t slot, long value, bool last)
{
    return kcall6(CALL_REPLY_SEND, slot, (uint64_t)value, last, 0, 0, 0);
}

static inline long kcall_cap_delete(uint64_t slot)
{
    return kcall6(CALL_CAP_DELETE, SELF_TABLE, slot, 0, 0, 0, 0);
}

/* Registers of a thread that waits; both pages of `regs` must be present. */
static inline long kcall_thread_regs(uint64_t thread, const struct user_regs *regs, int write)
{
    return kcall6(CALL_THREAD_REGS, thread, (uint64_t)regs, (uint64_t)write, 0, 0, 0);
}

/* Bytes copied, short at a page that is not there in either space; direction COPY_*. */
static inline long kcall_space_copy(uint64_t space, uint64_t address, const void *local,
                                    size_t bytes, unsigned direction)
{
    return kcall6(CALL_SPACE_COPY, space, address, (uint64_t)local, bytes, direction, 0);
}

/* Ticks that the thread paid for; how often it was seen in user mode, and being served. */
static inline long kcall_thread_time(uint64_t thread, uint64_t seen[2])
{
    return kcall_three(CALL_THREAD_TIME, thread, seen);
}

/* How often it gave up a hart to wait; how often one was taken from it is more[0]. */
static inline long kcall_thread_switches(uint64_t thread, uint64_t more[2])
{
    return kcall_three(CALL_THREAD_SWITCHES, thread, more);
}

/* The kernel's counters of a hart, ~0: of all. */
static inline long kcall_counters(uint64_t *to, size_t bytes, uint64_t hart)
{
    return kcall6(CALL_COUNTERS_READ, LINUX_SLOT_KERNEL, (uint64_t)to, bytes, hart, 0, 0);
}

static inline long kcall_worker_bind(uint64_t thread, uint64_t endpoint, const void *entry,
                                     const void *sp, const void *tp)
{
    return kcall6(CALL_WORKER_BIND, thread, endpoint, (uint64_t)entry, (uint64_t)sp, (uint64_t)tp,
                  0);
}

static inline long kcall_notification_bind(uint64_t notification, uint64_t thread)
{
    return kcall6(CALL_NOTIFICATION_BIND, notification, thread, 0, 0, 0, 0);
}

static inline long kcall_timer_set(uint64_t notification, uint64_t deadline_ticks, uint64_t bits)
{
    return kcall6(CALL_TIMER_SET, notification, deadline_ticks, bits, 0, 0, 0);
}

static inline long kcall_interrupt_bind(uint64_t interrupt, uint64_t notification, uint64_t bits)
{
    return kcall6(CALL_INTERRUPT_BIND, interrupt, notification, bits, 0, 0, 0);
}

static inline long kcall_interrupt_ack(uint64_t interrupt)
{
    return kcall6(CALL_INTERRUPT_ACK, interrupt, 0, 0, 0, 0, 0);
}

static inline long kcall_log_write(const char *text, size_t bytes)
{
    return kcall6(CALL_LOG_WRITE, LINUX_SLOT_KERNEL, (uint64_t)text, bytes, 0, 0, 0);
}

static inline long kcall_power_off(uint64_t status)
{
    return kcall6(CALL_POWER_OFF, LINUX_SLOT_KERNEL, status, 0, 0, 0, 0);
}

/* entry.S: send an empty message and wait for its answer; the status. */
long kcall_call(uint64_t endpoint);
/* entry.S: end of a worker's turn. None returns. */
_Noreturn void worker_reply_park(long value);
_Noreturn void worker_reply_last(long value); /* the client's turn is over, too */
_Noreturn void worker_park(void);

/* What signal_trampoline finds in s0..s8. */
struct trampoline_registers {
    uint64_t info[4]; /* the first words of siginfo_t; the others are zero */
    uint64_t handler;
    uint64_t mask;     /* that the handler's return puts back */
    uint64_t stack[3]; /* the alternate stack: sp, flags, bytes */
};
/* Operands of CALL_REPLY_PUSH. */
struct signal_push {
    uint64_t space, address, bytes, offset, pc;
    struct trampoline_registers s;
};
/* entry.S: end of a worker's turn, by CALL_REPLY_PUSH or CALL_REPLY_POP. If the kernel refuses, it
 * goes on in worker_straight_refused(). */
_Noreturn void worker_push(const struct signal_push *push, uint64_t badge);
_Noreturn void worker_pop(uint64_t space, uint64_t address, uint64_t badge);

#endif
