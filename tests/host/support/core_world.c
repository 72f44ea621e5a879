/* See core_world.h. The archive holds /sbin/linux, which is also the image of every program. */
#include "core_world.h"

#include "mmserver/core/kobj.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/zone.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARCHIVE_BYTES 65536UL
#define TEXT_BYTES    6000UL
#define DATA_BYTES    3000UL
#define DATA_MEMORY   20000UL
#define IMAGE_BYTES   (2 * PAGE_BYTES + DATA_BYTES)
#define TEXT_ADDRESS  0x10000UL
#define DATA_ADDRESS  (0x20000UL + 0)
#define SLOT_FIRST    LINUX_SLOT_FREE
#define SLOT_LAST     (SLOT_FIRST + 255)
#define RUNS_VARIABLE "PAGODA_RUNS" /* of the environment: all worlds have runs of 64 KiB */

static uint8_t archive[ARCHIVE_BYTES] __attribute__((aligned(4096)));
static uint64_t image_start, file_start;
static struct client *personality;
static vaddr_t desk; /* memory of the personality for what calls point to */
static uint32_t next_slot;

static void image_make(uint8_t *where)
{
    static uint8_t to[IMAGE_BYTES] __attribute__((aligned(8)));
    Elf64_Ehdr *head = (Elf64_Ehdr *)to;
    Elf64_Phdr *segment = (Elf64_Phdr *)(to + sizeof *head);

    for (uint64_t i = 0; i < IMAGE_BYTES; i++)
        to[i] = (uint8_t)(i * 7);
    memset(to, 0, sizeof *head + 2 * sizeof *segment);
    memcpy(head->e_ident, ELFMAG "\2\1\1", 7);
    head->e_type = ET_EXEC;
    head->e_machine = EM_RISCV;
    head->e_version = 1;
    head->e_entry = TEXT_ADDRESS + 512;
    head->e_phoff = sizeof *head;
    head->e_ehsize = sizeof *head;
    head->e_phentsize = sizeof *segment;
    head->e_phnum = 2;
    segment[0] = (Elf64_Phdr){PT_LOAD,      PF_R | PF_X, 0,          TEXT_ADDRESS,
                              TEXT_ADDRESS, TEXT_BYTES,  TEXT_BYTES, PAGE_BYTES};
    segment[1] = (Elf64_Phdr){PT_LOAD,      PF_R | PF_W, 2 * PAGE_BYTES, DATA_ADDRESS,
                              DATA_ADDRESS, DATA_BYTES,  DATA_MEMORY,    PAGE_BYTES};
    memcpy(where, to, IMAGE_BYTES);
}

/* One member of the archive at `at`; where its data begins, and *end. */
static uint64_t member(uint64_t at, const char *name, uint64_t bytes, uint64_t *end)
{
    uint64_t name_bytes = strlen(name) + 1;
    uint64_t data = (at + 110 + name_bytes + 3) & ~3UL;

    snprintf((char *)archive + at, 111,
             "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, 0100755, 0, 0, 1, 0,
             (unsigned)bytes, 0, 0, 0, 0, (unsigned)name_bytes, 0);
    memcpy(archive + at + 110, name, name_bytes);
    *end = (data + bytes + 3) & ~3UL;
    return data;
}

uint8_t core_world_file_byte(uint64_t offset)
{
    return (uint8_t)(offset * 13 + 1);
}

static uint64_t archive_make(void)
{
    uint64_t end;

    memset(archive, 0, sizeof archive);
    image_start = member(0, "sbin/linux", IMAGE_BYTES, &end);
    image_make(archive + image_start);
    file_start = member(end, "etc/file", WORLD_FILE_BYTES, &end);
    for (uint64_t i = 0; i < WORLD_FILE_BYTES; i++)
        archive[file_start + i] = core_world_file_byte(i);
    member(end, "TRAILER!!!", 0, &end);
    return end;
}

void core_world_boot(const struct world *world)
{
    const struct sim_config config = {.memory_pages =
                                          world->memory_pages ? world->memory_pages : 16384,
                                      .range = world->range,
                                      .ranges = world->ranges,
                                      .harts = world->harts ? world->harts : 1,
                                      .levels = world->levels ? world->levels : 3,
                                      .archive = archive,
                                      .archive_bytes = archive_make(),
                                      .args = world->args             ? world->args
                                              : getenv(RUNS_VARIABLE) ? "norandmaps mthp=always"
                                                                      : "norandmaps",
                                      .runs = world->runs || getenv(RUNS_VARIABLE)};

    sim_boot(&config);
    personality = client_get(1);
    EXPECT(personality != NULL);
    client_put(personality);
    EXPECT(personality->personality);
    desk = core_world_mmap(personality, 0, 16 * PAGE_BYTES, PROT_READ | PROT_WRITE, 0);
    next_slot = SLOT_FIRST;
}

struct client *core_world_personality(void)
{
    return personality;
}

long core_world_call(struct client *c, long number, uint64_t a, uint64_t b, uint64_t p, uint64_t q,
                     uint64_t r)
{
    const uint64_t args[6] = {a, b, p, q, r, 0};

    return sim_call(c, number, args, NULL);
}

uint64_t core_world_mmap(struct client *c, vaddr_t at, uint64_t bytes, uint64_t prot,
                         uint64_t flags)
{
    return (uint64_t)core_world_call(c, NR_mmap, at, bytes, prot,
                                     flags | MAP_PRIVATE | MAP_ANONYMOUS, ~0UL);
}

void core_world_poke(struct client *c, vaddr_t at, const void *from, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        uint8_t value = ((const uint8_t *)from)[i];

        EXPECT(sim_access(c, at + i, SIM_WRITE, &value).done);
    }
}

void core_world_peek(struct client *c, vaddr_t at, void *to, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        EXPECT(sim_access(c, at + i, SIM_READ, (uint8_t *)to + i).done);
}

static void put_strings(void)
{
    static const char strings[] = "program\0one\0two\0HOME=/\0PATH=/bin";

    core_world_poke(personality, desk + 1024, strings, sizeof strings);
    core_world_poke(personality, desk + 2048, "/bin/program", 13);
}

static long try_exec(uint64_t mm, struct mm_exec *exec)
{
    *exec = (struct mm_exec){.file_start = image_start,
                             .file_bytes = IMAGE_BYTES,
                             .strings = desk + 1024,
                             .strings_bytes = 33,
                             .argc = 3,
                             .envc = 2,
                             .name = desk + 2048};
    core_world_poke(personality, desk, exec, sizeof *exec);
    long error = core_world_call(personality, MM_EXEC, mm, desk, 0, 0, 0);
    core_world_peek(personality, desk, exec, sizeof *exec);
    return error;
}

struct client *core_world_try_program(uint32_t hart)
{
    struct mm_exec exec;
    uint32_t slot = next_slot;

    put_strings();
    long mm = core_world_call(personality, MM_CREATE, slot, 0, 0, 0, 0);
    if (mm < 0)
        return NULL;
    long thread = try_exec((uint64_t)mm, &exec);
    if (!thread) {
        struct mm_thread wanted = {.badge = 7,
                                   .hart = hart,
                                   .priority = MM_PRIORITY_CLIENT,
                                   .regs = {.x = {[0] = exec.entry, [2] = exec.sp}}};

        core_world_poke(personality, desk, &wanted, sizeof wanted);
        thread = core_world_call(personality, MM_THREAD_CREATE, (uint64_t)mm, desk, 0, 0, 0);
    }
    if (thread <= 0) {
        EXPECT_EQ(core_world_call(personality, MM_RELEASE, (uint64_t)mm, 0, 0, 0, 0), 0);
        return NULL;
    }
    struct client *c = client_get((uint64_t)thread);
    EXPECT(c != NULL);
    client_put(c);
    return c;
}

struct client *core_world_program(uint32_t hart)
{
    struct client *c = core_world_try_program(hart);

    EXPECT(c != NULL);
    next_slot++;
    return c;
}

struct client *core_world_thread(struct client *c, uint32_t hart)
{
    const struct mm_thread wanted = {.badge = 8, .hart = hart, .priority = MM_PRIORITY_CLIENT};

    core_world_poke(personality, desk, &wanted, sizeof wanted);
    long id = core_world_call(personality, MM_THREAD_CREATE, c->mm->id, desk, 0, 0, 0);
    EXPECT(id > 0);
    struct client *made = client_get((uint64_t)id);
    EXPECT(made != NULL);
    client_put(made);
    return made;
}

struct client *core_world_fork(struct client *c, uint32_t hart)
{
    const struct mm_thread wanted = {.badge = 9, .hart = hart, .priority = MM_PRIORITY_CLIENT};

    core_world_poke(personality, desk, &wanted, sizeof wanted);
    long mm = core_world_call(personality, MM_FORK, c->mm->id, next_slot, 0, 0, 0);
    if (mm <= 0)
        return NULL;
    long id = core_world_call(personality, MM_THREAD_CREATE, (uint64_t)mm, desk, 0, 0, 0);
    if (id <= 0) {
        EXPECT_EQ(core_world_call(personality, MM_RELEASE, (uint64_t)mm, 0, 0, 0, 0), 0);
        return NULL;
    }
    next_slot = next_slot == SLOT_LAST ? SLOT_FIRST : next_slot + 1;
    struct client *made = client_get((uint64_t)id);
    EXPECT(made != NULL);
    client_put(made);
    return made;
}

void core_world_end(struct client *c)
{
    uint64_t mm = c->mm->id;

    EXPECT_EQ(core_world_call(personality, MM_THREAD_DESTROY, c->id, 0, 0, 0, 0), 0);
    long error;
    do /* a large one goes in parts */
        error = core_world_call(personality, MM_RELEASE, mm, 0, 0, 0, 0);
    while (error == -LINUX_EAGAIN);
    EXPECT_EQ(error, 0);
}

long core_world_map_file(struct client *c, uint64_t prot, uint64_t flags, uint64_t bytes)
{
    const struct mm_map_file map = {.mm = c->mm->id,
                                    .bytes = bytes,
                                    .prot = prot,
                                    .flags = flags,
                                    .file_start = file_start,
                                    .file_bytes = WORLD_FILE_BYTES,
                                    .name = desk + 2048};

    core_world_poke(personality, desk + 2048, "/etc/file", 10);
    core_world_poke(personality, desk, &map, sizeof map);
    return core_world_call(personality, MM_MAP_FILE, desk, 0, 0, 0, 0);
}

void core_world_check(void)
{
    EXPECT(sim_consistent());
    EXPECT_EQ(check_all(sim_worker(0)), 0);
}

uint64_t core_world_free_pages(void)
{
    while (object_shrink(sim_worker(0)))
        ;
    for (uint32_t i = 0; i < worker_count; i++) {
        slab_shrink(sim_worker(i));
        pages_drain(sim_worker(i));
    }
    /* The personality's own image stays in the page cache. */
    return zones_free() + zones_blocks(MIGRATE_TABLES) + object_cached_pages();
}
