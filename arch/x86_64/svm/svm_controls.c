/* SPDX-License-Identifier: MIT */
/*
 * The rule of the intercept table: each of the 192 bits is named once, and is
 * either set or excused with a reason (APM vol. 2, 15.9, 15.11, 15.12 and
 * appendix B, table B-1). A bit that no manual defines yet is excused as such:
 * setting it could make VMRUN fail on a CPU that checks.
 */
#include "arch/x86_64/svm/svm_controls.h"

#define SET(word, bit, why)                                                                        \
	{                                                                                          \
		word, bit, bit, INTERCEPT_SET, why                                                 \
	}
#define SETS(word, first, last, why)                                                               \
	{                                                                                          \
		word, first, last, INTERCEPT_SET, why                                              \
	}
#define EXCUSED(word, first, last, why)                                                            \
	{                                                                                          \
		word, first, last, INTERCEPT_EXCUSED, why                                          \
	}
#define DEMAND(word, bit, why)                                                                     \
	{                                                                                          \
		word, bit, bit, INTERCEPT_ON_DEMAND, why                                           \
	}

const struct intercept_row svm_intercept_rows[] = {
    /* reads of CR0..15, then writes */
    DEMAND(WORD_CR, 0, "CR0 read: while the guest believes in a CD or NW that it does not have"),
    EXCUSED(WORD_CR, 1, 1, "no such register: #UD"),
    EXCUSED(WORD_CR, 2, 3, "CR2, CR3 hold what the guest wrote"),
    DEMAND(WORD_CR, 4, "CR4 read: while the guest believes MCE to be off, which it never is"),
    EXCUSED(WORD_CR, 5, 7, "no such register: #UD"),
    EXCUSED(WORD_CR, 8, 8, "CR8 read: gives V_TPR, the guest's own"),
    EXCUSED(WORD_CR, 9, 15, "no such register: #UD"),
    SET(WORD_CR, 16, "CR0 write: CD and NW are host-owned"),
    EXCUSED(WORD_CR, 17, 17, "no such register: #UD"),
    EXCUSED(WORD_CR, 18, 19, "CR2 and CR3 are the guest's own under nested paging"),
    SET(WORD_CR, 20, "CR4 write: features that CPUID hides must fault"),
    EXCUSED(WORD_CR, 21, 23, "no such register: #UD"),
    SET(WORD_CR, 24, "CR8 write: the task priority belongs to the virtual machine"),
    EXCUSED(WORD_CR, 25, 31, "no such register: #UD"),

    EXCUSED(WORD_DR, 0, 15, "DR0-3 are switched with the vCPU, DR6 and DR7 by the VMCB"),
    EXCUSED(WORD_DR, 16, 31, "DR0-3 are switched with the vCPU, DR6 and DR7 by the VMCB"),

    EXCUSED(WORD_EXCEPTION, 0, 0, "#DE: the guest's own"),
    SET(WORD_EXCEPTION, 1, "#DB: raised while it is delivered, it would hang the CPU"),
    EXCUSED(WORD_EXCEPTION, 2, 16, "the guest's own"),
    SET(WORD_EXCEPTION, 17, "#AC: raised while it is delivered, it would hang the CPU"),
    SET(WORD_EXCEPTION, 18, "#MC: about the machine, not about the guest"),
    EXCUSED(WORD_EXCEPTION, 19, 31, "the guest's own, or reserved"),

    SETS(WORD_MISC1, 0, 3, "INTR NMI SMI INIT: the machine's, not the guest's"),
    DEMAND(WORD_MISC1, 4, "VINTR: while an interrupt waits for its window"),
    EXCUSED(WORD_MISC1, 5, 5, "selective CR0 write: every CR0 write exits"),
    EXCUSED(WORD_MISC1, 6, 13, "descriptor tables and TR are the guest's own"),
    EXCUSED(WORD_MISC1, 14, 14, "RDTSC: the guest's TSC runs on"),
    SET(WORD_MISC1, 15, "RDPMC: counters are hidden"),
    EXCUSED(WORD_MISC1, 16, 17, "PUSHF, POPF: the guest's own"),
    SET(WORD_MISC1, 18, "CPUID: the machine that the guest sees is ours to tell"),
    EXCUSED(WORD_MISC1, 19, 19, "RSM: #UD outside of system management mode"),
    DEMAND(WORD_MISC1, 20, "IRET: while an NMI is handled, to see its end"),
    EXCUSED(WORD_MISC1, 21, 21, "INTn: the guest's own"),
    SET(WORD_MISC1, 22, "INVD: would throw away other guests' writes"),
    EXCUSED(WORD_MISC1, 23, 23, "PAUSE: the slice ends a spin"),
    SET(WORD_MISC1, 24, "HLT: the CPU is not the guest's"),
    EXCUSED(WORD_MISC1, 25, 25, "INVLPG: acts on the guest's own ASID"),
    SET(WORD_MISC1, 26, "INVLPGA: takes any ASID"),
    SET(WORD_MISC1, 27, "I/O ports, by the permission map"),
    SET(WORD_MISC1, 28, "MSRs, by the permission map"),
    SET(WORD_MISC1, 29, "task switch: not emulated"),
    SET(WORD_MISC1, 30, "FERR freeze: legacy x87 errors reach the machine's pins"),
    SET(WORD_MISC1, 31, "SHUTDOWN: must end the guest, not the machine"),

    SETS(WORD_MISC2, 0, 6, "VMRUN (15.5.1 demands it) VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT"),
    EXCUSED(WORD_MISC2, 7, 7, "RDTSCP: TSC_AUX is switched; QEMU mistakes the exit for RDTSC"),
    SETS(WORD_MISC2, 8, 10, "ICEBP (#DB bypasses its intercept), WBINVD, MONITOR"),
    SETS(WORD_MISC2, 11, 12, "MWAIT, armed or not: the CPU is not the guest's"),
    SETS(WORD_MISC2, 13, 14, "XSETBV, RDPRU"),
    EXCUSED(WORD_MISC2, 15, 31, "traps after EFER and CR writes: intercepted before them"),

    SETS(WORD_MISC3, 0, 1, "INVLPGB, legal or not: reaches other CPUs"),
    EXCUSED(WORD_MISC3, 2, 2, "INVPCID: acts on the guest's own ASID"),
    SETS(WORD_MISC3, 3, 4, "MCOMMIT, TLBSYNC"),
    EXCUSED(WORD_MISC3, 5, 31, "bus lock threshold, idle HLT, reserved"),
};
const unsigned svm_nr_intercept_rows = ARRAY_SIZE(svm_intercept_rows);

void svm_intercepts(uint32_t words[INTERCEPT_WORDS])
{
	for (unsigned i = 0; i < INTERCEPT_WORDS; i++)
		words[i] = 0;
	for (unsigned i = 0; i < svm_nr_intercept_rows; i++) {
		const struct intercept_row *r = &svm_intercept_rows[i];

		if (r->choice == INTERCEPT_SET)
			words[r->word] |= (uint32_t)BITS(r->last, r->first);
	}
}

/* Held by VMLOAD and VMSAVE (15.5.2), or switched with the vCPU. */
const struct msr_row svm_msr_rows[] = {
    {0x00000010, true, false, false, "TSC: runs on; a write exits"    },
    {0x00000174, true, true,  false, "SYSENTER_CS: VMSAVE"            },
    {0x00000175, true, true,  false, "SYSENTER_ESP: VMSAVE"           },
    {0x00000176, true, true,  false, "SYSENTER_EIP: VMSAVE"           },
    {0xc0000081, true, true,  false, "STAR: VMSAVE"                   },
    {0xc0000082, true, true,  false, "LSTAR: VMSAVE"                  },
    {0xc0000083, true, true,  false, "CSTAR: VMSAVE"                  },
    {0xc0000084, true, true,  false, "SFMASK: VMSAVE"                 },
    {0xc0000100, true, true,  false, "FS_BASE: VMSAVE"                },
    {0xc0000101, true, true,  false, "GS_BASE: VMSAVE"                },
    {0xc0000102, true, true,  false, "KERNEL_GS_BASE: VMSAVE"         },
    {0xc0000103, true, true,  true,  "TSC_AUX: switched with the vCPU"},
};
const unsigned svm_nr_msr_rows = ARRAY_SIZE(svm_msr_rows);

/* Three ranges of 2 KiB are mapped, two bits an MSR (15.11). */
int svm_msrpm_bit(uint32_t msr)
{
	if (msr <= 0x1fff)
		return (int)(2 * msr);
	if (msr >= 0xc0000000 && msr <= 0xc0001fff)
		return (int)(2 * (msr - 0xc0000000 + 0x2000));
	if (msr >= 0xc0010000 && msr <= 0xc0011fff)
		return (int)(2 * (msr - 0xc0010000 + 0x4000));
	return -1;
}

void svm_msrpm_build(uint8_t map[MSRPM_BYTES], bool cpu_has_tsc_aux)
{
	for (unsigned i = 0; i < MSRPM_BYTES; i++)
		map[i] = 0xff;
	for (unsigned i = 0; i < svm_nr_msr_rows; i++) {
		const struct msr_row *r = &svm_msr_rows[i];
		int bit = svm_msrpm_bit(r->msr);

		ASSERT(bit >= 0);
		if (r->needs_tsc_aux && !cpu_has_tsc_aux)
			continue;
		if (r->read)
			map[bit / 8] &= (uint8_t) ~(1u << bit % 8);
		if (r->write)
			map[bit / 8] &= (uint8_t) ~(2u << bit % 8);
	}
}

#define CR0_PE      BIT(0)
#define CR0_NW      BIT(29)
#define CR0_CD      BIT(30)
#define CR0_PG      BIT(31)
#define CR4_PAE     BIT(5)
#define EFER_LME    BIT(8)
#define EFER_LMA    BIT(10)
#define EFER_SVME   BIT(12)
#define SEG_L       BIT(9)
#define SEG_DB      BIT(10)
#define MISC2_VMRUN BIT(0)

static const char *svm_vmrun_mode_rule(const struct vmcb *b)
{
	bool lme_pg = (b->efer & EFER_LME) && (b->cr0 & CR0_PG);

	if (lme_pg && !(b->cr4 & CR4_PAE))
		return "EFER.LME and CR0.PG are set, CR4.PAE is clear";
	if (lme_pg && !(b->cr0 & CR0_PE))
		return "EFER.LME and CR0.PG are set, CR0.PE is clear";
	if (lme_pg && (b->cs.attributes & SEG_L) && (b->cs.attributes & SEG_DB))
		return "in long mode CS has both L and D set";
	return NULL;
}

const char *svm_vmrun_rule(const struct vmcb *b, unsigned phys_bits)
{
	const char *mode = svm_vmrun_mode_rule(b);
	uint64_t beyond = ~BITS(phys_bits - 1, 0);

	if (!(b->efer & EFER_SVME))
		return "EFER.SVME is clear";
	if (!(b->cr0 & CR0_CD) && (b->cr0 & CR0_NW))
		return "CR0.CD is clear and CR0.NW is set";
	if (b->cr0 >> 32)
		return "CR0 bits 63..32 are not zero";
	if ((b->efer & EFER_LMA) && (b->cr3 & beyond & BITS(51, 0)))
		return "CR3 has reserved address bits set";
	if (b->cr4 & (BITS(63, 32) | BITS(31, 24) | BIT(19) | BITS(15, 13)))
		return "CR4 has reserved bits set";
	if (b->dr6 >> 32)
		return "DR6 bits 63..32 are not zero";
	if (b->dr7 >> 32)
		return "DR7 bits 63..32 are not zero";
	if (b->efer & (BITS(63, 22) | BIT(16) | BIT(9) | BITS(7, 1)))
		return "EFER has reserved bits set";
	if (mode)
		return mode;
	if (!(b->intercepts[WORD_MISC2] & MISC2_VMRUN))
		return "VMRUN is not intercepted";
	if (!b->guest_asid)
		return "the ASID is 0";
	if ((b->msrpm_base_pa & beyond) || (b->iopm_base_pa & beyond))
		return "a permission map lies beyond physical memory";
	if ((b->nested_control & NESTED_PAGING) && (b->nested_cr3 & (beyond | BITS(11, 0))))
		return "nested CR3 has reserved bits set";
	if ((b->event_injection & EVENT_VALID) &&
	    (b->event_injection & EVENT_TYPE) == EVENT_TYPE_EXCEPTION &&
	    ((b->event_injection & EVENT_VECTOR) == 2 || (b->event_injection & EVENT_VECTOR) >= 32))
		return "an exception is injected that does not exist";
	return "";
}
