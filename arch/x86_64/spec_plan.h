/* SPDX-License-Identifier: MIT */
/*
 * What this CPU needs against its speculation leaks: a pure function of what
 * CPUID and the MSRs say. spec.c applies the answer.
 */
#ifndef ARCH_SPEC_PLAN_H
#define ARCH_SPEC_PLAN_H

#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

enum spec_vendor { SPEC_INTEL, SPEC_AMD, SPEC_OTHER };

struct spec_cpu {
	enum spec_vendor vendor;
	unsigned family, model, stepping; /* as displayed: extended fields added in */
	bool emulated;                    /* an interpreter: nothing is speculated */
	uint32_t leaf7_edx;               /* CPUID 7.0 EDX */
	uint32_t amd8_ebx;                /* CPUID 8000_0008h EBX */
	uint32_t amd21_eax;               /* CPUID 8000_0021h EAX */
	uint64_t arch_caps;               /* IA32_ARCH_CAPABILITIES, 0 if there is none */
	bool smt;                         /* sibling threads are on */
	uint32_t leaf7_2_edx;             /* CPUID 7.2 EDX */
};

/* The bits of struct spec_cpu that matter. */
#define SPEC7_MD_CLEAR    BIT(10)
#define SPEC7_IBRS_IBPB   BIT(26)
#define SPEC7_STIBP       BIT(27)
#define SPEC7_L1D_FLUSH   BIT(28)
#define SPEC7_ARCH_CAPS   BIT(29)
#define SPEC72_BHI_CTRL   BIT(4)
#define SPEC8_IBPB        BIT(12)
#define SPEC8_IBRS        BIT(14)
#define SPEC8_IBRS_ALWAYS BIT(16)
#define SPEC21_AUTO_IBRS  BIT(8)
#define SPEC21_SRSO_NO    BIT(29)
#define CAPS_RDCL_NO      BIT(0)
#define CAPS_IBRS_ALL     BIT(1)
#define CAPS_SKIP_L1D     BIT(3)
#define CAPS_MDS_NO       BIT(5)
#define CAPS_ITLB_NO      BIT(6)
#define CAPS_TAA_NO       BIT(8)
#define CAPS_FB_CLEAR     BIT(17)
#define CAPS_BHI_NO       BIT(20)
#define CAPS_RFDS_CLEAR   BIT(28)

enum spec_leak {
	LEAK_SPECTRE_V2,
	LEAK_MELTDOWN,
	LEAK_L1TF,
	LEAK_MDS,
	LEAK_ITLB,
	LEAK_RETBLEED,
	LEAK_SRSO,
	LEAK_BHI,
	SPEC_LEAKS
};

enum spec_state {
	SPEC_NOT_AFFECTED,
	SPEC_MITIGATED,
	SPEC_VULNERABLE, /* nothing that this CPU offers would close it */
};

/* What is to be done. */
#define DO_IBPB      BIT(0)  /* PRED_CMD.IBPB when another domain's vCPU is loaded */
#define DO_RSB_FILL  BIT(1)  /* after each exit */
#define DO_EIBRS     BIT(2)  /* IBRS once and for all (enhanced or automatic) */
#define DO_IBRS      BIT(3)  /* SPEC_CTRL.IBRS while the hypervisor runs */
#define DO_VERW      BIT(4)  /* clear CPU buffers before each entry */
#define DO_L1D_FLUSH BIT(5)  /* before each entry */
#define DO_PARK_SMT  BIT(6)  /* sibling threads stay parked unless smt=1 says otherwise */
#define DO_LARGE_NX  BIT(7)  /* large leaves are not executable */
#define DO_LFENCE    BIT(8)  /* DE_CFG: make LFENCE serialise; guests are told that it does */
#define DO_ZENBLEED  BIT(9)  /* DE_CFG: no rollback of VZEROUPPER, whatever the microcode */
#define DO_BHI_DIS   BIT(10) /* SPEC_CTRL.BHI_DIS_S, once and for all */

struct spec_plan {
	uint64_t actions;
	enum spec_state state[SPEC_LEAKS];
};

struct spec_plan spec_plan(const struct spec_cpu *cpu);

/* "Spectre v2" and so on; "not affected", "mitigated", "VULNERABLE". */
const char *spec_leak_name(enum spec_leak l);
const char *spec_state_name(enum spec_state s);

#endif
