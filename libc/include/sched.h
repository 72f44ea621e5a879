/* Scheduling calls and the flags of clone, with Linux's numbers. */
#ifndef PG_SCHED_H
#define PG_SCHED_H

#include <sys/types.h>

#define CLONE_VM             0x00000100
#define CLONE_FS             0x00000200
#define CLONE_FILES          0x00000400
#define CLONE_SIGHAND        0x00000800
#define CLONE_VFORK          0x00004000
#define CLONE_THREAD         0x00010000
#define CLONE_SYSVSEM        0x00040000
#define CLONE_SETTLS         0x00080000
#define CLONE_PARENT_SETTID  0x00100000
#define CLONE_CHILD_CLEARTID 0x00200000
#define CLONE_CHILD_SETTID   0x01000000

#define CPU_SETSIZE 1024

typedef struct {
    unsigned long bits[CPU_SETSIZE / 64];
} cpu_set_t;

#define CPU_ZERO(set)            \
    do {                         \
        *(set) = (cpu_set_t){0}; \
    } while (0)
#define CPU_SET(cpu, set)   ((void)((set)->bits[(cpu) / 64] |= 1ul << ((cpu) % 64)))
#define CPU_CLR(cpu, set)   ((void)((set)->bits[(cpu) / 64] &= ~(1ul << ((cpu) % 64))))
#define CPU_ISSET(cpu, set) (((set)->bits[(cpu) / 64] >> ((cpu) % 64)) & 1)

int sched_yield(void);
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set);
/* Gives 0, or -1 with errno. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int getcpu(unsigned *cpu, unsigned *node);

#endif
