/* The personality's sources, for this test: bytes from file to file. */
#include "user/linux/transfer.c"
