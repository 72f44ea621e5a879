/* The personality's sources, for this test: sockets, their calls. */
#include "user/linux/socket_calls.c"
#include "user/linux/socket_message.c"
#include "user/linux/socket_multiple.c"
#include "user/linux/socket_name.c"
#include "user/linux/socket_option.c"
