/* The personality's sources, for this test: readiness. */
#include "user/linux/epoll.c"
#include "user/linux/ring.c"
#include "user/linux/watch.c"
