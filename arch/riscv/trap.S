/*
 * Into the kernel and out of it.
 *
 * In user mode sscratch holds the running thread; in the kernel it holds 0, so a trap that finds 0
 * there is a trap of the kernel itself, which is a bug and ends in a crash record.
 *
 * In the kernel tp is the hart and sp its stack, empty at each entry: a visit to the kernel that
 * ends in another thread simply leaves its frames behind. sstatus is never written: from user mode
 * to user mode it has the right value, and the floating-point state in it is the scheduler's.
 *
 * Three ways in:
 *   exceptions, interrupts   save all, then fault_deliver() or interrupt_enter()
 *   foreign ecall            save all, then call_deliver()
 *   native ecall             save sp, tp, and before anything can need them pc and gp; the rest is
 *                            the message or by contract lost
 * What a C function keeps (s0..s11) passes through the kernel untouched: that is how a message
 * travels in s2..s7 without being looked at.
 *
 * No value of the kernel's is left in a register on the way out.
 */
#include "asm-offsets.h"
#include <pagoda/call.h>

        .text

#define X(n) (8 * (n))

/*
 * satp <- t0. Without ASIDs a fence must follow: then the boot code makes the write a jump to the
 * out-of-line pair behind it (trap.c), and nobody else pays for it.
 */
.macro SATP_WRITE
1:      csrw    satp, t0
2:      .pushsection .text.satp, "ax"
3:      csrw    satp, t0
        sfence.vma
        j       2b
        .popsection
        .pushsection .satp_patch, "a"
        .dword  1b, 3b
        .popsection
.endm

/* All but a6, which points to where, and t1, which is saved already. */
.macro SAVE_REGISTERS
        sd      ra, X(1)(a6)
        sd      sp, X(2)(a6)
        sd      gp, X(3)(a6)
        sd      tp, X(4)(a6)
        sd      t0, X(5)(a6)
        sd      t2, X(7)(a6)
        sd      s0, X(8)(a6)
        sd      s1, X(9)(a6)
        sd      a0, X(10)(a6)
        sd      a1, X(11)(a6)
        sd      a2, X(12)(a6)
        sd      a3, X(13)(a6)
        sd      a4, X(14)(a6)
        sd      a5, X(15)(a6)
        sd      a7, X(17)(a6)
        sd      s2, X(18)(a6)
        sd      s3, X(19)(a6)
        sd      s4, X(20)(a6)
        sd      s5, X(21)(a6)
        sd      s6, X(22)(a6)
        sd      s7, X(23)(a6)
        sd      s8, X(24)(a6)
        sd      s9, X(25)(a6)
        sd      s10, X(26)(a6)
        sd      s11, X(27)(a6)
        sd      t3, X(28)(a6)
        sd      t4, X(29)(a6)
        sd      t5, X(30)(a6)
        sd      t6, X(31)(a6)
.endm

/* a6 = thread, t1 saved; sscratch = the user's a6. Leaves tp and sp set. */
.macro SAVE_ALL
        SAVE_REGISTERS
        csrrw   t2, sscratch, zero
        sd      t2, X(16)(a6)
        ld      sp, T_KERNEL_STACK(a6)
        ld      tp, T_HART(a6)
.endm

/* Where a native call of a6 returns to, and its gp, which it keeps. */
.macro SAVE_RETURN
        csrr    t1, sepc
        sd      gp, X(3)(a6)
        addi    t1, t1, 4
        sd      t1, X(0)(a6)
.endm

.macro CLEAR_TEMPORARIES
        li      t0, 0
        li      t1, 0
        li      t2, 0
        li      t3, 0
        li      t4, 0
        li      t5, 0
        li      t6, 0
.endm

/* What C keeps, where a worker handed an event on or C functions did: it is not the next one's. */
.macro CLEAR_KEPT
        li      ra, 0
        li      s0, 0
        li      s1, 0
        li      s2, 0
        li      s3, 0
        li      s4, 0
        li      s5, 0
        li      s6, 0
        li      s7, 0
        li      s8, 0
        li      s9, 0
        li      s10, 0
        li      s11, 0
.endm

/* A worker at its entry of this kind; its space, stack and tp. \w is not t0 or t1.
 * ra is still the client's where no C function was called on the way. */
.macro ENTER w, kind
        ld      t0, T_SATP(\w)
        ld      t1, T_ENTER_PC(\w)
        SATP_WRITE
        .if \kind
        addi    t1, t1, 16 * \kind
        .endif
        csrw    sepc, t1
        csrw    sscratch, \w
        ld      sp, T_ENTER_SP(\w)
        ld      tp, T_ENTER_TP(\w)
.endm

        .globl  trap_entry
        .balign 64
trap_entry:
        csrrw   a6, sscratch, a6
        beqz    a6, kernel_trap_entry
        sd      t1, X(6)(a6)
        csrr    t1, scause
        addi    t1, t1, -8
        beqz    t1, user_ecall
        SAVE_ALL
        csrr    a3, sepc
        addi    a2, t1, 8
        sd      a3, X(0)(a6)
        bltz    a2, 1f
        csrr    a1, stval
        tail    fault_deliver           /* (-, address, cause, pc, -, -, thread) */
1:      mv      a0, a6
        tail    interrupt_enter

user_ecall:
        bgez    a7, foreign_ecall
        ld      t1, T_TABLE_CAPS(a6)
        beqz    t1, foreign_ecall
        /* Native. */
        csrw    sscratch, zero
        sd      sp, X(2)(a6)
        sd      tp, X(4)(a6)
        ld      sp, T_KERNEL_STACK(a6)
        ld      tp, T_HART(a6)
        li      t1, CALL_FAULT_REPLY
        bne     a7, t1, 2f
        call    fault_reply
        li      a7, CALL_FAULT_REPLY
        j       native_again
2:      li      t1, CALL_REPLY_PARK
        bne     a7, t1, 3f
        call    reply_park
        li      a7, CALL_REPLY_PARK
        j       native_again
3:      li      t1, CALL_CALL
        bne     a7, t1, 4f
        SAVE_RETURN
        call    message_call
        li      a7, CALL_CALL
native_again:
        /* Not plain: nothing has changed; what it was called with stands in x[10] and x[11]. */
        ld      a6, H_CURRENT(tp)
        li      ra, 0
        ld      a0, X(10)(a6)
        ld      a1, X(11)(a6)
4:      li      t1, CALL_REPLY_BATCH
        beq     a7, t1, native_reply_batch
        SAVE_RETURN
        li      t1, CALL_BATCH
        beq     a7, t1, native_batch
        li      t1, CALL_FORWARD_PARK
        beq     a7, t1, native_forward
        addi    t1, a7, -CALL_REPLY_POP
        sltiu   t1, t1, 2
        bnez    t1, native_context
native_slow:
        sd      ra, X(1)(a6)
        sd      s0, X(8)(a6)
        sd      s1, X(9)(a6)
        sd      s2, X(18)(a6)
        sd      s3, X(19)(a6)
        sd      s4, X(20)(a6)
        sd      s5, X(21)(a6)
        sd      s6, X(22)(a6)
        sd      s7, X(23)(a6)
        sd      s8, X(24)(a6)
        sd      s9, X(25)(a6)
        sd      s10, X(26)(a6)
        sd      s11, X(27)(a6)
        call    native_call
        ld      t0, H_CURRENT(tp)
        sd      zero, H_BUSY(tp)
        ld      a1, X(11)(t0)
        ld      a2, X(12)(t0)
native_back:
        /* The same thread goes on; s0..s11 were kept by C. */
        ld      t1, X(0)(t0)
        csrw    sepc, t1
        ld      ra, X(1)(t0)
        ld      sp, X(2)(t0)
        ld      tp, X(4)(t0)
        csrw    sscratch, t0
        CLEAR_TEMPORARIES
        li      a3, 0
        li      a4, 0
        li      a5, 0
        li      a6, 0
        li      a7, 0
        sret

native_batch:
        /* A batch never gives the hart away, so nothing that C keeps need be saved. */
        sd      ra, X(1)(a6)
        call    batch_native
        ld      t0, H_CURRENT(tp)
        li      a2, 0
        j       native_back

native_reply_batch:
        /* Straight, or in full; that comes back only with a refusal, and then all that C keeps is
         * as it was. */
        sd      ra, X(1)(a6)
        call    reply_batch
        ld      a6, H_CURRENT(tp)
        SAVE_RETURN
        ld      a0, X(10)(a6)
        ld      a1, X(11)(a6)
        ld      a2, X(12)(a6)
        ld      a3, X(13)(a6)
        ld      a4, X(14)(a6)
        call    reply_batch_full
        ld      t0, H_CURRENT(tp)
        li      a2, 0
        j       native_back

native_forward:
        sd      ra, X(1)(a6)
        call    forward_park
        ld      a6, H_CURRENT(tp)
        li      a7, CALL_FORWARD_PARK
        ld      a0, X(10)(a6)
        ld      a1, X(11)(a6)
        ld      ra, X(1)(a6)
        j       native_slow

native_context:
        /* Straight or refused. */
        sd      ra, X(1)(a6)
        li      t1, CALL_REPLY_POP
        beq     a7, t1, 1f
        call    reply_push
        j       2f
1:      call    reply_pop
2:      ld      t0, H_CURRENT(tp)
        li      a1, 0
        ld      a0, X(10)(t0)
        li      a2, 0
        j       native_back

foreign_ecall:
        SAVE_ALL
        csrr    t1, sepc
        addi    t1, t1, 4
        sd      t1, X(0)(a6)
        tail    call_deliver            /* (a0..a5, thread, number) */

/* enter_fault(badge, address, cause, pc, sequence, worker) */
        .globl  enter_fault
        .balign 16
enter_fault:
        ENTER   a5, ENTER_FAULT
        /* Registers that fault_deliver() and the lines above used and that are no argument; it is
         * a leaf and works in a0..a6. All others are still the client's. */
        li      t0, 0
        li      a5, 0
        li      a6, 0
        sret

/* enter_call(a0..a5, badge, number); the worker is the hart's `entering` */
        .globl  enter_call
        .balign 16
enter_call:
        ld      t2, H_ENTERING(tp)
        ENTER   t2, ENTER_CALL
        CLEAR_TEMPORARIES
        sret

/* enter_call_forwarded(a0..a5, badge, number): the same from a worker that handed the call on */
        .globl  enter_call_forwarded
        .balign 16
enter_call_forwarded:
        CLEAR_KEPT
        j       enter_call

/* enter_forwarded(badge, address, cause, pc, sequence, info0, info1, sp); the worker is the hart's
 * `entering`. */
        .globl  enter_forwarded
        .balign 16
enter_forwarded:
        ld      t2, H_ENTERING(tp)
        ENTER   t2, ENTER_FAULT
        CLEAR_TEMPORARIES
        CLEAR_KEPT
        sret

/* enter_message(worker, badge): s2..s7 pass */
        .globl  enter_message
        .balign 16
enter_message:
        fence   rw, w
        sd      zero, H_BUSY(tp)
        mv      a7, a0
        mv      a0, a1
        ENTER   a7, ENTER_MESSAGE
        li      ra, 0
        CLEAR_TEMPORARIES
        li      a1, 0
        li      a2, 0
        li      a3, 0
        li      a4, 0
        li      a5, 0
        li      a6, 0
        li      a7, 0
        sret

/* resume_message(thread, a0): s2..s7 pass */
        .globl  resume_message
        .balign 16
resume_message:
        ld      t0, T_SATP(a0)
        ld      t1, X(0)(a0)
        SATP_WRITE
        csrw    sepc, t1
        csrw    sscratch, a0
        ld      sp, X(2)(a0)
        ld      gp, X(3)(a0)
        ld      tp, X(4)(a0)
        mv      a0, a1
        li      ra, 0
        CLEAR_TEMPORARIES
        li      a1, 0
        li      a2, 0
        li      a3, 0
        li      a4, 0
        li      a5, 0
        li      a6, 0
        li      a7, 0
        sret

/* resume_full(thread), resume_same(thread): what the kernel read or wrote is done before busy ends */
        .globl  resume_full, resume_same
        .balign 16
resume_full:
        ld      t0, T_SATP(a0)
        SATP_WRITE
resume_same:
        ld      t1, X(0)(a0)
        fence   rw, w
        sd      zero, H_BUSY(tp)
        csrw    sepc, t1
        csrw    sscratch, a0
        ld      ra, X(1)(a0)
        ld      sp, X(2)(a0)
        ld      gp, X(3)(a0)
        ld      tp, X(4)(a0)
        ld      t0, X(5)(a0)
        ld      t1, X(6)(a0)
        ld      t2, X(7)(a0)
        ld      s0, X(8)(a0)
        ld      s1, X(9)(a0)
        ld      a1, X(11)(a0)
        ld      a2, X(12)(a0)
        ld      a3, X(13)(a0)
        ld      a4, X(14)(a0)
        ld      a5, X(15)(a0)
        ld      a6, X(16)(a0)
        ld      a7, X(17)(a0)
        ld      s2, X(18)(a0)
        ld      s3, X(19)(a0)
        ld      s4, X(20)(a0)
        ld      s5, X(21)(a0)
        ld      s6, X(22)(a0)
        ld      s7, X(23)(a0)
        ld      s8, X(24)(a0)
        ld      s9, X(25)(a0)
        ld      s10, X(26)(a0)
        ld      s11, X(27)(a0)
        ld      t3, X(28)(a0)
        ld      t4, X(29)(a0)
        ld      t5, X(30)(a0)
        ld      t6, X(31)(a0)
        ld      a0, X(10)(a0)
        sret

kernel_trap_entry:
        /* A trap in the kernel. The first one keeps its frame; its stack may be the reason. */
        la      a6, kernel_crash_frame
        sd      t1, X(6)(a6)
        SAVE_REGISTERS
        csrrw   t1, sscratch, zero
        sd      t1, X(16)(a6)
        csrr    t1, sepc
        sd      t1, X(0)(a6)
        csrr    t1, scause
        sd      t1, KTF_SCAUSE(a6)
        csrr    t1, stval
        sd      t1, KTF_STVAL(a6)
        csrr    t1, sstatus
        sd      t1, KTF_SSTATUS(a6)
        la      sp, kernel_crash_stack_top
        mv      a0, a6
        tail    kernel_trap

        .bss
        .balign 16
kernel_crash_frame:
        .space  8 * 36
        .balign 16
        .space  8192
kernel_crash_stack_top:
