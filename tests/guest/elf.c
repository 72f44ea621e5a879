/* The image of a program: protections of its segments, and what its memory holds at the start. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

extern char _start[], __text_start[], _end[];

static const char constant[] = "constant";
static volatile uint64_t data = 0x1122334455667788;
static volatile uint8_t bss[5 * 4096];
static const char *const pointer_table[] = {"a", "b"};

static uint8_t initial_bss_sum;

/* Before main touches anything: all of bss but what start-up itself wrote. */
__attribute__((constructor(101))) static void look_at_bss(void)
{
    for (size_t i = 0; i < sizeof(bss); i++)
        initial_bss_sum |= bss[i];
}

KTAP_CASE(data_is_initialised)
{
    EXPECT_EQ(data, 0x1122334455667788);
    data = 1;
    EXPECT_EQ(data, 1);
}

KTAP_CASE(bss_starts_zeroed)
{
    EXPECT_EQ(initial_bss_sum, 0);
}

KTAP_CASE(bss_is_writable_to_its_end)
{
    memset((void *)bss, 0xee, sizeof(bss));
    EXPECT(ktap_all_bytes((void *)bss, sizeof(bss), 0xee));
}

/* From the last byte of bss to the end of its page. */
KTAP_CASE(page_of_the_bss_end_is_zero_behind_it)
{
    uintptr_t end = (uintptr_t)_end, page_end = (end + PAGE - 1) & -PAGE;

    EXPECT(ktap_all_bytes((void *)end, page_end - end, 0));
}

KTAP_CASE(constants_are_there)
{
    EXPECT(strcmp(constant, "constant") == 0);
    EXPECT(strcmp(pointer_table[1], "b") == 0);
}

KTAP_CASE(segments_have_their_protections)
{
    struct ktap_vma vma[1];

    EXPECT(ktap_vmas(constant, constant + 1, vma, 1) == 1 && strcmp(vma[0].prot, "r--p") == 0);
    if (!ktap_emulated()) /* the emulator's host needs no exec right */
        EXPECT(ktap_vmas(_start, _start + 4, vma, 1) == 1 && strcmp(vma[0].prot, "r-xp") == 0);
    EXPECT(ktap_vmas((void *)&data, (char *)&data + 8, vma, 1) == 1 &&
           strncmp(vma[0].prot, "rw-", 3) == 0);
}

KTAP_CASE(text_is_readable)
{
    EXPECT(!ktap_all_bytes(__text_start, 64, 0));
}

KTAP_CHILD(write_image)
{
    volatile char *target = *arg == 'r'   ? (volatile char *)constant
                            : *arg == 't' ? (volatile char *)_start
                                          : (volatile char *)0x10000;

    *target = 1;
    return 0;
}

KTAP_CASE(write_to_rodata_dies)
{
    EXPECT_CHILD_SIGNAL("write_image", "r", SIGSEGV);
}

KTAP_CASE(write_to_text_dies)
{
    EXPECT_CHILD_SIGNAL("write_image", "t", SIGSEGV);
}

KTAP_CASE(write_to_headers_dies)
{
    EXPECT_CHILD_SIGNAL("write_image", "h", SIGSEGV);
}

static uint32_t code_in_data[] = {0x00008067}; /* ret */
static const uint32_t code_in_rodata[] = {0x00008067};

KTAP_CHILD(run_image)
{
    uintptr_t target = *arg == 'd' ? (uintptr_t)code_in_data : (uintptr_t)code_in_rodata;

    __asm__ volatile("fence.i" ::: "memory");
    ((void (*)(void))target)();
    return 0;
}

KTAP_CASE(data_does_not_run)
{
    EXPECT_CHILD_SIGNAL("run_image", "d", SIGSEGV);
}

KTAP_CASE(rodata_does_not_run)
{
    EXPECT_CHILD_SIGNAL("run_image", "r", SIGSEGV);
}

KTAP_CASE(image_is_private)
{
    data = 99; /* of this process only: a new one finds the file's value */
    EXPECT_CHILD_EXIT("report_data", "", 1);
}

KTAP_CHILD(report_data)
{
    return data == 0x1122334455667788 ? 1 : 2;
}
