/* SPDX-License-Identifier: MIT */
/* Checks on the host-state area at VM entry: SDM vol. 3, 26.2.2 to 26.2.4. See vmx_check.c. */
#include "arch/x86_64/vmx/vmx.h"

#define RULE(f) static bool f(const struct vmcs_state *s, unsigned arg)

#define CR0_WP    BIT(16)
#define CR4_PAE   BIT(5)
#define CR4_PCIDE BIT(17)
#define CR4_CET   BIT(23)
#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define EFER_BITS (BIT(0) | EFER_LME | EFER_LMA | BIT(11)) /* SCE, LME, LMA, NXE */

static bool exits(const struct vmcs_state *s, uint64_t bit)
{
	return s->f[F_EXIT_CONTROLS] & bit;
}

static bool host64(const struct vmcs_state *s)
{
	return exits(s, EXIT_CTL_HOST_64);
}

/* ---- control registers and MSRs, 26.2.2; fixed bits: A.7, A.8 ---- */

RULE(cr0_ones)
{
	(void)arg;
	return !(~s->f[F_HOST_CR0] & s->caps.cr0_fixed0);
}

RULE(cr0_zeroes)
{
	(void)arg;
	return !(s->f[F_HOST_CR0] & ~s->caps.cr0_fixed1);
}

RULE(cr4_ones)
{
	(void)arg;
	return !(~s->f[F_HOST_CR4] & s->caps.cr4_fixed0);
}

RULE(cr4_zeroes)
{
	(void)arg;
	return !(s->f[F_HOST_CR4] & ~s->caps.cr4_fixed1);
}

RULE(cet_needs_wp)
{
	(void)arg;
	return !(s->f[F_HOST_CR4] & CR4_CET) || (s->f[F_HOST_CR0] & CR0_WP);
}

RULE(cr3_fits)
{
	(void)arg;
	return vmx_physical(s, s->f[F_HOST_CR3]);
}

RULE(canonical)
{
	return vmx_canonical(s->f[arg]);
}

RULE(perf_global)
{
	uint64_t allowed = BITS(34, 32) | ((UINT64_C(1) << s->perf_bits) - 1);

	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_PERF_GLOBAL) || !(s->f[F_HOST_PERF_GLOBAL] & ~allowed);
}

RULE(pat)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_PAT) || vmx_pat_valid(s->f[F_HOST_PAT]);
}

RULE(efer_reserved)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_EFER) || !(s->f[F_HOST_EFER] & ~EFER_BITS);
}

RULE(efer_mode)
{
	return !exits(s, EXIT_CTL_LOAD_EFER) || !!(s->f[F_HOST_EFER] & arg) == host64(s);
}

RULE(s_cet_reserved)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_CET) || !(s->f[F_HOST_S_CET] & BITS(9, 6));
}

RULE(s_cet_suppress)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_CET) || (s->f[F_HOST_S_CET] & BITS(11, 10)) != BITS(11, 10);
}

RULE(cet_canonical)
{
	return !exits(s, EXIT_CTL_LOAD_CET) || vmx_canonical(s->f[arg]);
}

RULE(ssp_aligned)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_CET) || !(s->f[F_HOST_SSP] & 3);
}

RULE(pkrs)
{
	(void)arg;
	return !exits(s, EXIT_CTL_LOAD_PKRS) || !(s->f[F_HOST_PKRS] >> 32);
}

/* ---- segments, 26.2.3 ---- */

RULE(selector_plain)
{
	return !(s->f[arg] & 7);
}

RULE(selector_not_null)
{
	return (uint16_t)s->f[arg] != 0;
}

RULE(ss_not_null)
{
	(void)arg;
	return host64(s) || (uint16_t)s->f[F_HOST_SS_SELECTOR];
}

/* ---- address-space size, 26.2.4 ---- */

RULE(legacy_host_size)
{
	(void)arg;
	return s->host_ia32e || !host64(s);
}

RULE(legacy_guest)
{
	(void)arg;
	return s->host_ia32e || !(s->f[F_ENTRY_CONTROLS] & ENTRY_CTL_GUEST_64);
}

RULE(long_host_size)
{
	(void)arg;
	return !s->host_ia32e || host64(s);
}

RULE(size32_pcid)
{
	(void)arg;
	return host64(s) || !(s->f[F_HOST_CR4] & CR4_PCIDE);
}

RULE(size32_rip)
{
	(void)arg;
	return host64(s) || !(s->f[F_HOST_RIP] >> 32);
}

RULE(size64_pae)
{
	(void)arg;
	return !host64(s) || (s->f[F_HOST_CR4] & CR4_PAE);
}

RULE(size64_rip)
{
	(void)arg;
	return !host64(s) || vmx_canonical(s->f[F_HOST_RIP]);
}

/* clang-format off */
#define REGS "26.2.2"
#define SEG  "26.2.3"
#define SIZE "26.2.4"
const struct vmx_rule vmx_host_rules[] = {
	{REGS, "host CR0: bits that must be 1 are 1", cr0_ones, 0},
	{REGS, "host CR0: bits that must be 0 are 0", cr0_zeroes, 0},
	{REGS, "host CR4: bits that must be 1 are 1", cr4_ones, 0},
	{REGS, "host CR4: bits that must be 0 are 0", cr4_zeroes, 0},
	{REGS, "host CR4.CET needs CR0.WP", cet_needs_wp, 0},
	{REGS, "host CR3 fits the physical-address width", cr3_fits, 0},
	{REGS, "host SYSENTER_ESP is canonical", canonical, F_HOST_SYSENTER_ESP},
	{REGS, "host SYSENTER_EIP is canonical", canonical, F_HOST_SYSENTER_EIP},
	{REGS, "host PERF_GLOBAL_CTRL: reserved bits are 0", perf_global, 0},
	{REGS, "host PAT: each byte is a memory type", pat, 0},
	{REGS, "host EFER: reserved bits are 0", efer_reserved, 0},
	{REGS, "host EFER.LMA equals the host address-space size", efer_mode, EFER_LMA},
	{REGS, "host EFER.LME equals the host address-space size", efer_mode, EFER_LME},
	{REGS, "host S_CET: reserved bits are 0", s_cet_reserved, 0},
	{REGS, "host S_CET: SUPPRESS and TRACKER are not both set", s_cet_suppress, 0},
	{REGS, "host S_CET is canonical", cet_canonical, F_HOST_S_CET},
	{REGS, "host SSP is canonical", cet_canonical, F_HOST_SSP},
	{REGS, "host SSP is 4-byte aligned", ssp_aligned, 0},
	{REGS, "host SSP table is canonical", cet_canonical, F_HOST_SSP_TABLE},
	{REGS, "host PKRS: bits 63:32 are 0", pkrs, 0},

	{SEG, "host CS selector: RPL and TI are 0", selector_plain, F_HOST_CS_SELECTOR},
	{SEG, "host SS selector: RPL and TI are 0", selector_plain, F_HOST_SS_SELECTOR},
	{SEG, "host DS selector: RPL and TI are 0", selector_plain, F_HOST_DS_SELECTOR},
	{SEG, "host ES selector: RPL and TI are 0", selector_plain, F_HOST_ES_SELECTOR},
	{SEG, "host FS selector: RPL and TI are 0", selector_plain, F_HOST_FS_SELECTOR},
	{SEG, "host GS selector: RPL and TI are 0", selector_plain, F_HOST_GS_SELECTOR},
	{SEG, "host TR selector: RPL and TI are 0", selector_plain, F_HOST_TR_SELECTOR},
	{SEG, "host CS selector is not null", selector_not_null, F_HOST_CS_SELECTOR},
	{SEG, "host TR selector is not null", selector_not_null, F_HOST_TR_SELECTOR},
	{SEG, "host SS selector is not null in a 32-bit host", ss_not_null, 0},
	{SEG, "host FS base is canonical", canonical, F_HOST_FS_BASE},
	{SEG, "host GS base is canonical", canonical, F_HOST_GS_BASE},
	{SEG, "host GDTR base is canonical", canonical, F_HOST_GDTR_BASE},
	{SEG, "host IDTR base is canonical", canonical, F_HOST_IDTR_BASE},
	{SEG, "host TR base is canonical", canonical, F_HOST_TR_BASE},

	{SIZE, "outside IA-32e mode the host is 32-bit", legacy_host_size, 0},
	{SIZE, "outside IA-32e mode the guest is not IA-32e", legacy_guest, 0},
	{SIZE, "in IA-32e mode the host is 64-bit", long_host_size, 0},
	{SIZE, "32-bit host: CR4.PCIDE is 0", size32_pcid, 0},
	{SIZE, "32-bit host: RIP bits 63:32 are 0", size32_rip, 0},
	{SIZE, "64-bit host: CR4.PAE is 1", size64_pae, 0},
	{SIZE, "64-bit host: RIP is canonical", size64_rip, 0},
};
/* clang-format on */
const unsigned vmx_nr_host_rules = ARRAY_SIZE(vmx_host_rules);
