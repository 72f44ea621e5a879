/* Words of programs' memory that they change at the same time: futexes. */
#ifndef MMSERVER_CORE_WORD_H
#define MMSERVER_CORE_WORD_H

#include "mmserver/core/mm.h"

struct word_key {
    uint64_t object; /* the same for all who share the word; 0: it is private to the mm */
    uint64_t offset; /* of the word, in bytes */
};

/* What the word is, wherever it is mapped: 0, or -LINUX_EFAULT if nothing is mapped there. */
long word_key(struct worker *w, struct mm *mm, vaddr_t address, struct word_key *key);
/* If the word is `old`, it becomes `new`, in one step for everybody who sees it. The value that was
 * there, or -LINUX_EFAULT. `address` must be aligned. */
long word_swap(struct worker *w, struct mm *mm, vaddr_t address, uint32_t old, uint32_t new);

#endif
