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
#include "mmserver/core/placement.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/random.h"
#include <string.h>

#define STACK_FIRST_BYTES (132UL << 10)
#define STRINGS_MAX_BYTES (6UL << 20) /* with the pointers to them */
#define CLOCK_TICKS       100
#define AUX_PAIRS         16

uint64_t exec_hwcap;

struct loader {
    struct worker *w;
    struct mm *mm;
    struct exec_request *r;
    struct elf_image image, interpreter;
    pfn_t heads[2];                 /* copies of their first pages, where these might change */
    vaddr_t base, interpreter_base; /* added to the images' addresses */
    enum placement_random level;
    vaddr_t path, strings, random, vectors;
};

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

/* One segment of `file`, at its address plus `base`. */
static long load_segment(struct loader *l, struct object *file, vaddr_t base,
                         const struct elf_segment *s)
{
    uint64_t flags = (s->flags & ELF_FLAG_R ? VM_READ : 0) |
                     (s->flags & ELF_FLAG_W ? VM_WRITE : 0) | (s->flags & ELF_FLAG_X ? VM_EXEC : 0);
    vaddr_t start = PAGE_DOWN(base + s->address);
    vaddr_t file_end = base + s->address + s->file_bytes;
    vaddr_t end = PAGE_UP(base + s->address + s->memory_bytes);
    vaddr_t file_stop = s->file_bytes ? PAGE_UP(file_end) : start;

    long error = place_at(l, start, file_stop, flags, file, s->file_offset >> PAGE_SHIFT);
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

static long load_segments(struct loader *l, struct object *file, const struct elf_image *image,
                          vaddr_t base)
{
    struct elf_segment s;
    unsigned index = 0;

    if (image->end > mm_user_end - STACK_LIMIT_BYTES - base ||
        base + image->start < placement_lowest)
        return -LINUX_ENOEXEC;
    while (elf_next_load(image, &index, &s)) {
        long error = load_segment(l, file, base, &s);

        if (error)
            return error;
    }
    return 0;
}

/* What /proc tells of the program: where its code and its data are, as Linux finds it out. */
static void bounds_set(struct loader *l)
{
    struct mm *mm = l->mm;
    struct elf_segment s;
    unsigned index = 0;

    mm->code_start = mm_user_end;
    while (elf_next_load(&l->image, &index, &s)) {
        vaddr_t start = l->base + s.address, end = start + s.file_bytes;

        if (s.flags & ELF_FLAG_X) {
            mm->code_start = min_u64(mm->code_start, start);
            mm->code_end = max_u64(mm->code_end, end);
        }
        mm->data_start = max_u64(mm->data_start, start);
        mm->data_end = max_u64(mm->data_end, end);
    }
}

/* A file of the archive stands still and is there as a whole; of another its first page is copied.
 */
static long image_open(struct loader *l, struct elf_image *image, struct object *file, pfn_t *head)
{
    if (file->kind == OBJECT_ARCHIVE)
        return elf_open(image, object_bytes(file), file->bytes) ? -LINUX_ENOEXEC : 0;
    if (file->kind != OBJECT_MEMORY)
        return -LINUX_ENOEXEC;
    long first = object_page_get(l->w, file, 0, false);
    if (first <= 0)
        return first == -LINUX_ENOMEM ? first : -LINUX_ENOEXEC;
    *head = page_alloc(l->w);
    if (*head) {
        page_of(*head)->state = PAGE_SERVER;
        memcpy(page_pointer(*head), page_pointer((pfn_t)first), PAGE_BYTES);
    }
    object_page_put(l->w, page_of((pfn_t)first), 1);
    if (!*head)
        return -LINUX_ENOMEM;
    uint64_t bytes = __atomic_load_n(&file->bytes, __ATOMIC_RELAXED);
    return elf_open_head(image, page_pointer(*head), PAGE_BYTES, bytes) ? -LINUX_ENOEXEC : 0;
}

static long load_image(struct loader *l)
{
    struct object *file = l->r->file;
    long error = image_open(l, &l->image, file, &l->heads[0]);

    if (error)
        return error;
    if (l->image.interpreter_bytes && !l->r->interpreter)
        return -LINUX_ENOENT;
    if (l->image.dynamic)
        l->base = placement_program(l->mm, l->level);
    error = load_segments(l, file, &l->image, l->base);
    if (error)
        return error;
    bounds_set(l);
    l->mm->brk_start = l->mm->brk_end = placement_heap(l->base + l->image.end, l->level);
    l->r->entry = l->base + l->image.entry;
    return 0;
}

/* The dynamic loader goes where an mmap would; the thread starts in it. */
static long load_interpreter(struct loader *l)
{
    struct object *file = l->r->interpreter;
    struct elf_image *image = &l->interpreter;
    struct vma *above;

    if (!l->image.interpreter_bytes)
        return 0;
    long error = image_open(l, image, file, &l->heads[1]);
    if (error)
        return error == -LINUX_ENOEXEC ? -LINUX_ELIBBAD : error;
    if (image->dynamic) {
        uint64_t start = PAGE_DOWN(image->start), bytes = PAGE_UP(image->end) - start;
        vaddr_t at = bytes < mm_user_end ? placement_find(l->mm, 0, bytes, 0, &above) : 0;

        if (!at)
            return -LINUX_ENOMEM;
        l->interpreter_base = at - start;
    }
    return load_segments(l, file, image, l->interpreter_base);
}

/* Where everything on the stack goes; -LINUX_E2BIG if that is too much. */
static long stack_plan(struct loader *l)
{
    struct exec_request *r = l->r;
    uint64_t words = 1 + r->argc + 1UL + r->envc + 1 + 2 * (AUX_PAIRS + 1);

    if (r->strings_bytes > STRINGS_MAX_BYTES || words * 8 > STRINGS_MAX_BYTES + PAGE_BYTES)
        return -LINUX_E2BIG;
    l->path = l->mm->stack_top - 8 - (strlen(r->path) + 1);
    l->strings = l->path - r->strings_bytes;
    l->random = (l->strings - 16) & ~15UL;
    l->vectors = placement_stack_pointer(l->random - words * 8, l->level);
    r->sp = l->vectors;
    l->mm->stack_start = l->vectors;
    l->mm->arg_start = l->strings;
    l->mm->arg_end = l->mm->env_start = l->mm->env_end = l->path;
    return 0;
}

static long stack_make(struct loader *l)
{
    uint64_t flags = VM_READ | VM_WRITE | VM_GROWSDOWN;
    long error = stack_plan(l);
    if (error)
        return error;
    vaddr_t start = PAGE_DOWN(l->vectors - STACK_FIRST_BYTES);
    return place_at(l, start, PAGE_UP(l->mm->stack_top), flags, NULL, 0);
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
            if (begins && seen == r->argc)
                l->mm->arg_end = l->mm->env_start = value;
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
        {AT_BASE, l->interpreter_base},
        {AT_FLAGS, 0},
        {AT_ENTRY, l->base + image->entry},
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
    l.level = r->fixed ? PLACEMENT_FIXED : (enum placement_random)placement_level;
    placement_plan(mm, l.level);
    long error = load_image(&l);
    if (!error)
        error = load_interpreter(&l);
    if (!error)
        error = stack_make(&l);
    if (!error)
        error = stack_fill(&l);
    for (unsigned i = 0; i < 2; i++) {
        if (l.heads[i])
            page_free(w, l.heads[i]);
    }
    if (error) {
        mm_clear(w, mm);
        return error;
    }
    if (l.image.interpreter_bytes)
        r->entry = l.interpreter_base + l.interpreter.entry;
    name_set(mm, r->path);
    return 0;
}
