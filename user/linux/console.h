/*
 * The console: one terminal (terminal.h) on the UART, or on the kernel's log where there is none.
 * Big lock held in all functions.
 */
#ifndef LINUX_CONSOLE_H
#define LINUX_CONSOLE_H

#include <stdbool.h>

#include "user/linux/terminal.h"

void console_init(bool have_uart);
struct terminal *console_terminal(void);
/* A line of the personality's own, such as why a program died. */
__attribute__((format(printf, 1, 2))) void console_printf(const char *format, ...);
/* A byte came in by the UART. */
void console_input(unsigned char byte);
/* Wait until everything has left the UART. */
void console_flush(void);

#endif
