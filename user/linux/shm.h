/* System V shared memory: the text of /proc/sysvipc/shm. Big lock held. */
#ifndef LINUX_SHM_H
#define LINUX_SHM_H

/* malloced into *text; its length or -errno. */
long shm_text(char **text);

#endif
