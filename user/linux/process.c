/* Processes: their life from clone to wait (see process.h). The family tree begins at pid 1. */
#include "user/linux/process.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/console.h"
#include "user/linux/job.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/memfile.h"
#include "user/linux/mmcall.h"
#include "user/linux/oom.h"
#include "user/linux/pidfd.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"
#include "user/linux/time.h"

#define STACK_LIMIT_BYTES    (8UL << 20)
#define MEMLOCK_LIMIT_BYTES  (8UL << 20)
#define MSGQUEUE_LIMIT_BYTES 819200
#define CAP_IPC_LOCK         14

static struct process processes[PROCESSES_MAX];
static struct process *processes_end = processes; /* those from here on were never used */
static int last_pid;

void processes_init(void)
{
    last_pid = 0;
}

struct process *process_by_pid(int pid)
{
    for (struct process *p = processes; p < processes_end; p++) {
        if (p->state != PROCESS_FREE && p->pid == pid)
            return p;
    }
    return NULL;
}

struct process *process_init(void)
{
    return process_by_pid(1);
}

struct process *process_next(int pid)
{
    struct process *next = NULL;

    for (struct process *p = processes; p < processes_end; p++) {
        if (p->state != PROCESS_FREE && p->pid > pid && (!next || p->pid < next->pid))
            next = p;
    }
    return next;
}

bool pid_is_free(int pid)
{
    for (struct process *p = processes; p < processes_end; p++) {
        if (p->state != PROCESS_FREE && (p->pid == pid || p->pgid == pid || p->sid == pid))
            return false;
    }
    return !thread_by_tid(pid);
}

/* There are fewer processes and threads than numbers, so one is always found. */
int pid_allocate(void)
{
    do {
        last_pid = last_pid >= PID_MAX ? 2 : last_pid + 1;
    } while (!pid_is_free(last_pid));
    return last_pid;
}

int pid_last(void)
{
    return last_pid;
}

void process_limits_apply(const struct process *p, uint64_t mm)
{
    mmcall_limit(mm, MM_LIMIT_AS, p->limit[LINUX_RLIMIT_AS].soft);
    mmcall_limit(mm, MM_LIMIT_DATA, p->limit[LINUX_RLIMIT_DATA].soft);
    mmcall_limit(mm, MM_LIMIT_STACK, p->limit[LINUX_RLIMIT_STACK].soft);
    mmcall_limit(mm, MM_LIMIT_MEMLOCK, p->limit[LINUX_RLIMIT_MEMLOCK].soft);
    mmcall_limit(mm, MM_LIMIT_LOCK_FREE, p->cred.effective >> CAP_IPC_LOCK & 1);
    mmcall_limit(mm, MM_LIMIT_OOM_ADJUST,
                 (uint64_t)(int64_t)(p->parent ? p->oom_score_adj : OOM_SCORE_ADJ_NEVER));
}

static void limits_init(struct process *p)
{
    for (unsigned i = 0; i < LINUX_RLIMITS; i++)
        p->limit[i] = (struct linux_rlimit){LINUX_RLIM_INFINITY, LINUX_RLIM_INFINITY};
    p->limit[LINUX_RLIMIT_STACK].soft = STACK_LIMIT_BYTES;
    p->limit[LINUX_RLIMIT_CORE].soft = 0;
    p->limit[LINUX_RLIMIT_NPROC] = (struct linux_rlimit){PROCESSES_MAX, PROCESSES_MAX};
    p->limit[LINUX_RLIMIT_NOFILE] = (struct linux_rlimit){FDS_SOFT, FDS_HARD};
    p->limit[LINUX_RLIMIT_SIGPENDING] = (struct linux_rlimit){SIGNAL_ENTRIES, SIGNAL_ENTRIES};
    p->limit[LINUX_RLIMIT_MSGQUEUE] =
        (struct linux_rlimit){MSGQUEUE_LIMIT_BYTES, MSGQUEUE_LIMIT_BYTES};
    p->limit[LINUX_RLIMIT_NICE] = p->limit[LINUX_RLIMIT_RTPRIO] = (struct linux_rlimit){0, 0};
    p->limit[LINUX_RLIMIT_MEMLOCK] =
        (struct linux_rlimit){MEMLOCK_LIMIT_BYTES, MEMLOCK_LIMIT_BYTES};
}

static void parent_set(struct process *p, struct process *parent)
{
    p->parent = parent;
    __atomic_store_n(&p->ppid, parent->pid, __ATOMIC_RELAXED);
    TAILQ_INSERT_TAIL(&parent->children, p, sibling);
}

void process_set_exe(struct process *p, const struct place *exe)
{
    if (exe->node)
        exe->node->runners++;
    if (p->exe.node)
        p->exe.node->runners--;
    place_set(&p->exe, exe);
}

/* What a child has of whom it is like; the space is left to the caller. */
static void inherit(struct process *p, const struct process *like)
{
    p->pgid = like->pgid;
    p->sid = like->sid;
    process_set_exe(p, &like->exe);
    memcpy(p->comm, like->comm, sizeof(p->comm));
    memcpy(p->limit, like->limit, sizeof(p->limit));
    p->persona = like->persona;
    p->start_sp = like->start_sp;
    p->oom_score_adj = like->oom_score_adj;
    p->oom_score_adj_least = like->oom_score_adj_least;
    p->cred = like->cred;
    p->undumpable = like->undumpable;
    p->no_new_privs = like->no_new_privs;
    p->no_terminal = like->no_terminal;
    if (like->cmdline && (p->cmdline = malloc(like->cmdline_bytes))) {
        memcpy(p->cmdline, like->cmdline, like->cmdline_bytes);
        p->cmdline_bytes = like->cmdline_bytes;
    }
}

/* Tables of its own, or those of `like` that it shares. False without memory; then some are
 * missing.
 */
static bool tables_make(struct process *p, const struct process *like, uint64_t flags)
{
    if (flags & LINUX_CLONE_FILES)
        (p->files = like->files)->users++;
    else
        p->files = fd_table_create(like ? like->files : NULL);
    if (flags & LINUX_CLONE_FS)
        (p->fs = like->fs)->users++;
    else
        p->fs = fs_context_create(like ? like->fs : NULL);
    if (flags & LINUX_CLONE_SIGHAND)
        (p->sighand = like->sighand)->users++;
    else
        p->sighand = sighand_create(like ? like->sighand : NULL);
    return p->files && p->fs && p->sighand;
}

static void tables_put(struct process *p)
{
    const struct place nowhere = {0};

    process_set_exe(p, &nowhere);
    if (p->files)
        fd_table_put(p->files);
    fs_context_put(p->fs);
    sighand_put(p->sighand);
    p->files = NULL;
    p->fs = NULL;
    p->sighand = NULL;
}

/* A cleared one of the array; NULL if all are in use. */
static struct process *take_place(void)
{
    struct process *p = processes;

    while (p < processes_end && p->state != PROCESS_FREE)
        p++;
    if (p == processes + PROCESSES_MAX)
        return NULL;
    if (p == processes_end)
        processes_end++;
    memset(p, 0, sizeof(*p));
    signal_set_init(&p->pending);
    LIST_INIT(&p->posix_timers);
    TAILQ_INIT(&p->children);
    TAILQ_INIT(&p->threads);
    queue_init(&p->child_wait);
    queue_init(&p->vfork_wait);
    queue_init(&p->alone_wait);
    return p;
}

struct process *process_create(struct process *parent, const struct process *like, int pid,
                               uint64_t flags)
{
    struct process *p = take_place();

    if (!p)
        return NULL;
    if (!tables_make(p, like, flags)) {
        tables_put(p);
        return NULL;
    }
    p->pid = pid;
    p->state = PROCESS_ALIVE;
    p->start_ticks = time_now_ticks();
    p->exit_signal = LINUX_SIGCHLD;
    if (parent) {
        inherit(p, like);
        cpu_limit_apply(p);
        parent_set(p, parent);
    } else {
        p->pgid = p->sid = p->pid;
        cred_init(&p->cred);
        limits_init(p);
    }
    return p;
}

static void free_process(struct process *p)
{
    linux_assert(TAILQ_EMPTY(&p->children) && TAILQ_EMPTY(&p->child_wait.threads));
    linux_assert(TAILQ_EMPTY(&p->vfork_wait.threads) && TAILQ_EMPTY(&p->alone_wait.threads));
    if (p->parent)
        TAILQ_REMOVE(&p->parent->children, p, sibling);
    pidfd_process_gone(p);
    free(p->cmdline);
    p->cmdline = NULL;
    p->state = PROCESS_FREE;
}

void process_discard(struct process *p)
{
    linux_assert(p->thread_count == 0);
    cpu_alarms_end(p);
    tables_put(p);
    if (p->space)
        space_put(p->space);
    free_process(p);
}

void process_set_comm(struct process *p, const char *path)
{
    const char *slash = strrchr(path, '/');

    memset(p->comm, 0, sizeof(p->comm));
    strncpy(p->comm, slash ? slash + 1 : path, sizeof(p->comm) - 1);
}

char *thread_comm(struct thread *t)
{
    return t->tid == t->process->pid ? t->process->comm : t->comm;
}

void process_exit(struct process *p, int status)
{
    struct thread *t, *next;

    if (p->state != PROCESS_ALIVE)
        return;
    p->state = PROCESS_DYING;
    p->stopped = false;
    p->stopping = p->stop_signal = 0;
    p->exit_status = status;
    for (t = TAILQ_FIRST(&p->threads); t; t = next) {
        next = TAILQ_NEXT(t, mates);
        thread_kill(t);
    }
}

void process_kill(struct process *p, int signal)
{
    process_exit(p, signal);
}

void process_vfork_release(struct process *p)
{
    p->vfork_done = true;
    queue_wake(&p->vfork_wait);
}

/* Who gets the children of p: the next of its ancestors that wants them, at last the first process,
 * which is there as long as anything is. */
static struct process *reaper_of(const struct process *p)
{
    struct process *reaper = p->parent;

    while (reaper->parent && !(reaper->is_reaper && reaper->state == PROCESS_ALIVE))
        reaper = reaper->parent;
    return reaper;
}

static void leave_children(struct process *p)
{
    const struct signal_info info = {.code = LINUX_SI_USER, .pid = p->pid};
    struct process *child, *reaper = reaper_of(p);

    while ((child = TAILQ_FIRST(&p->children))) {
        TAILQ_REMOVE(&p->children, child, sibling);
        parent_set(child, reaper);
        if (child->state == PROCESS_ZOMBIE)
            queue_wake(&reaper->child_wait);
        else if (child->parent_death_signal)
            signal_send_process(child, child->parent_death_signal, &info);
    }
}

void process_tell_parent(struct process *p, int code, int status)
{
    struct process *parent = p->parent;
    const struct signal_info info = {.code = code, .pid = p->pid, .status = status};
    bool ended = p->state == PROCESS_ZOMBIE;
    int signal = ended ? p->exit_signal : LINUX_SIGCHLD;

    if (signal && (ended || signal_wants_stops(parent)))
        signal_send_process(parent, signal, &info);
    queue_wake(&parent->child_wait);
}

/* p has ended: its parent may want to know, or not. */
static void tell_end(struct process *p)
{
    bool killed = (p->exit_status & 0x7f) != 0;
    struct process *parent = p->parent;
    bool unwanted = p->exit_signal == LINUX_SIGCHLD && signal_ignores_children(parent);

    process_tell_parent(p, killed ? LINUX_CLD_KILLED : LINUX_CLD_EXITED,
                        killed ? p->exit_status & 0x7f : p->exit_status >> 8);
    if (unwanted)
        process_reap(p);
}

/* It has no space any more: give the rest back, and be a zombie. */
static void bury(struct process *p)
{
    tables_put(p);
    terminal_leader_gone(p);
    oom_freed();
    process_vfork_release(p);
    if (!p->parent) {
        console_printf("%s[%d]: the first process ended with status 0x%x; power off\n", p->comm,
                       p->pid, (unsigned)p->exit_status);
        bool killed = (p->exit_status & 0x7f) != 0;
        machine_power_off(killed ? 128 + (p->exit_status & 0x7f) : p->exit_status >> 8);
    }
    leave_children(p);
    p->state = PROCESS_ZOMBIE;
    pidfd_changed(p);
    tell_end(p);
}

/* A large space goes in parts, and between them others run. */
static void release_part(struct timer *timer)
{
    struct process *p = (void *)((char *)timer - offsetof(struct process, release));

    if (!space_put_part(p->space)) {
        timer_set(timer, space_next_part());
        return;
    }
    p->space = NULL;
    bury(p);
}

/* The last thread is gone. */
static void release(struct process *p)
{
    p->state = PROCESS_DYING;
    alarms_end(p);
    signal_set_remove(&p->pending, ~0UL);
    p->release.expire = release_part;
    release_part(&p->release);
}

void process_thread_gone(struct thread *t)
{
    struct process *p = t->process;

    if (t->exec_space)
        space_put(t->exec_space);
    t->exec_space = NULL;
    if (p->thread_count == 0) {
        release(p);
    } else {
        queue_wake(&p->alone_wait);
        job_check(p);
    }
}

void process_reap(struct process *p)
{
    linux_assert(p->state == PROCESS_ZOMBIE);
    free_process(p);
}

bool process_group_exists(int pgid, int sid)
{
    for (struct process *p = processes; p < processes_end; p++) {
        if (p->state == PROCESS_ALIVE && p->pgid == pgid && (sid == 0 || p->sid == sid))
            return true;
    }
    return false;
}
