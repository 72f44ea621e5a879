/* Terminal control: Linux riscv64's struct termios and the flags that programs here use. */
#ifndef PG_TERMIOS_H
#define PG_TERMIOS_H

typedef unsigned char cc_t;
typedef unsigned int speed_t;
typedef unsigned int tcflag_t;

#define NCCS 19

/* The kernel's struct termios (TCGETS, TCSETS). */
struct termios {
    tcflag_t c_iflag;
    tcflag_t c_oflag;
    tcflag_t c_cflag;
    tcflag_t c_lflag;
    cc_t c_line;
    cc_t c_cc[NCCS];
};

_Static_assert(sizeof(struct termios) == 36, "the kernel's struct termios");

struct winsize {
    unsigned short ws_row;
    unsigned short ws_col;
    unsigned short ws_xpixel;
    unsigned short ws_ypixel;
};

/* c_iflag */
#define IGNBRK 0001
#define BRKINT 0002
#define PARMRK 0010
#define INPCK  0020
#define ISTRIP 0040
#define INLCR  0100
#define IGNCR  0200
#define ICRNL  0400
#define IXON   02000
/* c_oflag */
#define OPOST 0001
#define ONLCR 0004
/* c_cflag */
#define CSIZE  0060
#define CS8    0060
#define CREAD  0200
#define PARENB 0400
/* c_lflag */
#define ISIG   0001
#define ICANON 0002
#define ECHO   0010
#define ECHOE  0020
#define ECHOK  0040
#define ECHONL 0100
#define IEXTEN 0100000

#define VINTR  0
#define VQUIT  1
#define VERASE 2
#define VKILL  3
#define VEOF   4
#define VTIME  5
#define VMIN   6

#define TCSANOW   0
#define TCSADRAIN 1
#define TCSAFLUSH 2

#define TCGETS     0x5401
#define TCSETS     0x5402
#define TCSETSW    0x5403
#define TCSETSF    0x5404
#define TIOCSCTTY  0x540e
#define TIOCGPGRP  0x540f
#define TIOCSPGRP  0x5410
#define TIOCGWINSZ 0x5413

int tcgetattr(int fd, struct termios *out);
int tcsetattr(int fd, int when, const struct termios *in);
void cfmakeraw(struct termios *t);

#endif
