/* Messages, workers, kept replies. */
#include "tests/guest/pagoda_native/native_test.h"

#include <string.h>

static long answer_sums(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    met.badge = event->a[0];
    met.count++;
    if (event->kind != ENTER_MESSAGE)
        return CALL_PARK;
    for (unsigned i = 0; i < 6; i++)
        event->word[i] += i + 1;
    event->a[0] = 42;
    return CALL_REPLY_PARK;
}

NATIVE_CASE(messages_carry_six_words)
{
    struct native_message message = {{10, 20, 30, 40, 50, ~0UL}, 0};
    uint64_t badged = fresh();

    worker_a.handler = answer_sums;
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_A, SELF_TABLE, badged, RIGHT_CALL, 0x1234));
    EXPECT_CALL(native_send(badged, &message), 42);
    EXPECT_EQ(met.badge, 0x1234);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(message.word[i], 10 * (i + 1) + i + 1);
    EXPECT_EQ(message.word[5], 5);
    for (unsigned i = 0; i < 1000; i++) {
        message.word[0] = i;
        native_send(SLOT_A, &message);
        EXPECT_EQ(message.word[0], i + 1);
    }
    EXPECT_EQ(met.badge, 0);
}

/* Blocking calls in a worker, and answers nobody waits for. */
static long answer_with_tries(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    if (event->kind == ENTER_MESSAGE) {
        event->word[0] = (uint64_t)switching(CALL_WAIT, SLOT_DONE, 0);
        event->word[1] = (uint64_t)switching(CALL_CALL, SLOT_B, 0);
        event->word[2] = (uint64_t)switching(CALL_PARK, 0, 0);
        event->word[3] = (uint64_t)switching(CALL_FAULT_REPLY, 0, 0);
        event->word[4] = (uint64_t)switching(CALL_FORWARD_PARK, 0, 0);
        event->word[5] = (uint64_t)native_call(CALL_REPLY_KEEP, SLOT_DONE, 0, 0, 0, 0, 0);
    }
    event->a[0] = 0;
    return CALL_REPLY_PARK;
}

NATIVE_CASE(a_worker_may_not_block)
{
    struct native_message message = {{0}, 0};

    worker_a.handler = answer_with_tries;
    EXPECT_OK(native_send(SLOT_A, &message));
    EXPECT_CALL(message.word[0], -ERR_WORKER);
    EXPECT_CALL(message.word[1], -ERR_WORKER);
    EXPECT_CALL(message.word[2], -ERR_CLIENT);
    EXPECT_CALL(message.word[3], -ERR_CLIENT);
    EXPECT_CALL(message.word[4], -ERR_CLIENT);
    EXPECT_CALL(message.word[5], -ERR_OCCUPIED);
    /* And only a worker may park. */
    EXPECT_CALL(switching(CALL_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(switching(CALL_REPLY_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(switching(CALL_FAULT_REPLY, native_data_entry(1, 0), NATIVE_SLOT_DATA),
                -ERR_WORKER);
    EXPECT_CALL(switching(CALL_FORWARD_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(CALL(CALL_REPLY_KEEP, fresh()), -ERR_CLIENT);
}

static uint64_t kept_slot;

static long answer_keep(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    event->a[0] = 0;
    met.count++;
    if (event->kind == NATIVE_REFUSED)
        return CALL_REPLY_PARK;
    met.badge = (uint64_t)native_call(CALL_REPLY_KEEP, kept_slot, 0, 0, 0, 0, 0);
    native_call(CALL_SIGNAL, SLOT_DONE, 4, 0, 0, 0, 0);
    return CALL_PARK;
}

static void client_sends(void *slot)
{
    struct native_message message = {{1, 2, 3, 4, 5, 6}, 0};

    told.status = native_send(SLOT_A, &message);
    memcpy(told.word, message.word, sizeof(told.word));
    client_done((uint64_t)slot);
}

/* The worker has kept the answer to a client's message. */
static struct native_client keep_one(void)
{
    kept_slot = fresh();
    worker_a.handler = answer_keep;
    struct native_client client = client_make(0);
    client_start(&client, client_sends);
    EXPECT_EQ(next_bits(), 4);
    EXPECT_OK((long)met.badge);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, kept_slot) & 0xff, CAP_REPLY);
    return client;
}

NATIVE_CASE(a_kept_reply_is_answered_later)
{
    struct native_message none = {{0}, 0};
    struct native_client client = keep_one();

    EXPECT_CALL(CALL(CALL_CAP_COPY, kept_slot, SELF_TABLE, fresh(), 0), -ERR_TYPE);
    none.word[0] = 77;
    EXPECT_OK(native_switch(CALL_REPLY_SEND, kept_slot, 5, &none));
    EXPECT_CALL(CALL(CALL_REPLY_SEND, kept_slot, 5), -ERR_EMPTY);
    REQUIRE(finished());
    FETCH(told);
    EXPECT_EQ(told.status, 5);
    EXPECT_EQ(told.word[0], 77);
    EXPECT_OK(native_stop(client.slot));
}

NATIVE_CASE(a_lost_reply_tells_its_client)
{
    struct native_client client = keep_one();

    EXPECT_OK(CALL(CALL_CAP_DELETE, SELF_TABLE, kept_slot));
    REQUIRE(finished());
    FETCH(told);
    EXPECT_CALL(told.status, -ERR_GONE);
    EXPECT_OK(native_stop(client.slot));
}

NATIVE_CASE(a_stopped_client_takes_its_reply_with_it)
{
    struct native_client client = keep_one();

    EXPECT_OK(native_stop(client.slot));
    EXPECT_CALL(CALL(CALL_REPLY_SEND, kept_slot, 0), -ERR_EMPTY);
}
