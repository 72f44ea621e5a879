/*
 * Start-up, by the first thread, before any worker exists:
 *
 *   1. memory: descriptors, buddy lists        4. the personality's process, not yet running
 *   2. object caches, files, numbers, slots    5. workers are bound: from here on events come
 *   3. a worker's things for every hart        6. the personality's first thread is started
 *
 * The first thread works as the boot hart's worker would, on the same operation page; that worker
 * is not entered before this thread stops, because no client runs above it.
 */
#include "mmserver/core/around.h"
#include "mmserver/core/cma.h"
#include "mmserver/core/device.h"
#include "mmserver/core/device_map.h"
#include "mmserver/core/exec.h"
#include "mmserver/core/object.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/placement.h"
#include "mmserver/core/random.h"
#include "mmserver/core/report.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/vmap.h"
#include "mmserver/place/place_server.h"
#include "mmserver/server/server.h"
#include <string.h>

#define PAGE_KIB (PAGE_BYTES / 1024)

/* Bits of AT_HWCAP: one per letter. */
#define HWCAP(letter) (1UL << ((letter) - 'a'))

static void require(bool good, const char *what)
{
    if (good)
        return;
    text_log("start: %s", what);
    place_power_off(1);
}

/* Is `word` one of the blank-separated words of the command line? */
static bool argument_given(const char *args, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = args; (at = strstr(at, word)); at += length) {
        bool begins = at == args || at[-1] == ' ';

        if (begins && (at[length] == ' ' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* What stands behind `name`, which ends in "=", in the last such word; NULL if there is none. */
static const char *argument_value(const char *args, const char *name)
{
    const char *value = NULL;

    for (const char *at = args; (at = strstr(at, name)); at += strlen(name)) {
        if (at == args || at[-1] == ' ')
            value = at + strlen(name);
    }
    return value;
}

static _Noreturn void argument_bad(const char *name, const char *expected)
{
    text_log("start: boot argument %s... is not understood: %s", name, expected);
    place_power_off(1);
}

/* A number from low to high, or what stands there if the word is not given. */
static uint64_t argument_number(const char *args, const char *name, const char *expected,
                                uint64_t low, uint64_t high, uint64_t otherwise)
{
    const char *at = argument_value(args, name);
    uint64_t n = 0;

    if (!at)
        return otherwise;
    if (*at < '0' || *at > '9')
        argument_bad(name, expected);
    for (; *at >= '0' && *at <= '9' && n <= high; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    if ((*at && *at != ' ') || n < low || n > high)
        argument_bad(name, expected);
    return n;
}

/* One of two words: is it the second? Without any it is the first. */
static bool argument_choice(const char *args, const char *name, const char *expected,
                            const char *usual, const char *other)
{
    const char *value = argument_value(args, name);
    size_t bytes = value ? strcspn(value, " ") : 0;

    if (!value || (bytes == strlen(usual) && memcmp(value, usual, bytes) == 0))
        return false;
    if (bytes != strlen(other) || memcmp(value, other, bytes) != 0)
        argument_bad(name, expected);
    return true;
}

/* policy=NAME */
static void policy_init(const char *args)
{
    static const struct around_policy *const all[] = {AROUND_POLICIES};
    const char *name = argument_value(args, "policy=");
    size_t bytes = name ? strcspn(name, " ") : 0;

    if (!name)
        return;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strlen(all[i]->name) == bytes && memcmp(all[i]->name, name, bytes) == 0)
            around_policy = all[i];
    }
    if (!around_policy)
        argument_bad("policy=", "a name from the list in mmserver/core/around.h");
}

/* What a comparison takes away, or sets otherwise. */
static void variant_init(const struct boot_info *info)
{
    bool plain = argument_choice(info->args, "messages=", "straight or plain", "straight", "plain");
    bool single = argument_choice(info->args, "batches=", "on or off", "on", "off");

    require(!single || !(info->features & BOOT_HAS_SVNAPOT),
            "batches=off cannot change the pages of a 64 KiB run one by one; svnapot must be off");
    require(!(plain || single) || place_apart(plain, single),
            "messages=plain and batches=off are for pager=user");
    pages_zeroed_max = argument_number(info->args, "zeroahead=", "a number of pages, 0 to 256", 0,
                                       ZEROED_PAGES_MAX, ZEROED_PAGES_MAX);
    policy_init(info->args);
    object_around_bytes =
        argument_number(info->args, "faultaround=", "a power of two from 4096 to 1048576 bytes",
                        PAGE_BYTES, OBJECT_AROUND_MAX, object_around_bytes);
    if (object_around_bytes & (object_around_bytes - 1))
        argument_bad("faultaround=", "a power of two from 4096 to 1048576 bytes");
}

/* One line says what became of all memory. */
static void memory_init(const struct boot_info *info)
{
    const char *problem = memblock_boot(&memblock, info);

    require(!problem, problem);
    require(memblock_check(&memblock), "the account of memory does not add up");
    numa_boot(info);
    struct memblock_account sum = memblock_account(&memblock);
    if (memblock.left_out)
        text_log("memory: %lu KiB in small parts are in no account", memblock.left_out >> 10);
    text_log(
        "memory: %lu KiB present, %lu given, %lu reusable, %lu reserved, %lu no-map, %lu nodes",
        sum.present * PAGE_KIB, sum.free * PAGE_KIB, sum.reusable * PAGE_KIB,
        sum.reserved * PAGE_KIB, sum.nomap * PAGE_KIB, (uint64_t)numa_nodes());
}

/* mthp=never, madvise or always; only for machines that have what runs need. */
static void runs_start(const struct boot_info *info)
{
    const uint32_t needed = BOOT_HAS_SVNAPOT | BOOT_HAS_SVADU;
    bool has = (info->features & needed) == needed;

    runs_init(!has || argument_given(info->args, "mthp=never") ? RUNS_NEVER
              : argument_given(info->args, "mthp=always")      ? RUNS_ALWAYS
                                                               : RUNS_MADVISE);
}

static void core_init(const struct boot_info *info, struct worker *boot)
{
    variant_init(info);
    memory_init(info);
    require(phys_init(info), "too little memory");
    mm_levels = info->levels;
    mm_user_end = info->user_end;
    random_state = info->rng_seed;
    huge_init(argument_given(info->args, "thp=always")  ? HUGE_ALWAYS
              : argument_given(info->args, "thp=never") ? HUGE_NEVER
                                                        : HUGE_MADVISE);
    runs_start(info);
    hugetlb_init();
    require(shrinker_register(&mm_shrinker), "too many shrinkers");
    placement_level =
        argument_given(info->args, "norandmaps") || argument_given(info->args, "aslr=0")
            ? PLACEMENT_FIXED
        : argument_given(info->args, "aslr=1") ? PLACEMENT_RANDOM
                                               : PLACEMENT_ALL;
    exec_hwcap = HWCAP('i') | HWCAP('m') | HWCAP('a') | HWCAP('c');
    if (info->features & BOOT_HAS_FP)
        exec_hwcap |= HWCAP('f') | HWCAP('d');
    device_init(info);
    device_map_init();
    report_command_line = info->args;
    report_table_entries = info->table_entries;
    require(caches_init(boot, info->args), "no memory for object caches");
    cma_init(boot);
    rmap_init();
    object_init(info->initrd_start, info->initrd_bytes);
    mm_ids_init();
    client_ids_init();
}

/* Memory that a worker has for good; its thread object comes later. */
static void worker_pages(struct worker *w)
{
    pfn_t ops = page_alloc(w);

    require(ops != 0, "no memory for an operation page");
    page_of(ops)->state = PAGE_SERVER;
    w->ops_page = ops;
    w->ops = page_pointer(ops);
    w->top_shift = pt_shift(mm_levels - 1);
    w->zero_page = page_alloc_zeroed(w);
    require(w->zero_page != 0, "no memory for a zero page");
    page_of(w->zero_page)->state = PAGE_ZERO;
}

static void worker_thread(struct worker *boot, struct worker *w)
{
    uint64_t relative;
    pfn_t page;

    require(!kobj_create(boot, CAP_THREAD, 0, &w->thread_slot, &page), "no memory for a worker");
    require(place_worker_prepare(boot, w), "a worker cannot be set up");
    require(!place_thread_set(w->thread_slot, THREAD_HART, w->hart, 0), "a worker's hart");
    require(!place_thread_set(w->thread_slot, THREAD_PRIORITY, MM_PRIORITY_SERVER, 0),
            "a worker's priority");
    uint32_t slot = kobj_memory(w->ops_page, &relative);
    require(!place_worker_page(w->thread_slot, slot, relative), "a worker's operation page");
}

static void workers_init(const struct boot_info *info, struct worker *boot)
{
    uint64_t relative;

    for (uint32_t i = 0; i < worker_count; i++)
        worker_pages(&workers[i]);
    require(kobj_init(boot, info->table_entries), "no memory for the list of slots");
    uint32_t slot = kobj_memory(boot->ops_page, &relative);
    require(!place_worker_page(SLOT_THREAD, slot, relative), "the first thread's operation page");
    require(vmap_init(boot), "no memory for the server's own address space");
    for (uint32_t i = 0; i < worker_count; i++)
        worker_thread(boot, &workers[i]);
}

/* How other workers get its attention while its hart runs a client. */
static void worker_signal(struct worker *boot, struct worker *w)
{
    pfn_t page;

    require(!kobj_create(boot, CAP_NOTIFICATION, 0, &w->signal_slot, &page) &&
                !place_notification_bind(w->signal_slot, w->thread_slot),
            "a worker's notification");
}

static void workers_bind(struct worker *boot)
{
    for (uint32_t i = 0; i < worker_count; i++)
        require(!place_worker_bind(&workers[i]), "a worker cannot be bound");
    for (uint32_t i = 0; i < worker_count && worker_count > 1; i++)
        worker_signal(boot, &workers[i]);
}

void mmserver_start(const struct boot_info *info)
{
    require(info->magic == BOOT_MAGIC && info->size_bytes >= sizeof *info, "boot information");
    require(info->harts >= 1 && info->harts <= BOOT_HARTS_MAX && info->boot_hart < info->harts,
            "the number of harts");
    worker_count = info->harts;
    for (uint32_t i = 0; i < worker_count; i++)
        workers[i].hart = i;
    struct worker *boot = &workers[info->boot_hart];
    core_init(info, boot);
    workers_init(info, boot);
    require(personality_make(boot, info), "there is no process personality");
    workers_bind(boot);
    require(personality_start(), "the process personality cannot be started");
}
