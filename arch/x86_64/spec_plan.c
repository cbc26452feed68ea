/* SPDX-License-Identifier: MIT */
/*
 * Who is affected by what: Intel, "Affected Processors: Guidance for Security
 * Issues on Intel Processors" (consolidated product table); AMD, "Software
 * Techniques for Managing Speculation on AMD Processors", bulletins AMD-SB-1037
 * (retbleed) and AMD-SB-7005 (SRSO); and Linux, arch/x86/kernel/cpu/common.c,
 * cpu_vuln_whitelist and cpu_vuln_blacklist. A CPU that says "no" in
 * IA32_ARCH_CAPABILITIES is believed before any list.
 *
 * Guests run on page tables of their own in which nothing of ours is mapped,
 * so Meltdown reads nothing of the hypervisor's: mitigated by construction.
 */
#include "arch/x86_64/spec_plan.h"

#define NO_SPECULATION BIT(0) /* in-order cores */
#define NO_L1TF        BIT(1)
#define NO_MDS         BIT(2)
#define NO_ITLB        BIT(3)
#define IS_RETBLEED    BIT(4)

/* Family 6 models that differ from the rule "affected by all, but not by retbleed". */
static const struct intel_model {
	uint8_t model;
	uint64_t traits;
} intel_models[] = {
    {0x1c, NO_SPECULATION | NO_ITLB  }, /* Bonnell */
    {0x26, NO_SPECULATION | NO_ITLB  },
    {0x27, NO_SPECULATION | NO_ITLB  }, /* Saltwell */
    {0x35, NO_SPECULATION | NO_ITLB  },
    {0x36, NO_SPECULATION | NO_ITLB  },
    {0x37, NO_L1TF | NO_ITLB         }, /* Silvermont */
    {0x4a, NO_L1TF | NO_ITLB         },
    {0x4c, NO_L1TF | NO_ITLB         }, /* Airmont */
    {0x4d, NO_L1TF | NO_ITLB         },
    {0x57, NO_L1TF | NO_ITLB         }, /* Knights Landing */
    {0x5a, NO_L1TF | NO_ITLB         },
    {0x5d, NO_L1TF | NO_ITLB         },
    {0x85, NO_L1TF | NO_ITLB         }, /* Knights Mill */
    {0x5c, NO_L1TF | NO_MDS | NO_ITLB}, /* Goldmont */
    {0x5f, NO_L1TF | NO_MDS | NO_ITLB}, /* Denverton */
    {0x7a, NO_L1TF | NO_MDS | NO_ITLB}, /* Goldmont Plus */
    {0x86, NO_L1TF | NO_MDS | NO_ITLB}, /* Tremont */
    {0x96, NO_L1TF | NO_MDS | NO_ITLB},
    {0x9c, NO_L1TF | NO_MDS | NO_ITLB},
    {0x4e, IS_RETBLEED               }, /* Skylake */
    {0x5e, IS_RETBLEED               },
    {0x55, IS_RETBLEED               }, /* Skylake-SP and Cascade Lake */
    {0x8e, IS_RETBLEED               }, /* Kaby Lake */
    {0x9e, IS_RETBLEED               },
    {0x66, IS_RETBLEED               }, /* Cannon Lake */
    {0xa5, IS_RETBLEED               }, /* Comet Lake */
    {0xa6, IS_RETBLEED               },
};

static uint64_t spec_intel_traits(const struct spec_cpu *c)
{
	if (c->family < 6)
		return NO_SPECULATION | NO_L1TF | NO_MDS | NO_ITLB;
	for (size_t i = 0; c->family == 6 && i < ARRAY_SIZE(intel_models); i++)
		if (intel_models[i].model == c->model)
			return intel_models[i].traits;
	return 0;
}

static void spec_answer(struct spec_plan *p, enum spec_leak l, bool closed, uint64_t actions)
{
	p->state[l] = closed ? SPEC_MITIGATED : SPEC_VULNERABLE;
	p->actions |= actions;
}

/* ---- branch prediction: Spectre v2, BHI, retbleed, SRSO ---- */

/*
 * Branch history injection (CVE-2022-0001, CVE-2024-2201). Enhanced IBRS keeps a guest's targets
 * out of our predictions, but the history of its branches still chooses among our own. Intel,
 * "Branch History Injection and Intra-mode Branch Target Injection"; as in Linux, only CPUs with
 * enhanced IBRS count (arch/x86/kernel/cpu/common.c), and BHI_DIS_S is enough where there is one
 * (cpu/bugs.c:bhi_select_mitigation). The sequence that clears the history is not written.
 */
static void spec_bhi(const struct spec_cpu *c, struct spec_plan *p)
{
	bool control = c->leaf7_2_edx & SPEC72_BHI_CTRL;

	if ((c->arch_caps & CAPS_IBRS_ALL) && !(c->arch_caps & CAPS_BHI_NO))
		spec_answer(p, LEAK_BHI, control, control ? DO_BHI_DIS : 0);
}

static void spec_intel_branches(const struct spec_cpu *c, uint64_t traits, struct spec_plan *p)
{
	bool ibrs = c->leaf7_edx & SPEC7_IBRS_IBPB, always = c->arch_caps & CAPS_IBRS_ALL;
	uint64_t how = always ? DO_EIBRS : DO_IBRS;

	spec_answer(p, LEAK_SPECTRE_V2, ibrs, DO_RSB_FILL | (ibrs ? DO_IBPB | how : 0));
	/* IBRS also keeps returns from using the branch target buffer. */
	if (traits & IS_RETBLEED)
		spec_answer(p, LEAK_RETBLEED, ibrs, 0);
}

static void spec_amd_branches(const struct spec_cpu *c, struct spec_plan *p)
{
	bool automatic = c->amd21_eax & SPEC21_AUTO_IBRS, ibrs = c->amd8_ebx & SPEC8_IBRS;
	bool ibpb = c->amd8_ebx & SPEC8_IBPB;
	bool always = automatic || (ibrs && (c->amd8_ebx & SPEC8_IBRS_ALWAYS));
	bool zen12 = c->family == 0x17 || c->family == 0x18;
	uint64_t how = always ? DO_EIBRS : ibrs ? DO_IBRS : 0;

	spec_answer(p, LEAK_SPECTRE_V2, ibpb && how, DO_RSB_FILL | (ibpb ? DO_IBPB : 0) | how);
	/* Returns are predicted from the branch target buffer: needs untrained returns, which
	 * this build does not have. */
	if (zen12 || c->family == 0x15 || c->family == 0x16)
		spec_answer(p, LEAK_RETBLEED, false, 0);
	if ((zen12 || c->family == 0x19) && !(c->amd21_eax & SPEC21_SRSO_NO))
		spec_answer(p, LEAK_SRSO, false, 0);
}

/* ---- caches and buffers: Intel only ---- */

static void spec_l1tf(const struct spec_cpu *c, struct spec_plan *p)
{
	bool flush = c->leaf7_edx & SPEC7_L1D_FLUSH;

	if (c->arch_caps & CAPS_SKIP_L1D)
		return;
	spec_answer(p, LEAK_L1TF, flush, (flush ? DO_L1D_FLUSH : 0) | (c->smt ? DO_PARK_SMT : 0));
}

static void spec_mds(const struct spec_cpu *c, struct spec_plan *p)
{
	bool clear = c->leaf7_edx & SPEC7_MD_CLEAR;

	spec_answer(p, LEAK_MDS, clear, (clear ? DO_VERW : 0) | (c->smt ? DO_PARK_SMT : 0));
}

/*
 * The kin of MDS that newer CPUs have: TAA (those with TSX; where there is none the VERW costs a
 * little), MMIO stale data, register file data sampling. The last two are announced by what
 * their VERW clears (SDM vol. 4, IA32_ARCH_CAPABILITIES).
 */
static void spec_buffers(const struct spec_cpu *c, struct spec_plan *p)
{
	bool taa = (c->arch_caps & CAPS_MDS_NO) && !(c->arch_caps & CAPS_TAA_NO);

	if ((taa && (c->leaf7_edx & SPEC7_MD_CLEAR)) ||
	    (c->arch_caps & (CAPS_FB_CLEAR | CAPS_RFDS_CLEAR)))
		p->actions |= DO_VERW;
}

static void spec_intel(const struct spec_cpu *c, struct spec_plan *p)
{
	uint64_t traits = spec_intel_traits(c);
	bool rdcl_no = c->arch_caps & CAPS_RDCL_NO;

	if (!(traits & NO_ITLB) && !(c->arch_caps & CAPS_ITLB_NO))
		spec_answer(p, LEAK_ITLB, true, DO_LARGE_NX);
	if (traits & NO_SPECULATION)
		return;
	spec_intel_branches(c, traits, p);
	spec_bhi(c, p);
	if (!rdcl_no)
		spec_answer(p, LEAK_MELTDOWN, true, 0);
	if (!rdcl_no && !(traits & NO_L1TF))
		spec_l1tf(c, p);
	if (!(c->arch_caps & CAPS_MDS_NO) && !(traits & NO_MDS))
		spec_mds(c, p);
	spec_buffers(c, p);
}

/* Zen 2: vector registers of another context can be read (AMD-SB-7008). */
static bool spec_is_zen2(const struct spec_cpu *c)
{
	return c->family == 0x17 &&
	       ((c->model >= 0x30 && c->model <= 0x4f) || (c->model >= 0x60 && c->model <= 0x7f) ||
	        (c->model >= 0x90 && c->model <= 0xaf));
}

/* Switches of AMD's DE_CFG. LFENCE: "Software Techniques for Managing Speculation", G-2. */
static void spec_amd_switches(const struct spec_cpu *c, struct spec_plan *p)
{
	if (c->family >= 0x10 && c->family != 0x11)
		p->actions |= DO_LFENCE;
	if (spec_is_zen2(c))
		p->actions |= DO_ZENBLEED;
}

struct spec_plan spec_plan(const struct spec_cpu *cpu)
{
	struct spec_plan p = {0};

	if (cpu->emulated)
		return p;
	switch (cpu->vendor) {
	case SPEC_INTEL:
		spec_intel(cpu, &p);
		break;
	case SPEC_AMD:
		spec_amd_branches(cpu, &p);
		spec_amd_switches(cpu, &p);
		break;
	case SPEC_OTHER: /* nothing is known of it: do what costs nothing to get right */
		spec_answer(&p, LEAK_SPECTRE_V2, false, DO_RSB_FILL);
		break;
	}
	return p;
}

const char *spec_leak_name(enum spec_leak l)
{
	static const char *const names[SPEC_LEAKS] = {
	    [LEAK_SPECTRE_V2] = "Spectre v2",
	    [LEAK_MELTDOWN] = "Meltdown",
	    [LEAK_L1TF] = "L1TF",
	    [LEAK_MDS] = "MDS",
	    [LEAK_ITLB] = "ITLB multihit",
	    [LEAK_RETBLEED] = "retbleed",
	    [LEAK_SRSO] = "SRSO",
	    [LEAK_BHI] = "BHI",
	};

	return names[l];
}

const char *spec_state_name(enum spec_state s)
{
	static const char *const names[] = {"not affected", "mitigated", "VULNERABLE"};

	return names[s];
}
