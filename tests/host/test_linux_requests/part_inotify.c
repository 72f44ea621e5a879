/* The personality's sources, for this test: inotify. */
#include "user/linux/inotify.c"
