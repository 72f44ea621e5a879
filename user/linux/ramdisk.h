/*
 * Block devices of memory: /dev/ram0 and its like. One is an object of the memory server, of fixed
 * size, made when it is first opened; it then stays. Every node with its number stands for it and
 * has its handle once it was opened (fs.h). Big lock held in all functions.
 */
#ifndef LINUX_RAMDISK_H
#define LINUX_RAMDISK_H

#include <stddef.h>
#include <stdint.h>

struct file;
struct node;
struct space;
struct thread;

/* The node is being opened: 0 or -errno. */
long ramdisk_open(struct node *node);
uint64_t ramdisk_bytes(void);
/* As file_read() and file_write(). */
long ramdisk_read(struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset);
long ramdisk_write(struct node *node, struct space *space, uint64_t address, size_t bytes,
                   uint64_t *offset);
long ramdisk_ioctl(struct thread *t, uint32_t request, uint64_t argument);

#endif
