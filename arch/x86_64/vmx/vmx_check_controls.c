/* SPDX-License-Identifier: MIT */
/* Checks on the control fields at VM entry: SDM vol. 3, 26.2.1. See vmx_check.c. */
#include "arch/x86_64/vmx/vmx.h"

#define RULE(f) static bool f(const struct vmcs_state *s, unsigned arg)

static bool pin(const struct vmcs_state *s, uint64_t bit)
{
	return s->f[F_PIN_CONTROLS] & bit;
}

static bool proc(const struct vmcs_state *s, uint64_t bit)
{
	return s->f[F_PROC_CONTROLS] & bit;
}

static bool exits(const struct vmcs_state *s, uint64_t bit)
{
	return s->f[F_EXIT_CONTROLS] & bit;
}

/* ---- reserved bits, by capability MSR (A.3 to A.5) ---- */

static uint64_t control_caps(const struct vmcs_state *s, unsigned field)
{
	bool exact = s->caps.basic & VMX_BASIC_TRUE;

	switch (field) {
	case F_PIN_CONTROLS:
		return exact ? s->caps.true_pin : s->caps.pin;
	case F_PROC_CONTROLS:
		return exact ? s->caps.true_proc : s->caps.proc;
	case F_PROC2_CONTROLS:
		return s->caps.proc2;
	case F_EXIT_CONTROLS:
		return exact ? s->caps.true_exit : s->caps.exit;
	default:
		return exact ? s->caps.true_entry : s->caps.entry;
	}
}

RULE(ones_set)
{
	uint32_t must = (uint32_t)control_caps(s, arg);

	if (arg == F_PROC2_CONTROLS && !proc(s, PROC_SECONDARY))
		return true;
	return (s->f[arg] & must) == must;
}

RULE(zeroes_clear)
{
	if (arg == F_PROC2_CONTROLS && !proc(s, PROC_SECONDARY))
		return true;
	return !(s->f[arg] & ~(control_caps(s, arg) >> 32));
}

/* ---- addresses: each field counts only while its control is on ---- */

static bool address_used(const struct vmcs_state *s, unsigned field)
{
	switch (field) {
	case F_IO_BITMAP_A:
	case F_IO_BITMAP_B:
		return proc(s, PROC_IO_BITMAPS);
	case F_MSR_BITMAP:
		return proc(s, PROC_MSR_BITMAPS);
	case F_VIRTUAL_APIC_ADDR:
		return proc(s, PROC_TPR_SHADOW);
	case F_APIC_ACCESS_ADDR:
		return vmx_proc2(s, PROC2_APIC_ACCESS);
	case F_PML_ADDR:
		return vmx_proc2(s, PROC2_PML);
	case F_SPPTP:
		return vmx_proc2(s, PROC2_SUB_PAGE);
	case F_EPTP_LIST:
		return vmx_proc2(s, PROC2_VMFUNC) && (s->f[F_VMFUNC_CONTROLS] & 1);
	case F_VMREAD_BITMAP:
	case F_VMWRITE_BITMAP:
		return vmx_proc2(s, PROC2_VMCS_SHADOW);
	case F_VE_INFO_ADDR:
		return vmx_proc2(s, PROC2_EPT_VE);
	case F_POSTED_INTR_DESC:
		return pin(s, PIN_POSTED_INTERRUPT);
	default:
		return true;
	}
}

RULE(page_aligned)
{
	return !address_used(s, arg) || !(s->f[arg] & (PAGE_SIZE - 1));
}

RULE(address_fits)
{
	return !address_used(s, arg) || vmx_physical(s, s->f[arg]);
}

/* ---- VM-execution controls, 26.2.1.1 ---- */

RULE(cr3_targets)
{
	(void)arg;
	return s->f[F_CR3_TARGET_COUNT] <= VMX_MISC_CR3_TARGETS(s->caps.misc);
}

RULE(tpr_threshold_reserved)
{
	(void)arg;
	return !proc(s, PROC_TPR_SHADOW) || vmx_proc2(s, PROC2_INTERRUPT_DELIVER) ||
	       !(s->f[F_TPR_THRESHOLD] & ~UINT64_C(15));
}

RULE(tpr_threshold_low)
{
	(void)arg;
	return !proc(s, PROC_TPR_SHADOW) || vmx_proc2(s, PROC2_APIC_ACCESS) ||
	       vmx_proc2(s, PROC2_INTERRUPT_DELIVER) ||
	       (s->f[F_TPR_THRESHOLD] & 15) <= (unsigned)(s->vtpr >> 4);
}

RULE(needs_tpr_shadow)
{
	return proc(s, PROC_TPR_SHADOW) || !vmx_proc2(s, arg);
}

RULE(virtual_nmi)
{
	(void)arg;
	return pin(s, PIN_NMI_EXIT) || !pin(s, PIN_VIRTUAL_NMI);
}

RULE(nmi_window)
{
	(void)arg;
	return pin(s, PIN_VIRTUAL_NMI) || !proc(s, PROC_NMI_WINDOW);
}

RULE(x2apic_alone)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_X2APIC) || !vmx_proc2(s, PROC2_APIC_ACCESS);
}

RULE(delivery_needs_exits)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_INTERRUPT_DELIVER) || pin(s, PIN_INTERRUPT_EXIT);
}

RULE(posted_needs_delivery)
{
	(void)arg;
	return !pin(s, PIN_POSTED_INTERRUPT) || vmx_proc2(s, PROC2_INTERRUPT_DELIVER);
}

RULE(posted_needs_ack)
{
	(void)arg;
	return !pin(s, PIN_POSTED_INTERRUPT) || exits(s, EXIT_CTL_ACK_INTERRUPT);
}

RULE(posted_vector)
{
	(void)arg;
	return !pin(s, PIN_POSTED_INTERRUPT) || s->f[F_POSTED_INTR_VECTOR] < 256;
}

RULE(posted_aligned)
{
	(void)arg;
	return !pin(s, PIN_POSTED_INTERRUPT) || !(s->f[F_POSTED_INTR_DESC] & 63);
}

RULE(vpid_not_zero)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_VPID) || (uint16_t)s->f[F_VPID];
}

RULE(eptp_type)
{
	uint64_t type = s->f[F_EPTP] & 7;

	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || (type == 0 && (s->caps.ept_vpid & EPT_CAP_UC)) ||
	       (type == 6 && (s->caps.ept_vpid & EPT_CAP_WB));
}

RULE(eptp_walk)
{
	uint64_t walk = (s->f[F_EPTP] >> 3) & 7;

	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || (walk == 3 && (s->caps.ept_vpid & EPT_CAP_WALK4)) ||
	       (walk == 4 && (s->caps.ept_vpid & EPT_CAP_WALK5));
}

RULE(eptp_ad)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || !(s->f[F_EPTP] & BIT(6)) ||
	       (s->caps.ept_vpid & EPT_CAP_AD);
}

RULE(eptp_shadow_stack)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || !(s->f[F_EPTP] & BIT(7)) ||
	       (s->caps.ept_vpid & EPT_CAP_SSS);
}

RULE(eptp_reserved)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || !(s->f[F_EPTP] & BITS(11, 8));
}

RULE(eptp_fits)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_EPT) || vmx_physical(s, s->f[F_EPTP]);
}

RULE(needs_ept)
{
	return vmx_proc2(s, PROC2_EPT) || !vmx_proc2(s, arg);
}

RULE(vmfunc_reserved)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_VMFUNC) || !(s->f[F_VMFUNC_CONTROLS] & ~s->caps.vmfunc);
}

RULE(eptp_switching)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_VMFUNC) || !(s->f[F_VMFUNC_CONTROLS] & 1) ||
	       vmx_proc2(s, PROC2_EPT);
}

RULE(pt_clears)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_PT_GUEST_PHYSICAL) || exits(s, EXIT_CTL_CLEAR_RTIT);
}

RULE(pt_loads)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_PT_GUEST_PHYSICAL) ||
	       (s->f[F_ENTRY_CONTROLS] & ENTRY_CTL_LOAD_RTIT);
}

RULE(tsc_multiplier)
{
	(void)arg;
	return !vmx_proc2(s, PROC2_TSC_SCALING) || s->f[F_TSC_MULTIPLIER];
}

/* ---- VM-exit controls, 26.2.1.2 ---- */

RULE(save_timer)
{
	(void)arg;
	return pin(s, PIN_PREEMPTION_TIMER) || !exits(s, EXIT_CTL_SAVE_TIMER);
}

/* The count that goes with the address of an MSR list. */
static uint64_t list_count(const struct vmcs_state *s, unsigned address_field)
{
	switch (address_field) {
	case F_EXIT_MSR_STORE_ADDR:
		return s->f[F_EXIT_MSR_STORE_COUNT];
	case F_EXIT_MSR_LOAD_ADDR:
		return s->f[F_EXIT_MSR_LOAD_COUNT];
	default:
		return s->f[F_ENTRY_MSR_LOAD_COUNT];
	}
}

RULE(list_aligned)
{
	return !list_count(s, arg) || !(s->f[arg] & 15);
}

RULE(list_fits)
{
	return !list_count(s, arg) || vmx_physical(s, s->f[arg]);
}

RULE(list_end_fits)
{
	uint64_t n = list_count(s, arg);

	return !n || !vmx_physical(s, s->f[arg]) || vmx_physical(s, s->f[arg] + n * 16 - 1);
}

/* ---- VM-entry controls and the event to inject, 26.2.1.3 ---- */

static bool injecting(const struct vmcs_state *s)
{
	return s->f[F_ENTRY_INTR_INFO] & INTR_VALID;
}

static unsigned event_type(const struct vmcs_state *s)
{
	return INTR_TYPE(s->f[F_ENTRY_INTR_INFO]);
}

RULE(event_type_reserved)
{
	(void)arg;
	return !injecting(s) || event_type(s) != 1;
}

RULE(event_type_other)
{
	bool trap_flag = control_caps(s, F_PROC_CONTROLS) >> 32 & PROC_MONITOR_TRAP;

	(void)arg;
	return !injecting(s) || event_type(s) != INTR_TYPE_OTHER || trap_flag;
}

RULE(event_vector_nmi)
{
	(void)arg;
	return !injecting(s) || event_type(s) != INTR_TYPE_NMI ||
	       INTR_VECTOR(s->f[F_ENTRY_INTR_INFO]) == 2;
}

RULE(event_vector_exception)
{
	(void)arg;
	return !injecting(s) || event_type(s) != INTR_TYPE_EXCEPTION ||
	       INTR_VECTOR(s->f[F_ENTRY_INTR_INFO]) < 32;
}

RULE(event_vector_other)
{
	(void)arg;
	return !injecting(s) || event_type(s) != INTR_TYPE_OTHER ||
	       INTR_VECTOR(s->f[F_ENTRY_INTR_INFO]) == 0;
}

/* May this event carry an error code? #DF #TS #NP #SS #GP #PF #AC, in protected mode. */
static bool event_may_have_error(const struct vmcs_state *s)
{
	uint32_t vectors =
	    1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
	unsigned v = INTR_VECTOR(s->f[F_ENTRY_INTR_INFO]);
	bool protected_mode = !vmx_proc2(s, PROC2_UNRESTRICTED) || (s->f[F_GUEST_CR0] & 1);

	return protected_mode && event_type(s) == INTR_TYPE_EXCEPTION && v < 32 &&
	       (vectors >> v & 1);
}

RULE(event_error_unwanted)
{
	bool any = s->caps.basic & VMX_BASIC_ANY_ERROR_CODE;

	(void)arg;
	return !injecting(s) || any || !(s->f[F_ENTRY_INTR_INFO] & INTR_ERROR_CODE) ||
	       event_may_have_error(s);
}

RULE(event_error_missing)
{
	bool any = s->caps.basic & VMX_BASIC_ANY_ERROR_CODE;

	(void)arg;
	return !injecting(s) || any || (s->f[F_ENTRY_INTR_INFO] & INTR_ERROR_CODE) ||
	       !event_may_have_error(s);
}

RULE(event_reserved)
{
	(void)arg;
	return !injecting(s) || !(s->f[F_ENTRY_INTR_INFO] & BITS(30, 12));
}

RULE(event_error_reserved)
{
	(void)arg;
	return !injecting(s) || !(s->f[F_ENTRY_INTR_INFO] & INTR_ERROR_CODE) ||
	       !(s->f[F_ENTRY_INTR_ERROR] & BITS(31, 16));
}

RULE(event_length)
{
	unsigned t = event_type(s);
	uint64_t n = s->f[F_ENTRY_INSTR_LENGTH];

	(void)arg;
	if (!injecting(s) || t < INTR_TYPE_SOFT_INT || t > INTR_TYPE_SOFT_EXC)
		return true;
	return n <= 15 && (n || (s->caps.misc & VMX_MISC_INJECT_LENGTH0));
}

RULE(entry_smm)
{
	return s->in_smm || !(s->f[F_ENTRY_CONTROLS] & arg);
}

/* clang-format off */
#define EXEC  "26.2.1.1"
#define EXIT  "26.2.1.2"
#define ENTRY "26.2.1.3"
#define ADDRESS(section, name, field)                                                              \
	{section, name " is page-aligned", page_aligned, field},                                   \
	{section, name " fits the physical-address width", address_fits, field}
#define LIST(section, name, field)                                                                 \
	{section, name " is 16-byte aligned", list_aligned, field},                                \
	{section, name " fits the physical-address width", list_fits, field},                      \
	{section, name " ends within the physical-address width", list_end_fits, field}

const struct vmx_rule vmx_control_rules[] = {
	{EXEC, "pin-based controls: bits that must be 1 are 1", ones_set, F_PIN_CONTROLS},
	{EXEC, "pin-based controls: bits that must be 0 are 0", zeroes_clear, F_PIN_CONTROLS},
	{EXEC, "processor-based controls: bits that must be 1 are 1", ones_set, F_PROC_CONTROLS},
	{EXEC, "processor-based controls: bits that must be 0 are 0", zeroes_clear, F_PROC_CONTROLS},
	{EXEC, "secondary controls: bits that must be 1 are 1", ones_set, F_PROC2_CONTROLS},
	{EXEC, "secondary controls: bits that must be 0 are 0", zeroes_clear, F_PROC2_CONTROLS},
	{EXEC, "CR3-target count is supported", cr3_targets, 0},
	ADDRESS(EXEC, "I/O bitmap A", F_IO_BITMAP_A),
	ADDRESS(EXEC, "I/O bitmap B", F_IO_BITMAP_B),
	ADDRESS(EXEC, "MSR bitmap", F_MSR_BITMAP),
	ADDRESS(EXEC, "virtual-APIC page", F_VIRTUAL_APIC_ADDR),
	{EXEC, "TPR threshold: bits 31:4 are 0", tpr_threshold_reserved, 0},
	{EXEC, "TPR threshold is not above the virtual TPR", tpr_threshold_low, 0},
	{EXEC, "x2APIC mode needs the TPR shadow", needs_tpr_shadow, PROC2_X2APIC},
	{EXEC, "APIC-register virtualization needs the TPR shadow", needs_tpr_shadow, PROC2_APIC_REGISTERS},
	{EXEC, "virtual-interrupt delivery needs the TPR shadow", needs_tpr_shadow, PROC2_INTERRUPT_DELIVER},
	{EXEC, "virtual NMIs need NMI exiting", virtual_nmi, 0},
	{EXEC, "NMI-window exiting needs virtual NMIs", nmi_window, 0},
	ADDRESS(EXEC, "APIC-access page", F_APIC_ACCESS_ADDR),
	{EXEC, "x2APIC mode excludes virtual APIC accesses", x2apic_alone, 0},
	{EXEC, "virtual-interrupt delivery needs external-interrupt exiting", delivery_needs_exits, 0},
	{EXEC, "posted interrupts need virtual-interrupt delivery", posted_needs_delivery, 0},
	{EXEC, "posted interrupts need acknowledge on exit", posted_needs_ack, 0},
	{EXEC, "posted-interrupt vector is below 256", posted_vector, 0},
	{EXEC, "posted-interrupt descriptor is 64-byte aligned", posted_aligned, 0},
	{EXEC, "posted-interrupt descriptor fits the physical-address width", address_fits, F_POSTED_INTR_DESC},
	{EXEC, "VPID is not 0", vpid_not_zero, 0},
	{EXEC, "EPTP: memory type is supported", eptp_type, 0},
	{EXEC, "EPTP: page-walk length is supported", eptp_walk, 0},
	{EXEC, "EPTP: accessed and dirty flags are supported", eptp_ad, 0},
	{EXEC, "EPTP: shadow-stack control is supported", eptp_shadow_stack, 0},
	{EXEC, "EPTP: bits 11:8 are 0", eptp_reserved, 0},
	{EXEC, "EPTP fits the physical-address width", eptp_fits, 0},
	{EXEC, "page-modification logging needs EPT", needs_ept, PROC2_PML},
	ADDRESS(EXEC, "page-modification log", F_PML_ADDR),
	{EXEC, "unrestricted guest needs EPT", needs_ept, PROC2_UNRESTRICTED},
	{EXEC, "mode-based execute control needs EPT", needs_ept, PROC2_MODE_EXECUTE},
	{EXEC, "sub-page write permissions need EPT", needs_ept, PROC2_SUB_PAGE},
	ADDRESS(EXEC, "sub-page permission table", F_SPPTP),
	{EXEC, "VM-function controls: reserved bits are 0", vmfunc_reserved, 0},
	{EXEC, "EPTP switching needs EPT", eptp_switching, 0},
	ADDRESS(EXEC, "EPTP list", F_EPTP_LIST),
	ADDRESS(EXEC, "VMREAD bitmap", F_VMREAD_BITMAP),
	ADDRESS(EXEC, "VMWRITE bitmap", F_VMWRITE_BITMAP),
	ADDRESS(EXEC, "virtualization-exception area", F_VE_INFO_ADDR),
	{EXEC, "PT with guest-physical addresses needs EPT", needs_ept, PROC2_PT_GUEST_PHYSICAL},
	{EXEC, "PT with guest-physical addresses needs the clearing of RTIT_CTL at exits", pt_clears, 0},
	{EXEC, "PT with guest-physical addresses needs the loading of RTIT_CTL at entries", pt_loads, 0},
	{EXEC, "TSC multiplier is not 0", tsc_multiplier, 0},

	{EXIT, "VM-exit controls: bits that must be 1 are 1", ones_set, F_EXIT_CONTROLS},
	{EXIT, "VM-exit controls: bits that must be 0 are 0", zeroes_clear, F_EXIT_CONTROLS},
	{EXIT, "saving the preemption timer needs the timer", save_timer, 0},
	LIST(EXIT, "VM-exit MSR-store list", F_EXIT_MSR_STORE_ADDR),
	LIST(EXIT, "VM-exit MSR-load list", F_EXIT_MSR_LOAD_ADDR),

	{ENTRY, "VM-entry controls: bits that must be 1 are 1", ones_set, F_ENTRY_CONTROLS},
	{ENTRY, "VM-entry controls: bits that must be 0 are 0", zeroes_clear, F_ENTRY_CONTROLS},
	{ENTRY, "injected event: type is not reserved", event_type_reserved, 0},
	{ENTRY, "injected event: type \"other\" needs the monitor trap flag", event_type_other, 0},
	{ENTRY, "injected NMI: vector is 2", event_vector_nmi, 0},
	{ENTRY, "injected exception: vector is at most 31", event_vector_exception, 0},
	{ENTRY, "injected event of type \"other\": vector is 0", event_vector_other, 0},
	{ENTRY, "injected event: no error code where there is none", event_error_unwanted, 0},
	{ENTRY, "injected exception: error code where there is one", event_error_missing, 0},
	{ENTRY, "injected event: bits 30:12 are 0", event_reserved, 0},
	{ENTRY, "injected error code: bits 31:16 are 0", event_error_reserved, 0},
	{ENTRY, "injected software event: instruction length is 1 to 15", event_length, 0},
	LIST(ENTRY, "VM-entry MSR-load list", F_ENTRY_MSR_LOAD_ADDR),
	{ENTRY, "entry to SMM only from SMM", entry_smm, ENTRY_CTL_SMM},
	{ENTRY, "dual-monitor treatment is left only from SMM", entry_smm, ENTRY_CTL_NO_DUAL_MONITOR},
};
/* clang-format on */
const unsigned vmx_nr_control_rules = ARRAY_SIZE(vmx_control_rules);
