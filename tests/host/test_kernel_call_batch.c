/* Calls answered by a batch: the straight way of each operation, and each reason to leave it. */
#include "ipc_world.h"
#include "arch/host/tlb.h"
#include "ktap.h"

#define AT    IPC_ADDRESS
#define DATA  (IPC_MEMORY + 10) /* data pages, relative */
#define RW    (ENTRY_W | ENTRY_D)
#define PAGE  (IPC_MEMORY + 200) /* the operation page */
#define CALL  1024               /* to the pager */
#define VALUE 77

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static struct batch_op *op(void)
{
    struct batch_page *page = ipc_t(ipc.pager_worker[1])->operation_page;

    return &page->op[0];
}

static int32_t mappings(void)
{
    return block_count[(world.first + DATA) >> TABLE_SHIFT];
}

static void operation(enum batch_code code, uint32_t count, uint64_t entry)
{
    *op() = (struct batch_op){.code = (uint8_t)code,
                              .count = count,
                              .memory = SLOT_MEMORY,
                              .address = AT,
                              .entry = entry};
}

static uint64_t *slot_at(vaddr_t address)
{
    unsigned level;

    return space_slot(ipc_object(ipc.space), address, 0, &level);
}

static uint64_t page_entry(uint64_t page, uint64_t bits)
{
    return entry_make(world.first + page, bits | ENTRY_ALWAYS);
}

/* A client on hart 1 with `pages` pages mapped at AT, all of which it has used; the worker there
 * has its call. */
static struct thread *start(unsigned harts_wanted, unsigned pages, uint64_t bits)
{
    ipc_usual(harts_wanted, 2, 2);
    ipc_running_client(1);
    struct thread *c = running(1);
    ipc_fault(1, AT, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WORKER_PAGE, ipc.pager_worker[1], SLOT_MEMORY, PAGE), 0);
    operation(BATCH_MAP, pages, page_entry(DATA, bits) & ~ENTRY_ALWAYS);
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1);
    EXPECT(running(1) == c);
    for (unsigned i = 0; i < pages; i++)
        EXPECT(sim_load(1, AT + i * PAGE_BYTES, NULL));
    ipc_fill(c);
    c->x[0] = 0x4000;
    ipc_foreign(1, CALL);
    EXPECT(running(1) == ipc_t(ipc.pager_worker[1]) && c->state == THREAD_CALL);
    return c;
}

static void answered(struct thread *c, bool straight)
{
    uint64_t before = harts[1]->counter[COUNT_batch_straight];

    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE);
    EXPECT(!ipc_hart[1].returned && running(1) == c);
    EXPECT_EQ(harts[1]->counter[COUNT_batch_straight] - before, straight);
    EXPECT(c->x[10] == VALUE && ipc_filled(c, 1 << 10 | 1 << 17));
    EXPECT_EQ(op()->finished, 1);
    EXPECT_EQ(((struct space *)ipc_object(ipc.space))->lock, 0);
    EXPECT_EQ(tlb_check_all(), 0);
    ipc_check();
}

static void refused(struct thread *c, long done, long stopped)
{
    uint64_t before = *slot_at(AT);
    int32_t mapped = mappings();

    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE), done);
    EXPECT(ipc_hart[1].returned);
    EXPECT_EQ((long)running(1)->x[11], stopped);
    EXPECT(running(1)->client == c && *slot_at(AT) == before && mappings() == mapped);
    EXPECT_EQ(op()->finished, 0);
    EXPECT_EQ(((struct space *)ipc_object(ipc.space))->lock, 0);
    ipc_check();
}

KTAP_CASE(rights_are_taken_and_fenced)
{
    struct thread *c = start(2, 3, RW);

    operation(BATCH_PROTECT, 3, 0);
    answered(c, true);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(*slot_at(AT + i * PAGE_BYTES), page_entry(DATA + i, 0));
        EXPECT(!sim_store(1, AT + i * PAGE_BYTES, 1));
        EXPECT(sim_load(1, AT + i * PAGE_BYTES, NULL));
    }
}

KTAP_CASE(rights_are_given_and_dirty_stays_where_asked)
{
    struct thread *c = start(2, 2, RW);

    operation(BATCH_PROTECT, 2, ENTRY_X);
    op()->flags = BATCH_DIRTY_STAYS;
    answered(c, true);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, ENTRY_X | ENTRY_D));
    ipc_foreign(1, CALL);
    uint64_t fences = harts[1]->counter[COUNT_fence_local];
    operation(BATCH_PROTECT, 1, ENTRY_W | ENTRY_X | ENTRY_D);
    answered(c, true);
    EXPECT_EQ(harts[1]->counter[COUNT_fence_local], fences);
    EXPECT(sim_store(1, AT, 1));
}

KTAP_CASE(pages_are_unmapped_and_counted_after_the_fence)
{
    struct thread *c = start(2, 3, RW);
    int32_t mapped = mappings();
    uint64_t unmapped = harts[1]->counter[COUNT_pages_unmapped];

    operation(BATCH_SOFTWARE, 1, ENTRY_SOFT0);
    op()->address = AT + 3 * PAGE_BYTES;
    EXPECT_EQ(IPC_NATIVE(1, CALL_BATCH, ipc.space, 1), 1);
    operation(BATCH_UNMAP, 8, 0);
    answered(c, true);
    EXPECT_EQ(mappings(), mapped - 3);
    EXPECT_EQ(harts[1]->counter[COUNT_pages_unmapped] - unmapped, 3);
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_EQ(*slot_at(AT + i * PAGE_BYTES), 0);
        EXPECT(!sim_load(1, AT + i * PAGE_BYTES, NULL));
    }
}

KTAP_CASE(a_page_moves_with_what_hardware_noted)
{
    struct thread *c = start(2, 1, ENTRY_W);
    int32_t mapped = mappings();

    *slot_at(AT) |= ENTRY_D;
    operation(BATCH_MOVE, 1, 0);
    op()->extra = AT + 7 * PAGE_BYTES;
    answered(c, true);
    EXPECT_EQ(*slot_at(AT), 0);
    EXPECT_EQ(*slot_at(AT + 7 * PAGE_BYTES), page_entry(DATA, RW));
    EXPECT_EQ(mappings(), mapped);
    EXPECT(!sim_load(1, AT, NULL));
    EXPECT(sim_store(1, AT + 7 * PAGE_BYTES, 1));
}

/* Another hart runs the space and has used the pages. */
KTAP_CASE(other_harts_are_fenced)
{
    struct thread *c = start(3, 2, RW);
    struct thread *d = ipc_t(ipc_usual_client(2));
    int32_t mapped = mappings();

    ipc_run(2);
    EXPECT(running(2) == d && sim_store(2, AT, 1) && sim_store(2, AT + PAGE_BYTES, 1));
    operation(BATCH_PROTECT, 2, 0);
    answered(c, true);
    EXPECT(!sim_store(2, AT, 1) && sim_load(2, AT, NULL));
    ipc_foreign(1, CALL);
    operation(BATCH_UNMAP, 2, 0);
    answered(c, true);
    EXPECT(!sim_load(2, AT, NULL));
    EXPECT_EQ(mappings(), mapped - 2);
    EXPECT_EQ(harts[1]->counter[COUNT_fence_remote], 2);
}

/* The client's cached leaf table is not that of the operation. */
KTAP_CASE(the_table_is_walked_to)
{
    struct thread *c = start(2, 1, RW);

    c->leaf.tag = ~0UL;
    operation(BATCH_PROTECT, 1, 0);
    answered(c, true);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, 0));
}

/* Two operations, the first of which takes rights of the first page. */
static void two(const struct batch_op *second)
{
    operation(BATCH_PROTECT, 1, 0);
    op()[1] = *second;
    op()[1].address = AT + 2 * PAGE_BYTES;
}

KTAP_CASE(a_few_changes_of_rights_go_together)
{
    struct thread *c = start(2, 4, RW);
    uint64_t before = harts[1]->counter[COUNT_batch_straight];

    two(&(struct batch_op){
        .code = BATCH_PROTECT, .count = 2, .memory = SLOT_MEMORY, .entry = ENTRY_X});
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2, VALUE);
    EXPECT(running(1) == c && c->x[10] == VALUE && op()->finished == 1);
    EXPECT_EQ(harts[1]->counter[COUNT_batch_straight], before + 1);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, 0));
    EXPECT_EQ(*slot_at(AT + PAGE_BYTES), page_entry(DATA + 1, RW));
    EXPECT_EQ(*slot_at(AT + 3 * PAGE_BYTES), page_entry(DATA + 3, ENTRY_X));
    EXPECT_EQ(tlb_check_all(), 0);
    ipc_check();
}

/* What the straight way has done before it gave up is fenced, and done once more. */
static void given_up(const struct batch_op *second, long performed, long stopped)
{
    uint64_t before = harts[1]->counter[COUNT_batch_straight];

    two(second);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 2, VALUE), performed);
    EXPECT(!stopped || (long)running(1)->x[11] == stopped);
    EXPECT_EQ(harts[1]->counter[COUNT_batch_straight], before);
    EXPECT_EQ(op()->finished, !stopped);
    EXPECT_EQ(*slot_at(AT), page_entry(DATA, 0));
    EXPECT_EQ(tlb_check_all(), 0);
    EXPECT_EQ(((struct space *)ipc_object(ipc.space))->lock, 0);
    ipc_check();
}

KTAP_CASE(what_went_straight_before_the_rest_is_fenced)
{
    start(2, 4, RW);
    given_up(&(struct batch_op){.code = BATCH_UNMAP, .count = 2}, 0, 0);
    EXPECT_EQ(*slot_at(AT + 2 * PAGE_BYTES), 0);
    start(2, 4, 0);
    *slot_at(AT) |= RW;
    EXPECT(!harts[1]->look_again);
    given_up(
        &(struct batch_op){
            .code = BATCH_PROTECT, .count = 2, .memory = WORLD_SLOT_DEVICE, .entry = ENTRY_W},
        1, -ERR_RANGE);
    EXPECT_EQ(*slot_at(AT + 2 * PAGE_BYTES), page_entry(DATA + 2, 0));
}

/* What is not plain is done in full, as if the straight way had not been tried. */
KTAP_CASE(others_are_done_in_full)
{
    struct thread *c = start(2, 2, RW);

    operation(BATCH_PROTECT, 9, 0);
    answered(c, false);
    ipc_foreign(1, CALL);
    operation(BATCH_PROTECT, 1, RW);
    op()->flags = BATCH_KEEP;
    answered(c, false);
    ipc_foreign(1, CALL);
    operation(BATCH_MOVE, 2, 0);
    op()->extra = AT + 7 * PAGE_BYTES;
    answered(c, false);
    EXPECT_EQ(*slot_at(AT + 8 * PAGE_BYTES), page_entry(DATA + 1, 0));
    ipc_foreign(1, CALL);
    operation(BATCH_NOP, 1, 0);
    answered(c, false);
}

KTAP_CASE(what_is_refused_comes_back_with_the_client)
{
    struct thread *c = start(2, 1, 0);
    uint64_t part = IPC_SLOT + 99;

    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, DATA, 4), 0);
    operation(BATCH_PROTECT, 1, ENTRY_W | ENTRY_D);
    op()->memory = (uint32_t)part;
    refused(c, 0, -ERR_ENTRY);
    op()->memory = (uint32_t)world.table->size;
    refused(c, 0, -ERR_SLOT);
    op()->memory = WORLD_SLOT_DEVICE;
    refused(c, 0, -ERR_RANGE);
    operation(BATCH_PROTECT, 1, ENTRY_R);
    refused(c, 0, -ERR_ENTRY);
    operation(BATCH_PROTECT, 1, ENTRY_D);
    op()->flags = BATCH_DIRTY_STAYS;
    refused(c, 0, -ERR_ENTRY);
    operation(BATCH_UNMAP, 1, 0);
    op()->flags = BATCH_DIRTY_STAYS;
    refused(c, 0, -ERR_ARGUMENT);
    operation(BATCH_UNMAP, 1, 0);
    op()->level = 2;
    refused(c, 0, -ERR_LEVEL);
    operation(BATCH_UNMAP, 0, 0);
    refused(c, 0, -ERR_ARGUMENT);
    operation(BATCH_UNMAP, 1, 0);
    op()->address |= 8;
    refused(c, 0, -ERR_ALIGN);
    operation(BATCH_UNMAP, 8, 0);
    op()->address = BLOCK_BYTES - 7 * PAGE_BYTES;
    refused(c, 0, -ERR_RANGE);
    operation(BATCH_UNMAP, 1, 0);
    op()->address = AT + BLOCK_BYTES;
    refused(c, 0, -ERR_NOTABLE);
    operation(BATCH_UNMAP, 1, 0);
    op()->address = space_user_end;
    refused(c, 0, -ERR_RANGE);
    operation(BATCH_MOVE, 1, 0);
    op()->extra = AT;
    refused(c, 0, -ERR_ARGUMENT);
    operation(BATCH_MOVE, 1, 0);
    op()->extra = AT + BLOCK_BYTES;
    refused(c, 0, -ERR_NOTABLE);
    operation(BATCH_UNMAP, 1, 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, ipc.space, SELF_TABLE, IPC_SLOT + 98, RIGHT_COPY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, IPC_SLOT + 98, 1, VALUE), -ERR_RIGHTS);
    answered(c, true);
}

/* The new place is not empty: nothing moves. */
KTAP_CASE(a_move_onto_a_page_is_refused)
{
    struct thread *c = start(2, 2, RW);

    operation(BATCH_MOVE, 1, 0);
    op()->extra = AT + PAGE_BYTES;
    refused(c, 0, -ERR_MAPPED);
    EXPECT_EQ(*slot_at(AT + PAGE_BYTES), page_entry(DATA + 1, RW));
}

/* The value is for a call only. */
KTAP_CASE(a_fault_is_answered_as_if_there_were_no_value)
{
    struct thread *c = start(2, 1, RW);

    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    ipc_fill(c);
    ipc_fault(1, AT + PAGE_BYTES, CAUSE_STORE_PAGE);
    operation(BATCH_MAP, 1, page_entry(DATA + 1, RW) & ~ENTRY_ALWAYS);
    op()->address = AT + PAGE_BYTES;
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE);
    EXPECT(running(1) == c && ipc_filled(c, 0));
    ipc_fault(1, AT + 2 * PAGE_BYTES, CAUSE_STORE_PAGE);
    operation(BATCH_NOP, 1, 0);
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE);
    EXPECT(running(1) == c && ipc_filled(c, 0) && op()->finished == 1);
    ipc_check();
}

/* A client that was taken on the slow path, and one that is gone. */
KTAP_CASE(the_slow_path_answers_too)
{
    struct thread *c = start(2, 1, RW);

    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, 0, SLOT_SPACE), -ERR_CLIENT); /* makes it SERVED */
    EXPECT_EQ(c->state, THREAD_SERVED);
    operation(BATCH_UNMAP, 1, 0);
    IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE);
    EXPECT(running(1) == c && c->x[10] == VALUE && op()->finished == 1);
    EXPECT_EQ(*slot_at(AT), 0);
    ipc_foreign(1, CALL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, IPC_SLOT + 99), 0);
    operation(BATCH_UNMAP, 1, 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_BATCH, ipc.space, 1, VALUE), -ERR_CLIENT);
    EXPECT_EQ(op()->finished, 0);
    ipc_check();
}
