/* SPDX-License-Identifier: MIT */
/*
 * The plan for published CPUs. Family and model numbers and who is affected:
 * Intel's consolidated table of affected processors; Linux, cpu_vuln_whitelist and
 * cpu_vuln_blacklist (arch/x86/kernel/cpu/common.c) and intel-family.h; AMD bulletins
 * SB-1037 and SB-7005. Feature bits: what current microcode shows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/spec_plan.h"

#define NEW_MICROCODE (SPEC7_IBRS_IBPB | SPEC7_STIBP | SPEC7_L1D_FLUSH | SPEC7_MD_CLEAR)
#define ICELAKE_CAPS                                                                               \
	(CAPS_RDCL_NO | CAPS_IBRS_ALL | CAPS_SKIP_L1D | CAPS_MDS_NO | CAPS_ITLB_NO | CAPS_TAA_NO)
#define CASCADE_CAPS (CAPS_RDCL_NO | CAPS_IBRS_ALL | CAPS_SKIP_L1D | CAPS_MDS_NO)
#define L1TF_MDS     (DO_L1D_FLUSH | DO_VERW)
#define LEGACY       (DO_IBPB | DO_RSB_FILL | DO_IBRS)
#define MODERN       (DO_IBPB | DO_RSB_FILL | DO_EIBRS)

/* state: v2, Meltdown, L1TF, MDS, ITLB, retbleed, SRSO, BHI; '-' not affected, 'm', 'V' */
static const struct row {
	const char *name;
	struct spec_cpu cpu;
	uint64_t actions;
	const char *state;
} rows[] = {
    {"Core 2 Penryn, no microcode",
     {SPEC_INTEL, 6, 0x17, 10, false, 0, 0, 0, 0, false, 0},
     DO_RSB_FILL | DO_LARGE_NX,
     "VmVVm---"                                                                                                                },
    {"Sandy Bridge i7-2600, SMT",
     {SPEC_INTEL, 6, 0x2a, 7, false, NEW_MICROCODE, 0, 0, 0, true, 0},
     LEGACY | L1TF_MDS | DO_LARGE_NX | DO_PARK_SMT,
     "mmmmm---"                                                                                                                },
    {"Haswell i7-4770, SMT off",
     {SPEC_INTEL, 6, 0x3c, 3, false, NEW_MICROCODE, 0, 0, 0, false, 0},
     LEGACY | L1TF_MDS | DO_LARGE_NX,
     "mmmmm---"                                                                                                                },
    {"Haswell i7-4770, first microcode",
     {SPEC_INTEL, 6, 0x3c, 3, false, 0, 0, 0, 0, true, 0},
     DO_RSB_FILL | DO_LARGE_NX | DO_PARK_SMT,
     "VmVVm---"                                                                                                                },
    {"Broadwell-EP E5-2699v4",
     {SPEC_INTEL, 6, 0x4f, 1, false, NEW_MICROCODE, 0, 0, 0, true, 0},
     LEGACY | L1TF_MDS | DO_LARGE_NX | DO_PARK_SMT,
     "mmmmm---"                                                                                                                },
    {"Skylake-SP 8180",
     {SPEC_INTEL, 6, 0x55, 4, false, NEW_MICROCODE, 0, 0, 0, true, 0},
     LEGACY | L1TF_MDS | DO_LARGE_NX | DO_PARK_SMT,
     "mmmmmm--"                                                                                                                },
    {"Cascade Lake 8280",
     {SPEC_INTEL, 6, 0x55, 7, false, NEW_MICROCODE, 0, 0, CASCADE_CAPS, true, 0},
     MODERN | DO_LARGE_NX | DO_VERW,                                                                                 /* TAA */
     "m---mm-V"                                                                            },
    {"Ice Lake-SP 8380",
     {SPEC_INTEL, 6, 0x6a, 6, false, NEW_MICROCODE, 0, 0, ICELAKE_CAPS, true, 0},
     MODERN,                                                                                                         "m------V"},
    {"Ice Lake-SP 8380, microcode against MMIO stale data",
     {SPEC_INTEL, 6, 0x6a, 6, false, NEW_MICROCODE, 0, 0, ICELAKE_CAPS | CAPS_FB_CLEAR, true, 0},
     MODERN | DO_VERW,
     "m------V"                                                                                                                },
    {"Sapphire Rapids 8480",
     {SPEC_INTEL, 6, 0x8f, 8, false, NEW_MICROCODE, 0, 0, ICELAKE_CAPS, true, SPEC72_BHI_CTRL},
     MODERN | DO_BHI_DIS,
     "m------m"                                                                                                                },
    {"Sapphire Rapids 8480, no microcode with BHI_DIS_S",
     {SPEC_INTEL, 6, 0x8f, 8, false, NEW_MICROCODE, 0, 0, ICELAKE_CAPS, true, 0},
     MODERN,                                                                                                         "m------V"},
    {"a CPU that says BHI_NO, and has the control",
     {SPEC_INTEL, 6, 0x8f, 8, false, NEW_MICROCODE, 0, 0, ICELAKE_CAPS | CAPS_BHI_NO, true,
      SPEC72_BHI_CTRL},
     MODERN,                                                                                                         "m-------"},
    {"Goldmont N4200",
     {SPEC_INTEL, 6, 0x5c, 9, false, SPEC7_IBRS_IBPB, 0, 0, 0, false, 0},
     LEGACY,                                                                                                         "mm------"},
    {"Silvermont C2750",
     {SPEC_INTEL, 6, 0x4d, 8, false, SPEC7_IBRS_IBPB | SPEC7_MD_CLEAR, 0, 0, 0, false, 0},
     LEGACY | DO_VERW,
     "mm-m----"                                                                                                                },
    {"Bonnell D510, in order",
     {SPEC_INTEL, 6, 0x1c, 10, false, 0, 0, 0, 0, true, 0},
     0,                                                                                                              "--------"},
    {"Opteron 250, K8",
     {SPEC_AMD, 0xf, 0x25, 1, false, 0, 0, 0, 0, false, 0},
     DO_RSB_FILL,                                                                                                    "V-------"},
    {"FX-8350 Piledriver",
     {SPEC_AMD, 0x15, 2, 0, false, 0, SPEC8_IBPB, 0, 0, false, 0},
     DO_RSB_FILL | DO_IBPB | DO_LFENCE,
     "V----V--"                                                                                                                },
    {"EPYC 7601, Zen",
     {SPEC_AMD, 0x17, 1, 2, false, 0, SPEC8_IBPB, 0, 0, true, 0},
     DO_RSB_FILL | DO_IBPB | DO_LFENCE,
     "V----VV-"                                                                                                                },
    {"EPYC 7742, Zen 2",
     {SPEC_AMD, 0x17, 0x31, 0, false, 0, SPEC8_IBPB | SPEC8_IBRS, 0, 0, true, 0},
     LEGACY | DO_LFENCE | DO_ZENBLEED,
     "m----VV-"                                                                                                                },
    {"EPYC 7763, Zen 3",
     {SPEC_AMD, 0x19, 1, 1, false, 0, SPEC8_IBPB | SPEC8_IBRS | SPEC8_IBRS_ALWAYS, 0, 0, true, 0},
     MODERN | DO_LFENCE,
     "m-----V-"                                                                                                                },
    {"EPYC 9654, Zen 4",
     {SPEC_AMD, 0x19, 0x11, 1, false, 0, SPEC8_IBPB | SPEC8_IBRS, SPEC21_AUTO_IBRS, 0, true, 0},
     MODERN | DO_LFENCE,
     "m-----V-"                                                                                                                },
    {"EPYC 9755, Zen 5",
     {SPEC_AMD, 0x1a, 2, 1, false, 0, SPEC8_IBPB | SPEC8_IBRS, SPEC21_AUTO_IBRS | SPEC21_SRSO_NO, 0,
      true, 0},
     MODERN | DO_LFENCE,
     "m-------"                                                                                                                },
    {"Hygon Dhyana",
     {SPEC_AMD, 0x18, 0, 1, false, 0, SPEC8_IBPB, 0, 0, true, 0},
     DO_RSB_FILL | DO_IBPB | DO_LFENCE,
     "V----VV-"                                                                                                                },
    {"QEMU's interpreter",                                  {SPEC_AMD, 0xf, 0x6b, 1, true, 0, 0, 0, 0, false, 0}, 0, "--------"},
};

static void each_cpu(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec_plan p = spec_plan(&rows[i].cpu);
		char got[SPEC_LEAKS + 1] = "";

		for (unsigned l = 0; l < SPEC_LEAKS; l++)
			got[l] = "-mV"[p.state[l]];
		if (strcmp(got, rows[i].state) || p.actions != rows[i].actions)
			fail_msg("%s: %s actions %#lx, want %s %#lx", rows[i].name, got, p.actions,
			         rows[i].state, rows[i].actions);
	}
}

/* A leak that is called mitigated has an action, or is closed by construction (Meltdown) or by
 * the same IBRS that closes Spectre v2 (retbleed). */
static void mitigated_means_something_is_done(void **state)
{
	static const uint64_t needs[SPEC_LEAKS] = {
	    [LEAK_SPECTRE_V2] = DO_EIBRS | DO_IBRS,
	    [LEAK_L1TF] = DO_L1D_FLUSH,
	    [LEAK_MDS] = DO_VERW,
	    [LEAK_ITLB] = DO_LARGE_NX,
	    [LEAK_RETBLEED] = DO_EIBRS | DO_IBRS,
	    [LEAK_BHI] = DO_BHI_DIS,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec_plan p = spec_plan(&rows[i].cpu);

		for (unsigned l = 0; l < SPEC_LEAKS; l++)
			if (p.state[l] == SPEC_MITIGATED && needs[l])
				assert_true(p.actions & needs[l]);
	}
}

/* Each leak and state has a name for hwinfo. */
static void names(void **state)
{
	(void)state;
	for (unsigned l = 0; l < SPEC_LEAKS; l++)
		assert_true(strlen(spec_leak_name((enum spec_leak)l)) > 2);
	assert_string_equal(spec_state_name(SPEC_VULNERABLE), "VULNERABLE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_cpu),
	    cmocka_unit_test(mitigated_means_something_is_done),
	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("spec_plan", tests, NULL, NULL);
}
