/*
 * Kernel calls inside the kernel: one function each, all of one shape.
 *
 * A call function is entered with no lock held; it decodes (checks everything, changes nothing),
 * then performs. It answers 0, a count, or -ERR_x; out[0] and out[1] become the caller's a1 and a2.
 * `t` is the calling thread. The in-kernel pager's worker has t->space == NULL: its addresses are
 * kernel addresses.
 */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H

#include "kernel/thread.h"

struct call_args {
    uint64_t a[6];
    uint64_t out[2];
};

typedef long call_function(struct thread *t, struct call_args *c);

/* What a batch answers: a0 and a1. */
struct batch_answer {
    long performed; /* or -ERR_x */
    long stopped;   /* 0 or the -ERR_x that stopped it */
};
/* No lock held, the hart not busy. */
struct batch_answer batch_perform(struct thread *t, uint64_t space, uint64_t count);
/* The trap code's way in for batches; no lock held, the hart not busy. t goes on in any case. */
struct batch_answer batch_native(uint64_t space, uint64_t count, uint64_t a2, uint64_t a3,
                                 uint64_t a4, uint64_t a5, struct thread *t);
/* The same for CALL_REPLY_BATCH, where reply_batch() said that it is not plain, or that it stopped
 * (-ERR_x) and how many operations it had performed. On hardware it comes back only if the worker
 * goes on: something was refused. */
struct batch_answer reply_batch_full(uint64_t space, uint64_t count, uint64_t value,
                                     uint64_t stopped, uint64_t performed, uint64_t a5,
                                     struct thread *w);
/* Perform the batch if w has a client that waits for a fault or a call, and if it has not stopped
 * already; the reply is the caller's. */
struct batch_answer batch_reply(struct thread *w, uint64_t space, uint64_t count,
                                struct batch_answer so_far);
/* Kernel lock held: that reply, as reply_park_locked(), the value only for a call. */
long batch_reply_park_locked(struct thread *w, uint64_t value);

/* batch.c, copy.c, space.c */
call_function call_batch, call_space_copy, call_space_drop, call_space_info, call_instruction_fence;
/* cap.c, object.c, block.c */
call_function call_cap_copy, call_cap_delete, call_cap_revoke, call_cap_read, call_object_create,
    call_block_class;
/* thread.c */
call_function call_thread_set, call_thread_regs, call_thread_start, call_thread_stop,
    call_worker_bind, call_worker_page, call_thread_time, call_thread_switches;
/* notification.c, interrupt.c */
call_function call_signal, call_notification_bind, call_timer_set, call_interrupt_bind,
    call_interrupt_ack;
/* event.c */
call_function call_reply_keep, call_reply_send;
/* control.c */
call_function call_log_write, call_power_off, call_counters_read;

/* Copy between kernel memory and the caller's; -ERR_ADDRESS unless all of it is there and allowed.
 */
long caller_copy_in(struct thread *t, void *to, vaddr_t from, size_t bytes);
long caller_copy_out(struct thread *t, vaddr_t to, const void *from, size_t bytes);

#endif
