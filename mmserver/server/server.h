/*
 * The server around the core: start-up, and one function for each way in which a worker is entered.
 * Included by assembly for the numbers at the top.
 */
#ifndef MMSERVER_SERVER_SERVER_H
#define MMSERVER_SERVER_SERVER_H

/* Offsets in struct worker, and numbers that start.S needs; checked where both are known. */
#define WORKER_SERVING      0
#define WORKER_ANSWERED     8
#define WORKER_BATCH_OPS    16
#define ANSWER_KIND_REPLY   1
#define ANSWER_KIND_FORWARD 2
#define ANSWER_KIND_BATCH   4
#define ANSWER_KIND_CALL    5
#define ERR_CALL_VALUE      1

#ifndef __ASSEMBLER__
#include "mmserver/core/answer.h"
#include "mmserver/core/client.h"

/* Once, on the boot hart, by a thread that is no worker: memory, objects, workers, personality.
 * What goes wrong is fatal. */
void mmserver_start(const struct boot_info *info);

/* A foreign call of the client of that badge. */
struct answer server_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t badge, long number, struct worker *w);
/* A bounded step of background work. */
struct answer server_idle(struct worker *w);
/* Another hart wants something of this worker: see struct worker, drain_wanted. */
struct answer server_signal(struct worker *w);
/* The kernel refused another answer of that kind. */
struct answer server_answer_refused(struct worker *w, enum answer_kind kind, long error);

/* It refused the batch of a call's answer: what it performed, and why it stopped. */
struct answer server_batch_refused(struct worker *w, long done, long stopped);

/* linux_calls.c, mm_calls.c: the value for the caller's a0, or *answer for another end. */
long linux_call(struct worker *w, struct client *c, long number, const uint64_t a[6],
                struct answer *answer);
long mm_call(struct worker *w, struct client *c, long number, const uint64_t a[6]);
/* tune.c: MM_TUNE. */
long tune_call(struct worker *w, uint64_t which, uint64_t value);
/* object_calls.c: MM_OBJECT_*, of the personality. */
long object_call(struct worker *w, struct client *c, long number, const uint64_t a[6]);

/* personality.c: make the process personality, and start its first thread; false after a logged
 * reason. */
bool personality_make(struct worker *w, const struct boot_info *info);
bool personality_start(void);
/* The personality's endpoint and capability table, in the server's table. */
extern uint32_t personality_endpoint, personality_table;
#endif

#endif
