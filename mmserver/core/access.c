/* A program's memory seen from outside; see access.h. */
#include "mmserver/core/access.h"
#include "mmserver/core/fault_straight.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/vma_ops.h"
#include <string.h>

#define TRIES 3 /* a page may go again before it is opened: walkers of reverse maps move it */

/* ---- pages ---- */

bool access_open(const struct mm *mm, vaddr_t address, uint64_t bits, struct access_page *page)
{
    const uint64_t *huge = pt_entry(mm, address, 1);

    page->leaf = NULL;
    if (huge && entry_is_leaf(*huge)) {
        page->pfn = entry_page(*huge) + pt_index(address, 0);
        return (*huge & (bits | ENTRY_U)) == (bits | ENTRY_U) && page_is_ours(page->pfn);
    }
    const uint64_t *leaf = pt_entry(mm, address, 0);
    if (!leaf)
        return false;
    leaf_lock(leaf);
    page->leaf = leaf;
    page->pfn = entry_page(entry_alone_at(leaf));
    if (entry_is_leaf(*leaf) && (*leaf & bits) == bits && page_is_ours(page->pfn))
        return true;
    leaf_unlock(leaf);
    return false;
}

void access_close(const struct access_page *page)
{
    if (page->leaf)
        leaf_unlock(page->leaf);
}

/* ---- whatever the rights ---- */

/* Linux's rules of FOLL_FORCE. */
static bool may_force(const struct vma *v, bool write)
{
    const uint64_t cow = VM_SHARED | VM_MAYWRITE;

    if (v->flags & VM_DEVICE)
        return false;
    if (!write || (v->flags & VM_WRITE))
        return !write ? (v->flags & (VM_READ | VM_WRITE | VM_MAYREAD)) != 0 : true;
    return (v->flags & cow) == VM_MAYWRITE && !(v->flags & VM_HUGETLB);
}

/* Nobody but this entry maps the page, so what is written to it is written for this program. */
static bool is_own(pfn_t pfn)
{
    const struct page *page = page_of(pfn);

    return page->state == PAGE_ANON && page->maps == 1;
}

/* The page of `address` is there and may be moved from, or to. */
static bool open_forced(const struct vma *v, vaddr_t address, bool write, struct access_page *page)
{
    if (!write || (v->flags & VM_WRITE))
        return access_open(v->mm, address, write ? ENTRY_W | ENTRY_D : 0, page);
    if (!access_open(v->mm, address, 0, page))
        return false;
    /* A part of a huge page: its first descriptor speaks, and it is nobody else's. */
    if (!page->leaf ? page_of(ROUND_DOWN(page->pfn, TABLE_ENTRIES))->state == PAGE_ANON
                    : is_own(page->pfn))
        return true;
    access_close(page);
    return false;
}

/* The page that a hidden entry is to be made of: what is parked there, the object's, or zeros; held
 * if it is the object's. 0: there is none. */
static pfn_t hidden_source(const struct fault *f)
{
    if (f->entry)
        return entry_page(f->entry);
    if (!f->vma->object)
        return f->w->zero_page;
    long pfn = object_page_get(f->w, f->vma->object, vma_offset_at(f->vma, f->address), false);
    return pfn < 0 ? 0 : (pfn_t)pfn;
}

/* False: the entry was changed meanwhile. */
static bool hidden_store(struct fault *f, pfn_t pfn)
{
    const uint64_t *leaf = pt_entry(f->mm, f->address, 0);

    leaf_lock(leaf);
    bool same = *leaf == f->entry;
    if (same) {
        op_add(f->w, f->mm, BATCH_SOFTWARE, f->address)->entry = entry_make(pfn, ENTRY_PARKED);
        ops_send(f->w);
        f->mm->parked += !f->entry;
    }
    leaf_unlock(leaf);
    return same;
}

/* A copy of `source` takes the place of what is hidden. */
static bool hidden_copy(struct fault *f, pfn_t source)
{
    pfn_t pfn = rmap_prepare(f->w, f->vma) ? 0 : page_alloc_user(f->w);

    if (!pfn)
        return false;
    page_copy(page_pointer(pfn), page_pointer(source));
    fault_anon_account(f, pfn);
    if (!hidden_store(f, pfn))
        fault_anon_unaccount(f->w, f->mm, pfn);
    else if (f->entry)
        fault_page_unmapped(f, page_of(source));
    return true;
}

/*
 * A VMA without any right keeps its pages parked, out of the program's reach: what is missing there
 * comes by this and not by a fault. False if it cannot be had.
 */
static bool hidden_bring(struct fault *f, bool write)
{
    bool done = true, put;

    if ((f->vma->flags & VM_HUGETLB) || pt_ensure(f->w, f->mm, f->address))
        return false;
    f->entry = pt_leaf(f->mm, f->address);
    if (f->entry && !entry_is_parked(f->entry))
        return false; /* a marker */
    pfn_t source = hidden_source(f);
    if (!source)
        return false;
    put = !f->entry && f->vma->object;
    if (write) {
        done = hidden_copy(f, source);
    } else if (hidden_store(f, source) && put) {
        mm_add(&f->mm->file_pages, 1); /* the hold is the entry's from now on */
        put = false;
    }
    if (put)
        object_page_put(f->w, page_of(source), 1);
    return done;
}

/* The same as open_forced() for what is parked, and for a part of a huge page out of reach, which
 * is only read (may_force()). */
static bool open_hidden(const struct vma *v, vaddr_t address, bool write, struct access_page *page)
{
    if (v->flags & VM_HUGETLB) {
        uint64_t huge = huge_entry(v->mm, address);
        *page = (struct access_page){entry_page(huge) + pt_index(address, 0), NULL};
        return huge && !write;
    }

    const uint64_t *leaf = pt_entry(v->mm, address, 0);

    if (!leaf)
        return false;
    leaf_lock(leaf);
    *page = (struct access_page){entry_page(*leaf), leaf};
    if (entry_is_parked(*leaf) && (!write || is_own(page->pfn)))
        return true;
    leaf_unlock(leaf);
    return false;
}

/* mm locked and settled: the page is open, or cannot be had. */
static bool bring(struct worker *w, struct vma *v, vaddr_t address, bool write,
                  struct access_page *page)
{
    bool hidden = !(v->flags & VM_ACCESS);
    struct fault f = {.w = w,
                      .mm = v->mm,
                      .vma = v,
                      .address = PAGE_DOWN(address),
                      .access = write ? VM_WRITE : VM_READ,
                      .writer = true,
                      .forced = true};

    for (unsigned i = 0; i < TRIES; i++) {
        if (hidden ? open_hidden(v, address, write, page) : open_forced(v, address, write, page))
            return true;
        if (hidden ? !hidden_bring(&f, write) : fault_is_bad(fault_resolve(&f)))
            return false;
    }
    return false;
}

/* mm locked and settled: bytes within one page; how many were moved. */
static uint64_t move_locked(struct worker *w, struct mm *mm, vaddr_t address, char *buffer,
                            uint64_t bytes, bool write)
{
    struct vma *v = address < mm_user_end ? vma_at(mm, address) : NULL;
    struct access_page page;

    if (!v)
        return 0;
    if (!may_force(v, write))
        return v->ops && v->ops->access ? v->ops->access(w, v, address, buffer, bytes, write) : 0;
    if (!bring(w, v, address, write, &page))
        return 0;
    char *there = (char *)page_pointer(page.pfn) + (address & PAGE_MASK);
    memcpy(write ? there : buffer, write ? buffer : there, bytes);
    access_close(&page);
    return bytes;
}

static uint64_t move(struct worker *w, struct mm *mm, vaddr_t address, char *buffer, uint64_t bytes,
                     bool write)
{
    mm_lock(mm);
    mm_settle_locked(w, mm);
    uint64_t done = move_locked(w, mm, address, buffer, bytes, write);
    mm_unlock(mm);
    return done;
}

/* Through `buffer`, as only one of the two may be locked at a time. */
static long force(struct worker *w, struct mm *mm, vaddr_t address, struct mm *other, vaddr_t at,
                  uint64_t bytes, bool write, char *buffer)
{
    uint64_t done = 0;

    bytes = min_u64(bytes, ACCESS_CALL_BYTES);
    while (done < bytes) {
        uint64_t part = min_u64(bytes - done, PAGE_BYTES - ((address + done) & PAGE_MASK));

        if (write && mm_copy_in(w, other, buffer, at + done, part))
            return -LINUX_EFAULT;
        uint64_t moved = move(w, mm, address + done, buffer, part, write);
        if (!write && moved && mm_copy_out(w, other, at + done, buffer, moved))
            return -LINUX_EFAULT;
        done += moved;
        if (moved < part)
            break;
    }
    return done || !bytes ? (long)done : -LINUX_EIO;
}

long access_force(struct worker *w, struct mm *mm, vaddr_t address, struct mm *other, vaddr_t at,
                  uint64_t bytes, bool write)
{
    pfn_t scratch = page_alloc(w);

    if (!scratch)
        return -LINUX_ENOMEM;
    page_of(scratch)->state = PAGE_SERVER;
    long done = force(w, mm, address, other, at, bytes, write, page_pointer(scratch));
    page_free(w, scratch);
    return done;
}
