/* Linux's ABI for riscv64: terminals, and what ioctl is asked of other files. */
#ifndef LINUX_ABI_TERMINAL_H
#define LINUX_ABI_TERMINAL_H

#include <stdint.h>

#define LINUX_NCCS 19

struct linux_termios {
    uint32_t iflag;
    uint32_t oflag;
    uint32_t cflag;
    uint32_t lflag;
    uint8_t line;
    uint8_t cc[LINUX_NCCS];
};
_Static_assert(sizeof(struct linux_termios) == 36, "the kernel's struct termios");

struct linux_termios2 {
    struct linux_termios termios;
    uint32_t input_speed, output_speed; /* baud */
};
_Static_assert(sizeof(struct linux_termios2) == 44, "the kernel's struct termios2");

#define LINUX_NCC 8

/* The old form: the lower half of the flags, and the first of the characters. */
struct linux_termio {
    uint16_t iflag;
    uint16_t oflag;
    uint16_t cflag;
    uint16_t lflag;
    uint8_t line;
    uint8_t cc[LINUX_NCC];
};
_Static_assert(sizeof(struct linux_termio) == 18, "the kernel's struct termio");

struct linux_winsize {
    uint16_t rows;
    uint16_t columns;
    uint16_t x_pixels;
    uint16_t y_pixels;
};

#define LINUX_ISTRIP 0040
#define LINUX_INLCR  0100
#define LINUX_IGNCR  0200
#define LINUX_ICRNL  0400
#define LINUX_IXON   02000
#define LINUX_IXANY  04000

#define LINUX_OPOST 0001
#define LINUX_ONLCR 0004
#define LINUX_OCRNL 0010

/* Speeds: 0..15, and from CBAUDEX on; that of input is in higher bits, 0: that of output. */
#define LINUX_CBAUD   0010017
#define LINUX_CBAUDEX 0010000
#define LINUX_BOTHER  0010000 /* a number of its own */
#define LINUX_IBSHIFT 16
#define LINUX_B38400  0000017
#define LINUX_B115200 0010002
#define LINUX_CS8     0060
#define LINUX_CREAD   0200

#define LINUX_ISIG    0001
#define LINUX_ICANON  0002
#define LINUX_ECHO    0010
#define LINUX_ECHOE   0020
#define LINUX_ECHOK   0040
#define LINUX_ECHONL  0100
#define LINUX_NOFLSH  0200
#define LINUX_TOSTOP  0400
#define LINUX_ECHOCTL 01000
#define LINUX_ECHOKE  04000
#define LINUX_IEXTEN  0100000

enum linux_cc {
    LINUX_VINTR,
    LINUX_VQUIT,
    LINUX_VERASE,
    LINUX_VKILL,
    LINUX_VEOF,
    LINUX_VTIME,
    LINUX_VMIN,
    LINUX_VSWTC,
    LINUX_VSTART,
    LINUX_VSTOP,
    LINUX_VSUSP,
    LINUX_VEOL,
    LINUX_VREPRINT,
    LINUX_VDISCARD,
    LINUX_VWERASE,
    LINUX_VLNEXT,
    LINUX_VEOL2,
};

#define LINUX_TCGETS         0x5401
#define LINUX_TCSETS         0x5402
#define LINUX_TCSETSW        0x5403
#define LINUX_TCSETSF        0x5404
#define LINUX_TCGETA         0x5405
#define LINUX_TCSETA         0x5406
#define LINUX_TCSETAW        0x5407
#define LINUX_TCSETAF        0x5408
#define LINUX_TCSBRK         0x5409
#define LINUX_TCXONC         0x540a
#define LINUX_TCOOFF         0
#define LINUX_TCOON          1
#define LINUX_TCIOFF         2
#define LINUX_TCION          3
#define LINUX_TCFLSH         0x540b
#define LINUX_TCOFLUSH       1
#define LINUX_TCIOFLUSH      2
#define LINUX_TIOCSCTTY      0x540e
#define LINUX_TIOCGPGRP      0x540f
#define LINUX_TIOCSPGRP      0x5410
#define LINUX_TIOCOUTQ       0x5411
#define LINUX_TIOCGWINSZ     0x5413
#define LINUX_TIOCSWINSZ     0x5414
#define LINUX_FIONREAD       0x541b
#define LINUX_FIONBIO        0x5421
#define LINUX_TIOCNOTTY      0x5422
#define LINUX_TIOCGETD       0x5424
#define LINUX_TCSBRKP        0x5425
#define LINUX_TIOCGSID       0x5429
#define LINUX_TCGETS2        0x802c542a
#define LINUX_TCSETS2        0x402c542b
#define LINUX_TCSETSW2       0x402c542c
#define LINUX_TCSETSF2       0x402c542d
#define LINUX_TIOCGDEV       0x80045432
#define LINUX_TIOCGLCKTRMIOS 0x5456
#define LINUX_TIOCSLCKTRMIOS 0x5457
/* Of a pseudo-terminal's master: */
#define LINUX_TIOCGPTPEER 0x5441
#define LINUX_TIOCGPTN    0x80045430
#define LINUX_TIOCSPTLCK  0x40045431
#define LINUX_TIOCGPTLCK  0x80045439
#define LINUX_TIOCSIG     0x40045436
#define LINUX_TIOCPKT     0x5420
#define LINUX_TIOCGPKT    0x80045438
/* What it is told in packet mode. */
#define LINUX_TIOCPKT_DATA       0
#define LINUX_TIOCPKT_FLUSHREAD  1
#define LINUX_TIOCPKT_FLUSHWRITE 2
#define LINUX_TIOCPKT_STOP       4
#define LINUX_TIOCPKT_START      8
#define LINUX_TIOCPKT_NOSTOP     16
#define LINUX_TIOCPKT_DOSTOP     32

#endif
