/* The personality's sources, for this test: sockets, what they do. */
#include "user/linux/socket.c"
#include "user/linux/socket_collect.c"
#include "user/linux/socket_io.c"
#include "user/linux/vector.c"
