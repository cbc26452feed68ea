/* SPDX-License-Identifier: MIT */
/*
 * MSRs: deny by default. A sweep of everything that could be there, reading and
 * writing, must raise #GP or nothing; what would tell of or change the machine
 * must raise #GP.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

struct access {
	uint32_t msr;
	uint64_t value;
};

static void read_one(void *arg)
{
	struct access *a = arg;

	a->value = rdmsr(a->msr);
}

static void write_one(void *arg)
{
	const struct access *a = arg;

	wrmsr(a->msr, a->value);
}

/* Not there for a guest: reading and writing both raise #GP. */
static const struct {
	uint32_t msr;
	const char *name;
} forbidden[] = {
    {0x3a,       "IA32_FEATURE_CONTROL"    },
    {0x480,      "IA32_VMX_BASIC"          },
    {0x48b,      "IA32_VMX_PROCBASED_CTLS2"},
    {0x48c,      "IA32_VMX_EPT_VPID_CAP"   },
    {0x9b,       "IA32_SMM_MONITOR_CTL"    },
    {0xc1,       "IA32_PMC0"               },
    {0x38f,      "IA32_PERF_GLOBAL_CTRL"   },
    {0x1a0000,   "no MSR at all"           },
    {0xc0010114, "VM_CR"                   },
    {0xc0010117, "VM_HSAVE_PA"             },
    {0xc0010118, "SVM_KEY"                 },
    {0xda0,      "IA32_XSS"                },
    {0x600,      "IA32_DS_AREA"            },
};

static void forbidden_ones(void)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		struct access a = {forbidden[i].msr, 1};
		int v = trap_vector(write_one, &a);

		attack_judge("MSR write", forbidden[i].name, v, TRAP(TRAP_GP));
	}
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		struct access a = {forbidden[i].msr, 0};
		/* It may read as "locked, off". */
		uint32_t may = forbidden[i].msr == 0x3a ? NOTHING : 0;

		attack_judge("MSR read", forbidden[i].name, trap_vector(read_one, &a),
		             TRAP(TRAP_GP) | may);
	}
}

/* Writing these back, or all ones, would hurt this guest itself, or print. */
static bool ours(uint32_t msr)
{
	return msr == 0x10 || msr == 0x3b || msr == 0x6e0 || msr == MSR_EFER ||
	       (msr >= 0x40000000 && msr < 0x40000100) || (msr >= 0x800 && msr < 0x900) ||
	       msr == 0x1b;
}

static void sweep(uint32_t first, uint32_t count)
{
	unsigned readable = 0, strange = 0;

	for (uint32_t m = first; m < first + count; m++) {
		struct access a = {m, 0};
		int v = trap_vector(read_one, &a);

		strange += v != TRAP_NONE && v != TRAP_GP;
		if (v != TRAP_NONE)
			continue;
		readable++;
		if (ours(m))
			continue;
		v = trap_vector(write_one, &a);
		strange += v != TRAP_NONE && v != TRAP_GP;
	}
	tap_diag("MSRs %x-%x: %u can be read", first, first + count - 1, readable);
	tap_is(strange, 0, "MSR sweep from %x: #GP or nothing", first);
}

/* All ones into whatever cannot even be read. */
static void sweep_write(uint32_t first, uint32_t count)
{
	unsigned strange = 0;

	for (uint32_t m = first; m < first + count; m++) {
		struct access a = {m, UINT64_MAX}, r = {m, 0};
		int v;

		if (ours(m) || trap_vector(read_one, &r) == TRAP_NONE)
			continue;
		v = trap_vector(write_one, &a);
		strange += v != TRAP_NONE && v != TRAP_GP;
	}
	tap_is(strange, 0, "MSR writes from %x: #GP or nothing", first);
}

struct write_row {
	const char *name;
	struct access a;
	uint32_t expected;
};

static void writes(void)
{
	uint64_t efer = rdmsr(MSR_EFER);
	/* The bases are the CPU's to check where they are not intercepted: QEMU 7.2 does not. */
	const struct write_row rows[] = {
	    {"EFER without LME in long mode",
	     {MSR_EFER, efer & ~(uint64_t)EFER_LME},
	     TRAP(TRAP_GP)	                                                                                  },
	    {"EFER.SVME",	                      {MSR_EFER, efer | 1u << 12},          TRAP(TRAP_GP)          },
	    {"EFER bit 9",	                     {MSR_EFER, efer | 1u << 9},           TRAP(TRAP_GP)          },
	    {"EFER bit 63",	                    {MSR_EFER, efer | UINT64_C(1) << 63}, TRAP(TRAP_GP)          },
	    {"EFER, all ones",                         {MSR_EFER, UINT64_MAX},               TRAP(TRAP_GP)          },
	    {"EFER.SCE",	                       {MSR_EFER, efer | 1},                 NOTHING                },
	    {"EFER as it was",                         {MSR_EFER, efer},                     NOTHING                },
	    {"PAT, reserved type",                     {0x277, 0x0202020202020202},          TRAP(TRAP_GP)          },
	    {"PAT, all uncached",                      {0x277, 0},                           NOTHING                },
	    {"PAT, the usual",                         {0x277, 0x0007040600070406},          NOTHING                },
	    {"GS base, not canonical",                 {0xc0000101, UINT64_C(1) << 63},      NOTHING | TRAP(TRAP_GP)},
	    {"FS base, not canonical",                 {0xc0000100, UINT64_C(1) << 47},      NOTHING | TRAP(TRAP_GP)},
	    {"LSTAR, not canonical",                   {0xc0000082, UINT64_C(1) << 62},      NOTHING | TRAP(TRAP_GP)},
	    {"SYSENTER_EIP, not canonical",            {0x176, UINT64_C(1) << 62},           NOTHING | TRAP(TRAP_GP)},
	    {"the hypercall page, outside the memory", {0x40000000, UINT64_C(1) << 45},      SURVIVED               },
	    {"the hypercall page, at ~0",              {0x40000000, ~UINT64_C(0xfff)},       SURVIVED               },
	    {"APIC base, all ones",                    {0x1b, UINT64_MAX},                   TRAP(TRAP_GP)          },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct access a = rows[i].a, was = {a.msr, 0};

		trap_vector(read_one, &was);
		attack_judge("MSR write", rows[i].name, trap_vector(write_one, &a),
		             rows[i].expected);
		if (a.msr >> 16 == 0xc000)
			trap_vector(write_one, &was);
	}
	tap_is((long)(rdmsr(MSR_EFER) & 1u << 12), 0, "EFER.SVME reads 0");
}

void attack_msrs(void)
{
	forbidden_ones();
	writes();
	sweep(0, 0x1000);
	sweep(0xc0000000, 0x200);
	sweep(0xc0010000, 0x200);
	sweep_write(0, 0x400);
	sweep_write(0xc0010000, 0x200);
}
