/*
 * A QEMU plugin: writes down what is executed between two marks in the guest, instruction by
 * instruction, with the physical addresses of the memory that it touches.
 *
 * A mark is the hint `slti zero, zero, K` (user/bench/trace.c): K = 2n opens trace n, 2n + 1 closes
 * it. The file named by out= gets lines
 *
 *   t N              trace N begins
 *   i ADDRESS CODE   an instruction, in hex
 *   m ADDRESS W      physical address of an access of that instruction; W: 1 for a store
 *
 * One hart only.
 */
#include "plugin_out.h"

struct instruction {
    uint64_t address;
    uint32_t code;
};

static bool tracing;

static void executed(unsigned vcpu, void *data)
{
    const struct instruction *i = data;

    (void)vcpu;
    if (is_hint(i->code, HINT_SLTI)) {
        unsigned k = hint_number(i->code);

        tracing = !(k & 1);
        if (tracing)
            fprintf(out, "t %u\n", k / 2);
    } else if (tracing) {
        fprintf(out, "i %lx %x\n", i->address, i->code);
    }
}

static void accessed(unsigned vcpu, mem_info info, uint64_t vaddr, void *data)
{
    (void)vcpu, (void)data;
    if (!tracing)
        return;
    const struct hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);

    if (h != NULL && !qemu_plugin_hwaddr_is_io(h))
        fprintf(out, "m %lx %d\n", qemu_plugin_hwaddr_phys_addr(h), qemu_plugin_mem_is_store(info));
}

static void translated(plugin_id id, struct tb *tb)
{
    (void)id;
    for (size_t n = 0; n < qemu_plugin_tb_n_insns(tb); n++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, n);
        struct instruction *i = calloc(1, sizeof *i); /* as long as QEMU runs */

        if (i == NULL)
            abort();
        i->address = qemu_plugin_insn_vaddr(insn);
        memcpy(&i->code, qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, NO_REGISTERS, i);
        qemu_plugin_register_vcpu_mem_cb(insn, accessed, NO_REGISTERS, READ_WRITE, i);
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    return plugin_begin(id, argc, argv, translated);
}
