/* Memory nodes (see nodes.h). */
#include "user/linux/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/mmcall.h"
#include "user/linux/text.h"

#define TEXT_MODE (LINUX_S_IFREG | 0444)
#define PAGE_KIB  4
#define NAME_HEAD 4 /* "node" */

/* ---- what the memory server says ---- */

/* A report with a NUL behind it; to be freed. */
static struct text report(unsigned kind)
{
    struct text text = {0};

    text_report(&text, kind, 0);
    text_add(&text, "", 1);
    return text;
}

static const char *next_line(const char *line)
{
    line = strchr(line, '\n');
    return line ? line + 1 : NULL;
}

/* The line "node N: harts A B, distances C D" behind its colon, or NULL. */
static const char *describing_line(const char *from, unsigned node)
{
    char head[24];
    int bytes = snprintf(head, sizeof(head), "node %u:", node);

    for (const char *line = from; line; line = next_line(line)) {
        if (strncmp(line, head, (size_t)bytes) == 0)
            return line + bytes;
    }
    return NULL;
}

static unsigned count_nodes(void)
{
    struct text text = report(MM_REPORT_MEMBLOCK);
    unsigned count = 0;

    while (!text.error && describing_line(text.data, count))
        count++;
    free(text.data);
    return count ? count : 1;
}

/* The pages that all zones of the node have of `name`, the first word of a line. */
static uint64_t pages_of(const char *zones, unsigned node, const char *name)
{
    size_t bytes = strlen(name);
    uint64_t pages = 0;
    bool mine = false;

    for (const char *line = zones; line; line = next_line(line)) {
        if (strncmp(line, "Node ", 5) == 0)
            mine = strtoul(line + 5, NULL, 10) == node;
        const char *at = line + strspn(line, " ");
        if (mine && strncmp(at, name, bytes) == 0 && at[bytes] == ' ')
            pages += strtoul(at + bytes, NULL, 10);
    }
    return pages;
}

/* ---- the files of a node ---- */

static void meminfo(struct text *text, const char *zones, unsigned node)
{
    static const struct {
        const char *name, *counter;
    } line[] = {{"FilePages", "nr_file_pages"},
                {"AnonPages", "nr_anon_pages"},
                {"PageTables", "nr_page_table_pages"},
                {"Slab", "nr_slab"}};
    uint64_t total = pages_of(zones, node, "managed"),
             free = pages_of(zones, node, "nr_free_pages");

    text_printf(text, "Node %u MemTotal:       %8lu kB\n", node, total * PAGE_KIB);
    text_printf(text, "Node %u MemFree:        %8lu kB\n", node, free * PAGE_KIB);
    text_printf(text, "Node %u MemUsed:        %8lu kB\n", node, (total - free) * PAGE_KIB);
    for (unsigned i = 0; i < sizeof(line) / sizeof(line[0]); i++)
        text_printf(text, "Node %u %s:%*s%8lu kB\n", node, line[i].name,
                    (int)(15 - strlen(line[i].name)), "",
                    pages_of(zones, node, line[i].counter) * PAGE_KIB);
}

static void vmstat(struct text *text, const char *zones, unsigned node)
{
    static const char *const names[] = {"nr_free_pages", "nr_anon_pages",       "nr_file_pages",
                                        "nr_slab",       "nr_page_table_pages", "nr_free_cma"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        text_printf(text, "%s %lu\n", names[i], pages_of(zones, node, names[i]));
}

/* Numbers that follow each other become "A-B". */
static void hart_list(struct text *text, const char *harts)
{
    const char *between = "";

    while (*harts == ' ') {
        char *end;
        unsigned long first = strtoul(harts, &end, 10), last = first;
        while (*end == ' ' && strtoul(end, NULL, 10) == last + 1)
            last = strtoul(end, &end, 10);
        text_printf(text, last == first ? "%s%lu" : "%s%lu-%lu", between, first, last);
        between = ",";
        harts = end;
    }
    text_printf(text, "\n");
}

static void distances(struct text *text, const char *line)
{
    static const char head[] = "distances ";
    const char *at = strstr(line, head);

    if (at)
        text_add(text, at + strlen(head), strcspn(at + strlen(head), "\n") + 1);
}

void node_text(struct text *text, enum proc_text kind, const char *name)
{
    unsigned node = (unsigned)strtoul(name + NAME_HEAD, NULL, 10);
    bool of_zones = kind == PROC_NODE_MEMINFO || kind == PROC_NODE_VMSTAT;
    struct text from = report(of_zones ? MM_REPORT_ZONEINFO : MM_REPORT_MEMBLOCK);
    const char *line = from.error || of_zones ? NULL : describing_line(from.data, node);

    if (from.error)
        text->error = from.error;
    else if (kind == PROC_NODE_MEMINFO)
        meminfo(text, from.data, node);
    else if (kind == PROC_NODE_VMSTAT)
        vmstat(text, from.data, node);
    else if (line && kind == PROC_NODE_DISTANCE)
        distances(text, line);
    else if (line) /* PROC_NODE_CPUS */
        hart_list(text, line + strlen(" harts"));
    free(from.data);
}

void nodes_list(struct text *text)
{
    unsigned count = count_nodes();

    text_printf(text, count == 1 ? "0\n" : "0-%u\n", count - 1);
}

uint64_t nodes_mask(void)
{
    unsigned count = count_nodes();

    return count < 64 ? (1UL << count) - 1 : ~0UL;
}

/* ---- their place in the tree ---- */

bool nodes_init(void)
{
    static const struct {
        const char *name;
        enum proc_text kind;
    } file[] = {{"meminfo", PROC_NODE_MEMINFO},
                {"vmstat", PROC_NODE_VMSTAT},
                {"cpulist", PROC_NODE_CPUS},
                {"distance", PROC_NODE_DISTANCE}};
    unsigned count = count_nodes();
    char path[64];

    for (unsigned node = 0; node < count; node++) {
        for (unsigned i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
            const struct fs_special special = {path, NODE_TEXT, TEXT_MODE, file[i].kind};
            snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/%s", node, file[i].name);
            if (!fs_add_special(&special))
                return false;
        }
    }
    return true;
}
