/*
 * The world of native test programs: see native.h.
 *
 * How the first operation gets into an operation page. A page of one's own memory can be written
 * once it is mapped somewhere, and to map it takes an operation page that says so. The way in: a
 * page that was a Thread object still has the registers that it was given when it is data again,
 * and they begin the page (struct user_regs, 256 bytes: four operations).
 */
#include "native.h"

#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "pg.h"

#define AGAIN_MAX         1000000
#define SERVER_ERROR_BASE 1000
#define SEED_OPS          (sizeof(struct user_regs) / sizeof(struct batch_op))
#define DRIVER_STACK      16384
#define DATA_WRITABLE     (ENTRY_W | ENTRY_D)
#define OPERATION_PAGE    0UL /* data page: the driver's operation page */

extern char __text_start[], __text_end[], _end[], __global_pointer$[];

static uint64_t data_first, tables_first, levels;
static uint64_t data_next, tables_next = 1; /* page 0 of a tables block is its directory */
static bool enabled, opened;
static uint8_t driver_stack[DRIVER_STACK] __attribute__((aligned(16)));

/* ---- stubs ---- */

__asm__(".pushsection .text.native_switch, \"ax\", @progbits\n"
        ".globl native_switch\n"
        ".type native_switch, @function\n"
        "native_switch:\n"
        "    addi sp, sp, -112\n"
        "    sd ra, 0(sp)\n"
        "    sd s0, 8(sp)\n"
        "    sd s1, 16(sp)\n"
        "    sd s2, 24(sp)\n"
        "    sd s3, 32(sp)\n"
        "    sd s4, 40(sp)\n"
        "    sd s5, 48(sp)\n"
        "    sd s6, 56(sp)\n"
        "    sd s7, 64(sp)\n"
        "    sd s8, 72(sp)\n"
        "    sd s9, 80(sp)\n"
        "    sd s10, 88(sp)\n"
        "    sd s11, 96(sp)\n"
        "    sd a3, 104(sp)\n"
        "    mv a7, a0\n"
        "    mv a0, a1\n"
        "    mv a1, a2\n"
        "    ld s2, 0(a3)\n"
        "    ld s3, 8(a3)\n"
        "    ld s4, 16(a3)\n"
        "    ld s5, 24(a3)\n"
        "    ld s6, 32(a3)\n"
        "    ld s7, 40(a3)\n"
        "    ecall\n"
        "    ld a3, 104(sp)\n"
        "    sd s2, 0(a3)\n"
        "    sd s3, 8(a3)\n"
        "    sd s4, 16(a3)\n"
        "    sd s5, 24(a3)\n"
        "    sd s6, 32(a3)\n"
        "    sd s7, 40(a3)\n"
        "    sd a1, 48(a3)\n"
        "    ld ra, 0(sp)\n"
        "    ld s0, 8(sp)\n"
        "    ld s1, 16(sp)\n"
        "    ld s2, 24(sp)\n"
        "    ld s3, 32(sp)\n"
        "    ld s4, 40(sp)\n"
        "    ld s5, 48(sp)\n"
        "    ld s6, 56(sp)\n"
        "    ld s7, 64(sp)\n"
        "    ld s8, 72(sp)\n"
        "    ld s9, 80(sp)\n"
        "    ld s10, 88(sp)\n"
        "    ld s11, 96(sp)\n"
        "    addi sp, sp, 112\n"
        "    ret\n"
        ".size native_switch, . - native_switch\n"
        ".popsection\n");

/* Five entries, 16 bytes apart; the event is built on the worker's stack. */
__asm__(".pushsection .text.native_worker_entry, \"ax\", @progbits\n"
        ".globl native_worker_entry\n"
        ".balign 16\n"
        "native_worker_entry:\n"
        "    sd t0, -8(sp)\n"
        "    li t0, 0\n"
        "    j 1f\n"
        "    .balign 16\n"
        "    sd t0, -8(sp)\n"
        "    li t0, 1\n"
        "    j 1f\n"
        "    .balign 16\n"
        "    sd t0, -8(sp)\n"
        "    li t0, 2\n"
        "    j 1f\n"
        "    .balign 16\n"
        "    sd t0, -8(sp)\n"
        "    li t0, 3\n"
        "    j 1f\n"
        "    .balign 16\n"
        "    sd t0, -8(sp)\n"
        "    li t0, 4\n"
        "    j 1f\n"
        "1:  addi sp, sp, -384\n"
        ".irp n, 1,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "    sd x\\n, 120 + 8 * \\n(sp)\n"
        ".endr\n"
        "    ld t1, 376(sp)\n"
        "    sd t1, 160(sp)\n"
        "    sd zero, 120(sp)\n"
        "    sd zero, 136(sp)\n"
        "    .option push\n"
        "    .option norelax\n"
        "    la gp, __global_pointer$\n"
        "    .option pop\n"
        "    sd t0, 0(sp)\n"
        "    sd a0, 8(sp)\n"
        "    sd a1, 16(sp)\n"
        "    sd a2, 24(sp)\n"
        "    sd a3, 32(sp)\n"
        "    sd a4, 40(sp)\n"
        "    sd a5, 48(sp)\n"
        "    sd a6, 56(sp)\n"
        "    sd a7, 64(sp)\n"
        "    sd s2, 72(sp)\n"
        "    sd s3, 80(sp)\n"
        "    sd s4, 88(sp)\n"
        "    sd s5, 96(sp)\n"
        "    sd s6, 104(sp)\n"
        "    sd s7, 112(sp)\n"
        "    mv a0, sp\n"
        "    call native_entered\n"
        "2:  mv a0, tp\n"
        "    mv a1, sp\n"
        "    ld t0, 0(tp)\n"
        "    jalr t0\n"
        "    mv a7, a0\n"
        "    ld a0, 8(sp)\n"
        "    ld a1, 16(sp)\n"
        "    ld s2, 72(sp)\n"
        "    ld s3, 80(sp)\n"
        "    ld s4, 88(sp)\n"
        "    ld s5, 96(sp)\n"
        "    ld s6, 104(sp)\n"
        "    ld s7, 112(sp)\n"
        "    ecall\n"
        /* It came back, so it was refused. */
        "    li t0, 5\n"
        "    sd t0, 0(sp)\n"
        "    sd a0, 8(sp)\n"
        "    j 2b\n"
        ".popsection\n");

volatile uint64_t native_kernel_value;

/* Called by the entry code alone. What looks like the kernel's is an address in its half, but for
 * one that the client itself has touched, and for what may be an error or a small negative number.
 */
void native_entered(const struct native_event *event);
void native_entered(const struct native_event *event)
{
    for (unsigned i = 0; i < 32; i++)
        if ((int64_t)event->entered[i] < -(1L << 30) &&
            (event->kind != ENTER_FAULT || event->entered[i] != event->a[1]))
            native_kernel_value = event->entered[i];
}

_Static_assert(offsetof(struct native_event, entered) == 120 &&
                   sizeof(struct native_event) <= 376 + 8,
               "the entry code builds it");
_Static_assert(offsetof(struct native_event, a) == 8 && offsetof(struct native_event, word) == 72,
               "the entry code builds it");
_Static_assert(NATIVE_REFUSED == 5, "the entry code says so");

/* ---- asking the memory server ---- */

static long server(long number, uint64_t a, uint64_t b, uint64_t c)
{
    long result = pg_syscall(number, a, b, c);

    return result < 0 ? result - SERVER_ERROR_BASE : result;
}

long native_enable(void)
{
    long error = 0;

    if (enabled)
        return 0;
    error = server(MM_NATIVE_ENABLE, NATIVE_TABLE_ENTRIES, 0, 0);
    if (error >= 0)
        error = server(MM_NATIVE_CREATE, CAP_KERNEL, NATIVE_SLOT_KERNEL, 0);
    enabled = error >= 0;
    return enabled ? 0 : error;
}

long native_again(long number, uint64_t a, uint64_t b)
{
    long result = -ERR_AGAIN;

    for (int i = 0; i < AGAIN_MAX && result == -ERR_AGAIN; i++)
        result = native_call(number, a, b, 0, 0, 0, 0);
    return result;
}

/* ---- pages ---- */

static long give(uint64_t *next, uint64_t limit, size_t n)
{
    uint64_t first = *next;

    if (n > limit - first)
        return -ERR_LIMIT;
    *next += n;
    return (long)first;
}

long native_data(size_t n)
{
    return give(&data_next, NATIVE_DATA_PAGES, n);
}

long native_tables(size_t n)
{
    return give(&tables_next, PAGES_PER_BLOCK, n);
}

void native_tables_reset(uint64_t page)
{
    tables_next = page;
}

uint64_t native_data_number(uint64_t page)
{
    return data_first + page;
}

uint64_t native_tables_number(uint64_t page)
{
    return tables_first + page;
}

uint64_t native_data_entry(uint64_t page, uint64_t bits)
{
    return entry_make(data_first + page, ENTRY_ALWAYS | bits);
}

static long window_copy(uint64_t page, size_t offset, void *local, size_t bytes, unsigned direction)
{
    long done =
        native_call(CALL_SPACE_COPY, NATIVE_SLOT_WINDOW, NATIVE_WINDOW + page * PAGE_BYTES + offset,
                    (uint64_t)local, bytes, direction, 0);

    return done < 0 ? done : done == (long)bytes ? 0 : -ERR_ADDRESS;
}

long native_poke(uint64_t page, size_t offset, const void *from, size_t bytes)
{
    return window_copy(page, offset, (void *)(uintptr_t)from, bytes, COPY_TO_SPACE);
}

long native_peek(uint64_t page, size_t offset, void *to, size_t bytes)
{
    memset(to, 0, bytes); /* present and writable */
    return window_copy(page, offset, to, bytes, COPY_FROM_SPACE);
}

/* ---- the driver ---- */

struct drive {
    long (*fn)(void *arg);
    void *arg;
};

static long driver_handler(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    if (event->kind != ENTER_MESSAGE)
        return CALL_PARK;
    event->word[0] = (uint64_t)((long (*)(void *))event->word[0])((void *)event->word[1]);
    event->a[0] = 0;
    return CALL_REPLY_PARK;
}

static struct native_worker driver_worker = {
    .handler = driver_handler, .stack = driver_stack, .stack_bytes = sizeof(driver_stack)};

long native_drive(long (*fn)(void *arg), void *arg)
{
    struct native_message message = {{(uint64_t)fn, (uint64_t)arg}, 0};
    long error = native_send(NATIVE_SLOT_DRIVER_ENDPOINT, &message);

    return error ? error : (long)message.word[0];
}

struct batch_call {
    uint64_t space, count;
    long error;
};

static long drive_batch(void *arg)
{
    struct batch_call *call = arg;
    struct native_result result = native_call3(CALL_BATCH, call->space, call->count, 0, 0, 0, 0);

    call->error = (long)result.a1;
    return result.a0;
}

long native_operations_set(const struct batch_op *op, size_t count)
{
    return native_poke(OPERATION_PAGE, 0, op, count * sizeof(*op));
}

long native_results_set(const uint64_t *word, size_t first, size_t count)
{
    size_t offset = offsetof(struct batch_page, result) + first * sizeof(*word);

    return native_poke(OPERATION_PAGE, offset, word, count * sizeof(*word));
}

long native_batch(uint64_t space, struct batch_op *op, size_t count, long *error,
                  uint64_t results[BATCH_RESULTS_MAX])
{
    struct batch_call call = {.space = space, .count = count};

    *error = native_operations_set(op, count);
    if (*error)
        return *error;
    long performed = native_drive(drive_batch, &call);
    *error = performed < 0 ? performed : call.error;
    native_peek(OPERATION_PAGE, 0, op, count * sizeof(*op));
    if (results)
        native_peek(OPERATION_PAGE, offsetof(struct batch_page, result), results,
                    BATCH_RESULTS_MAX * sizeof(results[0]));
    return performed;
}

long native_operation(uint64_t space, struct batch_op *op)
{
    long error;

    native_batch(space, op, 1, &error, NULL);
    return error;
}

/* ---- opening ---- */

static uint64_t hart_now(void)
{
    unsigned cpu = 0;

    pg_syscall(SYS_getcpu, &cpu, 0L, 0L);
    return cpu;
}

static long memory_open(uint64_t slot, uint64_t blocks, uint64_t *first)
{
    long error = server(MM_NATIVE_CREATE, CAP_MEMORY, slot, blocks);

    if (error < 0)
        return error;
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, slot, 0, 0, 0, 0);
    *first = read.a1;
    if (read.a0 < 0)
        return read.a0;
    return read.a2 == blocks * PAGES_PER_BLOCK ? 0 : -ERR_RANGE;
}

/* The operations that map the operation page in the window. */
static size_t seed_ops(struct batch_op op[8])
{
    size_t n = 0;

    for (uint64_t level = levels - 1; level > 0; level--)
        op[n++] = (struct batch_op){.code = BATCH_TABLE,
                                    .level = (uint8_t)level,
                                    .count = 1,
                                    .memory = NATIVE_SLOT_TABLES,
                                    .address = NATIVE_WINDOW,
                                    .entry = entry_make(tables_first + tables_next++, ENTRY_V)};
    op[n++] = (struct batch_op){.code = BATCH_MAP,
                                .count = 1,
                                .memory = NATIVE_SLOT_DATA,
                                .address = NATIVE_WINDOW,
                                .entry = native_data_entry(OPERATION_PAGE, DATA_WRITABLE)};
    return n;
}

/* Data page `page` begins with these operations; its block is of the tables class meanwhile. */
static long seed_write(uint64_t page, const struct batch_op *op, size_t count)
{
    struct user_regs regs = {{0}};
    const uint64_t slot = NATIVE_SLOT_USER;

    memcpy(regs.x, op, count * sizeof(*op));
    long error = native_call(CALL_OBJECT_CREATE, NATIVE_SLOT_DATA, page, CAP_THREAD, 0, slot, 0);
    if (!error)
        error = native_call(CALL_THREAD_REGS, slot, (uint64_t)&regs, 1, 0, 0, 0);
    if (!error)
        error = native_again(CALL_CAP_DELETE, SELF_TABLE, slot);
    return error;
}

/* A worker's page can only be changed by itself. */
static long drive_page(void *page)
{
    return native_call(CALL_WORKER_PAGE, NATIVE_SLOT_DRIVER, NATIVE_SLOT_DATA, (uint64_t)page, 0, 0,
                       0);
}

/* Perform the operations that were seeded into data pages 1, 2, ... */
static long seed_perform(size_t count)
{
    for (size_t done = 0, page = 1; done < count; done += SEED_OPS, page++) {
        size_t now = count - done < SEED_OPS ? count - done : SEED_OPS;
        struct batch_call call = {.space = NATIVE_SLOT_WINDOW, .count = now};
        long error = native_drive(drive_page, (void *)page);
        if (error)
            return error;
        long performed = native_drive(drive_batch, &call);
        if (performed != (long)now)
            return performed < 0 ? performed : call.error;
    }
    return native_drive(drive_page, (void *)OPERATION_PAGE);
}

static long seed(void)
{
    struct batch_op op[8] = {{0}};
    size_t count = seed_ops(op);

    long error = native_call(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, BLOCK_TABLES, 0, 0, 0);
    for (size_t done = 0, page = 1; !error && done < count; done += SEED_OPS, page++)
        error = seed_write(page, op + done, count - done < SEED_OPS ? count - done : SEED_OPS);
    if (!error)
        error = native_call(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, BLOCK_DATA, 0, 0, 0);
    return error ? error : seed_perform(count);
}

/* All data pages behind the operation page into the window. */
static long window_open(void)
{
    long error = seed();

    for (uint64_t page = 0; !error && page < NATIVE_DATA_PAGES; page += PAGES_PER_BLOCK) {
        uint64_t skip = page == 0; /* the operation page stands there already */
        error = native_space_tables(NATIVE_SLOT_WINDOW, NATIVE_WINDOW + page * PAGE_BYTES);
        if (!error)
            error = native_space_map(NATIVE_SLOT_WINDOW, NATIVE_WINDOW + (page + skip) * PAGE_BYTES,
                                     page + skip, PAGES_PER_BLOCK - skip, DATA_WRITABLE);
    }
    data_next = OPERATION_PAGE + 1;
    return error;
}

static long objects_open(void)
{
    long error = memory_open(NATIVE_SLOT_DATA, NATIVE_DATA_BLOCKS, &data_first);

    if (!error)
        error = memory_open(NATIVE_SLOT_TABLES, 1, &tables_first);
    if (!error)
        error = native_call(CALL_BLOCK_CLASS, NATIVE_SLOT_TABLES, 0, BLOCK_TABLES, 0, 0, 0);
    if (!error)
        error = native_space(NATIVE_SLOT_WINDOW);
    if (!error)
        error = native_object(CAP_ENDPOINT, 0, NATIVE_SLOT_DRIVER_ENDPOINT);
    if (!error)
        error =
            native_worker_start(NATIVE_SLOT_DRIVER, NATIVE_SLOT_DRIVER_ENDPOINT, &driver_worker);
    levels = native_call3(CALL_SPACE_INFO, NATIVE_SLOT_WINDOW, 0, 0, 0, 0, 0).a1;
    return error;
}

long native_open(void)
{
    if (opened)
        return 0;
    long error = native_enable();
    if (!error)
        error = objects_open();
    if (!error)
        error = window_open();
    opened = error == 0;
    return error;
}

/* ---- objects ---- */

long native_object(enum cap_type type, uint64_t parameter, uint64_t slot)
{
    size_t pages = type == CAP_TABLE ? 1 + parameter : type == CAP_SPACE ? 2 : 1;
    long page = native_tables(pages);

    if (page < 0)
        return page;
    return native_call(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, (uint64_t)page, type, parameter,
                       slot, 0);
}

long native_space(uint64_t slot)
{
    return native_object(CAP_SPACE, 0, slot);
}

long native_space_tables(uint64_t space, uint64_t address)
{
    for (uint64_t level = levels - 1; level > 0; level--) {
        long page = native_tables(1);
        if (page < 0)
            return page;
        struct batch_op op = {.code = BATCH_TABLE,
                              .level = (uint8_t)level,
                              .count = 1,
                              .memory = NATIVE_SLOT_TABLES,
                              .address = address,
                              .entry = entry_make(tables_first + (uint64_t)page, ENTRY_V)};
        long error = native_operation(space, &op);
        if (error)
            tables_next--;
        if (error && error != -ERR_MAPPED)
            return error;
    }
    return 0;
}

long native_space_map(uint64_t space, uint64_t address, uint64_t page, size_t count, uint64_t bits)
{
    while (count > 0) {
        size_t now = TABLE_ENTRIES - (address >> PAGE_SHIFT) % TABLE_ENTRIES;
        if (now > count)
            now = count;
        struct batch_op op = {.code = BATCH_MAP,
                              .count = (uint32_t)now,
                              .memory = NATIVE_SLOT_DATA,
                              .address = address,
                              .entry = native_data_entry(page, bits)};
        long error = native_operation(space, &op);
        if (error)
            return error;
        address += now * PAGE_BYTES;
        page += now;
        count -= now;
    }
    return 0;
}

/* An address of the linker script, as a number that the compiler does not calculate with: a symbol
 * and an offset together may not fit the instruction that loads them. */
static uint64_t address_of(const char *symbol)
{
    __asm__("" : "+r"(symbol));
    return (uint64_t)symbol;
}

uint64_t native_image_pages(void)
{
    return (address_of(_end) - NATIVE_IMAGE + PAGE_BYTES - 1) / PAGE_BYTES;
}

long native_image_write(uint64_t first_page)
{
    for (uint64_t i = 0; i < native_image_pages(); i++) {
        const char *from = (const char *)(NATIVE_IMAGE + i * PAGE_BYTES);
        (void)*(const volatile char *)from; /* present */
        long error = native_poke(first_page + i, 0, from, PAGE_BYTES);
        if (error)
            return error;
    }
    return 0;
}

long native_image_make(void)
{
    long first = native_data(native_image_pages());
    long error = first < 0 ? first : native_image_write((uint64_t)first);

    return error ? error : first;
}

static long image_tables(uint64_t space)
{
    uint64_t end = address_of(_end);
    long error = 0;

    for (uint64_t at = NATIVE_IMAGE & -BLOCK_BYTES; !error && at < end; at += BLOCK_BYTES)
        error = native_space_tables(space, at);
    return error;
}

long native_image_map(uint64_t space, uint64_t first)
{
    uint64_t pages = native_image_pages();
    uint64_t text = (address_of(__text_start) - NATIVE_IMAGE) / PAGE_BYTES;
    uint64_t after = (address_of(__text_end) - NATIVE_IMAGE + PAGE_BYTES - 1) / PAGE_BYTES;
    long error = image_tables(space);

    if (!error)
        error = native_space_map(space, NATIVE_IMAGE, first, text, 0);
    if (!error)
        error = native_space_map(space, NATIVE_IMAGE + text * PAGE_BYTES, first + text,
                                 after - text, ENTRY_X);
    if (!error)
        error = native_space_map(space, NATIVE_IMAGE + after * PAGE_BYTES, first + after,
                                 pages - after, DATA_WRITABLE);
    return error;
}

long native_space_image(uint64_t space)
{
    long first = native_image_make();

    return first < 0 ? first : native_image_map(space, (uint64_t)first);
}

static long variable_copy(uint64_t space, void *variable, size_t bytes, unsigned direction)
{
    for (size_t done = 0; done < bytes;) {
        uint64_t at = (uint64_t)variable + done;
        long now = native_call(CALL_SPACE_COPY, space, at, at, bytes - done, direction, 0);
        if (now <= 0)
            return now ? now : -ERR_ADDRESS;
        done += (size_t)now;
    }
    return 0;
}

long native_space_image_refresh(uint64_t space)
{
    uint64_t start = (address_of(__text_end) + PAGE_BYTES - 1) & -PAGE_BYTES;

    for (uint64_t at = start; at < address_of(_end); at += PAGE_BYTES)
        (void)*(const volatile char *)at; /* present */
    return native_space_give(space, (const void *)start, address_of(_end) - start);
}

long native_space_fetch(uint64_t space, void *variable, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += PAGE_BYTES)
        ((volatile char *)variable)[i] = 0; /* present and writable */
    ((volatile char *)variable)[bytes - 1] = 0;
    return variable_copy(space, variable, bytes, COPY_FROM_SPACE);
}

long native_space_give(uint64_t space, const void *variable, size_t bytes)
{
    return variable_copy(space, (void *)(uintptr_t)variable, bytes, COPY_TO_SPACE);
}

/* ---- threads ---- */

long native_thread(uint64_t slot, void (*fn)(void *arg), void *arg, void *stack_end,
                   uint64_t priority)
{
    struct mm_thread thread = {.hart = hart_now(), .priority = priority};

    thread.regs.x[0] = (uint64_t)fn;
    thread.regs.x[2] = (uint64_t)stack_end & ~15UL;
    thread.regs.x[3] = (uint64_t)__global_pointer$;
    thread.regs.x[10] = (uint64_t)arg;
    long result = server(MM_NATIVE_THREAD, slot, (uint64_t)&thread, 0);
    return result < 0 ? result : 0;
}

long native_worker_start(uint64_t slot, uint64_t endpoint, struct native_worker *worker)
{
    memset(worker->stack, 0, worker->stack_bytes);
    uint64_t sp = ((uint64_t)worker->stack + worker->stack_bytes) & ~15UL;
    long error = native_thread(slot, NULL, NULL, (void *)sp, MM_PRIORITY_MAX);

    return error ? error
                 : native_call(CALL_WORKER_BIND, slot, endpoint, (uint64_t)native_worker_entry, sp,
                               (uint64_t)worker, 0);
}

static long set(uint64_t thread, enum thread_field field, uint64_t value, uint64_t value2)
{
    return native_call(CALL_THREAD_SET, thread, field, value, value2, 0, 0);
}

long native_client_configure(const struct native_client *client)
{
    uint64_t slot = client->slot;
    long error = set(slot, THREAD_SPACE, client->space, 0);

    if (!error && client->table)
        error = set(slot, THREAD_TABLE, client->table, 0);
    if (!error && client->pager)
        error = set(slot, THREAD_PAGER, client->pager, client->badge);
    if (!error && client->personality)
        error = set(slot, THREAD_PERSONALITY, client->personality, client->badge);
    if (!error)
        error = set(slot, THREAD_PRIORITY, client->priority, 0);
    if (!error)
        error = set(slot, THREAD_HART, hart_now(), 0);
    return error;
}

long native_client(const struct native_client *client)
{
    long error = native_object(CAP_THREAD, 0, client->slot);

    return error ? error : native_client_configure(client);
}

long native_client_start(const struct native_client *client, void (*fn)(void *arg), void *arg,
                         void *stack_end)
{
    struct user_regs regs = {{0}};

    regs.x[0] = (uint64_t)fn;
    regs.x[2] = (uint64_t)stack_end & ~15UL;
    regs.x[3] = (uint64_t)__global_pointer$;
    regs.x[4] = (uint64_t)__builtin_thread_pointer();
    regs.x[10] = (uint64_t)arg;
    long error = native_call(CALL_THREAD_REGS, client->slot, (uint64_t)&regs, 1, 0, 0, 0);
    return error ? error : native_call(CALL_THREAD_START, client->slot, 0, 0, 0, 0, 0);
}

long native_stop(uint64_t slot)
{
    struct native_message message = {{0}, 0};
    long error = -ERR_AGAIN;

    for (int i = 0; i < AGAIN_MAX && error == -ERR_AGAIN; i++)
        error = native_switch(CALL_THREAD_STOP, slot, 0, &message);
    return error;
}

/* ---- errors ---- */

const char *native_error_name(long error)
{
    static const char *const name[] = {
#define ERROR(name_, sentence) #name_,
#include <pagoda/error.def>
#undef ERROR
    };

    if (error > 0)
        return "a count";
    if (-error < (long)ERR_COUNT)
        return name[-error];
    return error <= -SERVER_ERROR_BASE ? "an error of the memory server" : "no known error";
}
