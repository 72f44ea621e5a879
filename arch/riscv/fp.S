/*
 * The floating-point registers. The rest of the kernel is compiled without them, so this file asks the
 * assembler for the extension. a0 points to 32 registers followed by fcsr (struct thread: f, fcsr).
 */
        .attribute arch, "rv64i2p0_m2p0_a2p0_f2p0_d2p0_c2p0"
        .text

/* void fp_save_registers(uint64_t *f) */
        .globl  fp_save_registers
fp_save_registers:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fsd     f\n, 8 * \n(a0)
        .endr
        frcsr   t0
        sd      t0, 256(a0)
        ret

/* void fp_load_registers(const uint64_t *f) */
        .globl  fp_load_registers
fp_load_registers:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fld     f\n, 8 * \n(a0)
        .endr
        ld      t0, 256(a0)
        fscsr   t0
        ret

/* void fp_zero_registers(void) */
        .globl  fp_zero_registers
fp_zero_registers:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fmv.d.x f\n, zero
        .endr
        fscsr   zero
        ret
