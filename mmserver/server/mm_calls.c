/*
 * The server's own calls (pagoda/mm.h): everything that comes from the caller is copied once,
 * checked, and then used. mms and threads that are named by number are held by a reference while
 * the call runs.
 */
#include "mmserver/core/access.h"
#include "mmserver/core/check.h"
#include "mmserver/core/cma.h"
#include "mmserver/core/compact.h"
#include "mmserver/core/device_map.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/exec.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/fork.h"
#include "mmserver/core/object.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/native.h"
#include "mmserver/core/oom.h"
#include "mmserver/core/policy.h"
#include "mmserver/core/report.h"
#include "mmserver/core/word.h"
#include "mmserver/core/zone.h"
#include "mmserver/server/server.h"
#include <string.h>

/* A page of the server for strings and texts on their way. */
static char *scratch_take(struct worker *w, pfn_t *page)
{
    *page = page_alloc(w);
    if (!*page)
        return NULL;
    page_of(*page)->state = PAGE_SERVER;
    return page_pointer(*page);
}

/* A NUL-terminated string of the caller, at most a page; 0 or -LINUX_x. */
static long string_copy(struct worker *w, struct mm *mm, char *to, vaddr_t from)
{
    uint64_t done = 0;

    while (done < PAGE_BYTES) {
        uint64_t part = min_u64(PAGE_BYTES - done, PAGE_BYTES - ((from + done) & PAGE_MASK));

        if (mm_copy_in(w, mm, to + done, from + done, part))
            return -LINUX_EFAULT;
        if (memchr(to + done, '\0', part))
            return 0;
        done += part;
    }
    return -LINUX_E2BIG;
}

/* The personality gets the Space of a new mm; without it there is no mm. */
static long space_give(struct worker *w, struct mm *mm, uint64_t slot)
{
    long error =
        place_cap_copy(mm->space_slot, personality_table, slot, RIGHT_COPY | RIGHT_COPY_ON, 0, 0);

    if (!error)
        return (long)mm->id;
    mm_discard(w, mm);
    return error == -ERR_OCCUPIED ? -LINUX_EEXIST : -LINUX_EINVAL;
}

static long call_create(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_create(w);

    return mm ? space_give(w, mm, a[0]) : -LINUX_ENOMEM;
}

static long call_fork(struct worker *w, const uint64_t a[6])
{
    struct mm *parent = mm_get(a[0]), *child;

    if (!parent)
        return -LINUX_ESRCH;
    long error = mm_fork(w, parent, &child);
    mm_put(parent);
    return error ? error : space_give(w, child, a[1]);
}

/* A file, with a name that is copied from the caller to `path`: the object of that handle, or if
 * that is 0 a range of the archive. 0 or -LINUX_x. */
static long exec_file(struct worker *w, struct client *c, uint64_t handle, uint64_t start,
                      uint64_t bytes, vaddr_t name, char *path, struct object **file)
{
    long error = string_copy(w, c->mm, path, name);

    if (error)
        return error;
    *file = handle ? object_of_handle(handle) : object_of_archive(w, start, bytes, path);
    return *file ? 0 : -LINUX_ENOEXEC;
}

static long exec_with(struct worker *w, struct client *c, struct mm *mm, struct mm_exec *e,
                      char *path)
{
    struct exec_request r = {.caller = c->mm,
                             .strings = e->strings,
                             .strings_bytes = e->strings_bytes,
                             .argc = e->argc,
                             .envc = e->envc,
                             .path = path,
                             .fixed = e->fixed != 0};
    long error = 0;

    if (e->interpreter_name)
        error = exec_file(w, c, e->interpreter_object, e->interpreter_start, e->interpreter_bytes,
                          e->interpreter_name, path, &r.interpreter);
    if (!error)
        error =
            exec_file(w, c, e->file_object, e->file_start, e->file_bytes, e->name, path, &r.file);
    if (!error)
        error = exec_load(w, mm, &r);
    if (r.file)
        object_put(w, r.file);
    if (r.interpreter)
        object_put(w, r.interpreter);
    e->entry = r.entry;
    e->sp = r.sp;
    return error;
}

static long call_exec(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm_exec e;
    pfn_t scratch;

    if (mm_copy_in(w, c->mm, &e, a[1], sizeof e))
        return -LINUX_EFAULT;
    struct mm *mm = mm_get(a[0]);
    if (!mm)
        return -LINUX_ESRCH;
    char *path = scratch_take(w, &scratch);
    long error = path ? exec_with(w, c, mm, &e, path) : -LINUX_ENOMEM;
    if (path)
        page_free(w, scratch);
    if (!error && mm_copy_out(w, c->mm, a[1], &e, sizeof e)) {
        mm_clear(w, mm);
        error = -LINUX_EFAULT;
    }
    mm_put(mm);
    return error;
}

static long call_release(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long error = mm_release(w, mm);
    if (error)
        mm_put(mm);
    return error;
}

static long call_limit(const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long error = limit_set(mm, a[1], a[2]);
    mm_put(mm);
    return error;
}

static bool thread_wanted_good(const struct mm_thread *t)
{
    return t->hart < worker_count && t->priority >= 1 && t->priority <= MM_PRIORITY_MAX;
}

/* The personality gets the Thread of a new client, if it wants it; without it there is no client.
 */
static long thread_give(struct worker *w, struct client *made, uint64_t slot)
{
    uint64_t id = made->id;

    if (!slot || !place_cap_copy(made->slot, personality_table, slot, RIGHT_CONTROL, 0, 0))
        return (long)id;
    struct client *held = client_get(id);
    mm_assert(held == made && !client_destroy(w, held));
    return -LINUX_EINVAL;
}

static long call_thread_create(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm_thread wanted;
    struct client *made;

    if (mm_copy_in(w, c->mm, &wanted, a[1], sizeof wanted))
        return -LINUX_EFAULT;
    if (!thread_wanted_good(&wanted))
        return -LINUX_EINVAL;
    struct mm *mm = mm_get(a[0]);
    if (!mm)
        return -LINUX_ESRCH;
    const struct client_route route = {personality_endpoint, wanted.badge};
    long error = client_create(w, mm, &wanted, &route, &made);
    long id = error ? error : thread_give(w, made, wanted.slot);
    mm_put(mm);
    return id;
}

static long thread_regs(struct worker *w, struct client *c, struct client *t, const uint64_t a[6])
{
    struct user_regs regs;

    if (a[2] && mm_copy_in(w, c->mm, &regs, a[1], sizeof regs))
        return -LINUX_EFAULT;
    if (place_thread_regs(t->slot, &regs, a[2] != 0))
        return -LINUX_EBUSY;
    return a[2] ? 0 : mm_copy_out(w, c->mm, a[1], &regs, sizeof regs);
}

static long thread_move(struct worker *w, struct client *t, uint64_t id)
{
    struct mm *mm = mm_get(id);

    if (!mm)
        return -LINUX_ESRCH;
    const struct client_route route = {personality_endpoint, t->badge};
    long error = client_move(w, t, mm, &route);
    mm_put(mm);
    return error;
}

static long thread_start(struct client *t)
{
    if (place_thread_start(t->slot))
        return -LINUX_EBUSY;
    t->state = CLIENT_STARTED;
    return 0;
}

static long thread_hart(struct client *t, uint64_t hart)
{
    if (hart >= worker_count)
        return -LINUX_EINVAL;
    if (place_thread_set(t->slot, THREAD_HART, hart, 0))
        return -LINUX_EBUSY;
    t->hart = (uint32_t)hart;
    return 0;
}

static long thread_use(struct worker *w, struct client *c, const struct client *t, vaddr_t to)
{
    const struct mm *mm = t->mm;
    uint64_t resident = mm_resident(mm);
    const struct mm_thread_use use = {t->minor_faults, t->major_faults, resident,
                                      max_u64(mm->resident_peak, resident)};

    return mm_copy_out(w, c->mm, to, &use, sizeof use);
}

/* Calls on a thread that is named by number; not one of the personality's own. */
static long call_on_thread(struct worker *w, struct client *c, long number, const uint64_t a[6])
{
    struct client *t = client_get(a[0]);
    long error = -LINUX_ENOSYS;

    if (!t)
        return -LINUX_ESRCH;
    if (t->personality) {
        client_put(t);
        return -LINUX_EPERM;
    }
    if (number == MM_THREAD_DESTROY) {
        error = a[1] ? thread_use(w, c, t, a[1]) : 0;
        if (!error && !(error = client_destroy(w, t)))
            return 0; /* the reference went with it */
    } else if (number == MM_THREAD_USE) {
        error = thread_use(w, c, t, a[1]);
    } else if (number == MM_THREAD_START) {
        error = thread_start(t);
    } else if (number == MM_THREAD_STOP) {
        error = client_stop(t);
    } else if (number == MM_THREAD_REGS) {
        error = thread_regs(w, c, t, a);
    } else if (number == MM_THREAD_MOVE) {
        error = thread_move(w, t, a[1]);
    } else if (number == MM_THREAD_HART) {
        error = thread_hart(t, a[1]);
    }
    client_put(t);
    return error;
}

static long call_advise(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long error = map_madvise(w, mm, a[1], a[2], a[3]);
    mm_put(mm);
    return error;
}

static long call_page_node(const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long node = policy_page_node(mm, a[1]);
    mm_put(mm);
    return node;
}

static long call_device_grant(const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long error = native_device_grant(mm, a[1], a[2], a[3]);
    mm_put(mm);
    return error;
}

static long call_fault_in(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long error = fault_in(w, mm, a[1], a[2], a[3] != 0);
    mm_put(mm);
    return error;
}

static long call_oom(struct worker *w, uint64_t id)
{
    struct mm *mm = id ? mm_get(id) : NULL;

    if (!mm)
        return id ? -LINUX_ESRCH : (long)oom_choose(w);
    long score = (long)oom_score(mm);
    mm_put(mm);
    return score;
}

static long call_word_key(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);
    struct word_key word;

    if (!mm)
        return -LINUX_ESRCH;
    long error = word_key(w, mm, a[1], &word);
    mm_put(mm);
    const struct mm_word_key key = {word.object, word.offset};
    return error ? error : mm_copy_out(w, c->mm, a[2], &key, sizeof key);
}

static long call_word_swap(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long value = a[1] & 3 ? -LINUX_EFAULT : word_swap(w, mm, a[1], (uint32_t)a[2], (uint32_t)a[3]);
    mm_put(mm);
    return value;
}

_Static_assert(MM_ACCESS_CALL_BYTES == ACCESS_CALL_BYTES, "told as it is");

static long call_access(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]), *other = mm ? mm_get(a[2] ? a[2] : c->mm->id) : NULL;
    long done = -LINUX_ESRCH;

    if (other) {
        done = access_force(w, mm, a[1], other, a[3], a[4], a[5] != 0);
        mm_put(other);
    }
    if (mm)
        mm_put(mm);
    return done;
}

static long map_object(struct worker *w, struct mm *mm, const struct mm_map_file *m,
                       struct object *o)
{
    if ((m->offset & PAGE_MASK) || (m->flags & MAP_ANONYMOUS))
        return -LINUX_EINVAL;
    const struct map_request r = {.address = m->address,
                                  .bytes = m->bytes,
                                  .prot = m->prot,
                                  .flags = m->flags,
                                  .object = o,
                                  .offset = m->offset >> PAGE_SHIFT,
                                  .nowrite = m->nowrite != 0};
    return map_mmap(w, mm, &r);
}

static long map_archive(struct worker *w, struct client *c, struct mm *mm,
                        const struct mm_map_file *m)
{
    pfn_t scratch;
    char *name = scratch_take(w, &scratch);
    long at = name ? string_copy(w, c->mm, name, m->name) : -LINUX_ENOMEM;

    if (!at) {
        struct object *o = object_of_archive(w, m->file_start, m->file_bytes, name);

        at = o ? map_object(w, mm, m, o) : -LINUX_ENOMEM;
        if (o)
            object_put(w, o);
    }
    if (name)
        page_free(w, scratch);
    return at;
}

/* Registers of a device: the offset is their physical address. */
static long map_device(struct worker *w, struct mm *mm, const struct mm_map_file *m)
{
    const struct map_request r = {.address = m->address,
                                  .bytes = m->bytes,
                                  .prot = m->prot,
                                  .flags = m->flags,
                                  .offset = m->offset >> PAGE_SHIFT,
                                  .nowrite = m->nowrite != 0};

    if ((m->offset & PAGE_MASK) || (m->flags & MAP_ANONYMOUS))
        return -LINUX_EINVAL;
    return device_map(w, mm, &r);
}

static long map_handle(struct worker *w, struct mm *mm, const struct mm_map_file *m)
{
    struct object *o = object_of_handle(m->object);

    if (!o)
        return -LINUX_EBADF;
    long at = map_object(w, mm, m, o);
    object_put(w, o);
    return at;
}

static long call_map_file(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm_map_file m;

    if (mm_copy_in(w, c->mm, &m, a[0], sizeof m))
        return -LINUX_EFAULT;
    struct mm *mm = mm_get(m.mm);
    if (!mm)
        return -LINUX_ESRCH;
    long at = m.device   ? map_device(w, mm, &m)
              : m.object ? map_handle(w, mm, &m)
                         : map_archive(w, c, mm, &m);
    mm_put(mm);
    return at;
}

/* Those that change something: the leak finder's mark is one for all. */
static bool report_is_privileged(uint64_t kind)
{
    return kind == MM_REPORT_LEAK_MARK || kind == MM_REPORT_LEAK_SCAN;
}

static bool report_needs_mm(uint64_t kind)
{
    return kind == MM_REPORT_MAPS || kind == MM_REPORT_STATM || kind == MM_REPORT_CAPS ||
           kind == MM_REPORT_SMAPS || kind == MM_REPORT_SMAPS_ROLLUP || kind == MM_REPORT_STATUS ||
           kind == MM_REPORT_PAGEMAP || kind == MM_REPORT_NUMA_MAPS;
}

/* mm or thread of the number, both held; NULL where the kind needs none. */
static long report_subject(struct client *c, uint64_t kind, uint64_t id, struct mm **mm,
                           struct client **t)
{
    *mm = NULL;
    *t = NULL;
    if (kind == MM_REPORT_THREAD) {
        *t = client_get(id ? id : c->id);
        return *t ? 0 : -LINUX_ESRCH;
    }
    if (!report_needs_mm(kind) || (kind == MM_REPORT_CAPS && id == MM_ID_SERVER))
        return 0;
    *mm = mm_get(id ? id : c->mm->id);
    return *mm ? 0 : -LINUX_ESRCH;
}

static long call_report(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct client *t;
    struct mm *mm;
    pfn_t scratch;

    if (a[0] >= MM_REPORT_KINDS)
        return -LINUX_EINVAL;
    if (report_is_privileged(a[0]) && !c->personality)
        return -LINUX_EPERM;
    long result = report_subject(c, a[0], a[1], &mm, &t);
    if (result)
        return result;
    char *buffer = scratch_take(w, &scratch);
    result = -LINUX_ENOMEM;
    if (buffer) {
        struct text text = {.buffer = buffer, .offset = a[4], .bytes = min_u64(a[3], PAGE_BYTES)};

        report_write(&text, a[0], a[1], mm, t);
        result = (long)text_kept(&text);
        if (mm_copy_out(w, c->mm, a[2], buffer, text_kept(&text)))
            result = -LINUX_EFAULT;
        page_free(w, scratch);
    }
    if (mm)
        mm_put(mm);
    if (t)
        client_put(t);
    return result;
}

#define COMPACT_STEPS_ONCE 16

static long call_compact(struct worker *w, const uint64_t a[6])
{
    bool more = true;

    if (a[0] == MM_COMPACT_PROACTIVENESS && a[1] <= 100) {
        compact_proactiveness = a[1];
        return 0;
    }
    if (a[0] > MM_COMPACT_GO_ON)
        return -LINUX_EINVAL;
    for (unsigned step = 0; more && step < COMPACT_STEPS_ONCE; step++)
        more = compact_all(w, a[0] == MM_COMPACT_BEGIN && step == 0);
    return more;
}

static long call_contig(struct worker *w, const uint64_t a[6])
{
    if (!a[0] || a[0] > phys.total_pages || !a[1] || (a[1] & (a[1] - 1)) || a[1] > phys.total_pages)
        return -LINUX_EINVAL;
    pfn_t first = contig_alloc_pages(w, a[0], a[1], CONTIG_ANY_NODE);
    if (!first)
        return -LINUX_ENOMEM;
    contig_free(w, first, a[0]);
    return 0;
}

static long call_cma(struct worker *w, const uint64_t a[6])
{
    if (a[3])
        return cma_release(w, a[3], a[1]) ? 0 : -LINUX_EINVAL;
    pfn_t first = a[2] < 64 ? cma_alloc(w, a[0], a[1], (unsigned)a[2]) : 0;
    if (!first)
        return -LINUX_ENOMEM;
    contig_set_state(first, a[1], PAGE_SERVER);
    return (long)first;
}

static long call_native_thread(struct worker *w, struct client *c, const uint64_t a[6])
{
    struct mm_thread wanted;

    if (mm_copy_in(w, c->mm, &wanted, a[1], sizeof wanted))
        return -LINUX_EFAULT;
    if (!thread_wanted_good(&wanted))
        return -LINUX_EINVAL;
    const struct client_route route = {personality_endpoint, c->badge};
    return native_thread(w, c, a[0], &wanted, &route);
}

static long mm_call_open(struct worker *w, struct client *c, long number, const uint64_t a[6])
{
    switch (number) {
    case MM_REPORT:
        return call_report(w, c, a);
    case MM_CHECK:
        return (long)check_all(w);
    case MM_NATIVE_ENABLE:
        return native_enable(w, c, a[0]);
    case MM_NATIVE_CREATE:
        return native_create(w, c, a[0], a[1], a[2]);
    case MM_DEVICE_MAP:
        return native_device_map(w, c, a[0], a[1]);
    case MM_NATIVE_THREAD:
        return call_native_thread(w, c, a);
    default:
        return -LINUX_ENOSYS;
    }
}

/* Does the call make memory of clients? */
static bool makes_memory(long number)
{
    switch (number) {
    case MM_CREATE:
    case MM_FORK:
    case MM_EXEC:
    case MM_FAULT_IN:
    case MM_MAP_FILE:
    case MM_ACCESS:
    case MM_OBJECT_READ:
    case MM_OBJECT_WRITE:
    case MM_OBJECT_ALLOCATE:
        return true;
    default:
        return false;
    }
}

static long mm_call_privileged(struct worker *w, struct client *c, long number, const uint64_t a[6])
{
    if (number >= MM_OBJECT_CREATE && number <= MM_OBJECT_DETACH)
        return object_call(w, c, number, a);
    switch (number) {
    case MM_CREATE:
        return call_create(w, a);
    case MM_FORK:
        return call_fork(w, a);
    case MM_EXEC:
        return call_exec(w, c, a);
    case MM_LIMIT:
        return call_limit(a);
    case MM_ADVISE:
        return call_advise(w, a);
    case MM_PAGE_NODE:
        return call_page_node(a);
    case MM_OOM:
        return call_oom(w, a[0]);
    case MM_TUNE:
        return tune_call(w, a[0], a[1]);
    case MM_HUGE_POOL:
        return (long)(a[0] == ~0UL ? hugetlb_state().total : hugetlb_resize(w, a[0]));
    case MM_COMPACT:
        return call_compact(w, a);
    case MM_CONTIG:
        return call_contig(w, a);
    case MM_CMA:
        return call_cma(w, a);
    case MM_RELEASE:
        return call_release(w, a);
    case MM_THREAD_CREATE:
        return call_thread_create(w, c, a);
    case MM_FAULT_IN:
        return call_fault_in(w, a);
    case MM_MAP_FILE:
        return call_map_file(w, c, a);
    case MM_WORD_KEY:
        return call_word_key(w, c, a);
    case MM_WORD_SWAP:
        return call_word_swap(w, a);
    case MM_DEVICE_GRANT:
        return call_device_grant(a);
    case MM_ACCESS:
        return call_access(w, c, a);
    default:
        return call_on_thread(w, c, number, a);
    }
}

long mm_call(struct worker *w, struct client *c, long number, const uint64_t a[6])
{
    bool privileged = (number >= MM_CREATE && number <= MM_FAULT_IN) || number == MM_MAP_FILE ||
                      number == MM_THREAD_STOP || number == MM_FORK || number == MM_LIMIT ||
                      number == MM_THREAD_USE || (number >= MM_PAGE_NODE && number <= MM_CMA) ||
                      (number >= MM_OBJECT_CREATE && number <= MM_OBJECT_DETACH);

    if (!privileged)
        return mm_call_open(w, c, number, a);
    if (!c->personality)
        return -LINUX_EPERM;
    w->for_clients = makes_memory(number);
    long value = mm_call_privileged(w, c, number, a);
    w->for_clients = false;
    return value;
}
