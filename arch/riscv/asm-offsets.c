/* Offsets of structure fields for the assembly; compiled to assembly and filtered into a header. */
#include "kernel/hart.h"
#include "kernel/thread.h"
#include "arch/riscv/crash.h"

#define OFFSET(name, type, field) \
    __asm__ volatile("\n->" #name " %0" : : "i"(__builtin_offsetof(type, field)))

#define VALUE(name) __asm__ volatile("\n->" #name " %0" : : "i"(name))

void asm_offsets(void);
void asm_offsets(void)
{
    OFFSET(T_HART, struct thread, hart);
    OFFSET(T_KERNEL_STACK, struct thread, kernel_stack);
    OFFSET(T_SATP, struct thread, satp);
    OFFSET(T_TABLE_CAPS, struct thread, table_caps);
    OFFSET(T_ENTER_PC, struct thread, enter_pc);
    OFFSET(T_ENTER_SP, struct thread, enter_sp);
    OFFSET(T_ENTER_TP, struct thread, enter_tp);
    OFFSET(T_F, struct thread, f);
    OFFSET(T_FCSR, struct thread, fcsr);
    OFFSET(H_BUSY, struct hart, busy);
    OFFSET(H_ENTERING, struct hart, entering);
    OFFSET(H_CURRENT, struct hart, current);
    OFFSET(H_KERNEL_STACK, struct hart, kernel_stack);
    VALUE(ENTER_FAULT);
    VALUE(ENTER_CALL);
    VALUE(ENTER_MESSAGE);
    OFFSET(KTF_SCAUSE, struct kernel_trap_frame, scause);
    OFFSET(KTF_STVAL, struct kernel_trap_frame, stval);
    OFFSET(KTF_SSTATUS, struct kernel_trap_frame, sstatus);
}
