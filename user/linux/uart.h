/*
 * Driver of the 16550 UART at LINUX_UART_ADDRESS. Output is polled: a byte leaves as soon as the
 * device takes it. Input comes by interrupt. Big lock held in all functions.
 */
#ifndef LINUX_UART_H
#define LINUX_UART_H

#include <stddef.h>

/* Set it up and have its interrupt signalled as MACHINE_SIGNAL_UART. */
void uart_init(void);
void uart_put(const char *text, size_t bytes);
/* Its interrupt came: hand all bytes that are there to console_input(). */
void uart_service(void);
/* Wait until the last byte has left. */
void uart_flush(void);

#endif
