/* How busy the machine is (see load.h). */
#include "user/linux/load.h"

#include <pagoda/boot.h>
#include <pagoda/counter.h>

#include "user/linux/cputime.h"
#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/text.h"
#include "user/linux/thread.h"
#include "user/linux/time.h"
#include "user/linux/timer.h"

#define LOOK_SECONDS 5
#define CLOCK_HZ     100 /* in which programs are told CPU time */

/* ---- averages ---- */

/* exp(-5 s / 1, 5, 15 min), of 1 << LOAD_SHIFT_BITS. */
static const uint32_t decay[LOAD_AVERAGES] = {60296, 64453, 65173};
static uint64_t average[LOAD_AVERAGES];
static struct timer look;

static void looked(struct timer *timer)
{
    const uint64_t one = 1UL << LOAD_SHIFT_BITS, running = threads_running() * one;

    for (unsigned i = 0; i < LOAD_AVERAGES; i++)
        average[i] = (average[i] * decay[i] + running * (one - decay[i])) >> LOAD_SHIFT_BITS;
    timer_set(timer, time_after(LOOK_SECONDS * time_hz()));
}

void load_init(void)
{
    look.expire = looked;
    timer_set(&look, time_after(LOOK_SECONDS * time_hz()));
}

uint64_t load_average(unsigned which)
{
    return average[which];
}

/* As "0.25", rounded. */
static void add_average(struct text *text, uint64_t load)
{
    const uint64_t one = 1UL << LOAD_SHIFT_BITS;

    load += one / 200;
    text_printf(text, "%lu.%02lu ", load / one, load % one * 100 / one);
}

void load_average_text(struct text *text)
{
    for (unsigned i = 0; i < LOAD_AVERAGES; i++)
        add_average(text, average[i]);
    text_printf(text, "%u/%u %d\n", threads_running(), threads_count(), pid_last());
}

/* ---- CPU time ---- */

static uint64_t in_clocks(uint64_t ticks)
{
    return ticks / time_hz() * CLOCK_HZ + ticks % time_hz() * CLOCK_HZ / time_hz();
}

struct hart_time {
    struct cpu_time used;
    uint64_t idle;
};

/* All harts' at one time, and their sum. */
static struct hart_time harts[BOOT_HARTS_MAX];

static struct hart_time harts_look(void)
{
    struct hart_time sum = {0};

    for (unsigned i = 0; i < threads_harts(); i++) {
        harts[i].used = cpu_time_of_hart(i, &harts[i].idle);
        sum.used.user += harts[i].used.user;
        sum.used.system += harts[i].used.system;
        sum.idle += harts[i].idle;
    }
    return sum;
}

/* user nice system idle, and what is not told apart: iowait irq softirq steal guest guest_nice */
static void add_cpu(struct text *text, const struct hart_time *time)
{
    text_printf(text, " %lu 0 %lu %lu 0 0 0 0 0 0\n", in_clocks(time->used.user),
                in_clocks(time->used.system), in_clocks(time->idle));
}

void load_stat_text(struct text *text)
{
    const struct hart_time sum = harts_look();
    uint64_t counter[COUNT_KERNEL];

    linux_assert(kcall_counters(counter, sizeof(counter), ~0UL) > 0);
    text_printf(text, "cpu ");
    add_cpu(text, &sum);
    for (unsigned i = 0; i < threads_harts(); i++) {
        text_printf(text, "cpu%u", i);
        add_cpu(text, &harts[i]);
    }
    text_printf(text, "intr %lu\nctxt %lu\nbtime %ld\n",
                counter[COUNT_interrupt_timer] + counter[COUNT_interrupt_external] +
                    counter[COUNT_interrupt_software],
                counter[COUNT_switch_thread], time_epoch_sec());
    text_printf(text, "processes %lu\nprocs_running %u\nprocs_blocked 0\n", threads_made(),
                threads_running());
}

void load_uptime_text(struct text *text)
{
    const struct hart_time sum = harts_look();
    struct linux_timespec now = time_from_ticks(time_now_ticks()), idle = time_from_ticks(sum.idle);

    text_printf(text, "%ld.%02ld %ld.%02ld\n", now.sec, now.nsec / 10000000, idle.sec,
                idle.nsec / 10000000);
}
