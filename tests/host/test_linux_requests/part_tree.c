/* The personality's sources, for this test: the tree and the terminal. */
#include "user/linux/dir.c"
#include "user/linux/fs.c"
#include "user/linux/random.c"
#include "user/linux/tty.c"
