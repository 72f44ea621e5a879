/* Resource usage and limits, as the Linux system calls fill them. */
#ifndef PG_SYS_RESOURCE_H
#define PG_SYS_RESOURCE_H

#include <sys/time.h>

#define RUSAGE_SELF 0

#define RLIMIT_STACK  3
#define RLIM_INFINITY (~0ul)

typedef unsigned long rlim_t;

struct rlimit {
    rlim_t rlim_cur;
    rlim_t rlim_max;
};

struct rusage {
    struct timeval ru_utime;
    struct timeval ru_stime;
    long ru_maxrss; /* in KiB */
    long ru_ixrss;
    long ru_idrss;
    long ru_isrss;
    long ru_minflt;
    long ru_majflt;
    long ru_nswap;
    long ru_inblock;
    long ru_oublock;
    long ru_msgsnd;
    long ru_msgrcv;
    long ru_nsignals;
    long ru_nvcsw;
    long ru_nivcsw;
};

int getrusage(int who, struct rusage *usage);
int getrlimit(int resource, struct rlimit *limit);

#endif
