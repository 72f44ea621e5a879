/* The personality's sources, for this test: advisory locks. */
#include "user/linux/filelock.c"
