/*
 * Small threads: one mapping each, which holds (from below) a guard page, the stack, the handle
 * and the TLS block. The kernel clears handle->tid and wakes its futex at the thread's very end,
 * after which nothing uses the mapping: so join waits for that word and unmaps.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "pg.h"

#define PAGE_SIZE          4096ul
#define STACK_SIZE_DEFAULT 65536ul
#define STACK_SIZE_MAX     (1ul << 32)
#define FUTEX_WAIT         0l /* the kernel's wake at a thread's end is not a private one */

extern char __tls_align[]; /* from the linker script; at least 16 */

struct pg_thread {
    int tid; /* cleared by the kernel when the thread has ended */
    void *(*fn)(void *);
    void *arg;
    void *result;
    char *mapping;
    size_t mapping_size;
};

static size_t round_up(size_t value, size_t align)
{
    return (value + align - 1) & -align;
}

static int thread_main(void *arg)
{
    struct pg_thread *thread = arg;

    thread->result = thread->fn(thread->arg);
    return 0;
}

struct pg_thread *pg_thread_create(void *(*fn)(void *), void *arg, size_t stack_size)
{
    if (stack_size > STACK_SIZE_MAX) {
        errno = EINVAL;
        return NULL;
    }
    size_t align = (size_t)__tls_align;
    size_t stack_pages = round_up(stack_size != 0 ? stack_size : STACK_SIZE_DEFAULT, PAGE_SIZE);
    size_t tail = round_up(sizeof(struct pg_thread), align) + round_up(pg_tls_size(), align);
    size_t size = PAGE_SIZE + stack_pages + round_up(tail, PAGE_SIZE);
    char *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapping == MAP_FAILED)
        return NULL;
    if (mprotect(mapping, PAGE_SIZE, PROT_NONE) < 0) {
        munmap(mapping, size);
        return NULL;
    }
    struct pg_thread *thread = (struct pg_thread *)(mapping + PAGE_SIZE + stack_pages);
    char *tls = (char *)thread + round_up(sizeof(*thread), align);
    assert(align <= PAGE_SIZE && tls + pg_tls_size() <= mapping + size);
    *thread = (struct pg_thread){.fn = fn, .arg = arg, .mapping = mapping, .mapping_size = size};

    unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                          CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    long tid =
        pg_clone(flags, thread, &thread->tid, pg_tls_init(tls), &thread->tid, thread_main, thread);
    if (tid < 0) {
        munmap(mapping, size);
        pg_ret(tid);
        return NULL;
    }
    return thread;
}

void *pg_thread_join(struct pg_thread *thread)
{
    int tid;

    while ((tid = __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE)) != 0)
        pg_syscall(SYS_futex, &thread->tid, FUTEX_WAIT, (long)tid, 0l);
    void *result = thread->result;
    munmap(thread->mapping, thread->mapping_size);
    return result;
}

int pg_thread_tid(const struct pg_thread *thread)
{
    return __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE);
}
