/* Kernel messages: formatted to the machine's console, one line at a time, safe on every hart. */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stddef.h>

__attribute__((format(printf, 1, 2))) void kprintf(const char *format, ...);
/* As it is; used for the log_write call. */
void klog_write(const char *text, size_t bytes);

#endif
