/* The personality's sources, for this test: terminals. */
#include "user/linux/console.c"
#include "user/linux/terminal_ioctl.c"
