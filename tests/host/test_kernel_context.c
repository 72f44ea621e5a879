/* A client put aside and brought back by its personality: reply_push and reply_pop. */
#include "ipc_world.h"
#include "arch/host/tlb.h"
#include "ktap.h"

#include <string.h>

#define AT     IPC_ADDRESS
#define DATA   (IPC_MEMORY + 10) /* a data page, relative */
#define RW     (ENTRY_W | ENTRY_D)
#define BYTES  1088UL
#define OFFSET 304UL

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static uint64_t *page_words(unsigned page)
{
    return page_to_virt(world.first + DATA + page);
}

static void map(vaddr_t address, unsigned page, uint64_t bits)
{
    unsigned level;
    uint64_t *slot = space_slot(ipc_object(ipc.space), address, 0, &level);

    EXPECT(slot && *slot == 0);
    *slot = entry_make(world.first + DATA + page, ENTRY_ALWAYS | bits);
    block_get_n(world.first + DATA + page, 1);
}

static void exception_or_call(bool fault)
{
    if (fault)
        ipc_fault(1, AT, CAUSE_STORE_PAGE);
    else
        ipc_foreign(1, 1024);
    IPC_NATIVE(1, CALL_FORWARD_PARK, 1, 2);
}

/* A client on hart 1, whose exception (or call) the personality there has. */
static struct thread *start(bool fault)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    struct thread *c = running(1);
    ipc_fill(c);
    c->x[0] = 0x4000;
    exception_or_call(fault);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    EXPECT_EQ(c->state, fault ? THREAD_FORWARDED : THREAD_CALL);
    ipc_check();
    return c;
}

static void refused(struct thread *c, long error, vaddr_t address, uint64_t bytes, uint64_t offset)
{
    uint64_t before[32];

    memcpy(before, c->x, sizeof(before));
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, address, bytes, offset, 0x5000), -error);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    EXPECT(memcmp(before, c->x, sizeof(before)) == 0);
    ipc_check();
}

/* There and back: from then on the kernel remembers the leaf table, and it goes the short way. */
static void once(struct thread *c)
{
    uint64_t before[32];

    memcpy(before, c->x, sizeof(before));
    IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, AT, BYTES, OFFSET, 0x5000);
    EXPECT(running(1) == c && c->aside.tag == AT >> BLOCK_SHIFT);
    exception_or_call(false);
    IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + OFFSET);
    EXPECT(running(1) == c && memcmp(c->x, before, sizeof(before)) == 0);
    exception_or_call(true);
    ipc_check();
}

KTAP_CASE(registers_are_put_aside_and_brought_back)
{
    for (unsigned fault = 0; fault < 4; fault++) {
        for (vaddr_t address = AT; address <= AT + 4096 - BYTES + 512; address += 512) {
            struct thread *c = start(fault & 1);
            uint64_t before[32], frame[BYTES / 8];
            map(AT, 0, RW);
            map(AT + 4096, 1, RW);
            if (fault & 2) {
                once(c);
                memset(page_words(0), 0, 8192);
            }
            memcpy(before, c->x, sizeof(before));
            IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, address, BYTES, OFFSET, 0x5000);
            EXPECT(running(1) == c && !ipc_hart[1].returned);
            EXPECT(c->x[0] == 0x5000 && c->x[2] == address);
            EXPECT(c->x[3] == before[3] && c->x[4] == before[4]);
            ipc_check();
            for (uint64_t i = 0; i < BYTES; i += 8) {
                uint64_t at = address - AT + i;
                frame[i / 8] = page_words((unsigned)(at / 4096))[at % 4096 / 8];
            }
            EXPECT(memcmp(frame + OFFSET / 8, before, sizeof(before)) == 0);
            EXPECT(frame[0] == 0 && frame[OFFSET / 8 - 1] == 0 && frame[OFFSET / 8 + 32] == 0);

            ipc_fill(c);
            c->x[0] = 0x5100;
            ipc_foreign(1, 1024);
            IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0);
            IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, address + OFFSET);
            EXPECT(running(1) == c && !ipc_hart[1].returned);
            EXPECT(memcmp(c->x, before, sizeof(before)) == 0);
            ipc_check();
        }
    }
}

KTAP_CASE(memory_that_is_not_there_or_not_writable_is_refused)
{
    struct thread *c = start(true);

    refused(c, ERR_ADDRESS, AT, BYTES, OFFSET);
    map(AT, 0, 0);
    refused(c, ERR_ADDRESS, AT, BYTES, OFFSET);
    map(AT + 4096, 1, RW);
    refused(c, ERR_ADDRESS, AT + 4096 - 512, BYTES, OFFSET); /* the lower page is read-only */
    refused(c, ERR_ADDRESS, AT + 8192 - 512, BYTES, OFFSET); /* the upper one is missing */
    refused(c, ERR_ADDRESS, space_user_end - 512, BYTES, OFFSET);
    refused(c, ERR_ADDRESS, ~0UL - 511, BYTES, OFFSET);
    refused(c, ERR_ALIGN, AT + 4, BYTES, OFFSET);
    refused(c, ERR_ALIGN, AT, BYTES, OFFSET + 1);
    refused(c, ERR_RANGE, AT, 4097, OFFSET);
    refused(c, ERR_RANGE, AT, BYTES, BYTES - 248);
    refused(c, ERR_RANGE, AT, BYTES, ~7UL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + 8192 - 128), -ERR_ADDRESS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, 1UL << 63), -ERR_ADDRESS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + 1), -ERR_ALIGN);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
}

static uint64_t *slot_of(vaddr_t address)
{
    unsigned level;

    return space_slot(ipc_object(ipc.space), address, 0, &level);
}

/* What is remembered says where the leaf is, not what it allows, nor that the arguments are right.
 */
KTAP_CASE(a_remembered_leaf_table_allows_nothing)
{
    struct thread *c = start(true);

    map(AT, 0, RW);
    once(c);
    refused(c, ERR_ALIGN, AT + 4, BYTES, OFFSET);
    refused(c, ERR_ALIGN, AT, BYTES, OFFSET + 1);
    refused(c, ERR_RANGE, AT, 4097, OFFSET);
    refused(c, ERR_RANGE, AT, 248, 0);
    refused(c, ERR_RANGE, AT, BYTES, BYTES - 248);
    refused(c, ERR_RANGE, AT, BYTES, ~7UL);
    refused(c, ERR_ADDRESS, AT + 4096 - 512, BYTES, OFFSET); /* the upper page is missing */
    refused(c, ERR_ADDRESS, AT + 4096, BYTES, OFFSET);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + 4096), -ERR_ADDRESS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + 4096 - 248), -ERR_ADDRESS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT + 1), -ERR_ALIGN);
    *slot_of(AT) &= ~(ENTRY_W | ENTRY_D);
    refused(c, ERR_ADDRESS, AT, BYTES, OFFSET);
    *slot_of(AT) |= ENTRY_W; /* written for the first time: marked as hardware does it */
    *slot_of(AT) &= ~ENTRY_A;
    once(c);
    EXPECT_EQ(*slot_of(AT) & (ENTRY_A | ENTRY_D), ENTRY_A | ENTRY_D);
    *slot_of(AT) &= ~ENTRY_U;
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, AT, BYTES, OFFSET, 0), -ERR_ADDRESS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT), -ERR_ADDRESS);
    *slot_of(AT) |= ENTRY_U;
    once(c);
}

/* A table that goes is remembered by nobody. */
KTAP_CASE(a_leaf_table_that_goes_is_forgotten)
{
    struct thread *c = start(true);
    struct thread *boss = running(0);
    struct batch_page *ops = page_to_virt(world.first + IPC_MEMORY + 200);

    map(AT, 0, RW);
    once(c);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, SLOT_THREAD, SLOT_MEMORY, IPC_MEMORY + 200), 0);
    ops->op[0] = (struct batch_op){.code = BATCH_UNMAP, .count = 1, .address = AT};
    ops->op[1] = (struct batch_op){.code = BATCH_TABLE_REMOVE, .level = 1};
    EXPECT_EQ(IPC_BOSS(CALL_BATCH, ipc.space, 2), 2);
    EXPECT(running(0) == boss && c->aside.tag == ~0UL && c->leaf.tag == ~0UL);
    refused(c, ERR_ADDRESS, AT, BYTES, OFFSET);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT), -ERR_ADDRESS);
}

KTAP_CASE(only_the_client_s_own_space_will_do)
{
    struct thread *c = start(true);
    uint64_t other = ipc_space();

    map(AT, 0, RW);
    once(c);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, other, AT, BYTES, OFFSET, 0), -ERR_ARGUMENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, SLOT_MEMORY, AT, BYTES, OFFSET, 0), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, ~0UL, AT, BYTES, OFFSET, 0), -ERR_SLOT);
    EXPECT_EQ(
        IPC_NATIVE(1, CALL_CAP_COPY, ipc.space, SELF_TABLE, IPC_SLOT + 200, 0xff & ~RIGHT_COPY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, IPC_SLOT + 200, AT, BYTES, OFFSET, 0), -ERR_RIGHTS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, IPC_SLOT + 200, AT), -ERR_RIGHTS);
    ipc_check();
    struct space *s = ipc_object(ipc.space);
    s->lock = 1; /* another hart's */
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, AT, BYTES, OFFSET, 0), -ERR_AGAIN);
    s->lock = 0;
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
}

KTAP_CASE(a_client_that_is_not_on_the_straight_path_is_refused)
{
    struct thread *c = start(true), *w = running(1);

    map(AT, 0, RW);
    once(c);
    w->attention = 1; /* something waits for the worker */
    refused(c, ERR_STATE, AT, BYTES, OFFSET);
    w->attention = 0;
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, IPC_SLOT + 200), 0);
    refused(c, ERR_STATE, AT, BYTES, OFFSET);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_POP, ipc.space, AT), -ERR_STATE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, IPC_SLOT + 200, 0), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == c);
    /* A thread that is no worker has no client. */
    EXPECT_EQ(IPC_BOSS(CALL_REPLY_PUSH, ipc.space, AT, BYTES, OFFSET, 0), -ERR_STATE);
    /* Nor is a page fault its pager's to push. */
    ipc_fault(1, AT + 4096, CAUSE_LOAD_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PUSH, ipc.space, AT, BYTES, OFFSET, 0), -ERR_STATE);
    ipc_check();
}

KTAP_CASE(a_forwarded_fault_is_mapped_by_nobody_else_and_happens_again)
{
    struct thread *c = start(true);

    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry_make(world.first + IPC_MEMORY, 0), SLOT_MEMORY),
              -ERR_CLIENT);
    ipc_check();
    c = start(true);
    ipc_stop(ipc.personality_worker[1]);
    EXPECT(running(1) == c && c->x[0] == 0x4000 && ipc_filled(c, 0));
    ipc_check();
}
