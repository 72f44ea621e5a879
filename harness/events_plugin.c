/*
 * A QEMU plugin: what happens between marks in the guest, added up for each row of the benchmarks,
 * on any system that runs them: instructions (how often each), traps, writes of satp, fences, and by
 * a model of caches the lines touched and missed.
 *
 * A mark is the hint `sltiu zero, zero, K` (user/bench/lib/mark.h). From K = WINDOW_OPENS to
 * WINDOW_CLOSES everything that the machine does is counted. The other marks are followed by a load
 * whose address speaks, for a plugin sees no registers: the address of the row that is meant, or
 * with TELL the row's name, one character at a time as a distance from the first such address.
 *
 * The file named by out= gets for each row that is told
 *
 *   row NAME WINDOWS            then what was counted, in the order of `enum count`
 *   n COUNT ...
 *   x ADDRESS CODE PAGE TIMES   an instruction, where it is, and its physical page; all in hex but
 *                               TIMES
 *
 * With sample=N only the N-th window of each row is added to it.
 *
 * The machine must run its harts in turn (-icount). A hart executes no access twice, but the
 * instruction that faulted is executed again.
 */
#include "cache_model.h"
#include "plugin_out.h"

enum mark { WINDOW_OPENS = 1, WINDOW_CLOSES, ROW_BEGINS, ROW_ADDS, ROW_ENDS, TELL };

enum count {
    INSTRUCTIONS,
    TRAPS, /* each ends with an sret */
    SATP,
    FENCES_LOCAL,
    FENCES_REMOTE,  /* done by the firmware for another hart */
    FIRMWARE_CALLS, /* and interrupts: each ends with an mret */
    CODE_LINES,
    DATA_LINES,
    MISSES_L1I,
    MISSES_L1D,
    MISSES_L2,
    COUNTS
};

#define RAM_START      0x80000000UL
#define FIRMWARE_END   0x80200000UL
#define RAM_LINES_MAX  (1UL << (32 - CACHE_LINE_SHIFT)) /* 4 GiB */
#define ROWS_MAX       256
#define NAME_MAX_BYTES 128
#define BUCKETS        (1U << 16)

struct instruction {
    uint64_t address, physical;
    uint32_t code;
    enum count event;        /* INSTRUCTIONS: none */
    uint64_t window, times;  /* in that window */
    size_t number;           /* from 1 on, once it was in a window */
    struct instruction *next; /* in its bucket */
};

struct row {
    uint64_t id, windows, count[COUNTS];
    uint64_t *times; /* by number of instruction */
    size_t size;
};

static struct instruction *bucket[BUCKETS];
/* Those that were in a window, by number; and those that were in the present one. */
static struct instruction **known, **seen;
static size_t known_count, known_size, seen_count, seen_size;
static struct row rows[ROWS_MAX];
static uint64_t window, count[COUNTS];
static uint64_t only_sample; /* of each row, counted from 1; 0: all are added up */
static bool warm, open;
static uint32_t *code_window, *data_window; /* by line: the window that touched it last */
static uint64_t last_line[CACHE_HARTS_MAX];
static char *ram; /* where the host has the guest's memory */

/* The load that follows a mark. */
static struct {
    uint64_t address; /* of the load; 0: none expected */
    enum mark mark;
    struct row *sum, *told; /* that rows are added to; that is being told */
    uint64_t base;
    char name[NAME_MAX_BYTES];
    size_t length;
} speech;

static void *needed(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void append(struct instruction ***list, size_t *used, size_t *size, struct instruction *i)
{
    if (*used == *size) {
        *size = *size ? 2 * *size : 4096;
        *list = needed(realloc(*list, *size * sizeof **list));
    }
    (*list)[(*used)++] = i;
}

/* ---- rows ---- */

static struct row *row_of(uint64_t id)
{
    struct row *empty = NULL;

    for (struct row *row = rows; row < rows + ROWS_MAX; row++) {
        if (row->id == id)
            return row;
        if (row->id == 0 && empty == NULL)
            empty = row;
    }
    needed(empty);
    empty->id = id;
    return empty;
}

static void row_forget(struct row *row)
{
    free(row->times);
    *row = (struct row){0};
}

static void row_reach(struct row *row, size_t number)
{
    if (number < row->size)
        return;
    size_t size = 2 * number;

    row->times = needed(realloc(row->times, size * sizeof *row->times));
    memset(row->times + row->size, 0, (size - row->size) * sizeof *row->times);
    row->size = size;
}

static void row_add_window(struct row *row)
{
    row->windows++;
    if (only_sample != 0 && row->windows != only_sample)
        return;
    for (int kind = 0; kind < COUNTS; kind++)
        row->count[kind] += count[kind];
    for (size_t n = 0; n < seen_count; n++) {
        struct instruction *i = seen[n];

        if (i->number == 0) {
            append(&known, &known_count, &known_size, i);
            i->number = known_count;
        }
        row_reach(row, i->number);
        row->times[i->number] += i->times;
    }
}

static void row_add_row(struct row *row, const struct row *other)
{
    row->windows += other->windows;
    for (int kind = 0; kind < COUNTS; kind++)
        row->count[kind] += other->count[kind];
    for (size_t number = 1; number < other->size; number++) {
        if (other->times[number] == 0)
            continue;
        row_reach(row, number);
        row->times[number] += other->times[number];
    }
}

static void row_print(const struct row *row, const char *name)
{
    fprintf(out, "row %s %lu\nn", name, row->windows);
    for (int kind = 0; kind < COUNTS; kind++)
        fprintf(out, " %lu", row->count[kind]);
    fprintf(out, "\n");
    for (size_t number = 1; number < row->size; number++) {
        const struct instruction *i = row->times[number] ? known[number - 1] : NULL;

        if (i != NULL)
            fprintf(out, "x %lx %x %lx %lu\n", i->address, i->code, i->physical >> 12,
                    row->times[number]);
    }
}

/* ---- marks ---- */

static void window_opens(void)
{
    memset(count, 0, sizeof count);
    seen_count = 0;
    window++;
    open = true;
}

static void marked(const struct instruction *i)
{
    enum mark mark = hint_number(i->code);

    warm = true;
    if (mark == WINDOW_OPENS) {
        window_opens();
        return;
    }
    if (mark == WINDOW_CLOSES)
        open = false;
    speech.mark = mark;
    speech.address = i->address + 4;
}

static void tell(uint64_t address)
{
    if (speech.base == 0) {
        speech.base = address;
        return;
    }
    char c = (char)(address - speech.base);

    if (speech.length + 1 < NAME_MAX_BYTES)
        speech.name[speech.length++] = c;
    if (c != '\0')
        return;
    if (speech.told != NULL) {
        row_print(speech.told, speech.name);
        row_forget(speech.told);
    }
    speech.told = NULL;
    speech.base = speech.length = 0;
    memset(speech.name, 0, sizeof speech.name);
}

static void spoken(uint64_t address)
{
    speech.address = 0;
    if (speech.mark == TELL) {
        tell(address);
        return;
    }
    struct row *row = row_of(address);

    if (speech.mark == ROW_BEGINS) {
        row_forget(row);
        speech.sum = row_of(address);
    } else if (speech.mark == WINDOW_CLOSES) {
        row_add_window(row);
    } else if (speech.mark == ROW_ADDS) {
        row_add_row(needed(speech.sum), row);
    } else {
        speech.told = row;
    }
}

/* ---- what is executed ---- */

static void count_line(uint32_t *windows, uint64_t line, enum count kind)
{
    uint64_t index = line - (RAM_START >> CACHE_LINE_SHIFT);

    if (index >= RAM_LINES_MAX || windows[index] == (uint32_t)window)
        return;
    windows[index] = (uint32_t)window;
    count[kind]++;
}

static void count_miss(enum cache_miss miss, enum count l1)
{
    if (!open || miss == CACHE_HIT)
        return;
    count[l1]++;
    count[MISSES_L2] += miss == CACHE_MISS_L2;
}

static void executed(unsigned hart, void *data)
{
    struct instruction *i = data;
    uint64_t line = i->physical >> CACHE_LINE_SHIFT;

    if (is_hint(i->code, HINT_SLTIU)) {
        marked(i);
        return;
    }
    if (!warm)
        return;
    if (line != last_line[hart % CACHE_HARTS_MAX]) {
        last_line[hart % CACHE_HARTS_MAX] = line;
        count_miss(cache_fetch(hart % CACHE_HARTS_MAX, line), MISSES_L1I);
        if (open)
            count_line(code_window, line, CODE_LINES);
    }
    if (!open)
        return;
    count[INSTRUCTIONS]++;
    if (i->event != INSTRUCTIONS)
        count[i->event]++;
    if (i->window != window) {
        i->window = window;
        i->times = 0;
        append(&seen, &seen_count, &seen_size, i);
    }
    i->times++;
}

static void accessed(unsigned hart, mem_info info, uint64_t vaddr, void *data)
{
    const struct instruction *i = data;

    if (speech.address != 0 && i->address == speech.address) {
        spoken(vaddr);
        return;
    }
    if (!warm)
        return;
    const struct hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);

    if (h == NULL || qemu_plugin_hwaddr_is_io(h))
        return;
    uint64_t line = qemu_plugin_hwaddr_phys_addr(h) >> CACHE_LINE_SHIFT;

    count_miss(cache_access(hart % CACHE_HARTS_MAX, line), MISSES_L1D);
    if (open)
        count_line(data_window, line, DATA_LINES);
}

static enum count event_of(uint32_t code, uint64_t address)
{
    if (code == 0x10200073U)
        return TRAPS;
    if (code == 0x30200073U)
        return FIRMWARE_CALLS;
    if (code >> 25 == 0x09 && (code & 0x7fff) == 0x73)
        return address >= RAM_START && address < FIRMWARE_END ? FENCES_REMOTE : FENCES_LOCAL;
    if (code >> 20 == 0x180 && (code & 0x7f) == 0x73 && (code >> 12 & 3) != 0) {
        /* Setting or clearing no bits is a read. */
        bool writes = (code >> 12 & 3) == 1 || (code >> 15 & 31) != 0;

        return writes ? SATP : INSTRUCTIONS;
    }
    return INSTRUCTIONS;
}

/* One for each place, virtual address and code, however often it is translated. */
static struct instruction *instruction_of(uint64_t address, uint64_t physical, uint32_t code)
{
    uint64_t hash = (physical >> 1) * 0x9e3779b97f4a7c15UL ^ (address + code) * 0x94d049bb133111ebUL;
    struct instruction **head = &bucket[hash >> 48 & (BUCKETS - 1)];

    for (struct instruction *i = *head; i != NULL; i = i->next)
        if (i->physical == physical && i->address == address && i->code == code)
            return i;
    struct instruction *i = needed(calloc(1, sizeof *i)); /* as long as QEMU runs */

    *i = (struct instruction){.address = address, .physical = physical, .code = code, .next = *head};
    i->event = event_of(code, address);
    *head = i;
    return i;
}

/* The firmware runs first, where virtual and physical addresses are the same. */
static uint64_t physical_of(uint64_t address, char *host)
{
    if (host == NULL || (ram == NULL && address < RAM_START))
        return address;
    if (ram == NULL)
        ram = host - (address - RAM_START);
    return (uint64_t)(host - ram) + RAM_START;
}

static void translated(plugin_id id, struct tb *tb)
{
    (void)id;
    for (size_t n = 0; n < qemu_plugin_tb_n_insns(tb); n++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, n);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint32_t code = 0;

        memcpy(&code, qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        struct instruction *i =
            instruction_of(address, physical_of(address, qemu_plugin_insn_haddr(insn)), code);

        qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, NO_REGISTERS, i);
        qemu_plugin_register_vcpu_mem_cb(insn, accessed, NO_REGISTERS, READ_WRITE, i);
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    const char *sample = plugin_argument(argc, argv, "sample");

    (void)info;
    if (sample != NULL)
        only_sample = strtoul(sample, NULL, 10);
    code_window = needed(calloc(RAM_LINES_MAX, sizeof *code_window));
    data_window = needed(calloc(RAM_LINES_MAX, sizeof *data_window));
    return plugin_begin(id, argc, argv, translated);
}
