/* The console (see console.h): ties a terminal to the UART. */
#include "user/linux/console.h"

#include <stdarg.h>
#include <stdio.h>

#include "user/linux/kcall.h"
#include "user/linux/uart.h"

#define DEVICE (5 << 8 | 1)

static struct terminal console;
static bool has_uart;

static void put(struct tty *tty, const char *text, size_t bytes)
{
    (void)tty;
    if (has_uart)
        uart_put(text, bytes);
    else
        kcall_log_write(text, bytes);
}

void console_init(bool have_uart)
{
    has_uart = have_uart;
    console.tty.put = put;
    terminal_init(&console, DEVICE);
    if (have_uart)
        uart_init();
}

struct terminal *console_terminal(void)
{
    return &console;
}

void console_input(unsigned char byte)
{
    tty_input(&console.tty, byte);
}

void console_printf(const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (bytes < 0)
        return;
    if (console.tty.column)
        tty_write(&console.tty, "\n", 1);
    tty_write(&console.tty, text, (size_t)bytes < sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
}

void console_flush(void)
{
    if (has_uart)
        uart_flush();
}
