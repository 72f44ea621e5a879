/* Program images: from an ELF file of the archive to an address space that a thread can start in.
 */
#ifndef MMSERVER_CORE_EXEC_H
#define MMSERVER_CORE_EXEC_H

#include "mmserver/core/mm.h"

struct exec_request {
    struct mm *caller; /* whose memory the strings are in; NULL: the server's own */
    uint64_t strings;  /* argc + envc NUL-terminated strings */
    uint64_t strings_bytes;
    uint32_t argc, envc;
    struct object *file;        /* the image; the caller keeps its reference */
    struct object *interpreter; /* what the image wants to be loaded by, if it does; the same */
    bool fixed;                 /* ADDR_NO_RANDOMIZE: nothing is placed at random */
    const char *path;
    vaddr_t entry, sp; /* out */
};

/* What programs are told about the machine (AT_HWCAP). Set at start-up. */
extern uint64_t exec_hwcap;

/* Load into an empty mm. 0 or -LINUX_x; then mm is empty again. */
long exec_load(struct worker *w, struct mm *mm, struct exec_request *r);

#endif
