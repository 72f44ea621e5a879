/*
 * A world for tests of the memory server: the simulated machine is switched on with a small
 * archive, the server starts as it does on the real one, and tests act as the personality and as
 * programs.
 */
#ifndef PAGODA_TESTS_HOST_CORE_WORLD_H
#define PAGODA_TESTS_HOST_CORE_WORLD_H

#include "ktap.h"
#include "mmserver/core/check.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/pt.h"
#include "mmserver/place/host/sim.h"
#include "mmserver/server/server.h"

#define WORLD_FILE_BYTES (PAGE_BYTES + 1234) /* of the file that core_world_map_file maps */

struct world {
    uint32_t harts;                 /* 0: one */
    uint64_t memory_pages;          /* 0: 64 MiB */
    uint32_t levels;                /* 0: three */
    const char *args;               /* NULL: norandmaps */
    bool runs;                      /* the machine has Svnapot */
    const struct boot_range *range; /* NULL: see struct sim_config */
    uint32_t ranges;
};

void core_world_boot(const struct world *world);
/* A thread of the personality. */
struct client *core_world_personality(void);
/* A program in an address space of its own, on that hart. */
struct client *core_world_program(uint32_t hart);
/* The same; NULL and what it has made so far undone if the server refuses a step. */
struct client *core_world_try_program(uint32_t hart);
/* One more thread in c's address space. */
struct client *core_world_thread(struct client *c, uint32_t hart);
/* A program whose address space is a fork's copy of c's; NULL and nothing made if the server
 * refuses a step. */
struct client *core_world_fork(struct client *c, uint32_t hart);
/* Its thread and address space go. */
void core_world_end(struct client *c);

long core_world_call(struct client *c, long number, uint64_t a, uint64_t b, uint64_t p, uint64_t q,
                     uint64_t r);
/* Private anonymous memory; the address or -errno. */
uint64_t core_world_mmap(struct client *c, vaddr_t at, uint64_t bytes, uint64_t prot,
                         uint64_t flags);
long core_world_map_file(struct client *c, uint64_t prot, uint64_t flags, uint64_t bytes);
uint8_t core_world_file_byte(uint64_t offset);
void core_world_poke(struct client *c, vaddr_t at, const void *from, uint64_t bytes);
void core_world_peek(struct client *c, vaddr_t at, void *to, uint64_t bytes);

/* The server's recount and the simulated kernel's find nothing wrong. */
void core_world_check(void);
/* Pages that nobody uses once all caches were emptied, and what is cached of files still in use. */
uint64_t core_world_free_pages(void);

#endif
