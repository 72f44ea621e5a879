/* The benchmarks of kernel calls: what their parts share. */
#ifndef BENCH_NATIVE_COMMON_H
#define BENCH_NATIVE_COMMON_H

/* Slots of the program's capability table, behind those of the native world. */
#define SLOT_DONE          32 /* notification: a client has finished, or the time is up */
#define SLOT_SPACE         33 /* where clients run: this program's image and nothing of its process */
#define SLOT_CLIENT        34
#define SLOT_ECHO          35 /* endpoint */
#define SLOT_ECHO_WORKER   36
#define SLOT_MAP           37
#define SLOT_MAP_WORKER    38
#define SLOT_EMPTY         39
#define SLOT_EMPTY_WORKER  40
#define SLOT_PING          41 /* notifications */
#define SLOT_PONG          42
#define SLOT_PONG_THREAD   43
#define SLOT_TARGET        44 /* the space that batches change */
#define SLOT_TARGET_THREAD 45
#define SLOT_TARGET_END    46
#define SLOT_KEPT          47
#define SLOT_COPY          48
#define SLOT_TARGET2       49 /* the space that tables are copied to */
#define SLOT_REPLY         50
#define SLOT_REPLY_WORKER  51

#define DONE_FINISHED 1
#define DONE_TIMEOUT  2

#ifndef __ASSEMBLER__
#include "user/bench/lib/bench.h"

#include "native.h"

/* A worker that gives out pages in a row: bench_map_entry's, and bench_empty_entry's last answer.
 */
struct page_giver {
    uint64_t entry;  /* the next leaf entry */
    uint64_t memory; /* slot */
    uint64_t step;   /* to the entry after it */
    uint64_t error;  /* of the answer that was refused */
    uint64_t *next;  /* bench_empty_entry: where the next reading of the counter goes */
    uint64_t *last;  /* and where the one goes that is answered with a page */
};

/* entry.S */
extern char bench_echo_entry[], bench_map_entry[], bench_empty_entry[], bench_reply_entry[];
void bench_pong(void *arg);
uint64_t bench_ipc_raw(uint64_t endpoint, uint64_t word[6]);
uint64_t bench_notify_raw(void);
/* Instructions that bench_ipc_raw and bench_notify_raw count beyond an empty pair of readings. */
#define BENCH_RAW_MORE 1UL
/* Instructions of bench_empty_entry that only take down the counter. */
#define BENCH_EMPTY_MORE 7UL

/* Ends the program if `error` is one. */
void native_must(const char *what, long error);
/* A worker in this process, at its own entry code, tp at `context`; data page `page` is its
 * operation page, 0: it has none. */
void native_raw_worker(uint64_t slot, uint64_t endpoint, const char *entry, void *context,
                       uint64_t page);
/* Run fn(arg) in a thread of SLOT_SPACE and wait until it calls client_done(); the image is made
 * anew before, so it sees all variables as they are now. The pager: an endpoint slot or 0. */
void client_run(void (*fn)(void *arg), void *arg, uint64_t pager);
void client_done(void);
/* Bring a row that the client measured back. */
void client_fetch(struct bench_row *row);
/* Tables for an address of SLOT_SPACE, before client_run. */
void client_tables(uint64_t address);

void rows_ipc(void);
void rows_notify(void);
void rows_fault(void);
void rows_batch(void);
void rows_runs(void);
void rows_reply(void);
void rows_cap(void);
#endif

#endif
