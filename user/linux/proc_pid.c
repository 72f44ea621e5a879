/* The texts of /proc/PID (see proc.h): what is known of a process and of its threads. */
#include "user/linux/proc.h"

#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/mmcall.h"
#include "user/linux/nodes.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"
#include "user/linux/text.h"
#include "user/linux/time.h"

#define PAGE_KIB    4
#define CLOCK_TICKS 100   /* per second, in stat */
#define AUX_MAX     64    /* pairs, and */
#define ARGS_MAX    65536 /* strings of a stack that are looked at */
#define PART        4096

/* ---- state ---- */

static char state_of_thread(const struct process *p, const struct thread *t)
{
    return p->stopped && t->frozen ? 'T' : t->state == THREAD_RUNS ? 'R' : 'S';
}

static char state_of(const struct process *p)
{
    struct thread *t;
    char state = p->stopped ? 'T' : 'S';

    if (p->state == PROCESS_ZOMBIE)
        return 'Z';
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (state_of_thread(p, t) == 'R')
            state = 'R';
    }
    return state;
}

static const char *state_text(char state)
{
    switch (state) {
    case 'Z':
        return "Z (zombie)";
    case 'T':
        return "T (stopped)";
    case 'R':
        return "R (running)";
    default:
        return "S (sleeping)";
    }
}

/* Of the actions: which signals are ignored, and which have a handler. */
static void signal_actions(const struct process *p, uint64_t *ignored, uint64_t *caught)
{
    *ignored = *caught = 0;
    for (int i = 0; p->sighand && i < LINUX_NSIG; i++) {
        uint64_t handler = p->sighand->action[i].handler;
        *ignored |= (uint64_t)(handler == LINUX_SIG_IGN) << i;
        *caught |= (uint64_t)(handler != LINUX_SIG_IGN && handler != LINUX_SIG_DFL) << i;
    }
}

static uint64_t clocks(uint64_t ticks)
{
    uint64_t clock = time_hz() / CLOCK_TICKS;

    return ticks / (clock ? clock : 1);
}

/* A scheduling priority as stat has it: nice values are 0..39, real-time priorities below 0. */
static int shown_priority(const struct thread *t)
{
    return !t ? 20 : t->priority ? -1 - t->priority : 20 + t->nice;
}

/* The fields of Linux's stat, of one thread or of all (NULL); those that are not known are 0. */
static void stat_line(struct text *text, struct process *p, struct thread *only)
{
    const struct cpu_time time = only ? cpu_time_of_thread(only) : cpu_time_of_process(p);
    const struct usage usage = only ? usage_of_thread(only) : usage_of_process(p);
    const struct usage *children = &p->usage_children;
    const struct thread *first = only ? only : TAILQ_FIRST(&p->threads);
    const struct terminal *terminal = terminal_of_process(p);
    uint64_t ignored, caught;

    text_printf(text, "%d (%s) %c %d %d %d %u %d 0 ", only ? only->tid : p->pid,
                only ? thread_comm(only) : p->comm, only ? state_of_thread(p, only) : state_of(p),
                p->parent ? p->parent->pid : 0, p->pgid, p->sid, terminal ? terminal->device : 0,
                terminal ? terminal->tty.foreground : -1);
    text_printf(text, "%lu %lu %lu %lu ", usage.minor_faults, children->minor_faults,
                usage.major_faults, children->major_faults);
    text_printf(text, "%lu %lu %lu %lu %d %d %u 0 %lu ", clocks(time.user), clocks(time.system),
                clocks(p->cpu_children.user), clocks(p->cpu_children.system), shown_priority(first),
                first ? first->nice : 0, p->thread_count, clocks(p->start_ticks));
    text_printf(text, "%lu %lu %lu ", proc_statm(p->pid, 0) * PAGE_KIB * 1024,
                proc_statm(p->pid, 1), p->limit[LINUX_RLIMIT_RSS].soft);
    signal_actions(p, &ignored, &caught);
    /* startcode endcode startstack kstkesp kstkeip, signals, wchan nswap cnswap */
    text_printf(text, "0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 ", p->space ? p->start_sp : 0,
                first ? first->pending.bits & INT32_MAX : 0, first ? first->mask & INT32_MAX : 0,
                ignored & INT32_MAX, caught & INT32_MAX);
    /* delayacct guest cguest start_data end_data start_brk arg_start..env_end */
    text_printf(text, "%d %u %d %d 0 0 0 0 0 0 0 0 0 0 %d\n", p->exit_signal,
                first ? first->hart : 0, first ? first->priority : 0, first ? first->policy : 0,
                p->exit_status);
}

/* By which call it waits; "0" while it does not. */
static void wchan(struct text *text, const struct process *p, const struct thread *t)
{
    bool waits = t && state_of_thread(p, t) == 'S';

    text_printf(text, "%s", waits ? t->is_fault ? "page_fault" : calls_name(t->call) : "0");
}

/* Nanoseconds on a hart, those that it could have run and did not (not known), turns. */
static void schedstat(struct text *text, struct thread *t)
{
    const struct usage usage = t ? usage_switches(t) : (struct usage){0};
    const struct cpu_time time = t ? cpu_time_of_thread(t) : (struct cpu_time){0};
    const struct linux_timespec used = time_from_ticks(time.user + time.system);

    text_printf(text, "%ld 0 %lu\n", used.sec * 1000000000 + used.nsec,
                usage.waited + usage.preempted);
}

/* All children are those of the first thread. */
static void children(struct text *text, const struct process *p, int tid)
{
    const struct process *child;

    if (tid != p->pid)
        return;
    TAILQ_FOREACH(child, &p->children, sibling)
    {
        text_printf(text, "%d ", child->pid);
    }
}

static void ids_line(struct text *text, const char *name, const struct ids *ids)
{
    text_printf(text, "%s:\t%u\t%u\t%u\t%u\n", name, ids->real, ids->effective, ids->saved,
                ids->fs);
}

static void signal_lines(struct text *text, const struct process *p, const struct thread *t)
{
    uint64_t ignored, caught;

    signal_actions(p, &ignored, &caught);
    text_printf(text, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n",
                t ? t->pending.bits : 0, p->pending.bits, t ? t->mask : 0);
    text_printf(text, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", ignored, caught);
}

/* "0-2,5": the bits that are set. */
static void bit_list(struct text *text, uint64_t bits)
{
    const char *between = "";

    for (unsigned first = 0; first < 64; first++) {
        unsigned end = first;
        while (end < 64 && (bits >> end & 1))
            end++;
        if (end == first)
            continue;
        text_printf(text, end == first + 1 ? "%s%u" : "%s%u-%u", between, first, end - 1);
        between = ",";
        first = end;
    }
    text_printf(text, "\n");
}

/* The table of descriptors grows by 64 at least. */
static unsigned fd_size(const struct process *p)
{
    unsigned size = 64;

    while (p->files && size < p->files->end)
        size *= 2;
    return p->files ? size : 0;
}

static void status_lines(struct text *text, const struct process *p, const struct thread *only)
{
    const struct thread *t = only ? only : TAILQ_FIRST(&p->threads);
    const struct usage usage = t ? usage_of_thread(t) : p->usage_gone;
    char state = only ? state_of_thread(p, only) : state_of(p);

    text_printf(text, "Name:\t%s\n",
                only ? thread_comm((struct thread *)(uintptr_t)only) : p->comm);
    if (p->fs)
        text_printf(text, "Umask:\t%04o\n", (unsigned)p->fs->umask);
    text_printf(text, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
                state_text(state), p->pid, only ? only->tid : p->pid,
                p->parent ? p->parent->pid : 0);
    ids_line(text, "Uid", &p->cred.user);
    ids_line(text, "Gid", &p->cred.group);
    text_printf(text, "FDSize:\t%u\nGroups:\t", fd_size(p));
    for (unsigned i = 0; i < p->cred.group_count; i++)
        text_printf(text, "%u ", p->cred.groups[i]);
    text_printf(text, "\n");
    if (p->space)
        text_report(text, MM_REPORT_STATUS, p->space->mm);
    text_printf(text, "Threads:\t%u\n", p->thread_count);
    signal_lines(text, p, t);
    text_printf(text, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\n",
                p->cred.inheritable, p->cred.permitted, p->cred.effective, p->cred.bounding);
    text_printf(text, "CapAmb:\t%016x\nNoNewPrivs:\t%d\nSeccomp:\t0\n", 0, p->no_new_privs);
    if (t) {
        text_printf(text, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", t->affinity);
        bit_list(text, t->affinity);
        text_printf(text, "Mems_allowed:\t%08lx\nMems_allowed_list:\t", nodes_mask());
        nodes_list(text);
    }
    text_printf(text, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
                usage.waited, usage.preempted);
    if (only)
        return;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        text_printf(text, "Thread:\t%d ", t->tid);
        text_report(text, MM_REPORT_THREAD, t->number);
    }
}

/* ---- limits ---- */

static void limit_value(struct text *text, uint64_t value)
{
    if (value == LINUX_RLIM_INFINITY)
        text_printf(text, "%-20s ", "unlimited");
    else
        text_printf(text, "%-20lu ", value);
}

static void limits(struct text *text, const struct process *p)
{
    static const struct {
        const char *name, *unit;
    } limit[LINUX_RLIMITS] = {
        {"Max cpu time", "seconds"},     {"Max file size", "bytes"},
        {"Max data size", "bytes"},      {"Max stack size", "bytes"},
        {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
        {"Max processes", "processes"},  {"Max open files", "files"},
        {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
        {"Max file locks", "locks"},     {"Max pending signals", "signals"},
        {"Max msgqueue size", "bytes"},  {"Max nice priority", ""},
        {"Max realtime priority", ""},   {"Max realtime timeout", "us"},
    };

    text_printf(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (unsigned i = 0; i < LINUX_RLIMITS; i++) {
        text_printf(text, "%-25s ", limit[i].name);
        limit_value(text, p->limit[i].soft);
        limit_value(text, p->limit[i].hard);
        text_printf(text, "%-10s\n", limit[i].unit);
    }
}

/* ---- what the stack began with ---- */

/* The word at *at of the process, and on to the next; false: it cannot be read. */
static bool next_word(const struct process *p, uint64_t *at, uint64_t *word)
{
    if (copy_in(p->space, word, *at, sizeof(*word)))
        return false;
    *at += sizeof(*word);
    return true;
}

/* Skip a vector of strings: the first of them and how many; false: there is no end to it. */
static bool skip_vector(const struct process *p, uint64_t *at, uint64_t *first, unsigned *count)
{
    uint64_t word = 1;

    for (*count = 0, *first = 0; *count < ARGS_MAX; ++*count) {
        if (!next_word(p, at, &word))
            return false;
        if (!word)
            return true;
        if (*count == 0)
            *first = word;
    }
    return false;
}

/* Strings that lie one behind the other. */
static void add_strings(struct text *text, const struct process *p, uint64_t from, unsigned count)
{
    char part[PART];

    while (count && !text->error) {
        size_t got = copy_in_some(p->space, part, from, PART - from % PART), use = 0;

        while (use < got && count)
            count -= part[use++] == 0;
        if (use == 0)
            return;
        text_add(text, part, use);
        from += use;
    }
}

static void add_auxv(struct text *text, const struct process *p, uint64_t at)
{
    uint64_t pair[2] = {1};

    for (unsigned i = 0; i < AUX_MAX && pair[0]; i++, at += sizeof(pair)) {
        if (copy_in(p->space, pair, at, sizeof(pair)))
            return;
        text_add(text, (const char *)pair, sizeof(pair));
    }
}

/* The environment or the auxiliary vector, as they are now where execve put them. */
static void of_stack(struct text *text, const struct process *p, bool auxv)
{
    uint64_t at = p->start_sp, first, argc;
    unsigned count;

    if (!p->space || !at || !next_word(p, &at, &argc) || !skip_vector(p, &at, &first, &count) ||
        !skip_vector(p, &at, &first, &count))
        return;
    if (auxv)
        add_auxv(text, p, at);
    else
        add_strings(text, p, first, count);
}

/* ---- files ---- */

void proc_mounts(struct text *text)
{
    text_printf(text, "rootfs / rootfs ro 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\n"
                      "devtmpfs /dev devtmpfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"
                      "tmpfs /dev/shm tmpfs rw 0 0\n");
}

static void mountinfo(struct text *text)
{
    text_printf(text, "1 1 0:1 / / ro - rootfs rootfs ro\n2 1 0:2 / /proc rw - proc proc rw\n"
                      "3 1 0:3 / /sys rw - sysfs sysfs rw\n4 1 0:4 / /dev rw - devtmpfs devtmpfs "
                      "rw\n5 1 0:5 / /tmp rw - tmpfs tmpfs rw\n6 4 0:6 / /dev/shm rw - tmpfs tmpfs "
                      "rw\n");
}

static void fdinfo(struct text *text, const struct process *p, int fd)
{
    const struct file *file = p->files ? fd_get(p->files, fd) : NULL;

    if (!file) {
        text->error = -LINUX_ENOENT;
        return;
    }
    bool close_exec = fd_is_close_exec(p->files, (unsigned)fd);
    text_printf(text, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t1\n", file->offset,
                file->flags | (close_exec ? (unsigned)LINUX_O_CLOEXEC : 0));
}

/* ---- memory ---- */

static void of_memory(struct text *text, enum proc_text kind, uint64_t mm)
{
    switch (kind) {
    case PROC_MAPS:
        text_report(text, MM_REPORT_MAPS, mm);
        break;
    case PROC_SMAPS:
        text_report(text, MM_REPORT_SMAPS, mm);
        break;
    case PROC_NUMA_MAPS:
        text_report(text, MM_REPORT_NUMA_MAPS, mm);
        break;
    case PROC_SMAPS_ROLLUP:
        text_report(text, MM_REPORT_SMAPS_ROLLUP, mm);
        break;
    case PROC_STATM:
        text_report(text, MM_REPORT_STATM, mm);
        break;
    default: /* PROC_CAPS */
        text_report(text, MM_REPORT_CAPS, mm);
        break;
    }
}

/* ---- which text ---- */

static void of_task(struct text *text, enum proc_text kind, struct process *p, int tid)
{
    struct thread *t = thread_by_tid(tid);

    if (!t || t->process != p) {
        text->error = -LINUX_ESRCH;
        return;
    }
    if (kind == PROC_TASK_COMM)
        text_printf(text, "%s\n", thread_comm(t));
    else if (kind == PROC_TASK_STAT)
        stat_line(text, p, t);
    else if (kind == PROC_TASK_WCHAN)
        wchan(text, p, t);
    else if (kind == PROC_TASK_SCHEDSTAT)
        schedstat(text, t);
    else
        status_lines(text, p, t);
}

void proc_of_process(struct text *text, enum proc_text kind, struct process *p, int number)
{
    switch (kind) {
    case PROC_STAT:
        stat_line(text, p, NULL);
        break;
    case PROC_STATUS:
        status_lines(text, p, NULL);
        break;
    case PROC_CMDLINE:
        text_add(text, p->cmdline, p->cmdline_bytes);
        break;
    case PROC_COMM:
        text_printf(text, "%s\n", p->comm);
        break;
    case PROC_IO: /* of storage there is none */
        text_printf(text, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\n", p->io_bytes[0],
                    p->io_bytes[1], p->io_calls[0], p->io_calls[1]);
        text_printf(text, "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
        break;
    case PROC_LIMITS:
        limits(text, p);
        break;
    case PROC_ENVIRON:
    case PROC_AUXV:
        of_stack(text, p, kind == PROC_AUXV);
        break;
    case PROC_MOUNTS:
        proc_mounts(text);
        break;
    case PROC_MOUNTINFO:
        mountinfo(text);
        break;
    case PROC_OOM_SCORE:
        text_printf(text, "%ld\n", p->space ? mmcall_oom(p->space->mm) : 0);
        break;
    case PROC_OOM_SCORE_ADJ:
        text_printf(text, "%d\n", p->oom_score_adj);
        break;
    case PROC_WCHAN:
        wchan(text, p, TAILQ_FIRST(&p->threads));
        break;
    case PROC_SCHEDSTAT:
        schedstat(text, TAILQ_FIRST(&p->threads));
        break;
    case PROC_PERSONALITY:
        text_printf(text, "%08x\n", p->persona);
        break;
    case PROC_CHILDREN:
        children(text, p, number);
        break;
    case PROC_CGROUP:
        text_printf(text, "0::/\n");
        break;
    case PROC_FDINFO:
        fdinfo(text, p, number);
        break;
    case PROC_TASK_COMM:
    case PROC_TASK_STAT:
    case PROC_TASK_STATUS:
    case PROC_TASK_WCHAN:
    case PROC_TASK_SCHEDSTAT:
        of_task(text, kind, p, number);
        break;
    default:
        if (p->space)
            of_memory(text, kind, p->space->mm);
        else if (kind == PROC_STATM)
            text_printf(text, "0 0 0 0 0 0 0\n");
        break;
    }
}
