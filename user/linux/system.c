/* Calls about the system as a whole and about resources: uname, sysinfo, limits, random bytes,
 * reboot. */
#include "user/linux/calls.h"

#include <stdio.h>
#include <string.h>

#include "user/linux/load.h"
#include "user/linux/machine.h"
#include "user/linux/proc.h"
#include "user/linux/process.h"
#include "user/linux/random.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

const struct linux_utsname *system_name(void)
{
    static const struct linux_utsname name = {
        .sysname = "Linux",
        .nodename = "pagoda",
        .release = "6.12.0-pagoda",
        .version = "Pagoda",
        .machine = "riscv64",
        .domainname = "(none)",
    };

    return &name;
}

long linux_uname(struct thread *t, const uint64_t *a)
{
    return copy_out(t->process->space, a[0], system_name(), sizeof(struct linux_utsname));
}

#define KIB 1024UL

long linux_sysinfo(struct thread *t, const uint64_t *a)
{
    struct linux_sysinfo info = {
        .uptime = time_from_ticks(time_now_ticks()).sec,
        .loads = {load_average(0), load_average(1), load_average(2)},
        .total_ram = proc_report_number(MM_REPORT_MEMINFO, "MemTotal") * KIB,
        .free_ram = proc_report_number(MM_REPORT_MEMINFO, "MemFree") * KIB,
        .shared_ram = proc_report_number(MM_REPORT_MEMINFO, "Shmem") * KIB,
        .buffer_ram = proc_report_number(MM_REPORT_MEMINFO, "Buffers") * KIB,
        .total_swap = proc_report_number(MM_REPORT_MEMINFO, "SwapTotal") * KIB,
        .free_swap = proc_report_number(MM_REPORT_MEMINFO, "SwapFree") * KIB,
        .processes = (uint16_t)threads_count(),
        .unit_bytes = 1,
    };

    if (info.total_ram == 0)
        info.total_ram = machine_start_page()->memory_bytes;
    return copy_out(t->process->space, a[0], &info, sizeof(info));
}

/*
 * ---- limits ----
 *
 * Kept here. Those on memory are enforced by the memory server, NOFILE by the descriptor table (of
 * processes that share one, the last to set it counts), FSIZE by memory files, CPU by alarms. The
 * others are told, and bind nobody.
 */

static long limit(struct thread *t, int32_t pid, uint32_t which, uint64_t new_address,
                  uint64_t old_address)
{
    struct process *p = pid ? process_by_pid(pid) : t->process;
    struct linux_rlimit value, old;

    if (!p)
        return -LINUX_ESRCH;
    if (which >= LINUX_RLIMITS)
        return -LINUX_EINVAL;
    old = p->limit[which];
    if (new_address) {
        if (copy_in(t->process->space, &value, new_address, sizeof(value)))
            return -LINUX_EFAULT;
        if (value.soft > value.hard)
            return -LINUX_EINVAL;
        if ((which == LINUX_RLIMIT_NOFILE && value.hard > FDS_MAX) ||
            (value.hard > old.hard && !cred_is_root(&t->process->cred)))
            return -LINUX_EPERM;
        p->limit[which] = value;
        if (which == LINUX_RLIMIT_CPU)
            cpu_limit_apply(p);
        if (p->space)
            process_limits_apply(p, p->space->mm);
        if (p->files)
            fd_set_limit(p->files, p->limit[LINUX_RLIMIT_NOFILE].soft);
    }
    return old_address ? copy_out(t->process->space, old_address, &old, sizeof(old)) : 0;
}

long linux_prlimit64(struct thread *t, const uint64_t *a)
{
    return limit(t, (int32_t)a[0], (uint32_t)a[1], a[2], a[3]);
}

long linux_getrlimit(struct thread *t, const uint64_t *a)
{
    return limit(t, 0, (uint32_t)a[0], 0, a[1]);
}

long linux_setrlimit(struct thread *t, const uint64_t *a)
{
    return a[1] ? limit(t, 0, (uint32_t)a[0], a[1], 0) : -LINUX_EFAULT;
}

/* The only thing of it that means anything here is ADDR_NO_RANDOMIZE, at the next execve. */
long linux_personality(struct thread *t, const uint64_t *a)
{
    uint32_t old = t->process->persona;

    if ((uint32_t)a[0] != LINUX_PERSONALITY_ASK)
        t->process->persona = (uint32_t)a[0];
    return old;
}

#define GRND_ALL   0x7
#define RANDOM_MAX 0x1ffffffUL /* bytes of one call, as Linux has it */

long linux_getrandom(struct thread *t, const uint64_t *a)
{
    char part[256];
    uint64_t bytes = a[1] < RANDOM_MAX ? a[1] : RANDOM_MAX;
    uint64_t done = 0;

    if ((uint32_t)a[2] & ~GRND_ALL)
        return -LINUX_EINVAL;
    while (done < bytes) {
        size_t now = bytes - done < sizeof(part) ? bytes - done : sizeof(part);
        random_fill(part, now);
        size_t copied = copy_out_some(t->process->space, a[0] + done, part, now);
        done += copied;
        if (copied < now)
            return done ? (long)done : -LINUX_EFAULT;
    }
    return (long)done;
}

/* The machine cannot be started again from here: a restart ends it too. RESTART2 with the word
 * "fail" tells the host of a failure. */
long linux_reboot(struct thread *t, const uint64_t *a)
{
    uint32_t magic2 = (uint32_t)a[1];
    char word[32];

    if ((uint32_t)a[0] != LINUX_REBOOT_MAGIC1 ||
        (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
         magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C))
        return -LINUX_EINVAL;
    switch ((uint32_t)a[2]) {
    case LINUX_REBOOT_CAD_OFF:
    case LINUX_REBOOT_CAD_ON:
        return 0;
    case LINUX_REBOOT_HALT:
    case LINUX_REBOOT_POWER_OFF:
    case LINUX_REBOOT_RESTART:
        machine_power_off(0);
    case LINUX_REBOOT_RESTART2:
        if (copy_in_string(t->process->space, word, a[3], sizeof(word)) < 0)
            return -LINUX_EFAULT;
        machine_power_off(strcmp(word, "fail") == 0);
    default:
        return -LINUX_EINVAL;
    }
}
