/* Calls on the Kernel capability: log, power, counters. */
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/hart.h"
#include "kernel/log.h"
#include "arch/arch.h"

#define LOG_BYTES_MAX 1024UL
#define STATUS_MAX    255UL

/* Does slot name the Kernel capability with this right? 0 or -ERR_x. */
static long kernel_cap(struct thread *t, uint64_t slot, uint8_t right)
{
    long error = 0;
    kernel_lock();
    struct cap *c = cap_lookup(t, slot, CAP_KERNEL, right, &error);
    kernel_unlock();
    return c ? 0 : -error;
}

/* log_write(kernel, text, bytes) -> bytes written, at most 1 KiB a call. */
long call_log_write(struct thread *t, struct call_args *c)
{
    char text[LOG_BYTES_MAX];
    uint64_t bytes = c->a[2] < LOG_BYTES_MAX ? c->a[2] : LOG_BYTES_MAX;
    long error = kernel_cap(t, c->a[0], RIGHT_LOG);
    if (!error)
        error = caller_copy_in(t, text, c->a[1], bytes);
    if (error)
        return error;
    klog_write(text, bytes);
    return (long)bytes;
}

/* power_off(kernel, status) */
long call_power_off(struct thread *t, struct call_args *c)
{
    long error = kernel_cap(t, c->a[0], RIGHT_POWER);
    if (error)
        return error;
    if (c->a[1] > STATUS_MAX)
        return -ERR_ARGUMENT;
    arch_power_off((int)c->a[1]);
}

/* counters_read(kernel, buffer, bytes, hart) -> bytes */
long call_counters_read(struct thread *t, struct call_args *c)
{
    uint64_t sum[COUNT_KERNEL] = {0};
    uint64_t wanted = c->a[3];
    uint64_t bytes = c->a[2] < sizeof sum ? c->a[2] & ~7UL : sizeof sum;
    long error = kernel_cap(t, c->a[0], RIGHT_COUNTERS);
    if (error)
        return error;
    if (wanted != ~0UL && wanted >= harts_online)
        return -ERR_HART;
    for (unsigned i = 0; i < harts_online; i++)
        for (unsigned k = 0; k < COUNT_KERNEL && (wanted == ~0UL || wanted == i); k++)
            sum[k] += __atomic_load_n(&harts[i]->counter[k], __ATOMIC_RELAXED);
    error = caller_copy_out(t, c->a[1], sum, bytes);
    return error ? error : (long)bytes;
}
