/* 16550 UART driver (see uart.h). The line's speed is left as the firmware set it. */
#include "user/linux/uart.h"

#include <stdint.h>

#include "user/linux/console.h"
#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"

#define REG_DATA   0 /* read: received byte; write: byte to send */
#define REG_IER    1
#define REG_FCR    2
#define REG_LCR    3
#define REG_MCR    4
#define REG_LSR    5
#define REG_WINDOW 8 /* bytes of registers */

#define IER_RECEIVE  0x01
#define FCR_ENABLE   0x07 /* FIFOs on, both emptied */
#define LCR_8N1      0x03
#define MCR_READY    0x0b /* DTR, RTS, interrupts to the controller */
#define LSR_RECEIVED 0x01
#define LSR_ROOM     0x20
#define LSR_IDLE     0x40

#define FIFO_BYTES 16

static volatile uint8_t *const reg = (volatile uint8_t *)LINUX_UART_ADDRESS;

void uart_init(void)
{
    linux_assert(machine_start_page()->uart_bytes >= REG_WINDOW);
    reg[REG_IER] = 0;
    reg[REG_LCR] = LCR_8N1;
    reg[REG_FCR] = FCR_ENABLE;
    reg[REG_MCR] = MCR_READY;
    reg[REG_IER] = IER_RECEIVE;
    long error = kcall_interrupt_bind(LINUX_SLOT_UART_INTERRUPT, LINUX_SLOT_NOTIFICATION,
                                      MACHINE_SIGNAL_UART);
    linux_assert(error == 0);
}

/* The FIFO is filled whenever it has run empty. */
void uart_put(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (i % FIFO_BYTES == 0) {
            while (!(reg[REG_LSR] & LSR_ROOM))
                continue;
        }
        reg[REG_DATA] = (uint8_t)text[i];
    }
}

void uart_service(void)
{
    while (reg[REG_LSR] & LSR_RECEIVED)
        console_input(reg[REG_DATA]);
    kcall_interrupt_ack(LINUX_SLOT_UART_INTERRUPT);
}

void uart_flush(void)
{
    while (!(reg[REG_LSR] & LSR_IDLE))
        continue;
}
