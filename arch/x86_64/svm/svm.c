/* SPDX-License-Identifier: MIT */
/* AMD-V behind hvm.h: detection, this CPU, life of a vCPU. The run is in svm_run.c. */
#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/svm/svm_controls.h"
#include "arch/x86_64/svm/svm_vcpu.h"
#include "arch/x86_64/xstate.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "mm/frame.h"
#include "mm/space.h"

#define IOPM_BYTES    12288u /* 64 Ki ports and what a wide access at the end reaches (15.10.1) */
#define PAT_ALL_WB    UINT64_C(0x0606060606060606)
#define PAT_AT_RESET  UINT64_C(0x0007040600070406)
#define DR7_AT_RESET  UINT64_C(0x400)
#define SEG_ATTR_CODE 0x9b /* present, read, execute, accessed */
#define SEG_ATTR_DATA 0x93
#define SEG_ATTR_LDT  0x82
#define SEG_ATTR_TSS  0x8b

struct svm_machine svm_machine;

/* One of each for all guests: every port exits, every MSR but the table's. */
static uint8_t svm_iopm[IOPM_BYTES] __attribute__((aligned(4096)));
static uint8_t svm_msrpm[MSRPM_BYTES] __attribute__((aligned(4096)));

static const char *svm_probe(void)
{
	uint64_t vm_cr;

	if (!cpu_has_leaf(0x80000001) || !(cpuid(0x80000001, 0).ecx & CPUID_SVM_ECX))
		return "This CPU has no AMD-V: guests need it.";
	if (rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		return "AMD-V is switched off by the firmware: switch on SVM in its setup.";
	if (!(cpuid(SVM_FEATURES_LEAF, 0).edx & SVM_FEATURE_NPT))
		return "This CPU's AMD-V has no nested paging: guests need it.";
	if (cpuid(SVM_FEATURES_LEAF, 0).ebx < 2)
		return "This CPU's AMD-V has no address space identifiers: guests need one.";
	return NULL;
}

static void svm_learn(void)
{
	struct cpuid_regs f = cpuid(SVM_FEATURES_LEAF, 0);

	svm_machine.nr_asids = f.ebx;
	svm_machine.features = f.edx;
	svm_machine.delivers_twice = spec_emulated();
	svm_machine.phys_bits = cpu_has_leaf(0x80000008) ? cpuid(0x80000008, 0).eax & 0xff : 36;
}

/* The boot CPU comes first, alone, and builds what all share. */
static const char *svm_cpu_on(void)
{
	spec_cpu_on();
	xstate_cpu_on();
	if (!svm_machine.nr_asids) {
		svm_learn();
		for (unsigned i = 0; i < IOPM_BYTES; i++)
			svm_iopm[i] = 0xff;
		svm_msrpm_build(svm_msrpm, xstate_has_tsc_aux());
	}
	return svm_run_cpu_on();
}

/* ---- life of a vCPU ---- */

static void *svm_page(mfn_t m)
{
	uint64_t *page = phys_to_virt(mfn_to_addr(m));

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*page); i++)
		page[i] = 0;
	return page;
}

static void svm_controls_init(struct vmcb *b, const struct space *s)
{
	svm_intercepts(b->intercepts);
	b->iopm_base_pa = virt_to_phys(svm_iopm);
	b->msrpm_base_pa = virt_to_phys(svm_msrpm);
	b->virtual_interrupt = V_INTR_MASKING;
	b->nested_control = NESTED_PAGING;
	b->nested_cr3 = npt_format.root(s->root);
	b->g_pat = PAT_ALL_WB;
}

/* As a CPU comes out of INIT, but that it starts at 0 (APM vol. 2, table 14-1). */
static void svm_state_init(struct hvm_vcpu *v)
{
	const struct guest_segment data = {.attributes = SEG_ATTR_DATA, .limit = 0xffff};
	struct guest_state s = {
	    .cr0 = CR0_ET,
	    .dr7 = DR7_AT_RESET,
	    .cs = {.attributes = SEG_ATTR_CODE, .limit = 0xffff},
	    .ds = data,
	    .es = data,
	    .fs = data,
	    .gs = data,
	    .ss = data,
	    .tr = {.attributes = SEG_ATTR_TSS,                           .limit = 0xffff},
	    .ldtr = {.attributes = SEG_ATTR_LDT,.limit = 0xffff},
	    .gdtr = {.limit = 0xffff },
	    .idtr = {.limit = 0xffff                          },
	};

	v->regs = (struct guest_regs){.rflags = 2};
	v->svm->pat = PAT_AT_RESET;
	ASSERT(svm_vcpu_set_state(v, &s));
}

static bool svm_vcpu_init(struct hvm_vcpu *v, struct space *s, domid_t d, unsigned vcpu_id)
{
	mfn_t own = frame_alloc(0, FRAME_HYPERVISOR, d), vmcb = frame_alloc(0, FRAME_HYPERVISOR, d);

	v->space = s;
	v->domid = d;
	v->vcpu_id = (uint16_t)vcpu_id;
	v->last_cpu = ~0u;
	if (!mfn_valid(own) || !mfn_valid(vmcb) || !xstate_alloc(v)) {
		if (mfn_valid(own))
			frame_free(own, 0);
		if (mfn_valid(vmcb))
			frame_free(vmcb, 0);
		return false;
	}
	v->svm = svm_page(own);
	v->svm->vmcb = svm_page(vmcb);
	v->svm->vmcb_pa = mfn_to_addr(vmcb);
	v->svm->asid_cpu = ~0u;
	svm_controls_init(v->svm->vmcb, s);
	svm_state_init(v);
	return true;
}

static void svm_vcpu_free(struct hvm_vcpu *v)
{
	xstate_free(v);
	frame_free(mfn_of_addr(v->svm->vmcb_pa), 0);
	frame_free(mfn_of_addr(virt_to_phys(v->svm)), 0);
	v->svm = NULL;
}

static void svm_vcpu_load(struct hvm_vcpu *v)
{
	spec_load_domain(machine_cpu(), v->domid);
	xstate_load(v);
}

static void svm_vcpu_unload(struct hvm_vcpu *v)
{
	xstate_save(v);
}

static unsigned svm_vcpu_mode(struct hvm_vcpu *v)
{
	return v->svm->vmcb->cpl | (svm_code_bits(v) == 64 ? VCPU_MODE_64 : 0);
}

static uint64_t svm_vcpu_cr4(struct hvm_vcpu *v)
{
	return v->svm->cr4;
}

/* Nested page tables have accessed and dirty flags on every CPU; there is no log (APM vol.
 * 2, 15.25). */
static unsigned svm_dirty_sources(void)
{
	return BIT(DIRTY_FLAGS) | BIT(DIRTY_PROTECT);
}

static const struct pte_format *svm_dirty_use(enum dirty_source source)
{
	(void)source;
	return &npt_format;
}

static void svm_describe(void (*line)(const char *text))
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
	    {SVM_FEATURE_NPT,           "nested paging"     },
	    {SVM_FEATURE_LBR,           "LBR virtualisation"},
	    {SVM_FEATURE_LOCK,          "SVM lock"          },
	    {SVM_FEATURE_NRIPS,         "next-RIP save"     },
	    {SVM_FEATURE_TSC_RATE,      "TSC ratio"         },
	    {SVM_FEATURE_CLEAN,         "clean bits"        },
	    {SVM_FEATURE_FLUSH_BY_ASID, "flush by ASID"     },
	    {SVM_FEATURE_DECODE,        "decode assists"    },
	    {SVM_FEATURE_PAUSE_FILTER,  "pause filter"      },
	    {SVM_FEATURE_VMSAVE,        "virtual VMLOAD"    },
	    {SVM_FEATURE_VGIF,          "virtual GIF"       },
	};
	char text[240];
	int at;

	svm_learn();
	at =
	    text_format(text, sizeof(text), "AMD-V: %u ASIDs, features %08x:", svm_machine.nr_asids,
	                svm_machine.features);
	for (unsigned i = 0; i < ARRAY_SIZE(names) && at < (int)sizeof(text); i++)
		if (svm_machine.features & names[i].bit)
			at += text_format(text + at, sizeof(text) - (size_t)at, "%s %s",
			                  text[at - 1] == ':' ? "" : ",", names[i].name);
	line(text);
	spec_describe(line);
}

const struct hvm_ops svm_ops = {
    .name = "AMD-V",
    .probe = svm_probe,
    .dirty_sources = svm_dirty_sources,
    .dirty_use = svm_dirty_use,
    .cpu_on = svm_cpu_on,
    .cpu_off = svm_run_cpu_off,
    .vcpu_init = svm_vcpu_init,
    .vcpu_free = svm_vcpu_free,
    .vcpu_load = svm_vcpu_load,
    .vcpu_unload = svm_vcpu_unload,
    .vcpu_run = svm_vcpu_run,
    .vcpu_skip = svm_vcpu_skip,
    .vcpu_inject = svm_vcpu_inject,
    .vcpu_offer = svm_vcpu_offer,
    .vcpu_drop_events = svm_vcpu_drop_events,
    .vcpu_mode = svm_vcpu_mode,
    .vcpu_cr4 = svm_vcpu_cr4,
    .vcpu_get_paging = svm_vcpu_get_paging,
    .vcpu_get_state = svm_vcpu_get_state,
    .vcpu_set_state = svm_vcpu_set_state,
    .vcpu_read_msr = svm_vcpu_read_msr,
    .vcpu_write_msr = svm_vcpu_write_msr,
    .vcpu_write_cr = svm_vcpu_write_cr,
    .vcpu_dump = svm_vcpu_dump,
    .describe = svm_describe,
};
