/* The personality's sources, for this test: the console. */
#include "user/linux/console.c"
