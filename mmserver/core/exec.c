/*
 * Loading a program: segments become VMAs over the file's page cache, the part of a segment that is
 * zero becomes anonymous memory, the stack is built as Linux builds it.
 *
 *   stack_top  (8 bytes of zero)
 *              path
 *              strings of arguments, then of the environment
 *              16 random bytes
 *              auxiliary vector, envp[], argv[]
 *   sp         argc
 */
#include "mmserver/core/exec.h"
#include "lib/elf.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/random.h"
#include <string.h>

#define MMAP_GAP_BYTES     (128UL << 20) /* between the mmap area and the top: room for the stack */
#define STACK_RANDOM_PAGES 0x3fffUL
#define MMAP_RANDOM_PAGES  0x3ffffUL
#define BRK_RANDOM_PAGES   0x1fffUL
#define STACK_FIRST_BYTES  (132UL << 10)
#define STRINGS_MAX_BYTES  (STACK_LIMIT_BYTES / 4)
#define CLOCK_TICKS        100
#define AUX_PAIRS          16

bool exec_randomise;
uint64_t exec_hwcap;

struct loader {
    struct worker *w;
    struct mm *mm;
    struct exec_request *r;
    struct elf_image image;
    vaddr_t base; /* added to the image's addresses */
    vaddr_t path, strings, random, vectors;
};

static uint64_t random_pages(uint64_t mask)
{
    return exec_randomise ? (random_next() & mask) << PAGE_SHIFT : 0;
}

/* The page of `address`, writable through the linear map; NULL without memory or permission. */
static char *page_for_writing(struct loader *l, vaddr_t address)
{
    mm_lock(l->mm);
    mm_settle_locked(l->w, l->mm);
    enum fault_outcome outcome = fault_page_locked(l->w, l->mm, address, true);
    uint64_t entry = pt_leaf(l->mm, address);
    mm_unlock(l->mm);
    if (fault_is_bad(outcome) || !entry_is_leaf(entry))
        return NULL;
    return (char *)page_pointer(entry_page(entry)) + (address & PAGE_MASK);
}

static bool write_bytes(struct loader *l, vaddr_t to, const void *from, uint64_t bytes)
{
    while (bytes) {
        uint64_t part = min_u64(bytes, PAGE_BYTES - (to & PAGE_MASK));
        char *page = page_for_writing(l, to);

        if (!page)
            return false;
        memcpy(page, from, part);
        to += part;
        from = (const char *)from + part;
        bytes -= part;
    }
    return true;
}

static long place_at(struct loader *l, vaddr_t start, vaddr_t end, uint64_t flags,
                     struct object *file, uint64_t offset)
{
    long error;

    if (start >= end)
        return 0;
    mm_lock(l->mm);
    mm_settle_locked(l->w, l->mm);
    error = map_unmap_locked(l->w, l->mm, start, end);
    if (!error)
        error = map_place_locked(l->w, l->mm, start, end, flags, file, offset);
    mm_unlock(l->mm);
    return error;
}

static long load_segment(struct loader *l, const struct elf_segment *s)
{
    uint64_t flags = (s->flags & ELF_FLAG_R ? VM_READ : 0) |
                     (s->flags & ELF_FLAG_W ? VM_WRITE : 0) | (s->flags & ELF_FLAG_X ? VM_EXEC : 0);
    vaddr_t start = PAGE_DOWN(l->base + s->address);
    vaddr_t file_end = l->base + s->address + s->file_bytes;
    vaddr_t end = PAGE_UP(l->base + s->address + s->memory_bytes);
    vaddr_t file_stop = s->file_bytes ? PAGE_UP(file_end) : start;

    long error = place_at(l, start, file_stop, flags, l->r->file, s->file_offset >> PAGE_SHIFT);
    if (!error)
        error = place_at(l, file_stop, end, flags, NULL, 0);
    if (error || s->memory_bytes == s->file_bytes || file_end == file_stop || !s->file_bytes)
        return error;
    /* The rest of the last page of the file's part is zero in memory. */
    char *tail = page_for_writing(l, file_end);
    if (!tail)
        return -LINUX_ENOEXEC;
    memset(tail, 0, file_stop - file_end);
    return 0;
}

static long load_image(struct loader *l)
{
    struct elf_segment s;
    unsigned index = 0;

    if (elf_open(&l->image, object_bytes(l->r->file), l->r->file->bytes))
        return -LINUX_ENOEXEC;
    if (l->image.dynamic)
        l->base = PAGE_DOWN(mm_user_end / 3 * 2) + random_pages(MMAP_RANDOM_PAGES);
    vaddr_t top = mm_user_end - MMAP_GAP_BYTES;
    if (l->image.end > top - l->base || l->base + l->image.start < MMAP_MIN_ADDRESS)
        return -LINUX_ENOEXEC;
    while (elf_next_load(&l->image, &index, &s)) {
        long error = load_segment(l, &s);

        if (error)
            return error;
    }
    l->mm->brk_start = PAGE_UP(l->base + l->image.end) + random_pages(BRK_RANDOM_PAGES);
    l->mm->brk_end = l->mm->brk_start;
    l->r->entry = l->base + l->image.entry;
    return 0;
}

/* Where everything on the stack goes; -LINUX_E2BIG if that is too much. */
static long stack_plan(struct loader *l)
{
    struct exec_request *r = l->r;
    uint64_t words = 1 + r->argc + 1UL + r->envc + 1 + 2 * (AUX_PAIRS + 1);

    if (r->strings_bytes > STRINGS_MAX_BYTES || words * 8 > STRINGS_MAX_BYTES)
        return -LINUX_E2BIG;
    l->path = l->mm->stack_top - 8 - (strlen(r->path) + 1);
    l->strings = l->path - r->strings_bytes;
    l->random = (l->strings - 16) & ~15UL;
    l->vectors = (l->random - words * 8) & ~15UL;
    r->sp = l->vectors;
    l->mm->arg_start = l->strings;
    l->mm->arg_end = l->path;
    return 0;
}

static long stack_make(struct loader *l)
{
    uint64_t flags = VM_READ | VM_WRITE | VM_GROWSDOWN;
    vaddr_t top = mm_user_end - PAGE_BYTES - random_pages(STACK_RANDOM_PAGES);

    if (l->image.has_stack_flags && l->image.stack_exec)
        flags |= VM_EXEC;
    l->mm->stack_top = top;
    l->mm->mmap_base = PAGE_DOWN(mm_user_end - MMAP_GAP_BYTES) - random_pages(MMAP_RANDOM_PAGES);
    long error = stack_plan(l);
    if (error)
        return error;
    vaddr_t start = PAGE_DOWN(l->vectors - STACK_FIRST_BYTES);
    return place_at(l, start, top, flags, NULL, 0);
}

/* Copy the strings, and write where each begins into the vectors. */
static long stack_strings(struct loader *l)
{
    struct exec_request *r = l->r;
    uint64_t count = (uint64_t)r->argc + r->envc, seen = 0, done = 0;
    bool begins = true;

    while (done < r->strings_bytes) {
        vaddr_t at = l->strings + done;
        uint64_t part = min_u64(r->strings_bytes - done, PAGE_BYTES - (at & PAGE_MASK));
        char *page = page_for_writing(l, at);

        if (!page)
            return -LINUX_ENOMEM;
        if (!r->caller)
            memcpy(page, (const char *)(uintptr_t)r->strings + done, part);
        else if (mm_copy_in(l->w, r->caller, page, r->strings + done, part))
            return -LINUX_EFAULT;
        for (uint64_t i = 0; i < part; i++) {
            /* argv[] begins behind argc; envp[] one word (a NULL) behind argv's last. */
            uint64_t word = 1 + seen + (seen >= r->argc);
            uint64_t value = at + i;

            if (begins && seen == count)
                return -LINUX_EINVAL;
            if (begins && !write_bytes(l, l->vectors + word * 8, &value, 8))
                return -LINUX_ENOMEM;
            begins = page[i] == '\0';
            seen += begins;
        }
        done += part;
    }
    return seen == count && begins ? 0 : -LINUX_EINVAL;
}

static bool stack_auxv(struct loader *l)
{
    const struct elf_image *image = &l->image;
    uint64_t header = image->header_address ? l->base + image->header_address : 0;
    const uint64_t aux[AUX_PAIRS][2] = {
        {AT_HWCAP, exec_hwcap},
        {AT_PAGESZ, PAGE_BYTES},
        {AT_CLKTCK, CLOCK_TICKS},
        {AT_PHDR, header},
        {AT_PHENT, ELF_HEADER_BYTES},
        {AT_PHNUM, image->header_count},
        {AT_BASE, 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, l->r->entry},
        {AT_UID, 0},
        {AT_EUID, 0},
        {AT_GID, 0},
        {AT_EGID, 0},
        {AT_SECURE, 0},
        {AT_RANDOM, l->random},
        {AT_EXECFN, l->path},
    };
    uint64_t argc = l->r->argc;
    vaddr_t at = l->vectors + (1 + argc + 1 + l->r->envc + 1) * 8;

    /* The terminating AT_NULL is the zeroes that a fresh page holds, up to the random bytes. */
    return write_bytes(l, l->vectors, &argc, 8) && write_bytes(l, at, aux, sizeof aux);
}

static long stack_fill(struct loader *l)
{
    uint64_t random[2] = {random_next(), random_next()};
    long error = stack_strings(l);

    if (error)
        return error;
    if (!write_bytes(l, l->path, l->r->path, strlen(l->r->path) + 1) ||
        !write_bytes(l, l->random, random, sizeof random) || !stack_auxv(l))
        return -LINUX_ENOMEM;
    return 0;
}

static void name_set(struct mm *mm, const char *path)
{
    const char *name = strrchr(path, '/');

    name = name ? name + 1 : path;
    size_t bytes = strlen(name);
    if (bytes >= sizeof mm->name)
        bytes = sizeof mm->name - 1;
    memcpy(mm->name, name, bytes);
    mm->name[bytes] = '\0';
}

long exec_load(struct worker *w, struct mm *mm, struct exec_request *r)
{
    struct loader l = {.w = w, .mm = mm, .r = r};

    if (mm->map_count)
        return -LINUX_EBUSY;
    long error = load_image(&l);
    if (!error)
        error = stack_make(&l);
    if (!error)
        error = stack_fill(&l);
    if (error) {
        mm_clear(w, mm);
        return error;
    }
    name_set(mm, r->path);
    return 0;
}
