/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts of the hypervisor itself. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "mm/leaf/types.h"

#define VECTOR_DB       1
#define VECTOR_NMI      2
#define VECTOR_UD       6
#define VECTOR_GP       13
#define VECTOR_TIMER    0xe0
#define VECTOR_KICK     0xe1
#define VECTOR_SPURIOUS 0xff

/* As trap_entry.S pushes it. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* The IDT, shared by all CPUs: filled once, then loaded on each. */
void trap_init(void);
void trap_cpu_init(void);

/* Called by trap_entry.S. */
void trap_dispatch(struct trap_frame *f);

/* ---- panic.c ---- */

/* Print the report of a panic at these registers and stop the machine. */
void panic_at(const struct trap_frame *f, const char *message) noreturn_fn;
/* Make all other CPUs leave VMX or SVM and halt; returns when they have, or after a while. */
void cpus_stop(void);
/* The NMI handler's part: does not return if this CPU was asked to stop. */
void cpus_stop_answer(void);

#endif
