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

#include "arch/x86_64/regs.h"
#include "mm/leaf/bits.h"

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME        BIT(0)
#define CR4_PVI        BIT(1)
#define CR4_TSD        BIT(2)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_MCE        BIT(6)
#define CR4_PGE        BIT(7)
#define CR4_PCE        BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_VMXE       BIT(13)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE        BIT(22)
#define CR4_CET        BIT(23)

#define EFER_SCE   BIT(0)
#define EFER_LME   BIT(8)
#define EFER_LMA   BIT(10)
#define EFER_NXE   BIT(11)
#define EFER_SVME  BIT(12)
#define EFER_LMSLE BIT(13)
#define EFER_FFXSR BIT(14)

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
