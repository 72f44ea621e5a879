/* Scheduling calls. */
#include <sched.h>
#include <sys/syscall.h>

#include "pg.h"

int sched_yield(void)
{
    return (int)pg_ret(pg_syscall(SYS_sched_yield));
}

int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
    return (int)pg_ret(pg_syscall(SYS_sched_setaffinity, (long)pid, size, set));
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    /* The call gives the bytes that it wrote. */
    CPU_ZERO(set);
    return pg_ret(pg_syscall(SYS_sched_getaffinity, (long)pid, size, set)) < 0 ? -1 : 0;
}

int getcpu(unsigned *cpu, unsigned *node)
{
    return (int)pg_ret(pg_syscall(SYS_getcpu, cpu, node, 0l));
}
