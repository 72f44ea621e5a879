/*
 * The texts of MM_REPORT_*. Formats that Linux has (maps, statm, meminfo, vmstat) are Linux's, so
 * that its programs read them.
 */
#include "mmserver/core/report.h"
#include "mmserver/core/report_mm.h"
#include "mmserver/core/vmap.h"
#include "mmserver/core/device.h"
#include "mmserver/core/cma.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/leak.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/memmap.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/slab_report.h"
#include "mmserver/core/zone.h"
#include <pagoda/counter.h>
#include <string.h>

const char *report_command_line = "";
uint64_t report_table_entries;

#define KIB_PER_PAGE (PAGE_BYTES / 1024)

uint64_t report_count(enum mm_counter counter)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < worker_count; i++)
        sum += counter == MMCOUNT_fault_anon_prezeroed ? fault_prezeroed_count(&workers[i])
                                                       : workers[i].count[counter];
    return sum;
}

static const char *const cap_names[CAP_TYPES] = {
    [CAP_NONE] = "none",
    [CAP_MEMORY] = "memory",
    [CAP_SPACE] = "space",
    [CAP_THREAD] = "thread",
    [CAP_ENDPOINT] = "endpoint",
    [CAP_REPLY] = "reply",
    [CAP_NOTIFICATION] = "notification",
    [CAP_INTERRUPT] = "interrupt",
    [CAP_TABLE] = "table",
    [CAP_KERNEL] = "kernel",
};

/* One line for each capability: index, type, rights, and the extent or badge. */
static void report_caps(struct text *t, uint64_t table, uint64_t entries)
{
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t out[2] = {0, 0};
        long read = place_cap_read(table, i, out);

        if (read <= 0 || (read & 0xff) >= CAP_TYPES || !(read & 0xff))
            continue;
        text_format(t, "%5lu %s rights=%02lx", i, cap_names[read & 0xff],
                    (uint64_t)read >> 8 & 0xff);
        if ((read & 0xff) == CAP_MEMORY)
            text_format(t, " first=%lx pages=%lu", out[0], out[1]);
        else if (out[0])
            text_format(t, " badge=%lx", out[0]);
        text_char(t, '\n');
    }
}

static void meminfo_line(struct text *t, const char *name, uint64_t pages)
{
    uint64_t start = text_mark(t);

    text_string(t, name);
    text_char(t, ':');
    text_pad(t, start, 16);
    text_format(t, "%8lu kB\n", pages * KIB_PER_PAGE);
}

struct totals {
    uint64_t anon, tables;
};

static struct totals totals_count(void)
{
    struct totals sum = {0, 0};

    for (uint64_t id = mm_next_id(0); id; id = mm_next_id(id)) {
        struct mm *mm = mm_get(id);

        if (!mm)
            continue;
        sum.anon += mm->anon_pages;
        sum.tables += mm->tables;
        mm_put(mm);
    }
    return sum;
}

static void report_huge_pool(struct text *t)
{
    struct hugetlb_state is = hugetlb_state();

    text_format(t, "HugePages_Total:   %5lu\nHugePages_Free:    %5lu\n", is.total, is.free);
    text_format(t, "HugePages_Rsvd:    %5lu\nHugePages_Surp:    %5lu\n", is.reserved, 0UL);
    meminfo_line(t, "Hugepagesize", HUGE_PAGES);
    meminfo_line(t, "Hugetlb", is.total * HUGE_PAGES);
}

static void report_meminfo(struct text *t)
{
    uint64_t cached = object_cached_pages();
    uint64_t free = pages_free_total();
    struct totals sum = totals_count();

    meminfo_line(t, "MemTotal", phys.total_pages);
    meminfo_line(t, "MemFree", free);
    meminfo_line(t, "MemAvailable", zones_available(free, cached));
    meminfo_line(t, "Buffers", 0);
    meminfo_line(t, "Cached", cached);
    meminfo_line(t, "SwapCached", 0);
    meminfo_line(t, "SwapTotal", 0);
    meminfo_line(t, "SwapFree", 0);
    meminfo_line(t, "AnonPages", sum.anon);
    meminfo_line(t, "Mapped", cached);
    meminfo_line(t, "Slab", slab_pages_total());
    meminfo_line(t, "PageTables", sum.tables);
    meminfo_line(t, "CommitLimit", limit_promises());
    meminfo_line(t, "Committed_AS", mm_promised_pages);
    meminfo_line(t, "CmaTotal", cma_pages());
    meminfo_line(t, "CmaFree", zones_free_type(MIGRATE_CMA));
    meminfo_line(t, "HardwareCorrupted", phys.poisoned_pages);
    report_huge_pool(t);
}

static void stat_line(struct text *t, const char *name, uint64_t value, const char *description)
{
    text_format(t, "%s %lu %s\n", name, value, description);
}

static void report_stat(struct text *t)
{
    static const char *const kernel_name[COUNT_KERNEL][2] = {
#define COUNTER(name, description) {"kernel_" #name, description},
#include <pagoda/counter.def>
#undef COUNTER
    };
    static const char *const server_name[MMCOUNT_COUNT][2] = {
#define MMCOUNT(name, description) {#name, description},
#include "mmserver/core/count.def"
#undef MMCOUNT
    };
    uint64_t value[COUNT_KERNEL] = {0};

    if (place_counters_read(value, sizeof value, ~0UL) >= 0) {
        for (unsigned i = 0; i < COUNT_KERNEL; i++)
            stat_line(t, kernel_name[i][0], value[i], kernel_name[i][1]);
    }
    for (unsigned i = 0; i < MMCOUNT_COUNT; i++)
        stat_line(t, server_name[i][0], report_count((enum mm_counter)i), server_name[i][1]);
    stat_line(t, "pages_total", phys.total_pages, "pages that the server manages");
    stat_line(t, "pages_free", pages_free_total(), "pages that nobody uses");
    stat_line(t, "pages_descriptors", phys.descriptor_pages,
              "pages of page descriptors and the table of blocks");
    stat_line(t, "table_blocks", zones_blocks(MIGRATE_TABLES), "2 MiB blocks of the tables class");
    stat_line(t, "slots_free", kobj_slots_free(), "empty slots of the server's capability table");
}

static const char *cause_text(uint32_t cause)
{
    switch (cause) {
    case CAUSE_STORE_PAGE:
        return "write";
    case CAUSE_LOAD_PAGE:
        return "read";
    case CAUSE_FETCH_PAGE:
        return "fetch";
    default:
        return "other";
    }
}

static void fault_line(struct text *t, uint32_t hart, const struct fault_record *r)
{
    struct client *c = client_get(fault_client(r));

    text_format(t, "%lu hart %lu thread %lu (%s) at %012lx pc %012lx %s: %s, %lu instructions\n",
                r->begun, (uint64_t)hart, (uint64_t)fault_client(r), c ? c->mm->name : "ended",
                r->address, r->pc, cause_text(fault_cause(r)),
                fault_outcome_text[fault_outcome(r) % FAULT_OUTCOMES], (uint64_t)r->instructions);
    if (c)
        client_put(c);
}

/*
 * The last faults of all harts, merged by time. Who: the thread, and the program that has this
 * number now. The counter counts instructions under -icount, else the host's ticks.
 */
static void report_faults(struct text *t)
{
    uint64_t next[BOOT_HARTS_MAX];

    text_string(t, "# count, who, where, why: what was done, cost in the server "
                   "(instructions under -icount, else host ticks)\n");

    for (uint32_t i = 0; i < worker_count; i++)
        next[i] = workers[i].ring_next > FAULT_RING_MAX ? workers[i].ring_next - FAULT_RING_MAX : 0;
    for (;;) {
        const struct fault_record *oldest = NULL;
        uint32_t hart = 0;

        for (uint32_t i = 0; i < worker_count; i++) {
            const struct fault_record *r = &workers[i].ring[next[i] & (FAULT_RING_MAX - 1)];

            if (next[i] < workers[i].ring_next && (!oldest || r->begun < oldest->begun)) {
                oldest = r;
                hart = i;
            }
        }
        if (!oldest)
            return;
        next[hart]++;
        fault_line(t, hart, oldest);
    }
}

static void report_thread(struct text *t, const struct client *c)
{
    static const char *const state[] = {"made", "started", "stopped"};

    text_format(t, "thread %lu mm %lu %s hart %lu priority %lu%s faults %lu %lu\n", (uint64_t)c->id,
                (uint64_t)c->mm->id, state[c->state % ARRAY_COUNT(state)], (uint64_t)c->hart,
                (uint64_t)c->priority, c->has_table ? " native" : "", c->minor_faults,
                c->major_faults);
}

static void report_vmstat(struct text *t)
{
    uint64_t minor = 0;
    struct totals sum = totals_count();

    for (unsigned i = MMCOUNT_fault_anon_prezeroed; i <= MMCOUNT_fault_spurious; i++) {
        if (i != MMCOUNT_fault_file_fill)
            minor += report_count((enum mm_counter)i);
    }
    text_format(t, "nr_free_pages %lu\n", pages_free_total());
    text_format(t, "nr_free_cma %lu\n", zones_free_type(MIGRATE_CMA));
    text_format(t, "nr_anon_pages %lu\n", sum.anon);
    text_format(t, "nr_file_pages %lu\n", object_cached_pages());
    text_format(t, "nr_page_table_pages %lu\n", sum.tables);
    text_format(t, "pgalloc_normal %lu\n", report_count(MMCOUNT_page_alloc));
    text_format(t, "allocstall_normal %lu\n", report_count(MMCOUNT_alloc_stall));
    text_format(t, "pgfree %lu\n", report_count(MMCOUNT_page_free));
    text_format(t, "pgfault %lu\n", minor);
    text_format(t, "pgmajfault %lu\n", 0UL);
    uint64_t stall = report_count(MMCOUNT_compact_direct);
    uint64_t success = report_count(MMCOUNT_compact_success);
    text_format(t, "pgmigrate_success %lu\n", report_count(MMCOUNT_page_migrated));
    text_format(t, "compact_stall %lu\n", stall);
    text_format(t, "compact_fail %lu\n", stall - min_u64(stall, success));
    text_format(t, "compact_success %lu\n", success);
    cma_report_vmstat(t);
}

/* "node 0: harts 0 1, distances 10 20": to each node in turn. */
static void report_nodes(struct text *t)
{
    for (uint32_t node = 0; node < numa_nodes(); node++) {
        text_format(t, "node %lu: harts", (uint64_t)node);
        for (uint32_t i = 0; i < worker_count; i++) {
            if (numa_node_of_hart(i) == node)
                text_format(t, " %lu", (uint64_t)i);
        }
        text_string(t, ", distances");
        for (uint32_t to = 0; to < numa_nodes(); to++)
            text_format(t, " %lu", (uint64_t)numa_distance(node, to));
        text_char(t, '\n');
    }
}

bool report_write(struct text *t, uint64_t kind, uint64_t id, struct mm *mm, struct client *c)
{
    switch (kind) {
    case MM_REPORT_MAPS:
        report_maps(t, mm);
        return true;
    case MM_REPORT_STATM:
        report_statm(t, mm);
        return true;
    case MM_REPORT_SMAPS:
        report_smaps(t, mm);
        return true;
    case MM_REPORT_NUMA_MAPS:
        report_numa_maps(t, mm);
        return true;
    case MM_REPORT_SMAPS_ROLLUP:
        report_smaps_rollup(t, mm);
        return true;
    case MM_REPORT_STATUS:
        report_status(t, mm);
        return true;
    case MM_REPORT_PAGEMAP:
        report_pagemap(t, mm);
        return true;
    case MM_REPORT_CAPS:
        if (!mm)
            report_caps(t, SELF_TABLE, report_table_entries);
        else if (mm->native_table_slot)
            report_caps(t, mm->native_table_slot, mm->native_table_entries);
        return true;
    case MM_REPORT_MEMINFO:
        report_meminfo(t);
        return true;
    case MM_REPORT_STAT:
        report_stat(t);
        return true;
    case MM_REPORT_FAULTS:
        report_faults(t);
        return true;
    case MM_REPORT_CMDLINE:
        text_format(t, "%s\n", report_command_line);
        return true;
    case MM_REPORT_THREAD:
        report_thread(t, c);
        return true;
    case MM_REPORT_VMSTAT:
        report_vmstat(t);
        return true;
    case MM_REPORT_MEMBLOCK:
        memblock_report(t, &memblock);
        report_nodes(t);
        return true;
    case MM_REPORT_BUDDYINFO:
        report_buddyinfo(t);
        return true;
    case MM_REPORT_PAGETYPEINFO:
        report_pagetypeinfo(t);
        return true;
    case MM_REPORT_ZONEINFO:
        report_zoneinfo(t);
        return true;
    case MM_REPORT_SLABINFO:
        slab_report_info(t);
        return true;
    case MM_REPORT_LEAK_MARK:
        if (!t->offset)
            leak_mark();
        text_string(t, "marked\n");
        return true;
    case MM_REPORT_LEAKS:
        leak_report(t);
        return true;
    case MM_REPORT_LEAK_SCAN:
        if (!t->offset) /* later parts are of the same scan */
            leak_scan();
        leak_scan_report(t);
        return true;
    case MM_REPORT_MEMMAP:
        memmap_report(t);
        return true;
    case MM_REPORT_MEMMAP_BLOCK:
        memmap_report_block(t, id);
        return true;
    case MM_REPORT_CMA:
        cma_report(t);
        return true;
    case MM_REPORT_IOMEM:
        device_report(t);
        return true;
    case MM_REPORT_VMALLOCINFO:
        vmap_report(t);
        return true;
    default:
        return false;
    }
}
