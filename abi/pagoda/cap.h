/* Capability types and rights, as both sides of the kernel boundary see them. */
#ifndef PAGODA_CAP_H
#define PAGODA_CAP_H

enum cap_type {
    CAP_NONE,
    CAP_MEMORY,       /* an extent of physical pages */
    CAP_SPACE,        /* an address space */
    CAP_THREAD,       /* a thread */
    CAP_ENDPOINT,     /* where messages go */
    CAP_REPLY,        /* the one-shot right to answer a waiting thread */
    CAP_NOTIFICATION, /* a word of signal bits */
    CAP_INTERRUPT,    /* one source of the interrupt controller */
    CAP_TABLE,        /* a capability table */
    CAP_KERNEL,       /* log, power, counters */
    CAP_TYPES
};

/* Rights of Memory. Reading is implied by holding it. */
#define RIGHT_WRITE 0x01 /* map it writable */
#define RIGHT_EXEC  0x02 /* map it executable */
#define RIGHT_KEEP  0x04 /* change its blocks' class, make objects and tables of it */
#define RIGHT_IO    0x08 /* device memory: memory type bits allowed, never an object */

/* Rights of Space. */
#define RIGHT_MAP  0x01 /* batches, fault replies, destruction of mappings */
#define RIGHT_COPY 0x02 /* copy bytes in and out */

/* Rights of Thread. */
#define RIGHT_CONTROL 0x01 /* start, stop, move, priority, registers; make it a worker */
#define RIGHT_ROUTE   0x02 /* choose its space, table, routes and call mask: what it trusts */

/* Rights of Endpoint. */
#define RIGHT_CALL  0x01 /* send a message and wait for the answer */
#define RIGHT_SERVE 0x02 /* bind workers, be named in routes */

/* Rights of Notification. */
#define RIGHT_SIGNAL 0x01
#define RIGHT_WAIT   0x02

/* Rights of Interrupt: RIGHT_CONTROL. Rights of Table: RIGHT_CONTROL. Of Reply: none. */

/* Rights of Kernel. */
#define RIGHT_LOG      0x01
#define RIGHT_POWER    0x02
#define RIGHT_COUNTERS 0x04

#define RIGHT_ALL 0x7f
/* Whoever holds it may make further copies. */
#define RIGHT_COPY_ON 0x80

#endif
