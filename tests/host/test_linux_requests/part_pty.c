/* The personality's sources, for this test: pseudo-terminals. */
#include "user/linux/pty.c"
