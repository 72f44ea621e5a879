/*
 * Kernel objects of the server: pages of tables blocks turned into objects, and the server's own
 * capability slots. Slots are handed out under a lock of their own kind (LOCK_IDS).
 */
#ifndef MMSERVER_CORE_KOBJ_H
#define MMSERVER_CORE_KOBJ_H

#include "mmserver/core/phys.h"

bool kobj_init(struct worker *w, uint64_t table_entries);
uint32_t kobj_slots_free(void);
/* An empty slot of the server's own table; 0 if none. */
uint32_t kobj_slot_alloc(void);
void kobj_slot_free(uint32_t slot);

/* Make an object of fresh pages. `parameter`: pages of entries, for a Table. On success its
 * capability is at *slot and its first page in *page. 0 or -LINUX_ENOMEM. */
long kobj_create(struct worker *w, enum cap_type type, uint64_t parameter, uint32_t *slot,
                 pfn_t *page);
/* Revoke all that was derived, delete the object, give its pages back. False while the kernel says
 * that it is in use (ERR_BUSY); then it stays. */
bool kobj_destroy(struct worker *w, enum cap_type type, uint64_t parameter, uint32_t slot,
                  pfn_t page);
/* Revoke until nothing derived is left; false if something is in use. */
bool kobj_revoke(uint32_t slot);
/* Delete a capability of which nothing is derived; false if it is in use. */
bool kobj_delete(uint32_t slot);
/* The slot of the Memory capability that covers a page, and the page's number in it. */
uint32_t kobj_memory(pfn_t pfn, uint64_t *relative);

#endif
