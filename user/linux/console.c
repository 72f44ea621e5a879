/* The console (see console.h): ties the terminal to the UART, to signals and to those who wait. */
#include "user/linux/console.h"

#include <stdarg.h>
#include <stdio.h>

#include "user/linux/kcall.h"
#include "user/linux/signal.h"
#include "user/linux/uart.h"

static struct tty tty;
static struct watched input;
static bool has_uart;

static void put(const char *text, size_t bytes)
{
    if (has_uart)
        uart_put(text, bytes);
    else
        kcall_log_write(text, bytes);
}

static void send_signal(int signal)
{
    struct signal_info info = {.code = LINUX_SI_KERNEL};

    if (tty.foreground)
        signal_send_group(tty.foreground, signal, &info);
}

static void ready(void)
{
    watched_wake(&input, LINUX_POLLIN | LINUX_POLLRDNORM);
}

void console_init(bool have_uart)
{
    has_uart = have_uart;
    watched_init(&input);
    tty.put = put;
    tty.signal = send_signal;
    tty.ready = ready;
    tty_init(&tty);
    if (have_uart)
        uart_init();
}

struct tty *console_tty(void)
{
    return &tty;
}

struct watched *console_watched(void)
{
    return &input;
}

void console_input(unsigned char byte)
{
    tty_input(&tty, byte);
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
    if (tty.column)
        tty_write(&tty, "\n", 1);
    tty_write(&tty, text, (size_t)bytes < sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
}

void console_flush(void)
{
    if (has_uart)
        uart_flush();
}
