/* The personality's sources, for this test: files and the calls on them. */
#include "user/linux/calls.c"
#include "user/linux/descriptor.c"
#include "user/linux/file.c"
#include "user/linux/ident.c"
#include "user/linux/io.c"
#include "user/linux/path.c"
#include "user/linux/proc.c"
#include "user/linux/system.c"
