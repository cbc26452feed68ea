/* SPDX-License-Identifier: MIT */
/*
 * Which controls a VMCS of ours uses: a pure function of the capability MSRs.
 *
 * Each of the five control words has an "allowed 0" and an "allowed 1" half
 * (SDM vol. 3, appendix A.3 to A.5): a bit that may not be 0 is 1, a bit that
 * may not be 1 is missing. Every control bit that the SDM names stands in the
 * table below with what we want of it and why; a test requires that.
 */
#include "arch/x86_64/vmx/vmx.h"

#define P(b, w, n, y)                                                                              \
	{                                                                                          \
		WORD_PIN, PIN_##b, w, n, y                                                         \
	}
#define C(b, w, n, y)                                                                              \
	{                                                                                          \
		WORD_PROC, PROC_##b, w, n, y                                                       \
	}
#define C2(b, w, n, y)                                                                             \
	{                                                                                          \
		WORD_PROC2, PROC2_##b, w, n, y                                                     \
	}
#define X(b, w, n, y)                                                                              \
	{                                                                                          \
		WORD_EXIT, EXIT_CTL_##b, w, n, y                                                   \
	}
#define E(b, w, n, y)                                                                              \
	{                                                                                          \
		WORD_ENTRY, ENTRY_CTL_##b, w, n, y                                                 \
	}

/* clang-format off */
const struct vmx_control_bit vmx_control_bits[] = {
	/* What is most often missing comes first: it is what the user is told. */
	C(SECONDARY, WISH_ON, "secondary controls", "EPT is one of them"),
	C2(EPT, WISH_ON, "extended page tables (EPT)", "guest memory is translated and shared there"),
	C2(UNRESTRICTED, WISH_ON, "unrestricted guest mode", "guests start unpaged"),

	P(INTERRUPT_EXIT, WISH_ON, "external-interrupt exiting", "interrupts are ours"),
	P(NMI_EXIT, WISH_ON, "NMI exiting", "NMIs are ours: a panic stops CPUs by NMI"),
	P(VIRTUAL_NMI, WISH_ON, "virtual NMIs", "the guest's NMI blocking is its own"),
	P(PREEMPTION_TIMER, WISH_OFF, "preemption timer", "the APIC timer interrupts the guest; see vmx_run.c"),
	P(POSTED_INTERRUPT, WISH_OFF, "posted interrupts", "events are injected at entry"),

	C(INTERRUPT_WINDOW, WISH_SWITCHED, "interrupt-window exiting", "on while an interrupt waits"),
	C(TSC_OFFSET, WISH_OFF, "TSC offsetting", "guests read the machine's TSC; pvclock does the rest"),
	C(HLT_EXIT, WISH_ON, "HLT exiting", "an idle vCPU gives up its CPU"),
	C(INVLPG_EXIT, WISH_OFF, "INVLPG exiting", "with EPT the guest's page tables are its own"),
	C(MWAIT_EXIT, WISH_ON, "MWAIT exiting", "MWAIT is hidden: undefined"),
	C(RDPMC_EXIT, WISH_ON, "RDPMC exiting", "counters see other guests"),
	C(RDTSC_EXIT, WISH_OFF, "RDTSC exiting", "reading the TSC is allowed"),
	C(CR3_LOAD_EXIT, WISH_OFF, "CR3-load exiting", "with EPT CR3 is the guest's own"),
	C(CR3_STORE_EXIT, WISH_OFF, "CR3-store exiting", "with EPT CR3 is the guest's own"),
	C(TERTIARY, WISH_OFF, "tertiary controls", "nothing in them is used"),
	C(CR8_LOAD_EXIT, WISH_ON, "CR8-load exiting", "the task priority of the real APIC is ours"),
	C(CR8_STORE_EXIT, WISH_ON, "CR8-store exiting", "the task priority of the real APIC is ours"),
	C(TPR_SHADOW, WISH_OFF, "TPR shadow", "CR8 exits"),
	C(NMI_WINDOW, WISH_SWITCHED, "NMI-window exiting", "on while an NMI waits"),
	C(MOV_DR_EXIT, WISH_OFF, "MOV-DR exiting", "debug registers are switched with the vCPU"),
	C(IO_EXIT, WISH_ON, "unconditional I/O exiting", "no port belongs to a guest"),
	C(IO_BITMAPS, WISH_OFF, "I/O bitmaps", "every access exits"),
	C(MONITOR_TRAP, WISH_OFF, "monitor trap flag", "no single-stepping from outside"),
	C(MSR_BITMAPS, WISH_ON, "MSR bitmaps", "all MSRs exit but those in the table of vmx_msr.c"),
	C(MONITOR_EXIT, WISH_ON, "MONITOR exiting", "MONITOR is hidden: undefined"),
	C(PAUSE_EXIT, WISH_ON, "PAUSE exiting", "a spinning vCPU gives way; dropped where pause loops exit"),

	C2(APIC_ACCESS, WISH_OFF, "virtualize APIC accesses", "guests have no local APIC"),
	C2(DESCRIPTOR_EXIT, WISH_OFF, "descriptor-table exiting", "GDT, IDT, LDT, TR are the guest's own"),
	C2(RDTSCP, WISH_IF_THERE, "RDTSCP", "offered to guests; TSC_AUX is switched"),
	C2(X2APIC, WISH_OFF, "virtualize x2APIC mode", "guests have no local APIC"),
	C2(VPID, WISH_IF_THERE, "VPID", "entries and exits need not flush"),
	C2(WBINVD_EXIT, WISH_ON, "WBINVD exiting", "a guest may not empty everybody's caches"),
	C2(APIC_REGISTERS, WISH_OFF, "APIC-register virtualization", "guests have no local APIC"),
	C2(INTERRUPT_DELIVER, WISH_OFF, "virtual-interrupt delivery", "guests have no local APIC"),
	C2(PAUSE_LOOP, WISH_IF_THERE, "PAUSE-loop exiting", "cheaper than an exit for each PAUSE"),
	C2(RDRAND_EXIT, WISH_OFF, "RDRAND exiting", "allowed"),
	C2(INVPCID, WISH_IF_THERE, "INVPCID", "offered to guests"),
	C2(VMFUNC, WISH_OFF, "VM functions", "no guest switches its own EPT"),
	C2(VMCS_SHADOW, WISH_OFF, "VMCS shadowing", "no nesting"),
	C2(ENCLS_EXIT, WISH_IF_THERE, "ENCLS exiting", "SGX is hidden: undefined"),
	C2(RDSEED_EXIT, WISH_OFF, "RDSEED exiting", "allowed"),
	C2(PML, WISH_OFF, "page-modification logging", "on where it is the dirty source: see choose_ept"),
	C2(EPT_VE, WISH_OFF, "EPT-violation #VE", "EPT violations are ours"),
	C2(CONCEAL_PT, WISH_OFF, "conceal VMX from PT", "PT is off"),
	C2(XSAVES, WISH_IF_THERE, "XSAVES", "offered to guests, with XSS zero"),
	C2(PASID, WISH_OFF, "PASID translation", "ENQCMD is hidden"),
	C2(MODE_EXECUTE, WISH_OFF, "mode-based execute", "one execute right is enough"),
	C2(SUB_PAGE, WISH_OFF, "sub-page write permissions", "not used"),
	C2(PT_GUEST_PHYSICAL, WISH_OFF, "PT uses guest physical addresses", "PT is off"),
	C2(TSC_SCALING, WISH_OFF, "TSC scaling", "guests read the machine's TSC"),
	C2(USER_WAIT, WISH_OFF, "user wait and pause", "hidden: undefined"),
	C2(PCONFIG, WISH_OFF, "PCONFIG", "hidden: undefined"),
	C2(ENCLV_EXIT, WISH_IF_THERE, "ENCLV exiting", "SGX is hidden: undefined"),
	C2(EPC_VIRTUAL, WISH_OFF, "EPC virtualization", "SGX is hidden"),
	C2(BUS_LOCK_EXIT, WISH_OFF, "bus-lock detection", "split locks are slow, not forbidden"),
	C2(INSTR_TIMEOUT, WISH_OFF, "instruction timeout", "not used"),

	X(SAVE_DEBUG, WISH_ON, "save debug controls", "DR7 is the guest's own"),
	X(HOST_64, WISH_ON, "64-bit host", "we are"),
	X(LOAD_PERF_GLOBAL, WISH_OFF, "load PERF_GLOBAL_CTRL at exit", "counters are off"),
	X(ACK_INTERRUPT, WISH_OFF, "acknowledge interrupt on exit", "it is taken in machine_irq_window"),
	X(SAVE_PAT, WISH_OFF, "save PAT", "EPT leaves ignore PAT; the guest's is a variable"),
	X(LOAD_PAT, WISH_OFF, "load PAT at exit", "the guest never changes the real one"),
	X(SAVE_EFER, WISH_ON, "save EFER", "LMA follows the guest's CR0.PG"),
	X(LOAD_EFER, WISH_ON, "load EFER at exit", "ours differs from the guest's"),
	X(SAVE_TIMER, WISH_OFF, "save preemption timer", "not used"),
	X(CLEAR_BNDCFGS, WISH_OFF, "clear BNDCFGS", "MPX is hidden"),
	X(CONCEAL_PT, WISH_OFF, "conceal exits from PT", "PT is off"),
	X(CLEAR_RTIT, WISH_OFF, "clear RTIT_CTL", "PT is off"),
	X(CLEAR_LBR, WISH_OFF, "clear LBR_CTL", "LBRs are hidden"),
	X(CLEAR_UINV, WISH_OFF, "clear UINV", "user interrupts are hidden"),
	X(LOAD_CET, WISH_OFF, "load CET state at exit", "CET is hidden"),
	X(LOAD_PKRS, WISH_OFF, "load PKRS at exit", "hidden"),
	X(SAVE_PERF_GLOBAL, WISH_OFF, "save PERF_GLOBAL_CTRL", "counters are off"),
	X(SECONDARY, WISH_OFF, "secondary VM-exit controls", "nothing in them is used"),

	E(LOAD_DEBUG, WISH_ON, "load debug controls", "DR7 is the guest's own"),
	E(GUEST_64, WISH_SWITCHED, "IA-32e mode guest", "follows the guest"),
	E(SMM, WISH_OFF, "entry to SMM", "we are not in SMM"),
	E(NO_DUAL_MONITOR, WISH_OFF, "deactivate dual-monitor treatment", "we are not in SMM"),
	E(LOAD_PERF_GLOBAL, WISH_OFF, "load PERF_GLOBAL_CTRL", "counters are off"),
	E(LOAD_PAT, WISH_OFF, "load PAT", "EPT leaves ignore PAT"),
	E(LOAD_EFER, WISH_ON, "load EFER", "the guest's differs from ours"),
	E(LOAD_BNDCFGS, WISH_OFF, "load BNDCFGS", "MPX is hidden"),
	E(CONCEAL_PT, WISH_OFF, "conceal entries from PT", "PT is off"),
	E(LOAD_RTIT, WISH_OFF, "load RTIT_CTL", "PT is off"),
	E(LOAD_UINV, WISH_OFF, "load UINV", "user interrupts are hidden"),
	E(LOAD_CET, WISH_OFF, "load CET state", "CET is hidden"),
	E(LOAD_LBR, WISH_OFF, "load LBR_CTL", "LBRs are hidden"),
	E(LOAD_PKRS, WISH_OFF, "load PKRS", "hidden"),
};
/* clang-format on */
const unsigned vmx_nr_control_bits = ARRAY_SIZE(vmx_control_bits);

/*
 * Reserved bits that are 1 on every CPU ("default1" class, A.3.1, A.4, A.5),
 * less those that the table above names.
 */
static const uint32_t default1[VMX_WORDS] = {
    [WORD_PIN] = 0x16,     [WORD_PROC] = 0x04006172, [WORD_PROC2] = 0,
    [WORD_EXIT] = 0x36dfb, [WORD_ENTRY] = 0x11fb,
};

/* One sentence for each control that we cannot do without. */
#define MISSING(text)                                                                              \
	"This CPU's VT-x has no " text ", which guests need here; a newer CPU is required."

struct missing {
	enum vmx_word word;
	uint64_t bit;
	const char *sentence;
};

static const struct missing missing_sentences[] = {
    {WORD_PROC,  PROC_SECONDARY,      MISSING("extended page tables (EPT)")   },
    {WORD_PROC2, PROC2_EPT,           MISSING("extended page tables (EPT)")   },
    {WORD_PROC2, PROC2_UNRESTRICTED,  MISSING("unrestricted guest mode")      },
    {WORD_PIN,   PIN_VIRTUAL_NMI,     MISSING("virtual NMIs")                 },
    {WORD_PROC,  PROC_MSR_BITMAPS,    MISSING("MSR bitmaps")                  },
    {WORD_PROC2, PROC2_WBINVD_EXIT,   MISSING("WBINVD exiting")               },
    {WORD_EXIT,  EXIT_CTL_SAVE_EFER,  MISSING("saving of EFER at VM exits")   },
    {WORD_EXIT,  EXIT_CTL_LOAD_EFER,  MISSING("loading of EFER at VM exits")  },
    {WORD_ENTRY, ENTRY_CTL_LOAD_EFER, MISSING("loading of EFER at VM entries")},
};

static const char *missing_sentence(const struct vmx_control_bit *b)
{
	for (unsigned i = 0; i < ARRAY_SIZE(missing_sentences); i++)
		if (missing_sentences[i].word == b->word && missing_sentences[i].bit == b->bit)
			return missing_sentences[i].sentence;
	return MISSING("way to intercept what guests must not do (a basic VM-execution control)");
}

/* Capabilities of a word: allowed 0 in the low half, allowed 1 in the high half. */
static uint64_t word_caps(const struct vmx_caps *caps, enum vmx_word w)
{
	bool exact = caps->basic & VMX_BASIC_TRUE;

	switch (w) {
	case WORD_PIN:
		return exact ? caps->true_pin : caps->pin;
	case WORD_PROC:
		return exact ? caps->true_proc : caps->proc;
	case WORD_PROC2:
		return (caps->proc >> 32) & PROC_SECONDARY ? caps->proc2 : 0;
	case WORD_EXIT:
		return exact ? caps->true_exit : caps->exit;
	default:
		return exact ? caps->true_entry : caps->entry;
	}
}

/* Take the bits of the table that this CPU has; a sentence if one is missing. */
static const char *choose_bits(const struct vmx_caps *caps, uint32_t words[VMX_WORDS])
{
	for (unsigned i = 0; i < vmx_nr_control_bits; i++) {
		const struct vmx_control_bit *b = &vmx_control_bits[i];
		uint64_t c = word_caps(caps, b->word);
		bool can_be_1 = (c >> 32) & b->bit, can_be_0 = !(c & b->bit);

		if (b->wish == WISH_ON || b->wish == WISH_SWITCHED) {
			if (!can_be_1)
				return missing_sentence(b);
		}
		if ((b->wish == WISH_OFF || b->wish == WISH_SWITCHED) && !can_be_0)
			return "This CPU's VT-x forces a control on that must be off here (it is "
			       "too old, or an outer hypervisor hides the TRUE capability MSRs).";
		if (b->wish == WISH_ON || (b->wish == WISH_IF_THERE && can_be_1))
			words[b->word] |= b->bit;
	}
	return NULL;
}

/* Reserved bits as the CPU wants them; one that we do not know may mean anything. */
static const char *choose_reserved(const struct vmx_caps *caps, uint32_t words[VMX_WORDS])
{
	for (unsigned w = 0; w < VMX_WORDS; w++) {
		uint32_t forced = (uint32_t)word_caps(caps, w);

		if (forced & ~(words[w] | default1[w]))
			return "This CPU's VT-x forces on a control that Quire does not know.";
		words[w] |= forced;
	}
	return NULL;
}

static const char *choose_ept(const struct vmx_caps *caps, struct vmx_controls *c)
{
	uint64_t e = caps->ept_vpid;

	if (!(e & EPT_CAP_WALK4) || !(e & EPT_CAP_WB))
		return MISSING("4-level write-back extended page tables");
	if (!(e & EPT_CAP_2M))
		return MISSING("2 MiB pages in extended page tables");
	if (!(e & EPT_CAP_INVEPT) || !(e & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)))
		return MISSING("INVEPT instruction");
	c->ept_ad = e & EPT_CAP_AD;
	/* It logs what a dirty flag is set for, so it needs them (26.2.1.1). */
	c->pml = c->ept_ad && (word_caps(caps, WORD_PROC2) >> 32) & PROC2_PML;
	c->invept_single = e & EPT_CAP_INVEPT_SINGLE;
	c->invvpid_single = e & EPT_CAP_INVVPID_SINGLE;
	if (!(e & EPT_CAP_INVVPID) || !(e & (EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL)))
		c->proc2 &= ~(uint32_t)PROC2_VPID; /* a tag that cannot be flushed is no use */
	c->vpid = c->proc2 & PROC2_VPID;
	return NULL;
}

static const char *choose_basic(const struct vmx_caps *caps)
{
	if (VMX_BASIC_SIZE(caps->basic) > PAGE_SIZE || VMX_BASIC_MEMORY_TYPE(caps->basic) != 6)
		return "This CPU's VT-x wants its control structures larger than a page or "
		       "uncached.";
	if (caps->basic & VMX_BASIC_32BIT)
		return "This CPU's VT-x reaches memory below 4 GiB only; a 64-bit one is required.";
	if (!(caps->misc & VMX_MISC_SAVES_LMA))
		return MISSING("tracking of the guest's long mode");
	return NULL;
}

const char *vmx_controls_choose(const struct vmx_caps *caps, struct vmx_controls *c)
{
	uint32_t words[VMX_WORDS] = {0};
	const char *why;

	*c = (struct vmx_controls){0};
	if ((why = choose_bits(caps, words)) || (why = choose_reserved(caps, words)) ||
	    (why = choose_basic(caps)))
		return why;
	c->pin = words[WORD_PIN];
	c->proc = words[WORD_PROC];
	c->proc2 = words[WORD_PROC2];
	c->exit = words[WORD_EXIT];
	c->entry = words[WORD_ENTRY];
	c->preemption_timer = (word_caps(caps, WORD_PIN) >> 32) & PIN_PREEMPTION_TIMER;
	c->pause_loop = c->proc2 & PROC2_PAUSE_LOOP;
	if (c->pause_loop && !((uint32_t)word_caps(caps, WORD_PROC) & PROC_PAUSE_EXIT))
		c->proc &= ~(uint32_t)PROC_PAUSE_EXIT;
	return choose_ept(caps, c);
}

const char *vmx_feature_refusal(bool cpuid_vmx, uint64_t feature_control)
{
	if (!cpuid_vmx)
		return "This CPU has no VT-x, or the firmware has switched it off: look for "
		       "\"Virtualization Technology\" in the firmware setup.";
	if ((feature_control & FEATURE_CONTROL_LOCK) && !(feature_control & FEATURE_CONTROL_VMX))
		return "VT-x is locked off by the firmware: enable \"Virtualization Technology\" "
		       "in "
		       "the firmware setup and switch the machine off and on.";
	return NULL;
}
