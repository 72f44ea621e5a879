/*
 * Kernel calls used as they are meant, and what each of them says to wrong arguments: what the
 * cases share.
 *
 * Clients run in an address space that holds a copy of this program (native.h); two workers of this
 * process, A and B, answer for them with the handler that the case has chosen. A case takes back
 * what it made, the last first.
 */
#ifndef PAGODA_NATIVE_H
#define PAGODA_NATIVE_H

#include "ktap.h"
#include "native.h"

enum slot {
    SLOT_SPACE = NATIVE_SLOT_USER, /* where clients run */
    SLOT_DONE,                     /* notification */
    SLOT_A,                        /* endpoints */
    SLOT_B,
    SLOT_WORKER_A,
    SLOT_WORKER_B,
    SLOT_SPARE, /* a block of memory of which nothing is mapped between the cases */
    SLOT_CASE   /* from here on a case's own */
};

#define DONE_FINISHED  1UL
#define DONE_TIMEOUT   2UL
#define SECOND_TICKS   10000000UL /* at least one, on the machines there are */
#define TIMEOUT_TICKS  (20 * SECOND_TICKS)
#define AREA           0x70000000UL /* of SLOT_SPACE: leaf table present, nothing mapped */
#define AREA_PAGES     64UL
#define RW             (ENTRY_W | ENTRY_D)
#define NO_SLOT        100000UL
#define STACK_BYTES    16384
#define KERNEL_ADDRESS 0xffffffc000000000UL

/* Answer for clients, and messages; A is their pager, B their personality. */
extern struct native_worker worker_a, worker_b;
extern uint8_t client_stack[STACK_BYTES];
extern uint64_t slots_used;  /* the next slot that fresh() gives */
extern uint64_t spare_first; /* page number of SLOT_SPARE */

/* The error as a name when it is not the one wanted. */
void expect_error(const char *file, int line, const char *what, long got, long want);

#define EXPECT_CALL(call_, want_) expect_error(__FILE__, __LINE__, #call_, (long)(call_), want_)
#define EXPECT_OK(call_)          EXPECT_CALL(call_, 0)
#define CALL(...)                 CALL_PADDED(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_PADDED(n, a, b, c, d, e, f, ...)                                                 \
    native_call(n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), \
                (uint64_t)(f))

/* What a handler met last, and what a client was told: in this process and in the client's copy. */
struct met {
    uint64_t badge;
    unsigned count;
};
struct told {
    long status;
    uint64_t word[6];
};
extern struct met met;
extern struct told told;

/* The handlers that the workers have until a case chooses another: A hands everything to B, which
 * answers exceptions by going on behind the instruction, and foreign calls with a sum. */
native_handler answer_forward, answer_other;
/* Whose registers answer_other() changes. */
extern uint64_t other_client;

/* A call that may switch threads, its message empty. */
long switching(long number, uint64_t a0, uint64_t a1);
bool world(void);
/* An empty slot; what is made there goes at the end of the case. */
uint64_t fresh(void);
void clean(void);

#define NATIVE_CASE(name_)          \
    static void body_##name_(void); \
    KTAP_CASE(pagoda_##name_)       \
    {                               \
        REQUIRE(world());           \
        body_##name_();             \
        clean();                    \
    }                               \
    static void body_##name_(void)

uint64_t ticks_now(void);
void pause_ms(unsigned ms);

/* The last thing that a client does. */
void client_done(uint64_t own_slot);
/* The next bits of SLOT_DONE; waits for them, but not for ever. */
uint64_t next_bits(void);
/* Waits until a client is done. */
bool finished(void);
/* A client with this program's table and, for faults and foreign calls, workers A and B. */
struct native_client client_make(uint64_t badge);
/* It gets its own slot as the argument. */
void client_start(const struct native_client *client, void (*fn)(void *arg));

#define FETCH(variable_) \
    EXPECT_OK(native_space_fetch(SLOT_SPACE, (void *)&(variable_), sizeof(variable_)))

/* Map data pages in the area, and take away what stands there. */
long area_map(unsigned at, uint64_t page, size_t count, uint64_t bits);
void area_clear(void);
/* Operations on SLOT_SPACE. */
struct batch_op map_op(uint64_t memory, uint64_t address, uint64_t entry, uint32_t count);
struct batch_op other_op(enum batch_code code, unsigned level, uint64_t address, uint64_t entry);
long operate(struct batch_op op);

#endif
