/*
 * Kernel calls. The number is in a7 and negative; arguments are in a0..a5; the answer is in a0:
 * zero or a count, or -ERR_x. A thread without a capability table has no kernel calls: all its
 * ecalls are foreign and are forwarded by its route.
 *
 * Calls marked * may switch threads. They preserve sp, tp and gp only: their stubs declare all
 * other registers clobbered. A message is the six registers s2..s7; the kernel carries it by
 * leaving those registers alone, and whatever else a caller leaves in registers its partner can
 * read.
 *
 * A slot is an index into the caller's own capability table. Pairs (table, index) name an entry of
 * any table: `table` is the slot of a Table capability, or SELF_TABLE for the caller's own.
 */
#ifndef PAGODA_CALL_H
#define PAGODA_CALL_H

/* *fault_reply(entry, memory, old): map `entry` where the client faulted, resume it, park. With
 * REPLY_RIGHTS in `memory` the page must stand there already; it gains the rights of `entry` that
 * it lacks, and may have none that `entry` lacks. With REPLY_REPLACE `entry` takes the place of
 * `old`, which must stand there, as by BATCH_REPLACE; that is not always possible: -ERR_AGAIN, and
 * a batch must do. */
#define CALL_FAULT_REPLY (-1)
#define REPLY_RIGHTS     (1UL << 30)
#define REPLY_REPLACE    (1UL << 29)
/* *reply_park(value): answer the client (a0 of a foreign call, status of a message, or simply go on
 * after a fault, for which value must be 0), park. */
#define CALL_REPLY_PARK (-2)
/* *call(endpoint): send s2..s7, wait for the answer in s2..s7; a0 is the status. */
#define CALL_CALL (-3)
/* *park(more): the client, if any, must have been kept. `more` matters after an idle entry: nonzero
 * asks to be entered again while the hart is idle. */
#define CALL_PARK (-4)
/* *forward_park(info0, info1): hand the client's event to its personality, park. */
#define CALL_FORWARD_PARK (-5)
/* batch(space, count) -> operations performed; a1 = 0 or the -ERR_x that stopped it. */
#define CALL_BATCH (-6)
/* reply_keep(slot): the right to answer the present client moves into an empty slot. */
#define CALL_REPLY_KEEP (-7)
/* reply_send(slot, value, last): answer a kept client; the capability is used up. If `last` is not
 * zero, as reply_last(). */
#define CALL_REPLY_SEND (-8)
/* cap_copy(source, table, index, rights, first, pages): derive. Memory: `first` and `pages` select
 * a part, relative to the source. Endpoint, Notification: `first` is the badge if the source has
 * none; rights are masked. */
#define CALL_CAP_COPY (-9)
/* cap_delete(table, index): remove one that has no derived ones; the first capability of an object
 * destroys the object (ERR_AGAIN: call again; ERR_BUSY: still in use). */
#define CALL_CAP_DELETE (-10)
/* cap_revoke(table, index): remove all that were derived, bounded; ERR_AGAIN while some are left.
 */
#define CALL_CAP_REVOKE (-11)
/* cap_read(table, index) -> type | rights << 8; a1 = first page or badge; a2 = pages. */
#define CALL_CAP_READ (-12)
/* object_create(memory, page, type, parameter, slot): make an object of a page (relative) of a
 * tables block. Table: parameter = pages. Others: 0. */
#define CALL_OBJECT_CREATE (-13)
/* block_class(memory, page, class): make the aligned 2 MiB at `page` (relative) BLOCK_DATA or
 * BLOCK_TABLES. */
#define CALL_BLOCK_CLASS (-14)
/* space_copy(space, address, local, bytes, direction) -> bytes copied; stops short at a page that
 * is not there or does not allow it, in either space; at most COPY_MAX_BYTES a call. */
#define CALL_SPACE_COPY (-15)
/* thread_set(thread, field, value, value2): see enum thread_field. */
#define CALL_THREAD_SET (-16)
/* thread_regs(thread, buffer, write): copy struct user_regs out of or into a thread that waits. */
#define CALL_THREAD_REGS (-17)
/* thread_start(thread): make it runnable. */
#define CALL_THREAD_START (-18)
/* *thread_stop(thread): stop it; ERR_AGAIN while its hart has yet to notice. What it waited for
 * happens again when it is started; a worker is unbound, and its client's event happens again. */
#define CALL_THREAD_STOP (-19)
/* worker_bind(thread, endpoint, entry, sp, tp, flags): the thread, stopped and pinned, becomes the
 * endpoint's worker on its hart and is parked. */
#define CALL_WORKER_BIND (-20)
/* worker_page(thread, memory, page): the worker's operation page. */
#define CALL_WORKER_PAGE (-21)
/* signal(notification, bits) */
#define CALL_SIGNAL (-22)
/* *wait(notification) -> status; a1 = bits, which are cleared. */
#define CALL_WAIT (-23)
/* notification_bind(notification, thread): its signals enter that worker. */
#define CALL_NOTIFICATION_BIND (-24)
/* timer_set(notification, deadline_ticks, bits): one-shot, deadline 0 cancels. */
#define CALL_TIMER_SET (-25)
/* interrupt_bind(interrupt, notification, bits): and enable. */
#define CALL_INTERRUPT_BIND (-26)
/* interrupt_ack(interrupt): serviced, deliver the next. */
#define CALL_INTERRUPT_ACK (-27)
/* log_write(kernel, text, bytes) */
#define CALL_LOG_WRITE (-28)
/* power_off(kernel, status) */
#define CALL_POWER_OFF (-29)
/* counters_read(kernel, buffer, bytes, hart) -> bytes; hart -1: the sum over all. */
#define CALL_COUNTERS_READ (-30)
/* *yield() */
#define CALL_YIELD (-31)
/* space_drop(space, memory): remove every mapping of the extent; ERR_AGAIN while some are left. */
#define CALL_SPACE_DROP (-32)
/* instruction_fence(space): make stores to code visible to every hart that runs the space. */
#define CALL_INSTRUCTION_FENCE (-33)
/* null(): does nothing; what a kernel call costs at least. */
#define CALL_NULL (-34)
/* space_info(space) -> root page; a1 = levels. */
#define CALL_SPACE_INFO (-35)

/* *reply_batch(space, count, value): as batch(); if all of it was done, answer the client, a fault
 * as reply_park(0) does, a foreign call as reply_park(value), and park. It comes back only if that
 * is not so: with what batch() answers, or -ERR_CLIENT and nothing done without a client that waits
 * for one of these; all done and a1 = -ERR_CLIENT if the client went meanwhile. */
#define CALL_REPLY_BATCH (-36)

/*
 * *reply_push(space, address, bytes, offset, pc): put the client aside and let it go on elsewhere,
 * as for a signal. Its 32 registers (struct user_regs) are written at address + offset of its own
 * memory; it goes on at pc with sp = address; s0..s11 are the caller's, gp, tp and the
 * floating-point registers are its own, all others zero. Park. All of [address, address + bytes),
 * at most a page long, must be there and writable: -ERR_ADDRESS. `space` names the client's space,
 * with the right to copy. Only for a client whose exception or foreign call is on the straight
 * path, and that is not always so: -ERR_STATE or -ERR_AGAIN, and thread_regs and space_copy must
 * do.
 */
#define CALL_REPLY_PUSH (-37)
/* *reply_pop(space, address): the client goes on with all its registers as struct user_regs at that
 * address of its memory says, park. Refused as reply_push(). */
#define CALL_REPLY_POP (-38)

/* thread_time(thread) -> ticks of the time base that harts spent on it, its calls and its faults;
 * a1 = interrupts of the timer that found it in user mode; a2 = that found it being served. */
#define CALL_THREAD_TIME (-39)
/* *reply_last(value): as reply_park(), and the client's turn is over: it goes on when all of its
 * priority that are ready have run. */
#define CALL_REPLY_LAST (-40)
/* thread_switches(thread) -> how often it gave up a hart to wait for something; a1 = how often a
 * hart was taken from it, though it had more to do. */
#define CALL_THREAD_SWITCHES (-41)

#define CALL_LAST (-41)

#define SELF_TABLE 0xffffffffUL

#define BLOCK_DATA   0
#define BLOCK_TABLES 1

#define COPY_TO_SPACE   0
#define COPY_FROM_SPACE 1
#define COPY_MAX_BYTES  65536UL

#ifndef __ASSEMBLER__
enum thread_field {
    THREAD_SPACE,       /* slot of a Space; from another one, its floating-point state is as new */
    THREAD_TABLE,       /* slot of a Table */
    THREAD_PAGER,       /* endpoint slot, badge */
    THREAD_PERSONALITY, /* endpoint slot, badge */
    THREAD_CALL_MASK,   /* word 0..7, 64 bits: set = to the pager */
    THREAD_PRIORITY,    /* 0..PRIORITY_MAX */
    THREAD_HART,        /* move */
    THREAD_FP, /* slot of a Thread that waits or is stopped on this hart: its floating-point
                  registers become a copy of that one's; 0: clean */
    THREAD_FIELDS
};
#endif

#define PRIORITY_MAX 31

#define WORKER_IDLE 0x1 /* worker_bind flags: enter it when its hart is idle */

/*
 * How a worker is entered: at entry + 16 * kind, sp and tp as bound, everything else as below.
 */
#ifndef __ASSEMBLER__
enum enter_kind {
    /* a0 badge, a1 address, a2 cause, a3 pc, a4 sequence; a5 and a6 what forward_park gave (nothing
     * if the event was never forwarded to this endpoint), a7 then the client's sp */
    ENTER_FAULT,
    /* a0..a5 the client's, a6 badge, a7 number */
    ENTER_CALL,
    /* s2..s7 the message, a0 badge */
    ENTER_MESSAGE,
    /* a0 bits of the bound notification */
    ENTER_SIGNAL,
    /* nothing: a bounded step of background work is welcome */
    ENTER_IDLE,
    ENTER_KINDS
};
#endif

/* Exception causes as the machine gives them. */
#define CAUSE_FETCH_MISALIGNED 0
#define CAUSE_FETCH_ACCESS     1
#define CAUSE_ILLEGAL          2
#define CAUSE_BREAKPOINT       3
#define CAUSE_LOAD_MISALIGNED  4
#define CAUSE_LOAD_ACCESS      5
#define CAUSE_STORE_MISALIGNED 6
#define CAUSE_STORE_ACCESS     7
#define CAUSE_FETCH_PAGE       12
#define CAUSE_LOAD_PAGE        13
#define CAUSE_STORE_PAGE       15

#ifndef __ASSEMBLER__
#include <stdint.h>

/* A thread's integer registers as thread_regs copies them: x[0] is the pc. */
struct user_regs {
    uint64_t x[32];
};

/* The same followed by the floating-point state, for signal frames. */
struct user_fp {
    uint64_t f[32];
    uint64_t fcsr;
};
#endif

#endif
