/* SPDX-License-Identifier: MIT */
/*
 * Which values of CR0, CR3, CR4, CR8, XCR0 and EFER a guest may load. Pure. A
 * value that is not allowed is the guest's mistake: inject #GP(0), change nothing.
 *
 * CR0.CD and NW may be set by the guest and read back, but the back ends never
 * give them to the CPU: memory stays write-back.
 */
#ifndef ARCH_GUEST_CR_H
#define ARCH_GUEST_CR_H

#include "arch/x86_64/control_bits.h"
#include "arch/x86_64/regs.h"
#include "mm/leaf/bits.h"

/* What the guest's CPUID (guest/cpuid.c) permits. */
struct cr_limits {
	uint64_t cr4, efer; /* bits that may be set */
	uint64_t xcr0;
	unsigned phys_bits;
};

/* CPUID words as the guest sees them. */
struct cr_features {
	uint32_t leaf1_ecx, leaf1_edx, leaf7_ebx, leaf7_ecx, ext1_ecx, ext1_edx;
	unsigned phys_bits;
	uint64_t xcr0;
};

struct cr_limits cr_limits_of(const struct cr_features *f);

/* May the guest in state *s load `value` into CR0, CR3, CR4 or CR8? */
bool cr_write_allowed(unsigned number, uint64_t value, const struct guest_state *s,
                      const struct cr_limits *l);

/* May it write `value` into EFER? LMA in the value is ignored, as AMD's CPUs do. */
bool cr_efer_allowed(uint64_t value, const struct guest_state *s, const struct cr_limits *l);

bool cr_xcr0_allowed(uint64_t value, uint64_t mask);

/* EFER with LMA as the CPU makes it of LME and CR0.PG. */
uint64_t cr_efer_lma(uint64_t efer, uint64_t cr0);

/* Could a CPU be in this state, as far as CR0, CR4, EFER and CS go? For vcpu_set_state. */
bool cr_state_valid(const struct guest_state *s);

#endif
