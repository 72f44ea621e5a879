/*
 * A guest: random kernel calls. The arguments are of the kinds that the call expects, more often
 * than not, so that many calls get past their first checks; any of them may be anything.
 *
 * This runs in the guests' space: no system call but those made on purpose, nothing of libc that
 * needs a thread's own storage.
 *
 * Two things are left out because they would only stop the machine's other programs by right: the
 * priority stays below that of this program's first thread, and nobody asks for idle time.
 */
#include "hostile.h"

struct guest guests[GUESTS];

/* One letter per argument; see argument(). */
static const char *const signature[] = {
    [-CALL_FAULT_REPLY] = "Em",
    [-CALL_REPLY_PARK] = "v",
    [-CALL_REPLY_LAST] = "v",
    [-CALL_CALL] = "e",
    [-CALL_PARK] = "v",
    [-CALL_FORWARD_PARK] = "vv",
    [-CALL_BATCH] = "Sn",
    [-CALL_REPLY_KEEP] = "f",
    [-CALL_REPLY_SEND] = "svv",
    [-CALL_CAP_COPY] = "stfrqq",
    [-CALL_CAP_DELETE] = "tf",
    [-CALL_CAP_REVOKE] = "tf",
    [-CALL_CAP_READ] = "ts",
    [-CALL_OBJECT_CREATE] = "mpyzf",
    [-CALL_BLOCK_CLASS] = "mgc",
    [-CALL_SPACE_COPY] = "Saabd",
    [-CALL_THREAD_SET] = "hFsv",
    [-CALL_THREAD_REGS] = "had",
    [-CALL_THREAD_START] = "h",
    [-CALL_THREAD_STOP] = "h",
    [-CALL_WORKER_BIND] = "heaaaz",
    [-CALL_WORKER_PAGE] = "hmp",
    [-CALL_SIGNAL] = "ok",
    [-CALL_WAIT] = "o",
    [-CALL_NOTIFICATION_BIND] = "oh",
    [-CALL_TIMER_SET] = "oxk",
    [-CALL_INTERRUPT_BIND] = "sok",
    [-CALL_INTERRUPT_ACK] = "s",
    [-CALL_LOG_WRITE] = "sab",
    [-CALL_POWER_OFF] = "sv",
    [-CALL_COUNTERS_READ] = "sabv",
    [-CALL_YIELD] = "",
    [-CALL_SPACE_DROP] = "Sm",
    [-CALL_INSTRUCTION_FENCE] = "S",
    [-CALL_NULL] = "",
    [-CALL_SPACE_INFO] = "S",
    [-CALL_REPLY_BATCH] = "Snv",
    [-CALL_THREAD_TIME] = "h",
    [-CALL_THREAD_SWITCHES] = "h",
};

static uint64_t below(struct guest *g, uint64_t n)
{
    return ktap_random(&g->state) % n;
}

static uint64_t anything(struct guest *g)
{
    static const uint64_t favourites[] = {0,
                                          1,
                                          ~0UL,
                                          1UL << 63,
                                          (1UL << 63) - 1,
                                          0xffffffffUL,
                                          0x100000000UL,
                                          0x7fffffffUL,
                                          KERNEL_ADDRESS,
                                          GUEST_TABLE_SIZE,
                                          GUEST_TABLE_SIZE - 1,
                                          PAGE_BYTES};
    const uint64_t n = sizeof(favourites) / sizeof(favourites[0]);
    uint64_t which = below(g, n + 4);

    return which < n ? favourites[which] : ktap_random(&g->state) >> below(g, 64);
}

/* One of `count` slots from `first` on, or one of the free ones, where others of that type may be.
 */
static uint64_t slot_of(struct guest *g, uint64_t first, uint64_t count)
{
    return below(g, 3) ? first + below(g, count) : GUEST_FREE + below(g, 24);
}

static uint64_t address(struct guest *g)
{
    static const uint64_t bases[] = {NATIVE_IMAGE,
                                     GUEST_OPS,
                                     GUEST_LAZY,
                                     GUEST_AREA,
                                     0,
                                     1UL << 21,
                                     1UL << 30,
                                     0x1000000000UL,
                                     (1UL << 38) - PAGE_BYTES,
                                     1UL << 38,
                                     1UL << 62,
                                     KERNEL_ADDRESS,
                                     -PAGE_BYTES};
    uint64_t which = below(g, sizeof(bases) / sizeof(bases[0]) + 2);

    if (which >= sizeof(bases) / sizeof(bases[0]))
        return (uint64_t)&which - below(g, 256); /* its own stack */
    uint64_t at = bases[which] + below(g, 32) * PAGE_BYTES;
    return below(g, 4) ? at : at + below(g, PAGE_BYTES);
}

/* A leaf or table entry: mostly for a page of its own, else for one of somebody else. */
static uint64_t entry(struct guest *g)
{
    static const uint64_t bits[] = {0, ENTRY_V, RW, ENTRY_ALWAYS | RW, ENTRY_X, ENTRY_SOFT0};
    uint64_t page = g->sandbox_first + below(g, SANDBOX_PAGES + 8);

    switch (below(g, 12)) {
    case 0:
        page = g->data_first + below(g, NATIVE_DATA_PAGES);
        break;
    case 1:
        page = g->tables_first + below(g, PAGES_PER_BLOCK);
        break;
    case 2:
        page = 0x80000 + below(g, 4096); /* firmware, kernel */
        break;
    case 3:
        return anything(g);
    default:
        break;
    }
    if (!below(g, 4))
        page &= -PAGES_PER_BLOCK;
    return entry_make(page, bits[below(g, sizeof(bits) / sizeof(bits[0]))]);
}

static uint64_t number_like(struct guest *g, char kind)
{
    switch (kind) {
    case 'b':
        return below(g, 2) ? below(g, 64) : 1UL << below(g, 20);
    case 'c':
    case 'd':
        return below(g, 3);
    case 'g':
        return below(g, SANDBOX_BLOCKS) * PAGES_PER_BLOCK;
    case 'k':
        return 1UL << below(g, 64);
    case 'n':
        return 1 + below(g, BATCH_OPS_MAX + 1);
    case 'p':
        return below(g, 2 * PAGES_PER_BLOCK);
    case 'q':
        return below(g, 2) ? 0 : below(g, SANDBOX_PAGES);
    case 'r':
        return below(g, 260);
    case 'x':
        return ticks_now() + below(g, 100000) - 50000;
    case 'y':
        return below(g, CAP_TYPES + 1);
    case 'z':
        return below(g, 4) ? 0 : 2 * below(g, 2);
    case 'F':
        return below(g, THREAD_FIELDS + 1);
    default:
        return below(g, 16);
    }
}

static uint64_t argument(struct guest *g, char kind)
{
    if (below(g, 16) == 0)
        return anything(g);
    switch (kind) {
    case 'a':
        return address(g);
    case 'e':
        return slot_of(g, GUEST_ENDPOINT, 2);
    case 'f':
        return GUEST_FREE + below(g, below(g, 8) ? 24 : GUEST_TABLE_SIZE);
    case 'h':
        return slot_of(g, GUEST_THREAD, GUESTS);
    case 'm':
        return slot_of(g, GUEST_TABLES, 3);
    case 'o':
        return slot_of(g, GUEST_NOTE, 2);
    case 's':
        return slot_of(g, 1, GUEST_FREE);
    case 't':
        return below(g, 4) ? SELF_TABLE : slot_of(g, GUEST_TABLE, 1);
    case 'E':
        return entry(g);
    case 'S':
        return slot_of(g, GUEST_SPACE, 1);
    default:
        return number_like(g, kind);
    }
}

static void operations(struct guest *g)
{
    struct batch_page *page = (struct batch_page *)(GUEST_OPS + g->index * PAGE_BYTES);

    for (unsigned i = 0; i < 6; i++) {
        struct batch_op *op = &page->op[i];
        op->code = (uint8_t)below(g, BATCH_CODES + 1);
        op->level = (uint8_t)(op->code >= BATCH_TABLE ? below(g, 5) : below(g, 8) == 0);
        op->flags = (uint8_t)(below(g, 8) ? below(g, 2) : below(g, 256));
        op->count = (uint32_t)(below(g, 4) ? 1 + below(g, 16) : anything(g));
        op->memory = (uint32_t)argument(g, 'm');
        op->address = below(g, 8) ? address(g) & -PAGE_BYTES : anything(g);
        if (op->address < GUEST_OPS && below(g, 16)) /* or they would soon end themselves */
            op->address += GUEST_AREA;
        op->entry = entry(g);
        op->extra = op->code == BATCH_MOVE ? address(g) & -PAGE_BYTES
                    : below(g, 2)          ? argument(g, 'S')
                                           : entry(g);
    }
}

/* The fields whose values have to make sense, and the limits that the guests keep to. */
static void thread_set_arguments(struct guest *g, uint64_t a[6])
{
    switch (a[1]) {
    case THREAD_SPACE:
        a[2] = argument(g, 'S');
        break;
    case THREAD_PAGER:
    case THREAD_PERSONALITY:
        a[2] = argument(g, 'e');
        break;
    case THREAD_PRIORITY:
        a[2] = below(g, 4) ? below(g, MM_PRIORITY_CLIENT) : PRIORITY_MAX + 1 + below(g, 1000);
        break;
    case THREAD_HART:
        a[2] = below(g, 5);
        break;
    default:
        break;
    }
}

static bool switches(long number)
{
    return (number <= CALL_FAULT_REPLY && number >= CALL_FORWARD_PARK) ||
           number == CALL_REPLY_BATCH || number == CALL_THREAD_STOP || number == CALL_WAIT ||
           number == CALL_YIELD || number == CALL_REPLY_LAST;
}

static void one_call(struct guest *g)
{
    struct native_message message = {{0}, 0};
    uint64_t a[6] = {0};
    long number = -(long)(1 + below(g, -CALL_LAST));

    if (switches(number) && below(g, 16)) /* these cost it time */
        number = CALL_BATCH;
    if (below(g, 64) == 0)
        number = below(g, 2) ? (long)anything(g) | (long)(1UL << 63) : CALL_LAST - 1;
    bool known = number < 0 && number >= CALL_LAST;
    const char *kinds = known ? signature[-number] : "vvvvvv";
    for (unsigned i = 0; i < 6; i++)
        a[i] = *kinds ? argument(g, *kinds++) : anything(g);
    if (number == CALL_THREAD_SET)
        thread_set_arguments(g, a);
    else if (number == CALL_BATCH)
        operations(g);
    else if (number == CALL_WORKER_BIND)
        a[5] &= ~(uint64_t)WORKER_IDLE;
    if (known && switches(number))
        native_switch(number, a[0], a[1], &message);
    else
        native_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void guest_main(void *guest)
{
    struct guest *g = guest;
    struct native_message message = {{0}, 0};

    while (g->done < g->quota) {
        if (below(g, 32) == 0)
            *(volatile char *)(GUEST_LAZY + below(g, GUEST_LAZY_PAGES) * PAGE_BYTES) = 1;
        one_call(g);
        g->done++;
    }
    native_send(GUEST_JAIL, &message); /* which then looks how far all are */
    native_switch(CALL_THREAD_STOP, GUEST_THREAD + g->index, 0, &message);
    for (;;) /* it has lost its capabilities: the timer will tell */
        native_switch(CALL_YIELD, 0, 0, &message);
}
