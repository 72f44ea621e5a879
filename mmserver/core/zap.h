/* Taking pages out of an address space. All with the mm locked and settled. */
#ifndef MMSERVER_CORE_ZAP_H
#define MMSERVER_CORE_ZAP_H

#include "mmserver/core/pt.h"

#define ZAP_FILE_PAGES 64

/* What a removal has gathered and may only give back when the fences are done. */
struct zap {
    struct worker *w;
    struct mm *mm;
    struct page_list freed;
    unsigned file_count;
    struct page *file_page[ZAP_FILE_PAGES];
};

void zap_begin(struct zap *z, struct worker *w, struct mm *mm);
/* Account that `entry` will be gone. */
void zap_entry(struct zap *z, uint64_t entry);
/* Send what was gathered, then free the pages. */
void zap_flush(struct zap *z);

/* Empty every leaf entry of [start, end) and free what was behind. Tables stay. */
void zap_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);

#endif
