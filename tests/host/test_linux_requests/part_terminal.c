/* The personality's sources, for this test: terminals. */
#include "user/linux/terminal.c"
