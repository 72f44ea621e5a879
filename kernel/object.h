/*
 * Objects as capabilities see them: pages of a tables block that are initialised, destroyed and
 * given back. What an object does is in the file of its type.
 *
 * Lock: the kernel lock, for all functions.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include "kernel/types.h"

/* Undo all that the object is part of: 0, -ERR_AGAIN, -ERR_BUSY. Its pages stay. */
long object_destroy(enum cap_type type, void *object);
/* Give its pages back; no hart can reach it any more. What the boot made keeps its memory. */
void object_release(enum cap_type type, void *object);

#endif
