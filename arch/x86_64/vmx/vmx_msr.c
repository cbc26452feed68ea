/* SPDX-License-Identifier: MIT */
/*
 * MSRs: denied unless they stand here. A guest reaches a register without an
 * exit only if the CPU or our switch keeps its value apart for each vCPU; all
 * others exit, and what kernel/ and guest/msr.c do not know ends in #GP.
 *
 * The bitmap (SDM vol. 3, 24.6.9): 1 KiB each for reads of MSRs 0 .. 1FFFh,
 * reads of C0000000h .. C0001FFFh, and writes of both; a 1 means exit. MSRs
 * outside of both ranges exit always.
 */
#include "arch/x86_64/vmx/vmx_msr.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx.h"

#define MSR_TSC          0x00000010u
#define MSR_SYSENTER_CS  0x00000174u
#define MSR_SYSENTER_ESP 0x00000175u
#define MSR_SYSENTER_EIP 0x00000176u

/* clang-format off */
const struct vmx_msr vmx_msrs[] = {
	{MSR_SYSENTER_CS, MSR_IN_VMCS, MSR_LOW32, true, true, GUEST_SYSENTER_CS, "the guest's own"},
	{MSR_SYSENTER_ESP, MSR_IN_VMCS, MSR_CANONICAL, true, true, GUEST_SYSENTER_ESP, "the guest's own"},
	{MSR_SYSENTER_EIP, MSR_IN_VMCS, MSR_CANONICAL, true, true, GUEST_SYSENTER_EIP, "the guest's own"},
	{MSR_PAT, MSR_VIRTUAL, MSR_IS_PAT, false, false, 0, "EPT leaves ignore it; the real one is ours"},
	{MSR_EFER, MSR_IN_VMCS, MSR_IS_EFER, true, false, GUEST_EFER, "writes are checked"},
	{MSR_STAR, MSR_IN_CPU, MSR_ANY, true, true, 0, "switched with the vCPU"},
	{MSR_LSTAR, MSR_IN_CPU, MSR_CANONICAL, true, true, 0, "switched with the vCPU"},
	{MSR_CSTAR, MSR_IN_CPU, MSR_CANONICAL, true, true, 0, "switched with the vCPU"},
	{MSR_SFMASK, MSR_IN_CPU, MSR_LOW32, true, true, 0, "switched with the vCPU"},
	{MSR_FS_BASE, MSR_IN_VMCS, MSR_CANONICAL, true, true, GUEST_FS_BASE, "the guest's own"},
	{MSR_GS_BASE, MSR_IN_VMCS, MSR_CANONICAL, true, true, GUEST_GS_BASE, "the guest's own"},
	{MSR_KERNEL_GS_BASE, MSR_IN_CPU, MSR_CANONICAL, true, true, 0, "switched with the vCPU"},
	{MSR_TSC_AUX, MSR_IN_CPU, MSR_LOW32, true, true, 0, "switched by xstate.c, where there is RDTSCP"},
};
/* clang-format on */
const unsigned vmx_nr_msrs = ARRAY_SIZE(vmx_msrs);

const struct vmx_msr *vmx_msr_find(uint32_t msr)
{
	for (unsigned i = 0; i < vmx_nr_msrs; i++)
		if (vmx_msrs[i].msr == msr)
			return &vmx_msrs[i];
	return NULL;
}

bool vmx_msr_value_allowed(const struct vmx_msr *m, uint64_t value)
{
	switch (m->rule) {
	case MSR_CANONICAL:
		return vmx_canonical(value);
	case MSR_LOW32:
		return !(value >> 32);
	case MSR_IS_PAT:
		return vmx_pat_valid(value);
	case MSR_IS_EFER:
		return !(value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE));
	default:
		return true;
	}
}

static void bitmap_pass(uint8_t *page, uint32_t msr, unsigned half)
{
	unsigned high = msr >= 0xc0000000u ? 1024 : 0, n = msr & 0x1fff;

	page[half + high + n / 8] &= (uint8_t) ~(1u << n % 8);
}

void vmx_msr_bitmap_fill(void *page, bool tsc_aux)
{
	uint8_t *b = page;

	for (unsigned i = 0; i < PAGE_SIZE; i++)
		b[i] = 0xff;
	bitmap_pass(b, MSR_TSC, 0); /* as RDTSC, which does not exit either */
	for (unsigned i = 0; i < vmx_nr_msrs; i++) {
		const struct vmx_msr *m = &vmx_msrs[i];

		if (m->msr == MSR_TSC_AUX && !tsc_aux)
			continue;
		if (m->read)
			bitmap_pass(b, m->msr, 0);
		if (m->write)
			bitmap_pass(b, m->msr, 2048);
	}
}
