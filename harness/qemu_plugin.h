/*
 * QEMU's plugin interface, version 1, as far as the plugins here use it: Debian packages no header
 * for it. And the marks by which programs of ours speak to them: instructions without effect, so
 * that the same program runs anywhere.
 */
#ifndef HARNESS_QEMU_PLUGIN_H
#define HARNESS_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

#define NO_REGISTERS 0
#define READ_WRITE   3

typedef uint64_t plugin_id;
typedef uint32_t mem_info;
struct tb;
struct insn;
struct hwaddr;

extern size_t qemu_plugin_tb_n_insns(const struct tb *tb);
extern struct insn *qemu_plugin_tb_get_insn(const struct tb *tb, size_t index);
extern const void *qemu_plugin_insn_data(const struct insn *insn);
extern size_t qemu_plugin_insn_size(const struct insn *insn);
extern uint64_t qemu_plugin_insn_vaddr(const struct insn *insn);
extern void *qemu_plugin_insn_haddr(const struct insn *insn);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                                  void (*done)(plugin_id id, struct tb *tb));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct tb *tb,
                                                 void (*done)(unsigned vcpu, void *data),
                                                 int flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *insn,
                                                   void (*done)(unsigned vcpu, void *data),
                                                   int flags, void *data);
extern void qemu_plugin_register_vcpu_mem_cb(struct insn *insn,
                                             void (*done)(unsigned vcpu, mem_info info,
                                                          uint64_t vaddr, void *data),
                                             int flags, int rw, void *data);
extern struct hwaddr *qemu_plugin_get_hwaddr(mem_info info, uint64_t vaddr);
extern bool qemu_plugin_hwaddr_is_io(const struct hwaddr *h);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const struct hwaddr *h);
extern bool qemu_plugin_mem_is_store(mem_info info);
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*done)(plugin_id id, void *data),
                                           void *data);

/* A hint: `slti` (trace_plugin.c) or `sltiu` (events_plugin.c) zero, zero, K. */
#define HINT_SLTI  0x00002013U
#define HINT_SLTIU 0x00003013U

static inline bool is_hint(uint32_t code, uint32_t hint)
{
    return (code & 0x000fffffU) == hint;
}

static inline unsigned hint_number(uint32_t code)
{
    return code >> 20;
}

#endif
