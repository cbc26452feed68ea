/* SPDX-License-Identifier: MIT */
/*
 * Checks on the guest-state area at VM entry, all but the segments: SDM vol. 3,
 * 26.3.1.1 and 26.3.1.3 to 26.3.1.6. See vmx_check.c.
 */
#include "arch/x86_64/vmx/vmx.h"

#define RULE(f) static bool f(const struct vmcs_state *s, unsigned arg)

#define CR0_PE    BIT(0)
#define CR0_WP    BIT(16)
#define CR0_NW_CD BITS(30, 29)
#define CR0_PG    BIT(31)
#define CR4_PAE   BIT(5)
#define CR4_PCIDE BIT(17)
#define CR4_CET   BIT(23)
#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define EFER_BITS (BIT(0) | EFER_LME | EFER_LMA | BIT(11))
#define FLAGS_TF  BIT(8)
#define FLAGS_IF  BIT(9)
#define FLAGS_VM  BIT(17)

static bool entry(const struct vmcs_state *s, uint64_t bit)
{
	return s->f[F_ENTRY_CONTROLS] & bit;
}

static bool long_mode(const struct vmcs_state *s)
{
	return entry(s, ENTRY_CTL_GUEST_64);
}

static bool injecting(const struct vmcs_state *s, unsigned type)
{
	uint64_t i = s->f[F_ENTRY_INTR_INFO];

	return (i & INTR_VALID) && INTR_TYPE(i) == type;
}

/* ---- 26.3.1.1 control registers, debug registers, MSRs ---- */

RULE(cr0_ones)
{
	uint64_t free = vmx_proc2(s, PROC2_UNRESTRICTED) ? CR0_PE | CR0_PG : 0;

	(void)arg;
	return !(~s->f[F_GUEST_CR0] & s->caps.cr0_fixed0 & ~free);
}

RULE(cr0_zeroes)
{
	(void)arg;
	return !(s->f[F_GUEST_CR0] & ~s->caps.cr0_fixed1 & ~CR0_NW_CD);
}

RULE(paging_needs_protection)
{
	(void)arg;
	return !(s->f[F_GUEST_CR0] & CR0_PG) || (s->f[F_GUEST_CR0] & CR0_PE);
}

RULE(cr4_ones)
{
	(void)arg;
	return !(~s->f[F_GUEST_CR4] & s->caps.cr4_fixed0);
}

RULE(cr4_zeroes)
{
	(void)arg;
	return !(s->f[F_GUEST_CR4] & ~s->caps.cr4_fixed1);
}

RULE(cet_needs_wp)
{
	(void)arg;
	return !(s->f[F_GUEST_CR4] & CR4_CET) || (s->f[F_GUEST_CR0] & CR0_WP);
}

RULE(debugctl)
{
	uint64_t known = BITS(1, 0) | BITS(15, 6); /* LBR BTF TR BTS ... FREEZE, UNCORE, RTM */

	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_DEBUG) || !(s->f[F_GUEST_DEBUGCTL] & ~known);
}

RULE(long_needs_paging)
{
	(void)arg;
	return !long_mode(s) || (s->f[F_GUEST_CR0] & CR0_PG);
}

RULE(long_needs_pae)
{
	(void)arg;
	return !long_mode(s) || (s->f[F_GUEST_CR4] & CR4_PAE);
}

RULE(pcid_needs_long)
{
	(void)arg;
	return long_mode(s) || !(s->f[F_GUEST_CR4] & CR4_PCIDE);
}

RULE(cr3_fits)
{
	(void)arg;
	return vmx_physical(s, s->f[F_GUEST_CR3]);
}

RULE(dr7_high)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_DEBUG) || !(s->f[F_GUEST_DR7] >> 32);
}

RULE(canonical)
{
	return vmx_canonical(s->f[arg]);
}

RULE(perf_global)
{
	uint64_t allowed = BITS(34, 32) | ((UINT64_C(1) << s->perf_bits) - 1);

	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_PERF_GLOBAL) || !(s->f[F_GUEST_PERF_GLOBAL] & ~allowed);
}

RULE(pat)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_PAT) || vmx_pat_valid(s->f[F_GUEST_PAT]);
}

RULE(efer_reserved)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_EFER) || !(s->f[F_GUEST_EFER] & ~EFER_BITS);
}

RULE(efer_lma)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_EFER) || !!(s->f[F_GUEST_EFER] & EFER_LMA) == long_mode(s);
}

RULE(efer_lme)
{
	uint64_t e = s->f[F_GUEST_EFER];

	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_EFER) || !(s->f[F_GUEST_CR0] & CR0_PG) ||
	       !(e & EFER_LMA) == !(e & EFER_LME);
}

RULE(bndcfgs_reserved)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_BNDCFGS) || !(s->f[F_GUEST_BNDCFGS] & BITS(11, 2));
}

RULE(bndcfgs_canonical)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_BNDCFGS) ||
	       vmx_canonical(s->f[F_GUEST_BNDCFGS] & PAGE_MASK);
}

RULE(rtit)
{
	(void)arg; /* bits that are reserved on every CPU: 63:48 */
	return !entry(s, ENTRY_CTL_LOAD_RTIT) || !(s->f[F_GUEST_RTIT_CTL] >> 48);
}

RULE(s_cet_reserved)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_CET) || !(s->f[F_GUEST_S_CET] & BITS(9, 6));
}

RULE(s_cet_suppress)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_CET) ||
	       (s->f[F_GUEST_S_CET] & BITS(11, 10)) != BITS(11, 10);
}

RULE(cet_canonical)
{
	return !entry(s, ENTRY_CTL_LOAD_CET) || vmx_canonical(s->f[arg]);
}

RULE(pkrs)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_PKRS) || !(s->f[F_GUEST_PKRS] >> 32);
}

/* ---- 26.3.1.3 descriptor-table registers ---- */

RULE(table_limit)
{
	return !(s->f[arg] >> 16);
}

/* ---- 26.3.1.4 RIP, RSP, RFLAGS ---- */

static bool code64(const struct vmcs_state *s)
{
	return long_mode(s) && (s->f[F_GUEST_CS_AR] & AR_L);
}

RULE(rip_32)
{
	(void)arg;
	return code64(s) || !(s->f[F_GUEST_RIP] >> 32);
}

RULE(rip_64)
{
	(void)arg;
	return !code64(s) || vmx_canonical(s->f[F_GUEST_RIP]);
}

RULE(ssp_aligned)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_LOAD_CET) || !(s->f[F_GUEST_SSP] & 3);
}

RULE(flags_zeroes)
{
	(void)arg;
	return !(s->f[F_GUEST_RFLAGS] & (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3)));
}

RULE(flags_one)
{
	(void)arg;
	return s->f[F_GUEST_RFLAGS] & BIT(1);
}

RULE(flags_vm)
{
	(void)arg;
	return !(s->f[F_GUEST_RFLAGS] & FLAGS_VM) ||
	       (!long_mode(s) && (s->f[F_GUEST_CR0] & CR0_PE));
}

RULE(flags_if)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_EXTERNAL) || (s->f[F_GUEST_RFLAGS] & FLAGS_IF);
}

/* ---- 26.3.1.5 non-register state ---- */

static bool blocked(const struct vmcs_state *s, uint64_t bits)
{
	return s->f[F_GUEST_INTERRUPTIBILITY] & bits;
}

RULE(activity_known)
{
	uint64_t a = s->f[F_GUEST_ACTIVITY], m = s->caps.misc;

	(void)arg;
	return a == ACTIVITY_ACTIVE || (a == ACTIVITY_HLT && (m & VMX_MISC_HLT)) ||
	       (a == ACTIVITY_SHUTDOWN && (m & VMX_MISC_SHUTDOWN)) ||
	       (a == ACTIVITY_WAIT_SIPI && (m & VMX_MISC_WAIT_SIPI));
}

RULE(hlt_ring0)
{
	(void)arg;
	return s->f[F_GUEST_ACTIVITY] != ACTIVITY_HLT || AR_DPL(s->f[F_GUEST_SS_AR]) == 0;
}

RULE(shadow_is_active)
{
	(void)arg;
	return !blocked(s, BLOCKING_STI | BLOCKING_MOV_SS) ||
	       s->f[F_GUEST_ACTIVITY] == ACTIVITY_ACTIVE;
}

/* What may be delivered in HLT: interrupts, NMIs, #DB, #MC, and the pending MTF exit. */
RULE(hlt_event)
{
	uint64_t i = s->f[F_ENTRY_INTR_INFO];
	unsigned t = INTR_TYPE(i), v = INTR_VECTOR(i);

	(void)arg;
	if (s->f[F_GUEST_ACTIVITY] != ACTIVITY_HLT || !(i & INTR_VALID))
		return true;
	return t == INTR_TYPE_EXTERNAL || t == INTR_TYPE_NMI || t == INTR_TYPE_OTHER ||
	       (t == INTR_TYPE_EXCEPTION && (v == 1 || v == 18));
}

RULE(shutdown_event)
{
	uint64_t i = s->f[F_ENTRY_INTR_INFO];

	(void)arg;
	if (s->f[F_GUEST_ACTIVITY] != ACTIVITY_SHUTDOWN || !(i & INTR_VALID))
		return true;
	return INTR_TYPE(i) == INTR_TYPE_NMI ||
	       (INTR_TYPE(i) == INTR_TYPE_EXCEPTION && INTR_VECTOR(i) == 18);
}

RULE(sipi_event)
{
	(void)arg;
	return s->f[F_GUEST_ACTIVITY] != ACTIVITY_WAIT_SIPI ||
	       !(s->f[F_ENTRY_INTR_INFO] & INTR_VALID);
}

RULE(smm_activity)
{
	(void)arg;
	return !entry(s, ENTRY_CTL_SMM) || s->f[F_GUEST_ACTIVITY] != ACTIVITY_WAIT_SIPI;
}

RULE(interruptibility_reserved)
{
	(void)arg;
	return !(s->f[F_GUEST_INTERRUPTIBILITY] >> 5);
}

RULE(one_shadow)
{
	(void)arg;
	return !blocked(s, BLOCKING_STI) || !blocked(s, BLOCKING_MOV_SS);
}

RULE(sti_needs_if)
{
	(void)arg;
	return !blocked(s, BLOCKING_STI) || (s->f[F_GUEST_RFLAGS] & FLAGS_IF);
}

RULE(interrupt_no_sti)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_EXTERNAL) || !blocked(s, BLOCKING_STI);
}

RULE(interrupt_no_mov_ss)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_EXTERNAL) || !blocked(s, BLOCKING_MOV_SS);
}

RULE(nmi_no_mov_ss)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_NMI) || !blocked(s, BLOCKING_MOV_SS);
}

RULE(smi_outside_smm)
{
	(void)arg;
	return s->in_smm || !blocked(s, BLOCKING_SMI);
}

RULE(smi_in_smm)
{
	(void)arg;
	return !s->in_smm || !entry(s, ENTRY_CTL_SMM) || blocked(s, BLOCKING_SMI);
}

/* Some CPUs only; injecting an NMI behind STI is never needed, so always checked. */
RULE(nmi_no_sti)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_NMI) || !blocked(s, BLOCKING_STI);
}

RULE(nmi_not_blocked)
{
	(void)arg;
	return !injecting(s, INTR_TYPE_NMI) || !(s->f[F_PIN_CONTROLS] & PIN_VIRTUAL_NMI) ||
	       !blocked(s, BLOCKING_NMI);
}

RULE(enclave_no_mov_ss)
{
	(void)arg;
	return !blocked(s, BLOCKING_ENCLAVE) || !blocked(s, BLOCKING_MOV_SS);
}

RULE(pending_reserved)
{
	(void)arg;
	return !(s->f[F_GUEST_PENDING_DEBUG] & (BITS(63, 17) | BIT(15) | BIT(13) | BITS(11, 4)));
}

/* In a shadow or in HLT a single-step trap is pending exactly if TF is on and BTF off. */
static bool step_matters(const struct vmcs_state *s)
{
	return blocked(s, BLOCKING_STI | BLOCKING_MOV_SS) || s->f[F_GUEST_ACTIVITY] == ACTIVITY_HLT;
}

static bool steps(const struct vmcs_state *s)
{
	return (s->f[F_GUEST_RFLAGS] & FLAGS_TF) && !(s->f[F_GUEST_DEBUGCTL] & BIT(1));
}

RULE(pending_step_missing)
{
	(void)arg;
	return !step_matters(s) || !steps(s) || (s->f[F_GUEST_PENDING_DEBUG] & BIT(14));
}

RULE(pending_step_unwanted)
{
	(void)arg;
	return !step_matters(s) || steps(s) || !(s->f[F_GUEST_PENDING_DEBUG] & BIT(14));
}

/* Bit 16 (RTM): then bit 12 is 1, all others 0, and there is no MOV SS shadow. */
RULE(pending_rtm_bits)
{
	uint64_t p = s->f[F_GUEST_PENDING_DEBUG];

	(void)arg;
	return !(p & BIT(16)) || (p & (BITS(3, 0) | BIT(12) | BIT(14))) == BIT(12);
}

RULE(pending_rtm_shadow)
{
	(void)arg;
	return !(s->f[F_GUEST_PENDING_DEBUG] & BIT(16)) || !blocked(s, BLOCKING_MOV_SS);
}

static bool linked(const struct vmcs_state *s)
{
	return s->f[F_LINK_POINTER] != ~UINT64_C(0);
}

RULE(link_aligned)
{
	(void)arg;
	return !linked(s) || !(s->f[F_LINK_POINTER] & (PAGE_SIZE - 1));
}

RULE(link_fits)
{
	(void)arg;
	return !linked(s) || vmx_physical(s, s->f[F_LINK_POINTER]);
}

/* ---- 26.3.1.6 page-directory-pointer-table entries; format: table 4-8 ---- */

RULE(pdpte)
{
	bool pae = (s->f[F_GUEST_CR0] & CR0_PG) && (s->f[F_GUEST_CR4] & CR4_PAE) && !long_mode(s);
	uint64_t p = s->f[arg];

	if (!pae || !vmx_proc2(s, PROC2_EPT) || !(p & 1))
		return true;
	return !(p & (BITS(2, 1) | BITS(8, 5))) && vmx_physical(s, p);
}

/* clang-format off */
#define REGS  "26.3.1.1"
#define DT    "26.3.1.3"
#define RIPS  "26.3.1.4"
#define NREG  "26.3.1.5"
#define PDPT  "26.3.1.6"
const struct vmx_rule vmx_guest_rules[] = {
	{REGS, "guest CR0: bits that must be 1 are 1", cr0_ones, 0},
	{REGS, "guest CR0: bits that must be 0 are 0", cr0_zeroes, 0},
	{REGS, "guest CR0.PG needs CR0.PE", paging_needs_protection, 0},
	{REGS, "guest CR4: bits that must be 1 are 1", cr4_ones, 0},
	{REGS, "guest CR4: bits that must be 0 are 0", cr4_zeroes, 0},
	{REGS, "guest CR4.CET needs CR0.WP", cet_needs_wp, 0},
	{REGS, "guest DEBUGCTL: reserved bits are 0", debugctl, 0},
	{REGS, "IA-32e guest: CR0.PG is 1", long_needs_paging, 0},
	{REGS, "IA-32e guest: CR4.PAE is 1", long_needs_pae, 0},
	{REGS, "guest CR4.PCIDE needs an IA-32e guest", pcid_needs_long, 0},
	{REGS, "guest CR3 fits the physical-address width", cr3_fits, 0},
	{REGS, "guest DR7: bits 63:32 are 0", dr7_high, 0},
	{REGS, "guest SYSENTER_ESP is canonical", canonical, F_GUEST_SYSENTER_ESP},
	{REGS, "guest SYSENTER_EIP is canonical", canonical, F_GUEST_SYSENTER_EIP},
	{REGS, "guest PERF_GLOBAL_CTRL: reserved bits are 0", perf_global, 0},
	{REGS, "guest PAT: each byte is a memory type", pat, 0},
	{REGS, "guest EFER: reserved bits are 0", efer_reserved, 0},
	{REGS, "guest EFER.LMA equals the IA-32e guest control", efer_lma, 0},
	{REGS, "guest EFER.LMA equals LME while paging", efer_lme, 0},
	{REGS, "guest BNDCFGS: bits 11:2 are 0", bndcfgs_reserved, 0},
	{REGS, "guest BNDCFGS: the address is canonical", bndcfgs_canonical, 0},
	{REGS, "guest RTIT_CTL: reserved bits are 0", rtit, 0},
	{REGS, "guest S_CET: reserved bits are 0", s_cet_reserved, 0},
	{REGS, "guest S_CET: SUPPRESS and TRACKER are not both set", s_cet_suppress, 0},
	{REGS, "guest S_CET is canonical", cet_canonical, F_GUEST_S_CET},
	{REGS, "guest SSP table is canonical", cet_canonical, F_GUEST_SSP_TABLE},
	{REGS, "guest PKRS: bits 63:32 are 0", pkrs, 0},

	{DT, "guest GDTR base is canonical", canonical, F_GUEST_GDTR_BASE},
	{DT, "guest IDTR base is canonical", canonical, F_GUEST_IDTR_BASE},
	{DT, "guest GDTR limit: bits 31:16 are 0", table_limit, F_GUEST_GDTR_LIMIT},
	{DT, "guest IDTR limit: bits 31:16 are 0", table_limit, F_GUEST_IDTR_LIMIT},

	{RIPS, "guest RIP: bits 63:32 are 0 outside 64-bit code", rip_32, 0},
	{RIPS, "guest RIP is canonical in 64-bit code", rip_64, 0},
	{RIPS, "guest SSP is canonical", cet_canonical, F_GUEST_SSP},
	{RIPS, "guest SSP is 4-byte aligned", ssp_aligned, 0},
	{RIPS, "guest RFLAGS: reserved bits are 0", flags_zeroes, 0},
	{RIPS, "guest RFLAGS: bit 1 is 1", flags_one, 0},
	{RIPS, "guest RFLAGS.VM only in protected mode outside IA-32e", flags_vm, 0},
	{RIPS, "injected interrupt: guest RFLAGS.IF is 1", flags_if, 0},

	{NREG, "activity state is supported", activity_known, 0},
	{NREG, "HLT: SS.DPL is 0", hlt_ring0, 0},
	{NREG, "blocking by STI or MOV SS: the guest is active", shadow_is_active, 0},
	{NREG, "HLT: the injected event can wake it", hlt_event, 0},
	{NREG, "shutdown: the injected event is an NMI or #MC", shutdown_event, 0},
	{NREG, "wait-for-SIPI: nothing is injected", sipi_event, 0},
	{NREG, "entry to SMM: not in wait-for-SIPI", smm_activity, 0},
	{NREG, "interruptibility: bits 31:5 are 0", interruptibility_reserved, 0},
	{NREG, "blocking by STI and by MOV SS are not both on", one_shadow, 0},
	{NREG, "blocking by STI: RFLAGS.IF is 1", sti_needs_if, 0},
	{NREG, "injected interrupt: no blocking by STI", interrupt_no_sti, 0},
	{NREG, "injected interrupt: no blocking by MOV SS", interrupt_no_mov_ss, 0},
	{NREG, "injected NMI: no blocking by MOV SS", nmi_no_mov_ss, 0},
	{NREG, "no blocking by SMI outside SMM", smi_outside_smm, 0},
	{NREG, "entry to SMM: blocking by SMI", smi_in_smm, 0},
	{NREG, "injected NMI: no blocking by STI", nmi_no_sti, 0},
	{NREG, "injected virtual NMI: no blocking by NMI", nmi_not_blocked, 0},
	{NREG, "enclave interruption: no blocking by MOV SS", enclave_no_mov_ss, 0},
	{NREG, "pending debug exceptions: reserved bits are 0", pending_reserved, 0},
	{NREG, "pending debug exceptions: BS is 1 while single-stepping", pending_step_missing, 0},
	{NREG, "pending debug exceptions: BS is 0 while not single-stepping", pending_step_unwanted, 0},
	{NREG, "pending debug exceptions: RTM comes with bit 12 alone", pending_rtm_bits, 0},
	{NREG, "pending debug exceptions: no RTM behind MOV SS", pending_rtm_shadow, 0},
	{NREG, "VMCS link pointer is page-aligned", link_aligned, 0},
	{NREG, "VMCS link pointer fits the physical-address width", link_fits, 0},

	{PDPT, "PDPTE 0: reserved bits are 0", pdpte, F_GUEST_PDPTE0},
	{PDPT, "PDPTE 1: reserved bits are 0", pdpte, F_GUEST_PDPTE1},
	{PDPT, "PDPTE 2: reserved bits are 0", pdpte, F_GUEST_PDPTE2},
	{PDPT, "PDPTE 3: reserved bits are 0", pdpte, F_GUEST_PDPTE3},
};
/* clang-format on */
const unsigned vmx_nr_guest_rules = ARRAY_SIZE(vmx_guest_rules);
