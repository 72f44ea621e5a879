/*
 * Start of the boot hart in C, on the boot stack, with the early page tables in force: everything
 * up to the point where the portable kernel runs on a stack of its own. Order: see arch/boot.h.
 */
#include "arch/riscv/machine.h"
#include "arch/arch.h"
#include "arch/boot.h"
#include "arch/riscv/sbi.h"
#include "kernel/boot.h"

_Noreturn void riscv_start(uint64_t machine_id, paddr_t tree)
{
    const char *missing = NULL;
    bool firmware_fits = sbi_init(&missing);
    boot_tree_open(tree);
    power_init(&boot.tree);
    if (!firmware_fits)
        boot_fail("the firmware lacks the SBI extension %s", missing);
    boot_tree_read((paddr_t)image_start - IMAGE_OFFSET, (paddr_t)image_end - IMAGE_OFFSET);

    machine_init(&boot.tree, machine_id, boot.options.harts_max);
    arch_machine.kernel_text_bytes = (uint64_t)(image_text_end - image_start);
    arch_machine.image_bytes = (uint64_t)(image_end - image_start);
    plic_init(&boot.tree);
    paging_choose(boot.options.levels, boot.options.asid_off);
    boot_memory_limit(arch_machine.linear_end);
    paging_start();

    plic_start();
    struct hart *h = boot_hart_make(0);
    riscv_on_stack(h->kernel_stack, kernel_main);
}

void arch_describe(char *text, size_t bytes)
{
    sbi_describe(text, bytes);
}
