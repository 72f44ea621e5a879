/*
 * Kernel calls: messages, faults answered by a pager of one's own, notifications, batches,
 * capabilities. There is nothing to measure on a system without them.
 *
 * This file: what the rows share. Clients run in an address space of their own that holds a copy of
 * this program, so that their rows are measured there by the same code and brought back.
 */
#include "user/bench/native/common.h"

#include <stdio.h>

#define STACK_BYTES   16384
#define TIMEOUT_TICKS 300000000UL /* 30 s at the machine's 10 MHz */

static uint8_t client_stack[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t raw_stack[4][4096] __attribute__((aligned(16)));
static bool client_made;

void native_must(const char *what, long error)
{
    if (error >= 0)
        return;
    printf("# %s: ERR_%s\n", what, native_error_name(error));
    bench_fail(what, error);
}

void native_raw_worker(uint64_t slot, uint64_t endpoint, const char *entry, void *context,
                       uint64_t page)
{
    static unsigned used;
    uint8_t *end = raw_stack[used] + sizeof(raw_stack[0]);

    end[-1] = 0; /* present */
    used++;
    native_must("worker thread", native_thread(slot, NULL, NULL, end, MM_PRIORITY_MAX));
    if (page)
        native_must("worker_page",
                    native_call(CALL_WORKER_PAGE, slot, NATIVE_SLOT_DATA, page, 0, 0, 0));
    native_must("worker_bind", native_call(CALL_WORKER_BIND, slot, endpoint, (uint64_t)entry,
                                           (uint64_t)end, (uint64_t)context, 0));
}

static uint64_t ticks_now(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

void client_done(void)
{
    struct native_message none = {{0}, 0};

    native_call(CALL_SIGNAL, SLOT_DONE, DONE_FINISHED, 0, 0, 0, 0);
    native_switch(CALL_THREAD_STOP, SLOT_CLIENT, 0, &none);
}

static void client_wait(void)
{
    uint64_t bits = 0;

    native_must("timer_set", native_call(CALL_TIMER_SET, SLOT_DONE, ticks_now() + TIMEOUT_TICKS,
                                         DONE_TIMEOUT, 0, 0, 0));
    native_must("wait", native_wait(SLOT_DONE, &bits));
    native_call(CALL_TIMER_SET, SLOT_DONE, 0, 0, 0, 0, 0);
    if (!(bits & DONE_FINISHED))
        bench_fail("a client did not finish; notification bits", (long)bits);
    native_must("thread_stop", native_stop(SLOT_CLIENT));
}

void client_run(void (*fn)(void *arg), void *arg, uint64_t pager)
{
    struct native_client client = {.slot = SLOT_CLIENT,
                                   .space = SLOT_SPACE,
                                   .table = NATIVE_TABLE,
                                   .pager = pager,
                                   .priority = MM_PRIORITY_CLIENT};
    static bool image_made;

    if (!image_made)
        native_must("image", native_space_image(SLOT_SPACE));
    else
        native_must("image again", native_space_image_refresh(SLOT_SPACE));
    image_made = true;
    if (!client_made)
        native_must("client", native_client(&client));
    else if (pager)
        native_must("thread_set",
                    native_call(CALL_THREAD_SET, SLOT_CLIENT, THREAD_PAGER, pager, 0, 0, 0));
    client_made = true;
    native_must("start", native_client_start(&client, fn, arg, client_stack + STACK_BYTES));
    client_wait();
}

void client_fetch(struct bench_row *row)
{
    native_must("fetch", native_space_fetch(SLOT_SPACE, row, sizeof(*row)));
    native_must("fetch",
                native_space_fetch(SLOT_SPACE, row->sample, row->max * sizeof(row->sample[0])));
}

void client_tables(uint64_t address)
{
    native_must("tables", native_space_tables(SLOT_SPACE, address));
}

int main(void)
{
    bench_start();
    if (!bench_on_pagoda()) {
        bench_skip("native", "there are no kernel calls here");
        return 0;
    }
    native_must("native world", native_open());
    native_must("notification", native_object(CAP_NOTIFICATION, 0, SLOT_DONE));
    native_must("space", native_space(SLOT_SPACE));
    rows_cap();
    rows_ipc();
    rows_notify();
    rows_fault();
    rows_reply();
    rows_batch();
    rows_runs();
    return 0;
}
