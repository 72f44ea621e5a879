/* The personality's sources, for this test: memory nodes. */
#include "user/linux/nodes.c"
