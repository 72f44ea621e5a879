/* What the boot code needs of the trap code. */
#ifndef ARCH_RISCV_TRAP_H
#define ARCH_RISCV_TRAP_H

/* The one vector (stvec, direct mode). */
extern char trap_entry[];

/* The text must still be writable at its link address. */
void trap_patch_without_asids(void);

#endif
