/* The old place of <dirent.h>. */
#include <dirent.h>
