/* The personality's sources, for this test: memory files. */
#include "user/linux/memfile.c"
#include "user/linux/ramdisk.c"
