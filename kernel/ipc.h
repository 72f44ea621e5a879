/*
 * Events and messages: endpoints, delivery, answers.
 *
 * The straight paths (fast.c) deliver to a parked worker of the same hart without a lock; everything
 * else is here, under the kernel lock. Functions named _locked are called with it held.
 */
#ifndef KERNEL_IPC_H
#define KERNEL_IPC_H

#include "kernel/thread.h"
#include "kernel/hart.h"

struct endpoint {
    struct thread *slot[HARTS_MAX]; /* the worker of each hart; changes only while it is stopped */
    struct thread_list queue;       /* threads whose event no worker has taken */
    uint64_t workers;
    uint64_t references; /* routes that name it */
    uint64_t dying;
};

struct notification {
    uint64_t bits;
    struct thread_list waiters;
    struct thread *worker;  /* bound: signals enter it */
    uint64_t references;    /* interrupts bound to it */
    uint64_t timer_deadline; /* ticks; 0: none */
    uint64_t timer_bits;
    TAILQ_ENTRY(notification) timer_link;
};
TAILQ_HEAD(notification_list, notification);

void endpoint_init(struct endpoint *e);
/* Kernel lock held. 0, or -ERR_BUSY while routes name it; waiting callers get ERR_GONE. */
long endpoint_destroy(struct endpoint *e);

void notification_init(struct notification *n);
long notification_destroy(struct notification *n);
/* Kernel lock held. */
void notification_signal_locked(struct notification *n, uint64_t bits);
/* Kernel lock held. Signal all timers that are due; called by the timer interrupt. */
void timers_run_locked(uint64_t now_ticks);
/* Kernel lock held. Deadline of the earliest, or ~0. */
uint64_t timers_next(void);

/* Interrupt sources. Kernel lock held. */
struct interrupt {
    struct notification *notification;
    uint64_t bits;
    uint32_t source;
    uint32_t pending_ack;
};
#define INTERRUPTS_MAX 128
extern struct interrupt interrupts[INTERRUPTS_MAX];
void interrupt_deliver_locked(uint32_t source);
void interrupt_unbind_locked(struct interrupt *i);

/* Kernel lock held. A Reply capability goes away unanswered: its client's event happens again. */
void reply_abandon_locked(struct thread *client);

#endif
