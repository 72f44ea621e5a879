/*
 * maps, smaps, statm, status and pagemap. Which page an entry leads to is looked up in the page
 * tables; a page that several map is counted in parts (Pss).
 */
#include "mmserver/core/report_mm.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/zone.h"

#define NAME_COLUMN  73
#define KIB_PER_PAGE (PAGE_BYTES / 1024)
#define VALUE_COLUMN 16
#define PSS_SHIFT    12

static const char *vma_name(const struct vma *v)
{
    if (v->object)
        return v->object->name;
    if (v->start <= v->mm->stack_start && v->end > v->mm->stack_start)
        return "[stack]";
    if (v->start < v->mm->brk_end && v->end > v->mm->brk_start)
        return "[heap]";
    if (v->flags & VM_DEVICE)
        return "[device]";
    if (v->flags & VM_HUGETLB)
        return HUGETLB_NAME;
    return "";
}

static void maps_line(struct text *t, const struct vma *v)
{
    uint64_t start = text_mark(t);
    const char *name = vma_name(v);

    text_format(t, "%08lx-%08lx %c%c%c%c %08lx 00:00 %lu", v->start, v->end,
                v->flags & VM_READ ? 'r' : '-', v->flags & VM_WRITE ? 'w' : '-',
                v->flags & VM_EXEC ? 'x' : '-', v->flags & VM_MAYSHARE ? 's' : 'p',
                v->object ? v->offset << PAGE_SHIFT : 0UL,
                v->object ? (uint64_t)v->object->id : 0UL);
    text_char(t, ' ');
    if (*name) {
        text_pad(t, start, NAME_COLUMN);
        text_string(t, name);
    }
    text_char(t, '\n');
}

/*
 * A text that is asked for window by window goes on at the VMA where the window before it ended:
 * the whole costs as much as it is long. Nothing but time depends on the place that is remembered,
 * unless VMAs change meanwhile, and then what was said of those before it stays said.
 */
static void each_vma(struct text *t, struct mm *mm, struct report_place *place,
                     void (*say)(struct text *, const struct vma *))
{
    mm_lock(mm);
    bool further = place->offset && t->offset >= place->offset;
    const struct vma *v = further ? vma_find(mm, place->vma) : NULL;
    if (v && v->start == place->vma)
        t->at = place->offset;
    else
        v = vma_first(mm);
    for (; v && !text_is_full(t); v = vma_next(v)) {
        *place = (struct report_place){t->at, v->start};
        say(t, v);
    }
    mm_unlock(mm);
}

void report_maps(struct text *t, struct mm *mm)
{
    each_vma(t, mm, &mm->report_maps, maps_line);
}

/* ---- smaps ---- */

/* Pages of a VMA, or of several. */
struct tally {
    uint64_t resident, anon, referenced, lazy_free;
    uint64_t shmem;                                         /* of memory objects */
    uint64_t pss, pss_dirty, pss_anon, pss_file, pss_shmem; /* in parts of a page, see PSS_SHIFT */
    uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
    uint64_t huge;
    uint64_t hugetlb_shared, hugetlb_private;
    uint64_t locked; /* in parts of a page too */
    uint64_t maps_most;
    uint64_t on_node[NUMA_NODES_MAX];
};

static void tally_entry(struct tally *c, const struct vma *v, uint64_t entry, uint64_t pages)
{
    pfn_t pfn = entry_page(entry);

    if (!page_is_ours(pfn) || page_of(pfn)->state == PAGE_ZERO || entry_is_marker(entry))
        return;
    const struct page *page = page_of(pfn);
    uint64_t maps = max_u64(page->maps & INT32_MAX, 1);
    uint64_t part = (pages << PSS_SHIFT) / maps;
    c->maps_most = max_u64(c->maps_most, maps);
    c->on_node[zone_of(page)->node] += pages;
    if (page->state == PAGE_HUGETLB) { /* not part of what is resident, as in Linux */
        *(hugetlb_maps(page) > 1 ? &c->hugetlb_shared : &c->hugetlb_private) += pages;
        return;
    }
    bool anon = page->state == PAGE_ANON, dirty = entry & ENTRY_D;
    bool shmem = page->state == PAGE_FILE && v->object->kind == OBJECT_MEMORY;

    c->resident += pages;
    c->anon += anon ? pages : 0;
    c->referenced += entry & ENTRY_A ? pages : 0;
    c->lazy_free += anon && (entry & ENTRY_W) && !dirty ? pages : 0;
    c->shmem += shmem ? pages : 0;
    c->pss += part;
    *(anon ? &c->pss_anon : shmem ? &c->pss_shmem : &c->pss_file) += part;
    c->locked += v->flags & VM_LOCKED ? part : 0;
    c->pss_dirty += dirty ? part : 0;
    *(maps > 1 ? dirty ? &c->shared_dirty : &c->shared_clean
      : dirty  ? &c->private_dirty
               : &c->private_clean) += pages;
    c->huge += pages > 1 ? pages : 0;
}

/* Add the pages of one VMA. */
static void tally_vma(struct tally *c, const struct mm *mm, const struct vma *v)
{
    for (vaddr_t a = v->start; a < v->end;) {
        vaddr_t stop = min_u64(v->end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);
        const uint64_t *above = pt_entry(mm, a, 1), *entry = pt_entry(mm, a, 0);

        if (above && entry_is_leaf(*above))
            tally_entry(c, v, *above, (stop - a) >> PAGE_SHIFT);
        for (uint64_t i = 0; entry && i < (stop - a) >> PAGE_SHIFT; i++)
            if (entry[i])
                tally_entry(c, v, entry_alone_at(entry + i), 1);
        a = stop;
    }
}

static void kib_line(struct text *t, const char *name, uint64_t kib)
{
    uint64_t start = text_mark(t);

    text_string(t, name);
    text_pad(t, start, VALUE_COLUMN);
    text_format(t, "%8lu kB\n", kib);
}

static void pages_line(struct text *t, const char *name, uint64_t pages)
{
    kib_line(t, name, pages * KIB_PER_PAGE);
}

/* Two letters for each flag, in Linux's order. */
static void flags_line(struct text *t, uint64_t flags)
{
    static const struct {
        uint64_t flag;
        char text[4];
    } names[] = {
        {VM_READ, "rd "},       {VM_WRITE, "wr "},       {VM_EXEC, "ex "},
        {VM_SHARED, "sh "},     {VM_MAYREAD, "mr "},     {VM_MAYWRITE, "mw "},
        {VM_MAYEXEC, "me "},    {VM_MAYSHARE, "ms "},    {VM_GROWSDOWN, "gd "},
        {VM_DEVICE, "pf "},     {VM_LOCKED, "lo "},      {VM_DEVICE, "io "},
        {VM_SEQ_READ, "sr "},   {VM_RAND_READ, "rr "},   {VM_DONTFORK, "dc "},
        {VM_DONTEXPAND, "de "}, {VM_LOCKONFAULT, "lf "}, {VM_ACCOUNT, "ac "},
        {VM_NORESERVE, "nr "},  {VM_HUGETLB, "ht "},     {VM_DONTDUMP, "dd "},
        {VM_WIPEONFORK, "wf "}, {VM_HUGEPAGE, "hg "},    {VM_NOHUGEPAGE, "nh "},
        {VM_MERGEABLE, "mg "},
    };

    text_string(t, "VmFlags: ");
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (flags & names[i].flag)
            text_string(t, names[i].text);
    text_char(t, '\n');
}

static bool may_be_huge(const struct vma *v)
{
    return vma_is_private_anon(v) && !(v->flags & VM_NOHUGEPAGE) &&
           ROUND_UP(v->start, BLOCK_BYTES) + BLOCK_BYTES <= v->end;
}

static void pss_line(struct text *t, const char *name, uint64_t parts)
{
    kib_line(t, name, (parts * KIB_PER_PAGE) >> PSS_SHIFT);
}

/* What smaps tells of a VMA and smaps_rollup of all; `rollup`: that has a few lines more. */
static void tally_lines(struct text *t, const struct tally *c, bool rollup)
{
    pages_line(t, "Rss:", c->resident);
    pss_line(t, "Pss:", c->pss);
    pss_line(t, "Pss_Dirty:", c->pss_dirty);
    if (rollup) {
        pss_line(t, "Pss_Anon:", c->pss_anon);
        pss_line(t, "Pss_File:", c->pss_file);
        pss_line(t, "Pss_Shmem:", c->pss_shmem);
    }
    pages_line(t, "Shared_Clean:", c->shared_clean);
    pages_line(t, "Shared_Dirty:", c->shared_dirty);
    pages_line(t, "Private_Clean:", c->private_clean);
    pages_line(t, "Private_Dirty:", c->private_dirty);
    pages_line(t, "Referenced:", c->referenced);
    pages_line(t, "Anonymous:", c->anon);
    pages_line(t, "KSM:", 0);
    pages_line(t, "LazyFree:", c->lazy_free);
    pages_line(t, "AnonHugePages:", c->huge);
    pages_line(t, "ShmemPmdMapped:", 0);
    pages_line(t, "FilePmdMapped:", 0);
    pages_line(t, "Shared_Hugetlb:", c->hugetlb_shared);
    pages_line(t, "Private_Hugetlb:", c->hugetlb_private);
    pages_line(t, "Swap:", 0);
    pages_line(t, "SwapPss:", 0);
    pss_line(t, "Locked:", c->locked);
}

static void smaps_of(struct text *t, const struct vma *v)
{
    struct tally c = {0};

    tally_vma(&c, v->mm, v);
    maps_line(t, v);
    pages_line(t, "Size:", vma_pages(v));
    pages_line(t, "KernelPageSize:", v->flags & VM_HUGETLB ? TABLE_ENTRIES : 1);
    pages_line(t, "MMUPageSize:", v->flags & VM_HUGETLB ? TABLE_ENTRIES : 1);
    tally_lines(t, &c, false);
    text_format(t, "THPeligible:    %8lu\n", (uint64_t)may_be_huge(v));
    flags_line(t, v->flags);
}

void report_smaps(struct text *t, struct mm *mm)
{
    each_vma(t, mm, &mm->report_smaps, smaps_of);
}

/* No VMA has a policy of its own: see policy.h. Sizes are in pages of the VMA's own size. */
static void numa_line(struct text *t, const struct vma *v)
{
    uint64_t each = v->flags & VM_HUGETLB ? TABLE_ENTRIES : 1;
    const char *name = vma_name(v);
    struct tally c = {0};

    tally_vma(&c, v->mm, v);
    uint64_t dirty = c.shared_dirty + c.private_dirty;
    text_format(t, "%08lx default", v->start);
    if (v->flags & VM_HUGETLB)
        text_string(t, " huge");
    else if (v->object)
        text_format(t, " file=%s", name);
    else if (*name)
        text_string(t, v->start < v->mm->brk_end ? " heap" : " stack");
    if (c.anon)
        text_format(t, " anon=%lu", c.anon);
    if (dirty)
        text_format(t, " dirty=%lu", dirty);
    if (c.resident && c.resident != c.anon && c.resident != dirty)
        text_format(t, " mapped=%lu", c.resident);
    if (c.maps_most > 1)
        text_format(t, " mapmax=%lu", c.maps_most);
    bool any = false;
    for (unsigned i = 0; i < numa_nodes(); i++) {
        any |= c.on_node[i] != 0;
        if (c.on_node[i])
            text_format(t, " N%lu=%lu", (uint64_t)i, c.on_node[i] / each);
    }
    if (any)
        text_format(t, " kernelpagesize_kB=%lu", each * KIB_PER_PAGE);
    text_char(t, '\n');
}

void report_numa_maps(struct text *t, struct mm *mm)
{
    each_vma(t, mm, &mm->report_numa, numa_line);
}

void report_smaps_rollup(struct text *t, struct mm *mm)
{
    struct tally c = {0};
    uint64_t start = text_mark(t);

    mm_lock(mm);
    const struct vma *first = vma_first(mm), *last = vma_last(mm);
    for (const struct vma *v = first; v; v = vma_next(v))
        tally_vma(&c, mm, v);
    text_format(t, "%08lx-%08lx ---p 00000000 00:00 0 ", first ? first->start : 0UL,
                last ? last->end : 0UL);
    mm_unlock(mm);
    text_pad(t, start, NAME_COLUMN);
    text_string(t, "[rollup]\n");
    tally_lines(t, &c, true);
}

/* ---- the whole space ---- */

static uint64_t text_pages(const struct mm *mm)
{
    return (PAGE_UP(mm->code_end) - PAGE_DOWN(mm->code_start)) >> PAGE_SHIFT;
}

/* What no fault counts: pages of memory objects, which are among those of files, and of the pool.
 */
static struct tally uncounted(struct mm *mm)
{
    struct tally c = {0};

    for (const struct vma *v = vma_first(mm); v; v = vma_next(v))
        if ((v->flags & VM_HUGETLB) || (v->object && v->object->kind == OBJECT_MEMORY))
            tally_vma(&c, mm, v);
    return c;
}

void report_statm(struct text *t, struct mm *mm)
{
    mm_lock(mm);
    text_format(t, "%lu %lu %lu %lu 0 %lu 0\n", mm->total_pages, mm_resident(mm), mm->file_pages,
                text_pages(mm), mm->data_pages + mm->stack_pages);
    mm_unlock(mm);
}

void report_status(struct text *t, struct mm *mm)
{
    mm_lock(mm);
    uint64_t text = min_u64(text_pages(mm), mm->exec_pages), resident = mm_resident(mm);
    const struct tally c = uncounted(mm);
    const struct {
        const char *name;
        uint64_t pages;
    } lines[] = {
        {"VmPeak:\t", max_u64(mm->total_peak, mm->total_pages)},
        {"VmSize:\t", mm->total_pages},
        {"VmLck:\t", mm->locked_pages},
        {"VmPin:\t", 0}, /* there is no call that pins pages */
        {"VmHWM:\t", max_u64(mm->resident_peak, resident)},
        {"VmRSS:\t", resident},
        {"RssAnon:\t", mm->anon_pages},
        {"RssFile:\t", mm->file_pages - c.shmem},
        {"RssShmem:\t", c.shmem},
        {"VmData:\t", mm->data_pages},
        {"VmStk:\t", mm->stack_pages},
        {"VmExe:\t", text},
        {"VmLib:\t", mm->exec_pages - text},
        {"VmPTE:\t", mm->tables}, /* all but the root's */
        {"VmSwap:\t", 0},
        {"HugetlbPages:\t", c.hugetlb_shared + c.hugetlb_private},
    };
    mm_unlock(mm);
    for (unsigned i = 0; i < ARRAY_COUNT(lines); i++)
        text_format(t, "%s%8lu kB\n", lines[i].name, lines[i].pages * KIB_PER_PAGE);
}

#define PAGEMAP_PRESENT   (1UL << 63)
#define PAGEMAP_SWAP      (1UL << 62) /* or another entry that stands for no page */
#define PAGEMAP_FILE      (1UL << 61) /* of an object, or shared */
#define PAGEMAP_EXCLUSIVE (1UL << 56)

static uint64_t pagemap_word(const struct mm *mm, vaddr_t address)
{
    const uint64_t *above = pt_entry(mm, address, 1);
    bool huge = above && entry_is_leaf(*above);
    uint64_t entry = huge ? *above : pt_leaf(mm, address);
    pfn_t pfn = entry_page(entry) + (huge ? pt_index(address, 0) : 0);

    if (!entry)
        return 0;
    if (entry_is_marker(entry))
        return PAGEMAP_SWAP;
    if (!page_is_ours(pfn))
        return PAGEMAP_PRESENT | pfn;
    const struct page *page = page_of(entry_page(entry));
    bool pooled = page->state == PAGE_HUGETLB;
    bool anon = page->state == PAGE_ANON || (pooled && !page->owner);
    uint32_t maps = pooled ? hugetlb_maps(page) : page->maps;
    return PAGEMAP_PRESENT | pfn | (anon ? 0 : PAGEMAP_FILE) | (maps == 1 ? PAGEMAP_EXCLUSIVE : 0);
}

void report_pagemap(struct text *t, struct mm *mm)
{
    vaddr_t address = t->offset / 8 << PAGE_SHIFT;

    t->at = t->offset - t->offset % 8;
    mm_lock(mm);
    for (; address < mm_user_end && t->at < t->offset + t->bytes; address += PAGE_BYTES) {
        uint64_t word = pagemap_word(mm, address);

        for (unsigned byte = 0; byte < 8; byte++)
            text_char(t, (char)(word >> (8 * byte)));
    }
    mm_unlock(mm);
}
