/*
 * Capabilities and capability tables.
 *
 * An entry is one cache line. `forbid` is the set of entry bits that a mapping made with it may not
 * have: all ones unless it is Memory, so that one AND tests type, rights and stray bits. Derived
 * entries form a tree (parent, first child, siblings both ways) across tables.
 *
 * The first capability of an object (the primary one) is a child of the Memory that the object was
 * made of; deleting it destroys the object. All other capabilities of the object descend from it.
 *
 * Lock: every change is under the kernel lock. The straight paths read entries without it, inside
 * hart_busy(), in any order of their loads. So an entry that is made or removed goes through the
 * empty one (type 0, forbids everything, covers no page), with harts_quiesce() in between.
 */
#ifndef KERNEL_CAP_H
#define KERNEL_CAP_H

#include "kernel/types.h"

struct cap {
    uint64_t forbid;
    union {
        uint64_t first; /* Memory: first page */
        void *object;   /* others: the kernel object. Reply: the thread. Interrupt: the source */
    };
    union {
        uint64_t pages; /* Memory */
        uint64_t badge; /* Endpoint: badge. Notification: allowed bits (0: all). Reply: sequence */
    };
    uint8_t type;        /* enum cap_type; 0: empty */
    uint8_t rights;      /* RIGHT_* */
    uint8_t primary;     /* bool: deleting it destroys the object */
    uint8_t depth;       /* more than its parent's, and than that of the table it stands in */
    uint16_t node;       /* Memory: NUMA node */
    uint8_t table_depth; /* of the table it stands in; stays when the entry is empty */
    uint8_t spare;
    struct cap *parent;
    struct cap *child; /* first */
    struct cap *next;  /* siblings */
    struct cap *prev;
};

_Static_assert(sizeof(struct cap) == 64, "a capability is one cache line");

#define CAPS_PER_PAGE   (PAGE_BYTES / sizeof(struct cap))
#define TABLE_PAGES_MAX 64

/* The Table object: a page of its own before the pages of entries. */
struct table {
    struct cap *caps;
    uint64_t size;  /* entries */
    uint64_t users; /* threads that use it */
    uint64_t swept; /* entries before this one are empty: destruction resumes here */
};

/* The longest chain of derivations, and of tables inside tables: bounds every walk. */
#define CAP_DEPTH_MAX 200

/* Make `table` out of `size` entries at `caps`, all of them empty. No hart knows it yet. `depth` is
 * that of its primary capability; 0 at boot. */
void cap_table_init(struct table *table, struct cap *caps, uint64_t size, unsigned depth);

/* Look up slot with type and rights. *error is set (positive ERR_x) and NULL returned otherwise. */
struct cap *cap_lookup(struct thread *t, uint64_t slot, enum cap_type type, uint8_t rights,
                       long *error);
/* The entry (table, index), SELF_TABLE meaning the caller's own; needs RIGHT_CONTROL on the table.
 */
struct cap *cap_entry(struct thread *t, uint64_t table, uint64_t index, long *error);

/* The bits that Memory with these rights forbids in an entry; `io` bits only as the machine has. */
uint64_t cap_forbid(uint8_t rights);

/* The depth that an entry derived from parent (or NULL) has at c; at most CAP_DEPTH_MAX is allowed.
 */
unsigned cap_depth_at(const struct cap *parent, const struct cap *c);

/* Kernel lock held. Fill an empty entry; parent may be NULL (made at boot, or a Reply). */
void cap_fill_memory(struct cap *c, struct cap *parent, uint64_t first, uint64_t pages,
                     uint8_t rights, uint32_t node);
void cap_fill_object(struct cap *c, struct cap *parent, enum cap_type type, void *object,
                     uint64_t badge, uint8_t rights, bool primary);
/* Unlink from the tree and clear; no children. Does not touch the object. Afterwards no hart is on
 * a straight path that found it. */
void cap_clear(struct cap *c);

/*
 * Kernel lock held, both; c is not empty. Answers 0, -ERR_AGAIN (bounded work was done, some is
 * left), -ERR_BUSY (something in use stands in the way), cap_remove() also -ERR_CHILDREN.
 * The primary capability of an object whose destruction has begun has no rights any more.
 */
/* Delete one entry: as CALL_CAP_DELETE. */
long cap_remove(struct cap *c);
/* Delete descendants, at most `budget` steps: as CALL_CAP_REVOKE. */
long cap_revoke(struct cap *c, unsigned budget);

#endif
