/*
 * What the library offers beyond POSIX: raw system calls, spawning and small threads.
 *
 * Everything here speaks the Linux riscv64 ABI, so a program that uses it runs on Linux too.
 */
#ifndef PG_H
#define PG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Makes system call `nr`. Returns what the kernel returns: a value, or -LINUX_ERRNO in -4095..-1.
 * Touches no errno.
 */
long pg_syscall(long nr, ...);

/*
 * Turns a raw result into the C convention: results in -4095..-1 set errno and give -1, all
 * others pass. errno then holds the C library's own number (see errno.c).
 */
long pg_ret(long raw);

/* The errno.h number for a Linux one; 2000 + n for a Linux number that errno.h has no name for. */
int pg_errno_from_linux(int linux_errno);

/*
 * Starts the program `path` in a new process, without ever copying the caller's memory
 * (clone with CLONE_VM | CLONE_VFORK, then execve). fds, when not NULL, gives the new process's
 * descriptors 0, 1 and 2; each must be its own number or at least 3 (else EINVAL).
 * Returns the pid, or -1 with errno set, also when execve failed.
 *
 * With PG_EMULATOR=PROGRAM in the caller's environment the process runs `PROGRAM path argv[1]...`:
 * for a host whose kernel cannot start these programs by itself.
 */
pid_t pg_spawn(const char *path, char *const argv[], char *const envp[], const int fds[3]);

/*
 * The raw clone: the child runs fn(arg) on the stack that ends at stack_end (16-byte aligned) and
 * exits with fn's result. Returns the child's id or -LINUX_ERRNO.
 */
long pg_clone(unsigned long flags, void *stack_end, int *parent_tid, void *tls, int *child_tid,
              int (*fn)(void *), void *arg);

/* The auxiliary vector as (type, value) pairs, ended by AT_NULL. */
const unsigned long *pg_auxv(void);

/* What the dynamic memory of a thread's TLS block needs, in bytes. */
size_t pg_tls_size(void);
/* Fills a TLS block at `block` (aligned as the program wants it; see start.c). Gives tp. */
void *pg_tls_init(void *block);

struct pg_thread;

/*
 * Starts fn(arg) in a new thread of this process with a stack of stack_size bytes (0: 64 KiB,
 * rounded up to pages, a guard page below). Returns NULL with errno set when it cannot.
 * The handle must be given to pg_thread_join exactly once.
 */
struct pg_thread *pg_thread_create(void *(*fn)(void *), void *arg, size_t stack_size);

/* Waits for the thread's end, frees its memory and gives what fn returned. */
void *pg_thread_join(struct pg_thread *thread);

/* The kernel's id of the thread; 0 once it has ended. */
int pg_thread_tid(const struct pg_thread *thread);

/* A mutex on a futex: zero is unlocked; 1 locked; 2 locked with waiters. */
struct pg_mutex {
    uint32_t state;
};

void pg_mutex_lock(struct pg_mutex *mutex);
int pg_mutex_trylock(struct pg_mutex *mutex); /* 0 when taken, -1 when it was held */
void pg_mutex_unlock(struct pg_mutex *mutex);

/* Waits while *word == value; may wake for no reason. */
void pg_futex_wait(uint32_t *word, uint32_t value);
/* Wakes at most `count` waiters; gives how many. */
int pg_futex_wake(uint32_t *word, int count);

#endif
