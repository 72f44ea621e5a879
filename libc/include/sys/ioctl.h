/* Device control; the request numbers live with what they control (<termios.h>). */
#ifndef PG_SYS_IOCTL_H
#define PG_SYS_IOCTL_H

#include <termios.h>

int ioctl(int fd, unsigned long request, ...);

#endif
