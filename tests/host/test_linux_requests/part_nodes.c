/* The personality's sources, for this test: memory nodes. */
#include "user/linux/cpus.c"
#include "user/linux/nodes.c"
