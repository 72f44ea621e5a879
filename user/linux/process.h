/*
 * Processes: a family tree of pids, each with a space, files and threads.
 *
 *   FREE ─▶ ALIVE ─▶ DYING ─▶ ZOMBIE ─▶ FREE
 *
 * DYING: its threads are being destroyed, then its space is released, a large one in parts. ZOMBIE:
 * it holds nothing but its exit status, until its parent has asked for it. Everything that a
 * process held is given back before it becomes a zombie. Big lock held in all functions.
 */
#ifndef LINUX_PROCESS_H
#define LINUX_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "user/linux/abi.h"
#include "user/linux/alarm.h"
#include "user/linux/context.h"
#include "user/linux/cpualarm.h"
#include "user/linux/cred.h"
#include "user/linux/fd.h"
#include "user/linux/fs.h"
#include "user/linux/sleep.h"
#include "user/linux/thread.h"
#include "user/linux/usage.h"

#define PROCESSES_MAX 256
#define PID_MAX       32768

#define OOM_SCORE_ADJ_MAX   1000
#define OOM_SCORE_ADJ_NEVER (-1000) /* it is not chosen when memory is exhausted */

struct space;
TAILQ_HEAD(process_list, process);

enum process_state { PROCESS_FREE, PROCESS_ALIVE, PROCESS_DYING, PROCESS_ZOMBIE };

struct process {
    enum process_state state;
    int pid, pgid, sid;
    int ppid;               /* the parent's pid, read without the lock; 0 for the first */
    struct process *parent; /* NULL for the first */
    struct process_list children;
    TAILQ_ENTRY(process) sibling;
    struct thread_list threads;
    unsigned thread_count;
    struct space *space;
    struct timer release;   /* of a large space that goes in parts */
    struct fd_table *files; /* like the next two: maybe others' too, NULL in a zombie */
    struct fs_context *fs;
    struct sighand *sighand;
    struct place exe;
    struct pidfd *pidfd; /* what descriptors of it stand for; NULL: there are none */
    char comm[COMM_BYTES];
    char *cmdline; /* argv as NUL-terminated strings one after the other, malloced */
    uint64_t cmdline_bytes;
    int exit_status; /* as wait4 gives it */
    int exit_signal; /* sent to the parent at the end */
    bool stopped;    /* job.h */
    int stopping;    /* by which signal, as long as a thread of it still runs */
    int stop_signal; /* by which, once none does, until the parent has asked */
    bool continued;  /* not yet told */
    bool has_exec;   /* since the last clone */
    uint64_t start_ticks;
    uint64_t start_sp;                 /* where execve put the arguments */
    uint64_t io_calls[2], io_bytes[2]; /* of the read and the write family of calls */
    int oom_score_adj;                 /* OOM_SCORE_ADJ_NEVER..OOM_SCORE_ADJ_MAX, */
    int oom_score_adj_least;           /* and how low who has no rights may set it again */

    uint32_t persona; /* personality(2) */
    struct cred cred;

    /* prctl.c */
    int parent_death_signal; /* sent when the parent ends; 0: none */
    bool undumpable, keeps_caps, no_new_privs;
    bool no_terminal; /* it has given up that of its session: terminal.h */
    bool is_reaper;   /* orphans among its descendants become its children */

    struct wait_queue child_wait; /* its threads in wait4 */
    struct wait_queue vfork_wait; /* the parent's thread, until exec or exit */
    bool vfork_done;
    struct wait_queue alone_wait; /* its thread in execve, until it is the only one */

    struct cpu_used cpu_gone; /* by threads that have ended */
    struct cpu_time cpu_told, cpu_children;
    struct usage usage_gone, usage_children; /* threads and children that have ended */

    struct alarm alarm;
    struct cpu_alarm cpu_alarm[CPU_ALARMS];
    struct posix_timer_list posix_timers;
    struct signal_set pending; /* for any of its threads */
    struct linux_rlimit limit[LINUX_RLIMITS];
};

void processes_init(void);
/* A process without threads. parent NULL: the first; else `like` is whose child it looks like:
 * whose names, limits and, as far as `flags` (CLONE_FILES, CLONE_FS, CLONE_SIGHAND) says so shared
 * and not copied, tables it has. NULL if there is no room or memory. */
struct process *process_create(struct process *parent, const struct process *like, int pid,
                               uint64_t flags);
/* Undo process_create when its first thread could not be made. */
void process_discard(struct process *p);
struct process *process_by_pid(int pid); /* zombies too */
/* The next by number after `pid`, or NULL. */
struct process *process_next(int pid);
struct process *process_init(void);
/* A number for a new thread that no thread, process, group or session has; and whether a given one
 * is such. */
int pid_allocate(void);
bool pid_is_free(int pid);
/* The last that was given. */
int pid_last(void);

/* Tell the memory server the limits that concern memory. */
void process_limits_apply(const struct process *p, uint64_t mm);
/* All its threads are to end; status as wait4 gives it. */
void process_exit(struct process *p, int status);
/* As by an unhandled signal. */
void process_kill(struct process *p, int signal);
/* Called by thread.c when t has been destroyed; t is no more after it. */
void process_thread_gone(struct thread *t);
/* Its parent is sent its exit signal, with a CLD_ code, and is woken if it waits for children. */
void process_tell_parent(struct process *p, int code, int status);
/* Let go of a parent that waits for exec or exit. */
void process_vfork_release(struct process *p);
/* A zombie's last trace goes. */
void process_reap(struct process *p);
/* Whether a living process of that group is in that session (any: 0). */
bool process_group_exists(int pgid, int sid);
/* The program that it runs; nobody may write to that meanwhile. */
void process_set_exe(struct process *p, const struct place *exe);
void process_set_comm(struct process *p, const char *path);
/* A thread's name: of the one that the process is named after, the process's. */
char *thread_comm(struct thread *t);

#endif
