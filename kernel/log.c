/*
 * Kernel messages. A message is formatted on the caller's stack, then written under the log's own
 * lock, so that lines of different harts do not mix. The lock is a leaf: nothing is taken inside
 * it. After a crash it is not taken any more, because its holder may be stopped.
 */
#include "kernel/log.h"
#include "kernel/crash.h"
#include "arch/arch.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES 256

static uint32_t log_lock;

static bool lock(void)
{
    while (__atomic_exchange_n(&log_lock, 1, __ATOMIC_ACQUIRE)) {
        if (crash_in_progress())
            return false;
        arch_relax();
    }
    return true;
}

void klog_write(const char *text, size_t bytes)
{
    bool locked = lock();
    arch_console_write(text, bytes);
    if (locked)
        __atomic_store_n(&log_lock, 0, __ATOMIC_RELEASE);
}

void kprintf(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (bytes > 0)
        klog_write(line, (size_t)bytes < sizeof line ? (size_t)bytes : sizeof line - 1);
}
