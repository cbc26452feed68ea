/* SPDX-License-Identifier: MIT */
/* Between exit.c and exit_io.c. */
#ifndef KERNEL_EXIT_H
#define KERNEL_EXIT_H

#include "kernel/domain.h"

void exit_io(struct vcpu *v, const struct vmexit *x);
/* An access where there is no memory: true if it was one to the local APIC, and is dealt with. */
bool exit_mmio(struct vcpu *v, const struct vmexit *x);
void exit_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
#define VECTOR_UD 6u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

/* What guests may have in CR4, EFER and XCR0, as CPUID tells them. */
struct cr_limits;
const struct cr_limits *exit_limits(void);
/* EAX of CPUID leaf 1, which a CPU shows in EDX after INIT. */
uint32_t exit_cpu_signature(void);

/* CPUID of guests, once the machine is known; called by sched_init. */
void exit_init(void);

#endif
