/*
 * Faults that a pager of one's own answers by a batch: one mapping, a copy-on-write break
 * (replace), a reuse (protect), and a table with the first mapping in it. The worker does nothing
 * but the call, so a row is the kernel's work, four instructions of the worker's and the client's
 * store.
 *
 * Before each fault the page is brought into the state that the row begins with; the client is
 * started anew for each.
 */
#include "user/bench/native/common.h"

#define REPEAT 24U
#define AREA   0x58000000UL
#define RW     (ENTRY_W | ENTRY_D)
#define FIRST  140U /* data pages; nobody touches what is mapped here */

static struct bench_row row;
static uint64_t operations;
static uint64_t page; /* the worker's operation page, as a data page */
static uint64_t where;

static void touch(void *arg)
{
    (void)arg;
    bench_store((void *)(where + BENCH_PAGE)); /* the kernel sees its table, the space runs */
    bench_write(&row, (void *)where);
    client_done();
}

static void touch_only(void *arg)
{
    (void)arg;
    bench_write(&row, (void *)where);
    client_done();
}

/* The operations of the worker's next answer. */
static void answer_set(const struct batch_op *op, uint64_t count)
{
    operations = count;
    long copied =
        native_call(CALL_SPACE_COPY, NATIVE_SLOT_WINDOW, NATIVE_WINDOW + page * BENCH_PAGE,
                    (uint64_t)op, count * sizeof(*op), COPY_TO_SPACE, 0);
    native_must("answer", copied == (long)(count * sizeof(*op)) ? 0 : -ERR_RANGE);
}

static void before(struct batch_op op)
{
    native_must("operation", native_operation(SLOT_SPACE, &op));
}

static struct batch_op op_at(enum batch_code code, uint64_t number, uint64_t bits)
{
    return (struct batch_op){.code = (uint8_t)code,
                             .count = 1,
                             .memory = NATIVE_SLOT_DATA,
                             .address = where,
                             .entry = number ? native_data_entry(number, bits) : bits};
}

static void one(const struct batch_op *answer, uint64_t count, void (*fn)(void *arg))
{
    answer_set(answer, count);
    client_run(fn, NULL, SLOT_REPLY);
    client_fetch(&row);
}

static void begin(const char *name, uint64_t at)
{
    where = at;
    bench_open(&row, name, BENCH_BY_OTHER, 1, REPEAT);
}

static void mapped(void)
{
    begin("fault_reply_batch_map", AREA);
    for (unsigned i = 0; i < REPEAT; i++) {
        struct batch_op answer = op_at(BATCH_MAP, FIRST, RW);
        one(&answer, 1, touch);
        before(op_at(BATCH_UNMAP, 0, 0));
    }
    bench_close(&row);
    begin("fault_reply_batch_map_list", AREA);
    for (unsigned i = 0; i < REPEAT; i++) {
        struct batch_op answer[32] = {op_at(BATCH_MAP_LIST, 0, 0)};
        uint64_t *list = (uint64_t *)&answer[31]; /* op 31 is never performed; not a result word */
        list[0] = native_data_entry(FIRST, RW);
        answer[0].extra = 0;
        native_must("list", native_call(CALL_SPACE_COPY, NATIVE_SLOT_WINDOW,
                                        NATIVE_WINDOW + page * BENCH_PAGE + BENCH_PAGE / 2,
                                        (uint64_t)list, sizeof(*list), COPY_TO_SPACE, 0));
        one(answer, 1, touch);
        before(op_at(BATCH_UNMAP, 0, 0));
    }
    bench_close(&row);
}

static void replaced(void)
{
    begin("fault_reply_batch_replace", AREA);
    for (unsigned i = 0; i < REPEAT; i++) {
        struct batch_op answer = op_at(BATCH_REPLACE, FIRST, RW);
        answer.extra = native_data_entry(FIRST + 2, ENTRY_ALWAYS);
        before(op_at(BATCH_MAP, FIRST + 2, 0));
        one(&answer, 1, touch);
        before(op_at(BATCH_UNMAP, 0, 0));
    }
    bench_close(&row);
}

static void protected(void)
{
    begin("fault_reply_batch_protect", AREA);
    before(op_at(BATCH_MAP, FIRST, 0));
    for (unsigned i = 0; i < REPEAT; i++) {
        struct batch_op answer = op_at(BATCH_PROTECT, 0, RW);
        one(&answer, 1, touch);
        before(op_at(BATCH_PROTECT, 0, 0));
    }
    bench_close(&row);
}

static void with_table(void)
{
    long table = native_tables(1);

    native_must("table", table);
    begin("fault_reply_batch_table_map", AREA + BLOCK_BYTES);
    for (unsigned i = 0; i < REPEAT; i++) {
        struct batch_op answer[2] = {
            op_at(BATCH_TABLE, 0, entry_make(native_tables_number((uint64_t)table), 0)),
            op_at(BATCH_MAP, FIRST, RW)};
        answer[0].level = 1;
        answer[0].memory = NATIVE_SLOT_TABLES;
        one(answer, 2, touch_only);
        before(op_at(BATCH_UNMAP, 0, 0));
        answer[0].code = BATCH_TABLE_REMOVE;
        before(answer[0]);
    }
    bench_close(&row);
}

void rows_reply(void)
{
    long number = native_data(1);

    native_must("page", number);
    page = (uint64_t)number;
    native_must("endpoint", native_object(CAP_ENDPOINT, 0, SLOT_REPLY));
    native_raw_worker(SLOT_REPLY_WORKER, SLOT_REPLY, bench_reply_entry, &operations, page);
    client_tables(AREA);
    native_must("mapped", native_space_map(SLOT_SPACE, AREA + BENCH_PAGE, FIRST + 1, 1, RW));
    mapped();
    replaced();
    protected();
    with_table();
}
