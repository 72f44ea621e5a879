/*
 * Events and messages: endpoints, delivery, answers.
 *
 * The straight paths (fast.c) deliver to a parked worker of the same hart without a lock;
 * everything else is here, under the kernel lock. Functions named _locked are called with it held.
 */
#ifndef KERNEL_IPC_H
#define KERNEL_IPC_H

#include "kernel/thread.h"
#include "kernel/hart.h"
#include <sys/tree.h>

struct endpoint {
    /* What `slot` says, as the straight paths see it: with messages=plain they find nobody. */
    struct thread *straight[HARTS_MAX];
    /* The worker of each hart, or thread_nobody; changes only while the worker is stopped. */
    struct thread *slot[HARTS_MAX];
    struct thread_list queue; /* threads whose event no worker has taken */
    uint64_t workers;
    uint64_t references; /* routes that name it */
};

struct notification {
    uint64_t bits;
    struct thread_list waiters;
    struct thread *worker;   /* bound: signals enter it */
    uint64_t references;     /* interrupts bound to it */
    uint64_t timer_deadline; /* ticks; 0: none */
    uint64_t timer_bits;
    RB_ENTRY(notification) timer;
};

/* messages=plain: every event and message goes through the queues of event.c. Set at boot. */
extern bool messages_plain;

void endpoint_init(struct endpoint *e);
/* Kernel lock held. 0; -ERR_BUSY while routes or workers name it; -ERR_AGAIN while somebody still
 * waits there: callers get ERR_GONE, other events happen again. */
long endpoint_destroy(struct endpoint *e);

void notification_init(struct notification *n);
/* Kernel lock held. 0; -ERR_BUSY while interrupts are bound; -ERR_AGAIN while there are waiters,
 * who get ERR_GONE. */
long notification_destroy(struct notification *n);
void notification_signal_locked(struct notification *n, uint64_t bits);
/* Bits that a Notification capability lets its holder signal: its badge, or all. */
uint64_t notification_allowed(const struct cap *cap);
/* Kernel lock held. Signal timers that are due, a bounded number; called by the timer interrupt. */
void timers_run_locked(uint64_t now_ticks);
/* Kernel lock held. Deadline of the earliest, or ~0. */
uint64_t timers_next(void);

/* Interrupt sources, under the kernel lock. */
struct interrupt {
    struct notification *notification;
    uint64_t bits;
    uint32_t source;
    uint32_t in_service; /* bool: delivered and not yet acknowledged */
};
#define INTERRUPTS_MAX 128
extern struct interrupt interrupts[INTERRUPTS_MAX];
void interrupt_deliver_locked(uint32_t source);
void interrupt_unbind_locked(struct interrupt *i);

/*
 * Kernel lock held, all of these. An event's thread has all that is kept of it in x[].
 */

/* Bring t's event (t->event, t->info set) to the endpoint: a worker takes it or it is queued. */
void event_deliver_locked(struct thread *t, struct endpoint *e, uint64_t badge);
/* Park a worker that has answered; it takes what waits for it. */
void worker_park_locked(struct thread *w);
/* A parked worker of this hart that has attention: give it a signal or a queued event. */
void worker_attend_locked(struct thread *w);
/* All of this hart's workers that have attention. */
void workers_attend_locked(struct hart *h);
/* Enter a parked worker of this hart with `kind`; a0 for SIGNAL and IDLE. */
void worker_enter_locked(struct thread *w, enum enter_kind kind, uint64_t a0);
/* t no longer waits for an answer; what it waited for happens again (fault, foreign call) or fails
 * (message), unless its registers were replaced meanwhile. Its state is left to the caller. */
void event_undo_locked(struct thread *t);
/* A Reply capability goes away unanswered: its client's event happens again. */
void reply_abandon_locked(struct thread *client);
/* The client whose event worker w has, made SERVED if it is on the straight path; NULL if none. */
struct thread *client_of_locked(struct thread *w);
/* t, KEPT, is being stopped: its Reply capability goes. */
void reply_forget_locked(struct thread *t);
/* A worker of e is gone: those of other harts may have to take what waits. */
void endpoint_rouse_locked(struct endpoint *e);
/* Faults that wait off the straight path: queued, served or kept. The watchdog goes round in it. */
extern struct thread_list kept_faults;

/*
 * The straight paths (fast.c), entered from the trap code with everything saved as thread.h says.
 */
bool fault_deliver(uint64_t a0, uint64_t address, uint64_t cause, uint64_t pc, uint64_t a4,
                   uint64_t a5, struct thread *t);
bool call_deliver(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                  struct thread *t, uint64_t number);
bool fault_reply(uint64_t entry, uint64_t memory, uint64_t old, uint64_t a3, uint64_t a4,
                 uint64_t a5, struct thread *w);
/* A fault reply with REPLY_RIGHTS, its entry checked: the page in c's slot gains what it lacks. No
 * lock: only one word changes, and which page it names does not. Whoever remembers the old entry on
 * another hart faults and is fenced then. False: not that page, or it would lose a right. */
bool reply_rights_add(const struct thread *c, uint64_t *slot, uint64_t entry);
bool reply_park(uint64_t value, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                struct thread *w);
/* As the others: false if it is not plain, with the arguments noted. */
bool forward_park(uint64_t info0, uint64_t info1, uint64_t a2, uint64_t a3, uint64_t a4,
                  uint64_t a5, struct thread *w);
/* context.c: the client goes on elsewhere, or with other registers. There is no slow half: false
 * says that it is refused, with the answer in w->x[10]. */
bool reply_push(uint64_t space, uint64_t address, uint64_t bytes, uint64_t offset, uint64_t pc,
                uint64_t a5, struct thread *w);
bool reply_pop(uint64_t space, uint64_t address, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
               struct thread *w);
/* batch_straight.c: CALL_REPLY_BATCH of one plain operation. */
bool reply_batch(uint64_t space, uint64_t count, uint64_t value, uint64_t a3, uint64_t a4,
                 uint64_t a5, struct thread *w);
bool message_call(uint64_t slot, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                  struct thread *t);

/* Slow halves (event.c), entered with no lock; they give the hart to whoever should have it. */
bool fault_deliver_slow(struct thread *t);
bool call_deliver_slow(struct thread *t, bool pager);

/*
 * Answering calls, slow form, kernel lock held. 0: answered, w is parked (or has its next event)
 * and the scheduler decides who runs; -ERR_x: nothing changed, w goes on.
 */
long fault_reply_locked(struct thread *w, uint64_t entry, uint64_t memory);
long reply_park_locked(struct thread *w, uint64_t value);
long reply_last_locked(struct thread *w, uint64_t value);
long forward_park_locked(struct thread *w, uint64_t info0, uint64_t info1);
long park_locked(struct thread *w, uint64_t more);
/* 0: t waits; -ERR_x: it goes on. The second: *done if the bits were there, in x[11]. */
long message_call_locked(struct thread *t, uint64_t slot);
long notification_wait_locked(struct thread *t, uint64_t slot, bool *done);

#endif
