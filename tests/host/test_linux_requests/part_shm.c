/* The personality's sources, for this test: System V shared memory. */
#include "user/linux/shm.c"
