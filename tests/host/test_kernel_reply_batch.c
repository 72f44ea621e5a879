/* Faults answered by a batch: the straight way, the full one, and each reason to come back. */
#include "ipc_world.h"
#include "arch/host/tlb.h"
#include "kernel/call.h"
#include "ktap.h"

#define AT    IPC_ADDRESS
#define DATA  (IPC_MEMORY + 10) /* data pages, relative */
#define OTHER (IPC_MEMORY + PAGES_PER_BLOCK + 3)
#define RW    (ENTRY_W | ENTRY_D)
#define PAGE  (IPC_MEMORY + 200) /* the operation page */

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static struct batch_page *ops(void)
{
    return ipc_t(ipc.pager_worker[1])->operation_page;
}

static int32_t mappings(uint64_t page)
{
    return block_count[(world.first + page) >> TABLE_SHIFT];
}

static struct batch_op op_at(enum batch_code code, uint64_t entry)
{
    return (struct batch_op){
        .code = (uint8_t)code, .count = 1, .memory = SLOT_MEMORY, .address = AT, .entry = entry};
}

static uint64_t page_entry(uint64_t page, uint64_t bits)
{
    return entry_make(world.first + page, bits);
}

static uint64_t *slot_at(vaddr_t address)
{
    unsigned level;
    struct space *s = ipc_object(ipc.space);

    return space_slot(s, address, 0, &level);
}

/* A client on hart 1 whose fault the worker there has. */
static struct thread *start(unsigned harts_wanted)
{
    ipc_usual(harts_wanted, 2, 2);
    ipc_running_client(1);
    struct thread *c = running(1);
    ipc_fill(c);
    c->x[0] = 0x4000;
    ipc_fault(1, AT, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WORKER_PAGE, ipc.pager_worker[1], SLOT_MEMORY, PAGE), 0);
    return c;
}

/* A first answer fills the cache, so that what follows goes straight. */
static struct thread *start_mapped(unsigned harts_wanted, uint64_t bits)
{
    struct thread *c = start(harts_wanted);

    ops()->op[0] = op_at(BATCH_MAP, page_entry(DATA, bits));
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1);
    EXPECT(running(1) == c && !ipc_hart[1].returned);
    EXPECT_EQ(c->leaf.tag, AT >> BLOCK_SHIFT);
    ipc_check();
    EXPECT(sim_load(1, AT, NULL));
    ipc_fault(1, AT, CAUSE_STORE_PAGE);
    EXPECT(running(1) == ipc_t(ipc.pager_worker[1]));
    return c;
}

static void answered(struct thread *c, bool straight)
{
    uint64_t before = harts[1]->counter[COUNT_batch_straight];

    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1);
    EXPECT(!ipc_hart[1].returned && running(1) == c);
    EXPECT_EQ(harts[1]->counter[COUNT_batch_straight] - before, straight);
    EXPECT(c->x[0] == 0x4000 && ipc_filled(c, 0));
    EXPECT_EQ(tlb_check_all(), 0);
    ipc_check();
}

static void refused(struct thread *c, uint64_t count, long done, long stopped)
{
    uint64_t before = *slot_at(AT);

    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, count), done);
    EXPECT(ipc_hart[1].returned);
    EXPECT_EQ((long)running(1)->x[11], stopped);
    EXPECT(running(1)->client == c && *slot_at(AT) == before);
    EXPECT_EQ(((struct space *)ipc_object(ipc.space))->lock, 0);
    ipc_check();
}

KTAP_CASE(a_reuse_adds_a_right)
{
    struct thread *c = start_mapped(2, 0);

    ops()->op[0] = op_at(BATCH_PROTECT, RW);
    answered(c, true);
    EXPECT(sim_store(1, AT, 1));
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_ALWAYS | RW));
}

static long rights_reply(uint64_t entry, uint64_t memory)
{
    return IPC_NATIVE(1, CALL_FAULT_REPLY, entry, memory | REPLY_RIGHTS);
}

KTAP_CASE(a_fault_reply_adds_rights)
{
    struct thread *c = start_mapped(2, 0);
    int32_t count = mappings(DATA);

    rights_reply(page_entry(DATA, RW), SLOT_MEMORY);
    EXPECT(!ipc_hart[1].returned && running(1) == c && ipc_filled(c, 0));
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_ALWAYS | RW));
    EXPECT(sim_store(1, AT, 1));
    EXPECT_EQ(tlb_check_all(), 0);
    /* They are there already, the entry was accessed meanwhile: nothing changes. */
    ipc_fault(1, AT, CAUSE_STORE_PAGE);
    rights_reply(page_entry(DATA, RW), SLOT_MEMORY);
    EXPECT(!ipc_hart[1].returned && running(1) == c);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_ALWAYS | RW));
    EXPECT_EQ(mappings(DATA), count);
    ipc_check();
}

/* Each in turn on the straight path, and when the client was taken on the slow one. */
KTAP_CASE(every_refusal_of_a_fault_reply_that_adds_rights)
{
    struct thread *c = start_mapped(2, ENTRY_X);
    uint64_t part = IPC_SLOT + 99, entry = page_entry(DATA, RW | ENTRY_X);
    uint64_t before = *slot_at(AT);
    int32_t count = mappings(DATA);

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, DATA, 4), 0);
    for (unsigned round = 0; round < 2; round++) {
        EXPECT_EQ(rights_reply(entry, world.table->size), -ERR_SLOT);
        EXPECT_EQ(rights_reply(entry, 1UL << 40), -ERR_SLOT);
        EXPECT_EQ(rights_reply(entry, IPC_SLOT + 98), -ERR_EMPTY);
        EXPECT_EQ(rights_reply(entry, SLOT_SPACE), -ERR_TYPE);
        EXPECT_EQ(rights_reply(entry, part), -ERR_ENTRY); /* not writable */
        EXPECT_EQ(rights_reply(page_entry(DATA + 4, 0), part), -ERR_RANGE);
        EXPECT_EQ(rights_reply(entry | ENTRY_G, SLOT_MEMORY), -ERR_ENTRY);
        EXPECT_EQ(rights_reply(entry | 1UL << 60, SLOT_MEMORY), -ERR_ENTRY);
        EXPECT_EQ(rights_reply(page_entry(DATA + 1, RW | ENTRY_X), SLOT_MEMORY), -ERR_MAPPED);
        EXPECT_EQ(rights_reply(entry | ENTRY_SOFT0, SLOT_MEMORY), -ERR_MAPPED);
        EXPECT_EQ(rights_reply(page_entry(DATA, RW), SLOT_MEMORY), -ERR_MAPPED); /* X would go */
        EXPECT(running(1)->client == c || running(1)->served == c);
        EXPECT_EQ(*slot_at(AT), before);
        EXPECT_EQ(mappings(DATA), count);
        ipc_check();
    }
    EXPECT_EQ(c->state, THREAD_SERVED); /* and there it works too */
    EXPECT_EQ(rights_reply(entry, SLOT_MEMORY), 0);
    EXPECT(running(1) == c);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_ALWAYS | RW | ENTRY_X));
    /* Nothing stands there. */
    ipc_fault(1, AT + PAGE_BYTES, CAUSE_STORE_PAGE);
    EXPECT_EQ(rights_reply(entry, SLOT_MEMORY), -ERR_UNMAPPED);
    EXPECT_EQ(*slot_at(AT + PAGE_BYTES), 0);
    EXPECT_EQ(mappings(DATA), count);
    ipc_check();
}

KTAP_CASE(a_copy_on_write_break_replaces_and_fences)
{
    struct thread *c = start_mapped(2, 0);
    int32_t old = mappings(DATA), new = mappings(OTHER);

    ops()->op[0] = op_at(BATCH_REPLACE, page_entry(OTHER, RW));
    ops()->op[0].extra = page_entry(DATA, ENTRY_ALWAYS);
    answered(c, true);
    EXPECT(sim_store(1, AT, 1));
    EXPECT_EQ(sim_page(), world.first + OTHER);
    EXPECT_EQ(mappings(DATA), old - 1);
    EXPECT_EQ(mappings(OTHER), new + 1);
}

KTAP_CASE(a_replacement_is_fenced_on_other_harts)
{
    struct thread *c = start_mapped(3, 0);
    struct thread *d = ipc_t(ipc_usual_client(2));
    int32_t old = mappings(DATA);

    ipc_run(2);
    EXPECT(running(2) == d);
    EXPECT(sim_load(2, AT, NULL));
    ops()->op[0] = op_at(BATCH_REPLACE, page_entry(OTHER, RW));
    ops()->op[0].extra = page_entry(DATA, ENTRY_ALWAYS);
    answered(c, true);
    EXPECT(sim_load(2, AT, NULL));
    EXPECT_EQ(sim_page(), world.first + OTHER);
    EXPECT_EQ(mappings(DATA), old - 1);
    EXPECT_EQ(harts[1]->counter[COUNT_fence_remote], 1);
}

static long replace_reply(uint64_t entry, uint64_t memory, uint64_t old)
{
    return IPC_NATIVE(1, CALL_FAULT_REPLY, entry, memory | REPLY_REPLACE, old);
}

KTAP_CASE(a_fault_reply_replaces_and_fences)
{
    struct thread *c = start_mapped(2, 0);
    int32_t old = mappings(DATA), new = mappings(OTHER);

    c->leaf.tag = 0; /* found on the way */
    /* Accessed and dirty may differ. */
    replace_reply(page_entry(OTHER, RW), SLOT_MEMORY, page_entry(DATA, ENTRY_ALWAYS | ENTRY_D));
    EXPECT(!ipc_hart[1].returned && running(1) == c && ipc_filled(c, 0));
    EXPECT_EQ(c->leaf.tag, AT >> BLOCK_SHIFT);
    EXPECT(sim_store(1, AT, 1));
    EXPECT_EQ(sim_page(), world.first + OTHER);
    EXPECT_EQ(mappings(DATA), old - 1);
    EXPECT_EQ(mappings(OTHER), new + 1);
    EXPECT_EQ(tlb_check_all(), 0);
    ipc_check();
}

KTAP_CASE(what_a_fault_reply_replaces_is_fenced_on_other_harts)
{
    struct thread *c = start_mapped(3, 0);
    struct thread *d = ipc_t(ipc_usual_client(2));
    int32_t old = mappings(DATA);

    ipc_run(2);
    EXPECT(running(2) == d);
    EXPECT(sim_load(2, AT, NULL));
    replace_reply(page_entry(OTHER, RW), SLOT_MEMORY, page_entry(DATA, ENTRY_ALWAYS));
    EXPECT(!ipc_hart[1].returned && running(1) == c);
    EXPECT_EQ(tlb_check_all(), 0);
    EXPECT(sim_load(2, AT, NULL));
    EXPECT_EQ(sim_page(), world.first + OTHER);
    EXPECT_EQ(mappings(DATA), old - 1);
    EXPECT_EQ(harts[1]->counter[COUNT_fence_remote], 1);
    ipc_check();
}

/* Each in turn on the straight path, and when the client was taken on the slow one. */
KTAP_CASE(every_refusal_of_a_fault_reply_that_replaces)
{
    struct thread *c = start_mapped(2, 0);
    uint64_t part = IPC_SLOT + 99, entry = page_entry(OTHER, RW);
    uint64_t old = page_entry(DATA, ENTRY_ALWAYS), before = *slot_at(AT);
    struct space *s = ipc_object(ipc.space);
    int32_t count = mappings(DATA), other = mappings(OTHER);

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, OTHER, 4), 0);
    for (unsigned round = 0; round < 2; round++) {
        EXPECT_EQ(replace_reply(entry, world.table->size, old), -ERR_SLOT);
        EXPECT_EQ(replace_reply(entry, IPC_SLOT + 98, old), -ERR_EMPTY);
        EXPECT_EQ(replace_reply(entry, SLOT_SPACE, old), -ERR_TYPE);
        EXPECT_EQ(replace_reply(entry, part, old), -ERR_AGAIN); /* not writable */
        EXPECT_EQ(replace_reply(page_entry(OTHER + 4, 0), part, old), -ERR_AGAIN);
        EXPECT_EQ(replace_reply(entry | ENTRY_G, SLOT_MEMORY, old), -ERR_AGAIN);
        EXPECT_EQ(replace_reply(page_entry(1, RW), SLOT_MEMORY, old), -ERR_AGAIN);
        EXPECT_EQ(replace_reply(entry, SLOT_MEMORY, 0), -ERR_AGAIN);
        EXPECT_EQ(replace_reply(entry, SLOT_MEMORY, old | ENTRY_W), -ERR_AGAIN);
        EXPECT_EQ(replace_reply(entry, SLOT_MEMORY, page_entry(DATA + 1, ENTRY_ALWAYS)),
                  -ERR_AGAIN);
        EXPECT_EQ(replace_reply(entry, SLOT_MEMORY | REPLY_RIGHTS, old), -ERR_AGAIN);
        s->lock = !round; /* somebody else has it */
        EXPECT(round || replace_reply(entry, SLOT_MEMORY, old) == -ERR_AGAIN);
        s->lock = 0;
        EXPECT(running(1)->client == c || running(1)->served == c);
        EXPECT_EQ(*slot_at(AT), before);
        EXPECT(mappings(DATA) == count && mappings(OTHER) == other);
        ipc_check();
    }
    EXPECT_EQ(c->state, THREAD_SERVED); /* there it is never done */
    EXPECT_EQ(replace_reply(entry, SLOT_MEMORY, old), -ERR_AGAIN);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    /* Nothing stands there. */
    ipc_fault(1, AT + PAGE_BYTES, CAUSE_STORE_PAGE);
    EXPECT_EQ(replace_reply(entry, SLOT_MEMORY, 0), -ERR_AGAIN);
    EXPECT_EQ(*slot_at(AT + PAGE_BYTES), 0);
    ipc_check();
}

KTAP_CASE(another_leaf_table_is_found_on_the_way)
{
    struct thread *c = start_mapped(2, 0);

    for (unsigned i = 0; i < 2; i++) { /* the second time it is the cached one */
        c->leaf.tag = i ? c->leaf.tag : (AT >> BLOCK_SHIFT) + 1;
        ops()->op[0] = op_at(BATCH_PROTECT, i ? RW | ENTRY_X : RW);
        answered(c, true);
        EXPECT_EQ(c->leaf.tag, AT >> BLOCK_SHIFT);
        if (!i)
            ipc_fault(1, AT, CAUSE_FETCH_PAGE);
    }
}

KTAP_CASE(more_than_one_operation_is_done_in_full)
{
    struct thread *c = start_mapped(2, 0);

    ops()->op[0] = op_at(BATCH_UNMAP, 0);
    ops()->op[1] = op_at(BATCH_MAP, page_entry(OTHER, RW));
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2);
    EXPECT(running(1) == c && ipc_filled(c, 0));
    EXPECT(sim_store(1, AT, 1));
    EXPECT_EQ(sim_page(), world.first + OTHER);
    ipc_check();
}

KTAP_CASE(what_is_refused_comes_back_with_the_client)
{
    struct thread *c = start_mapped(2, 0);
    struct batch_op good = op_at(BATCH_REPLACE, page_entry(OTHER, RW)), *op = &ops()->op[0];

    good.extra = page_entry(DATA, ENTRY_ALWAYS);
    *op = good;
    op->extra = page_entry(DATA + 1, ENTRY_ALWAYS);
    refused(c, 1, 0, -ERR_MAPPED);
    *op = good;
    op->entry |= ENTRY_G;
    refused(c, 1, 0, -ERR_ENTRY);
    *op = good;
    op->entry = entry_make(world.first + world.pages, RW);
    refused(c, 1, 0, -ERR_RANGE);
    *op = good;
    op->entry = page_entry(1, RW); /* a page of the tables block */
    refused(c, 1, 0, -ERR_CLASS);
    *op = good;
    op->memory = (uint32_t)ipc.space;
    refused(c, 1, 0, -ERR_TYPE);
    *op = good;
    op->memory = (uint32_t)world.table->size;
    refused(c, 1, 0, -ERR_SLOT);
    *op = good;
    op->address |= 8;
    refused(c, 1, 0, -ERR_ALIGN);
    *op = good;
    op->address += BLOCK_BYTES;
    refused(c, 1, 0, -ERR_NOTABLE);
    *op = op_at(BATCH_MAP, page_entry(OTHER, RW));
    refused(c, 1, 0, -ERR_MAPPED);
    *op = op_at(BATCH_PROTECT, ENTRY_R);
    refused(c, 1, 0, -ERR_ENTRY);
    *op = op_at(BATCH_PROTECT, RW);
    op->memory = WORLD_SLOT_DEVICE;
    refused(c, 1, 0, -ERR_RANGE);
    *op = good;
    refused(c, BATCH_OPS_MAX + 1, -ERR_LIMIT, 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, SLOT_MEMORY, 1), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, world.table->size, 1), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, ipc.space, SELF_TABLE, IPC_SLOT + 99, RIGHT_COPY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, IPC_SLOT + 99, 1), -ERR_RIGHTS);
    answered(c, true);
}

KTAP_CASE(a_right_that_the_capability_lacks_is_not_added)
{
    struct thread *c = start_mapped(2, 0);
    uint64_t part = IPC_SLOT + 99;

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, DATA, 4), 0);
    ops()->op[0] = op_at(BATCH_PROTECT, RW);
    ops()->op[0].memory = (uint32_t)part;
    refused(c, 1, 0, -ERR_ENTRY);
    ops()->op[0] = op_at(BATCH_REPLACE, page_entry(DATA + 1, RW));
    ops()->op[0].extra = page_entry(DATA, ENTRY_ALWAYS);
    ops()->op[0].memory = (uint32_t)part;
    refused(c, 1, 0, -ERR_ENTRY);
}

KTAP_CASE(without_a_client_nothing_is_done)
{
    struct thread *c = start(2);

    ops()->op[0] = op_at(BATCH_MAP, page_entry(DATA, RW));
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1), -ERR_CLIENT);
    EXPECT_EQ(IPC_BOSS(CALL_REPLY_BATCH, ipc.space, 1), -ERR_CLIENT);
    EXPECT_EQ(*slot_at(AT), 0);
    ipc_check();
}

/* Without an operation page, and for a client that was taken on the slow path. */
KTAP_CASE(the_slow_path_answers_too)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    struct thread *c = running(1);
    ipc_fault(1, AT, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1), 0);
    EXPECT_EQ((long)running(1)->x[11], -ERR_STATE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, 0, SLOT_SPACE), -ERR_TYPE); /* makes it SERVED */
    EXPECT_EQ(c->state, THREAD_SERVED);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WORKER_PAGE, ipc.pager_worker[1], SLOT_MEMORY, PAGE), 0);
    ops()->op[0] = op_at(BATCH_MAP, page_entry(DATA, RW));
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1);
    EXPECT(running(1) == c && !ipc_hart[1].returned);
    EXPECT(sim_store(1, AT, 1));
    ipc_check();
}

KTAP_CASE(a_client_in_another_space_is_answered_in_full)
{
    struct thread *c = start_mapped(2, RW);
    uint64_t other = ipc_space();

    ops()->op[0] = op_at(BATCH_MAP, page_entry(OTHER, RW));
    IPC_NATIVE(1, CALL_REPLY_BATCH, other, 1);
    EXPECT(running(1) == c);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_ALWAYS | RW));
    ipc_check();
}

/* ---- a list of pages ---- */

#define LIST 5U

/* The pages from DATA on, at AT and behind it, from result word 7 on. */
static struct batch_op *list(uint64_t bits)
{
    ops()->op[0] = op_at(BATCH_MAP_LIST, 0);
    ops()->op[0].count = LIST;
    ops()->op[0].extra = 7;
    for (unsigned i = 0; i < LIST; i++)
        ops()->result[7 + i] = page_entry(DATA + i, bits);
    return &ops()->op[0];
}

KTAP_CASE(a_list_of_pages_goes_straight)
{
    struct thread *c = start(2);
    int32_t mapped = mappings(DATA);

    list(RW);
    ops()->result[9] = page_entry(OTHER, RW); /* of another block */
    answered(c, true);                        /* the table is found on the way */
    EXPECT_EQ(c->leaf.tag, AT >> BLOCK_SHIFT);
    EXPECT_EQ(mappings(DATA), mapped + (int32_t)LIST - 1);
    for (unsigned i = 0; i < LIST; i++) {
        EXPECT(sim_store(1, AT + i * PAGE_BYTES, 1));
        EXPECT_EQ(sim_page(), world.first + (i == 2 ? OTHER : DATA + i));
    }
    ipc_check();
}

KTAP_CASE(each_check_of_a_list)
{
    struct thread *c = start_mapped(2, RW);
    uint64_t part = IPC_SLOT + 99;
    int32_t mapped = mappings(DATA);

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, DATA, LIST - 1), 0);
    list(RW);
    refused(c, 1, 0, -ERR_MAPPED); /* the first slot */
    list(RW)->address = AT - 2 * PAGE_BYTES;
    refused(c, 1, 0, -ERR_MAPPED); /* one in the middle */
#define BEHIND (AT + PAGE_BYTES)
    list(RW)->address = BEHIND + 8;
    refused(c, 1, 0, -ERR_ALIGN);
    list(RW)->address = BEHIND + BLOCK_BYTES;
    refused(c, 1, 0, -ERR_NOTABLE);
    list(RW)->address = BLOCK_BYTES - (LIST - 1) * PAGE_BYTES; /* beyond the table */
    refused(c, 1, 0, -ERR_RANGE);
    list(RW)->address = space_user_end;
    refused(c, 1, 0, -ERR_RANGE);
    list(RW)->address = BEHIND;
    ops()->op[0].count = 0;
    refused(c, 1, 0, -ERR_ARGUMENT);
    list(RW)->address = BEHIND;
    ops()->op[0].level = 1;
    refused(c, 1, 0, -ERR_ALIGN);
    list(RW)->address = BEHIND;
    ops()->op[0].flags = 0x80;
    refused(c, 1, 0, -ERR_ARGUMENT);
    list(RW)->address = BEHIND;
    ops()->op[0].extra = BATCH_RESULTS_MAX;
    refused(c, 1, 0, -ERR_RANGE);
    ops()->op[0].extra = BATCH_RESULTS_MAX - LIST + 1;
    refused(c, 1, 0, -ERR_RANGE);
    list(RW)->address = BEHIND;
    ops()->op[0].memory = (uint32_t)world.table->size;
    refused(c, 1, 0, -ERR_SLOT);
    ops()->op[0].memory = (uint32_t)ipc.space;
    refused(c, 1, 0, -ERR_TYPE);
    ops()->op[0].memory = (uint32_t)part; /* neither writable nor large enough */
    refused(c, 1, 0, -ERR_ENTRY);
    list(0)->address = BEHIND;
    ops()->op[0].memory = (uint32_t)part;
    refused(c, 1, 0, -ERR_RANGE);
    list(RW)->address = BEHIND;
    ops()->result[7 + LIST - 1] |= ENTRY_G;
    refused(c, 1, 0, -ERR_ENTRY);
    ops()->result[7 + LIST - 1] = page_entry(1, RW); /* a page of the tables block */
    refused(c, 1, 0, -ERR_CLASS);
    EXPECT_EQ(mappings(DATA), mapped);
    list(RW)->address = BEHIND;
    answered(c, true);
    EXPECT_EQ(mappings(DATA), mapped + (int32_t)LIST);
}

/* A list that another hart was faster with in the middle is not begun anew. */
KTAP_CASE(a_list_that_stopped_stays_as_it_is)
{
    struct thread *c = start_mapped(2, RW), *w = running(1);

    list(RW)->address = AT + PAGE_BYTES;
    machine_hart_select(1);
    struct batch_answer answer = reply_batch_full(ipc.space, 1, 0, (uint64_t)-ERR_MAPPED, 0, 0, w);
    EXPECT(answer.performed == 0 && answer.stopped == -ERR_MAPPED);
    EXPECT(w->client == c && *slot_at(AT + PAGE_BYTES) == 0);
    hart_idle(this_hart());
    machine_hart_select(0);
    ipc_check();
}

/* A window whose pages are under several capabilities: a list for each. */
static void two_lists(void)
{
    list(RW)->address = AT + PAGE_BYTES;
    ops()->op[1] = ops()->op[0];
    ops()->op[1].address += LIST * PAGE_BYTES;
    ops()->op[1].extra += LIST;
    for (unsigned i = 0; i < LIST; i++)
        ops()->result[7 + LIST + i] = page_entry(OTHER + i, RW);
}

KTAP_CASE(several_lists_go_straight)
{
    struct thread *c = start_mapped(2, RW);
    int32_t data = mappings(DATA), other = mappings(OTHER);
    uint64_t before = harts[1]->counter[COUNT_batch_straight];

    two_lists();
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2);
    EXPECT(!ipc_hart[1].returned && running(1) == c);
    EXPECT_EQ(harts[1]->counter[COUNT_batch_straight] - before, 1);
    EXPECT_EQ(mappings(DATA), data + (int32_t)LIST);
    EXPECT_EQ(mappings(OTHER), other + (int32_t)LIST);
    EXPECT(sim_store(1, AT + LIST * PAGE_BYTES, 1) && sim_store(1, AT + 2 * LIST * PAGE_BYTES, 1));
    ipc_check();
}

/* What the first has mapped stays, and the worker is told so, whatever the reason. */
KTAP_CASE(the_second_of_two_lists_is_refused)
{
    struct thread *c = start_mapped(2, RW);
    uint64_t *second = slot_at(AT + (1 + LIST) * PAGE_BYTES);
    int32_t data = mappings(DATA), other = mappings(OTHER);
    struct {
        uint32_t memory;
        vaddr_t more;
        uint64_t count;
        long stopped;
    } wrong[] = {
        {(uint32_t)ipc.space, 0, LIST, -ERR_ENTRY},         /* what is no memory forbids all */
        {(uint32_t)world.table->size, 0, LIST, -ERR_AGAIN}, /* all else is not plain */
        {SLOT_MEMORY, BLOCK_BYTES, LIST, -ERR_AGAIN},
        {SLOT_MEMORY, 8, LIST, -ERR_AGAIN},
        {SLOT_MEMORY, 0, 0, -ERR_AGAIN},
        {SLOT_MEMORY, 0, BATCH_RESULTS_MAX, -ERR_AGAIN},
        {SLOT_MEMORY, -(LIST * PAGE_BYTES), LIST, -ERR_MAPPED},
    };

    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        two_lists();
        ops()->op[1].memory = wrong[i].memory;
        ops()->op[1].address += wrong[i].more;
        ops()->op[1].count = (uint32_t)wrong[i].count;
        refused(c, 2, 1, wrong[i].stopped);
        EXPECT(*second == 0 && ops()->op[1].done == 0);
        EXPECT_EQ(mappings(DATA), data + (int32_t)LIST);
        EXPECT_EQ(mappings(OTHER), other);
        /* The first again: then nothing is done. */
        refused(c, 2, 0, -ERR_MAPPED);
        ops()->op[0] = op_at(BATCH_UNMAP, 0);
        ops()->op[0].address = AT + PAGE_BYTES;
        ops()->op[0].count = LIST;
        EXPECT_EQ(IPC_NATIVE(1, CALL_BATCH, ipc.space, 1), 1);
        EXPECT_EQ(mappings(DATA), data);
    }
    EXPECT(running(1)->client == c);
}

/* ---- a table and its first leaf ---- */

#define NEW (AT + BLOCK_BYTES)

static void table_and_leaf(uint64_t table, uint64_t leaf)
{
    ops()->op[0] = op_at(BATCH_TABLE, page_entry(table, 0));
    ops()->op[0].level = 1;
    ops()->op[0].address = NEW & ~(BLOCK_BYTES - 1);
    ops()->op[1] = op_at(BATCH_MAP, leaf);
    ops()->op[1].address = NEW;
}

static uint64_t straight_count(void)
{
    return harts[1]->counter[COUNT_batch_straight];
}

KTAP_CASE(a_table_comes_with_its_first_leaf)
{
    struct thread *c = start(2);
    struct space *s = ipc_object(ipc.space);
    uint64_t tables = s->tables, before = straight_count();
    int32_t mapped = mappings(DATA);

    table_and_leaf(400, page_entry(DATA, RW));
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2);
    EXPECT(running(1) == c && !ipc_hart[1].returned);
    EXPECT_EQ(straight_count(), before + 1);
    EXPECT_EQ(*slot_at(NEW), page_entry(DATA, ENTRY_ALWAYS | RW));
    EXPECT(s->tables == tables + 1 && s->lock == 0 && mappings(DATA) == mapped + 1);
    EXPECT(sim_store(1, NEW, 1));
    ipc_check();
    /* The client's cache leads to the new table. */
    ipc_fault(1, NEW + PAGE_BYTES, CAUSE_STORE_PAGE);
    uint64_t slow = harts[1]->counter[COUNT_trap_slow];
    IPC_NATIVE(1, CALL_FAULT_REPLY, page_entry(DATA + 1, RW), SLOT_MEMORY);
    EXPECT(running(1) == c && harts[1]->counter[COUNT_trap_slow] == slow);
    EXPECT_EQ(*slot_at(NEW + PAGE_BYTES), page_entry(DATA + 1, ENTRY_ALWAYS | RW));
    ipc_check();
}

/* What is not plain is found out by the full way, as if this one had not been tried. */
static void table_refused(struct thread *c, long done, long stopped)
{
    uint64_t before = straight_count();
    int32_t mapped = mappings(DATA);

    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2), done);
    EXPECT(ipc_hart[1].returned && running(1)->client == c);
    EXPECT_EQ((long)running(1)->x[11], stopped);
    EXPECT(straight_count() == before && mappings(DATA) == mapped);
    EXPECT_EQ(((struct space *)ipc_object(ipc.space))->lock, 0);
    ipc_check();
}

KTAP_CASE(a_table_with_its_first_leaf_is_refused)
{
    struct thread *c = start(2);
    const uint64_t leaf = page_entry(DATA, RW);
    uint64_t part = IPC_SLOT + 99;

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, 0, 0), 0);
    table_and_leaf(0, leaf); /* the directory */
    table_refused(c, 0, -ERR_BUSY);
    table_and_leaf(DATA, leaf);
    table_refused(c, 0, -ERR_CLASS);
    table_and_leaf(400, leaf);
    ops()->op[0].memory = (uint32_t)part;
    table_refused(c, 0, -ERR_RIGHTS);
    table_and_leaf(400, leaf);
    ops()->op[0].entry |= ENTRY_R;
    table_refused(c, 0, -ERR_ENTRY);
    table_and_leaf(400, leaf);
    ops()->op[0].address = AT;
    table_refused(c, 0, -ERR_MAPPED);
    table_and_leaf(400, leaf);
    ops()->op[0].address = ops()->op[1].address = AT; /* there is a table */
    table_refused(c, 0, -ERR_MAPPED);
    table_and_leaf(400, leaf);
    ops()->op[0].address = ops()->op[1].address = 1UL << 30;
    table_refused(c, 0, -ERR_NOTABLE);
    table_and_leaf(400, leaf);
    ops()->op[0].address = ops()->op[1].address = space_user_end;
    table_refused(c, 0, -ERR_RANGE);
    /* The table is all that comes. */
    table_and_leaf(400, leaf);
    ops()->op[1].memory = (uint32_t)part;
    table_refused(c, 1, -ERR_ENTRY);
    EXPECT_EQ(*slot_at(NEW), 0);
    ops()->op[0].code = BATCH_TABLE_REMOVE;
    EXPECT_EQ(IPC_NATIVE(1, CALL_BATCH, ipc.space, 1), 1);
    table_and_leaf(400, page_entry(401, RW)); /* a page of a tables block */
    table_refused(c, 1, -ERR_CLASS);
}

/* A thread in the memory server's own space, whose pager is the server: the linear map is as little
 * to be changed by answers to its faults as by batches. */
KTAP_CASE(the_linear_map_is_not_changed_by_answers)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    struct thread *c = running(1);
    struct space *s = ipc_object(ipc.space);
    vaddr_t at = SPACE_LINEAR_BASE + ((world.first + DATA) << PAGE_SHIFT);

    ipc_fault(1, at, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WORKER_PAGE, ipc.pager_worker[1], SLOT_MEMORY, PAGE), 0);
    for (unsigned i = 0; i < 2; i++) {
        ops()->op[i] = op_at(BATCH_TABLE, page_entry(400 + i, 0));
        ops()->op[i].level = (uint8_t)(2 - i);
        ops()->op[i].address = at;
    }
    EXPECT_EQ(IPC_NATIVE(1, CALL_BATCH, ipc.space, 2), 2);
    s->linear_end = SPACE_LINEAR_BASE + (block_total << BLOCK_SHIFT);
    *slot_at(at) = page_entry(DATA, ENTRY_ALWAYS);
    ops()->op[0] = op_at(BATCH_PROTECT, RW);
    ops()->op[0].address = at;
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1), 0);
        EXPECT(ipc_hart[1].returned && (long)running(1)->x[11] == -ERR_RANGE);
    }
    EXPECT_EQ(*slot_at(at), page_entry(DATA, ENTRY_ALWAYS));
    *slot_at(at) = 0;
    for (unsigned i = 0; i < 2; i++)
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, page_entry(DATA, RW), SLOT_MEMORY), -ERR_RANGE);
    EXPECT_EQ(*slot_at(at), 0);
    EXPECT_EQ(c->leaf.tag, ~0UL);
}
