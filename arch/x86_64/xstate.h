/* SPDX-License-Identifier: MIT */
/*
 * State of a guest CPU that neither VMCS nor VMCB holds, and that stays in the
 * registers while the vCPU is loaded: x87, SSE, AVX, PKRU, XCR0, DR0-3,
 * TSC_AUX. Switched eagerly at vcpu_load and vcpu_unload, never on a trap
 * (CVE-2018-3665). The hypervisor itself uses none of it.
 */
#ifndef ARCH_XSTATE_H
#define ARCH_XSTATE_H

#include "arch/x86_64/hvm.h"
#include "mm/leaf/bits.h"

/* XCR0 (SDM vol. 1, 13.1) */
#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_OPMASK BIT(5)
#define XCR0_ZMM_HI BIT(6)
#define XCR0_HI_ZMM BIT(7)
#define XCR0_PKRU   BIT(9)
#define XCR0_AVX512 (XCR0_OPMASK | XCR0_ZMM_HI | XCR0_HI_ZMM)

/* A legacy area (SDM vol. 1, table 13-1): its x87 part is bytes 0 to 23 and 32 to 159. */
#define FXSAVE_BYTES 512u
#define FCW_OFFSET   0u
#define FSW_OFFSET   2u
#define MXCSR_OFFSET 24u
#define ST0_OFFSET   32u
#define XMM0_OFFSET  160u
#define FCW_INIT     0x037fu
#define MXCSR_INIT   0x1f80u

/* The x87 part is as FNINIT leaves it, and all registers are zero. */
static inline bool xstate_x87_initial(const uint8_t *area)
{
	bool same = area[FCW_OFFSET] == (FCW_INIT & 0xff) && area[FCW_OFFSET + 1] == FCW_INIT >> 8;

	for (unsigned i = FSW_OFFSET; i < XMM0_OFFSET; i++)
		if (i < MXCSR_OFFSET || i >= ST0_OFFSET)
			same = same && !area[i];
	return same;
}

/* Prepare this CPU: CR0 and CR4 bits, XCR0. Called by the back ends' cpu_on. */
void xstate_cpu_on(void);

/* XCR0 bits that a guest may set; 0 where the CPU has no XSAVE. MPX, AMX, CET and LWP
 * stay hidden. guest/cpuid.c builds leaf 0xd from it. */
uint64_t xstate_guest_mask(void);

/* Bytes of the area for all of xstate_guest_mask(), standard format. */
uint32_t xstate_bytes(void);

/* The CPU has TSC_AUX (RDTSCP or RDPID); xstate_load and _save switch it. */
bool xstate_has_tsc_aux(void);

/* Give the vCPU its area, in the state after INIT; false: no frame for it. */
bool xstate_alloc(struct hvm_vcpu *v) must_check;
void xstate_free(struct hvm_vcpu *v);

/* Registers <- vCPU, and back. */
void xstate_load(struct hvm_vcpu *v);
void xstate_save(struct hvm_vcpu *v);

/*
 * The guest's XSETBV (exit.c, EXIT_XSETBV, register 0): takes effect at once.
 * False, and nothing changed: #GP(0). v is loaded here.
 */
bool xstate_set_xcr0(struct hvm_vcpu *v, uint64_t xcr0) must_check;

/*
 * After each exit on a CPU that may not honour the XSETBV intercept (QEMU 7.2
 * with AMD-V): learn XCR0 again; a value that we would have refused is undone.
 */
void xstate_reread_xcr0(struct hvm_vcpu *v);

#endif
