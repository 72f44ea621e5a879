/*
 * Native kernel calls for test and benchmark programs: stubs, and a small world to make them in.
 *
 * The world of a program that called native_open():
 *
 *   data memory     NATIVE_DATA_PAGES pages, all mapped read-write in the *window*, an address
 * space in which nothing runs; native_poke() and native_peek() copy through it tables memory   a
 * block of which kernel objects and page tables are made driver          a thread of this process
 * with an operation page; native_drive() runs a function on it, native_batch() a list of operations
 *
 * Pages are given out in order and come back only with the process. Errors are negative ERR_x, or
 * negative errno numbers (below -1000 to tell them apart) where the memory server was asked.
 * One thread of the program uses this at a time.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <pagoda/batch.h>
#include <pagoda/call.h>
#include <pagoda/cap.h>
#include <pagoda/counter.h>
#include <pagoda/entry.h>
#include <pagoda/error.h>
#include <pagoda/mm.h>

/* ---- stubs ---- */

struct native_result {
    long a0;
    uint64_t a1, a2;
};

/* A call that comes back to its caller: s0..s11 are kept, all other registers lost. */
static inline struct native_result native_call3(long number, uint64_t a, uint64_t b, uint64_t c,
                                                uint64_t d, uint64_t e, uint64_t f)
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
                     : "memory", "ra", "a6", "t0", "t1", "t2", "t3", "t4", "t5", "t6");
    return (struct native_result){(long)a0, a1, a2};
}

static inline long native_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                               uint64_t e, uint64_t f)
{
    return native_call3(number, a, b, c, d, e, f).a0;
}

/* What travels in s2..s7, and a1 after the call. */
struct native_message {
    uint64_t word[6];
    uint64_t a1;
};

/* A call that may switch threads (marked * in call.h): saves all that such a call loses. */
long native_switch(long number, uint64_t a0, uint64_t a1, struct native_message *message);

static inline long native_send(uint64_t endpoint, struct native_message *message)
{
    return native_switch(CALL_CALL, endpoint, 0, message);
}

static inline long native_wait(uint64_t notification, uint64_t *bits)
{
    struct native_message message = {{0}, 0};
    long error = native_switch(CALL_WAIT, notification, 0, &message);

    *bits = message.a1;
    return error;
}

/* ---- workers ---- */

struct native_worker;

/* How a worker was entered: a[0..7] and the message as call.h says for each kind. */
struct native_event {
    uint64_t kind; /* enum enter_kind, or NATIVE_REFUSED with the error in a[0] */
    uint64_t a[8];
    uint64_t word[6];
    uint64_t entered[32]; /* all registers as they came; not sp */
};

/* What a worker last found in a register that looks like the kernel's; 0: nothing. */
extern volatile uint64_t native_kernel_value;

/* The answering call that the handler chose was refused; it has to choose another. */
#define NATIVE_REFUSED ((uint64_t)ENTER_KINDS)

/*
 * Handles an event and gives the number of the call that answers it, with the call's arguments in
 * a[0] and a[1] and the answer's words in word[]. Runs with tp at its worker: it may not use errno.
 */
typedef long native_handler(struct native_worker *worker, struct native_event *event);

struct native_worker {
    native_handler *handler; /* first: the entry code loads it */
    void *context;
    uint8_t *stack;
    size_t stack_bytes;
};

/* The entry table that calls a native_worker's handler. */
extern char native_worker_entry[];

/* ---- the world ---- */

enum native_slot {
    NATIVE_SLOT_KERNEL = NATIVE_FREE, /* counters */
    NATIVE_SLOT_DATA,
    NATIVE_SLOT_TABLES,
    NATIVE_SLOT_WINDOW,
    NATIVE_SLOT_DRIVER,
    NATIVE_SLOT_DRIVER_ENDPOINT,
    NATIVE_SLOT_USER = 32 /* from here on the program's own */
};

#define NATIVE_TABLE_ENTRIES 512UL /* of the program's capability table */
#define NATIVE_DATA_BLOCKS   2UL   /* as many as the memory server gives in one piece */
#define NATIVE_DATA_PAGES    (NATIVE_DATA_BLOCKS * PAGES_PER_BLOCK)
/* Where data page 0 stands in the window. */
#define NATIVE_WINDOW 0x40000000UL
/* Where every program is linked; see libc/user.ld. */
#define NATIVE_IMAGE 0x10000UL

/* Only a capability table and the counters (NATIVE_SLOT_KERNEL). Called again it does nothing. */
long native_enable(void);
/* Everything. Not all of it can be undone: it goes with the process. */
long native_open(void);

/* The first of n consecutive data pages not yet given out, as an index; -ERR_LIMIT. */
long native_data(size_t n);
/* Its page number, and a leaf entry for it. */
uint64_t native_data_number(uint64_t page);
uint64_t native_data_entry(uint64_t page, uint64_t bits);
long native_poke(uint64_t page, size_t offset, const void *from, size_t bytes);
long native_peek(uint64_t page, size_t offset, void *to, size_t bytes);

/* Run fn(arg) on the driver; its result. */
long native_drive(long (*fn)(void *arg), void *arg);
/* Operations on a space: how many were performed; op[].done and results (if not NULL) as the kernel
 * wrote them; *error is why it stopped. */
long native_batch(uint64_t space, struct batch_op *op, size_t count, long *error,
                  uint64_t results[BATCH_RESULTS_MAX]);
/* One operation: 0 or the error. */
long native_operation(uint64_t space, struct batch_op *op);
/* The operation page's content for the driver's next batch: for those that measure it alone. */
long native_operations_set(const struct batch_op *op, size_t count);
/* The same for its result words from index `first` on: lists of entries. */
long native_results_set(const uint64_t *word, size_t first, size_t count);

/* An object of the tables memory into `slot`. */
long native_object(enum cap_type type, uint64_t parameter, uint64_t slot);
/* A page of the tables memory not yet given out, as an index; -ERR_LIMIT. */
long native_tables(size_t n);
uint64_t native_tables_number(uint64_t page);
/* Give back the pages of the tables memory from `page` on: for those who have deleted everything
 * that was made of them. native_tables(0) is the next page to be given. */
void native_tables_reset(uint64_t page);

/* A new space; the tables down to the leaf table for `address`; data pages mapped from `address`
 * on, with the entry bits. */
long native_space(uint64_t slot);
long native_space_tables(uint64_t space, uint64_t address);
long native_space_map(uint64_t space, uint64_t address, uint64_t page, size_t count, uint64_t bits);
/* Map a copy of this program, as it is now, at the same addresses: code and variables. */
long native_space_image(uint64_t space);
/* The same in two steps: data pages that hold a copy, the first as an index; mapping them. */
long native_image_make(void);
long native_image_write(uint64_t first_page);
long native_image_map(uint64_t space, uint64_t first_page);
uint64_t native_image_pages(void);
/* Bring the copy up to date with the program's variables as they are now. */
long native_space_image_refresh(uint64_t space);
/* Copy a variable of the program's own between its copy in the space and here. */
long native_space_fetch(uint64_t space, void *variable, size_t bytes);
long native_space_give(uint64_t space, const void *variable, size_t bytes);

/* A thread of this process, not running, as it would start fn(arg) on that stack; its capability at
 * `slot`. The hart is the caller's. */
long native_thread(uint64_t slot, void (*fn)(void *arg), void *arg, void *stack_end,
                   uint64_t priority);
/* The same, as a worker of the endpoint. worker->stack is its stack. */
long native_worker_start(uint64_t slot, uint64_t endpoint, struct native_worker *worker);

/* A thread in another space that has this program's image: made once, started as often as wanted.
 */
struct native_client {
    uint64_t slot, space;
    uint64_t table; /* slot of its capability table, or 0: it has no kernel calls */
    uint64_t pager; /* endpoint slots and the badge of both routes; 0: none */
    uint64_t personality;
    uint64_t badge;
    uint64_t priority;
};
long native_client(const struct native_client *client);
/* Set everything but its registers again; it is stopped. */
long native_client_configure(const struct native_client *client);
/* (Re)start it, stopped, at fn(arg) on that stack. */
long native_client_start(const struct native_client *client, void (*fn)(void *arg), void *arg,
                         void *stack_end);
/* Stop a thread, however long its hart takes. */
long native_stop(uint64_t slot);

/* Repeat a call that answers ERR_AGAIN until it does not; -ERR_AGAIN after very many times. */
long native_again(long number, uint64_t a, uint64_t b);

/* The error's name, for messages. */
const char *native_error_name(long error);

#endif
