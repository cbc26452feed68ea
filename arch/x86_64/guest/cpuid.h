/* SPDX-License-Identifier: MIT */
/* The CPUID of a guest: what the CPU says, less what we do not virtualise, plus Xen's leaves. */
#ifndef ARCH_GUEST_CPUID_H
#define ARCH_GUEST_CPUID_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/cr.h"

/* What the answers depend on. */
struct cpuid_view {
	struct cpuid_regs (*raw)(uint32_t leaf, uint32_t subleaf); /* the CPU itself */
	uint64_t xcr0_mask; /* extended state that guests may have (xstate_guest_mask) */
	uint64_t xcr0;      /* of this vCPU, now */
	uint64_t cr4;       /* of this vCPU: OSXSAVE and PKE show in CPUID. Leaves 1 and 7 only */
	uint32_t tsc_khz;
	uint16_t domid, vcpu_id, nr_vcpus;
	bool apic; /* the vCPU's local APIC is enabled (IA32_APIC_BASE): it shows in leaf 1 */
};

void cpuid_guest(const struct cpuid_view *v, uint32_t leaf, uint32_t subleaf,
                 struct cpuid_regs *out);

/*
 * For a cache: is the answer the same for all vCPUs and subleaves at all times,
 * up to what cpuid_vary() fills in?
 */
bool cpuid_is_fixed(uint32_t leaf, uint32_t subleaf);
/* The parts of a fixed leaf that depend on the vCPU: .vcpu_id, .nr_vcpus, .cr4 and .apic. */
void cpuid_vary(const struct cpuid_view *v, uint32_t leaf, struct cpuid_regs *r);

/* Is there such a part? */
static inline bool cpuid_varies(uint32_t leaf)
{
	return leaf == 1 || leaf == 7 || leaf == 0x80000008;
}

#define CPUID_BASIC_LEAVES    14u /* 0 .. 0xd */
#define CPUID_EXTENDED_LEAVES 9u  /* 0x80000000 .. 0x80000008 */

/* Does this CPU's TSC count at one rate in all power states (SDM vol. 3, 17.17.1)? */
static inline bool cpuid_tsc_invariant(void)
{
	return cpu_has_leaf(0x80000007) && (cpuid(0x80000007, 0).edx & BIT(8));
}

/* What the guest's control registers may hold, from what its CPUID says. */
struct cr_limits cpuid_limits(const struct cpuid_view *v);

#endif
