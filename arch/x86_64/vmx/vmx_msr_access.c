/* SPDX-License-Identifier: MIT */
/*
 * A guest's MSRs in the CPU and in the VMCS: RDMSR and WRMSR that exited, and
 * the switch with the vCPU. SYSCALL is not used by the hypervisor and SWAPGS
 * neither, so these registers may keep the guest's values while it is loaded.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_msr.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"

void vmx_msr_load(struct hvm_vcpu *v)
{
	const struct vmx_vcpu *k = v->vmx;

	wrmsr(MSR_STAR, k->star);
	wrmsr(MSR_LSTAR, k->lstar);
	wrmsr(MSR_CSTAR, k->cstar);
	wrmsr(MSR_SFMASK, k->sfmask);
	wrmsr(MSR_KERNEL_GS_BASE, k->kernel_gs_base);
}

void vmx_msr_save(struct hvm_vcpu *v)
{
	struct vmx_vcpu *k = v->vmx;

	k->star = rdmsr(MSR_STAR);
	k->lstar = rdmsr(MSR_LSTAR);
	k->cstar = rdmsr(MSR_CSTAR);
	k->sfmask = rdmsr(MSR_SFMASK);
	k->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

/* Where the value is kept while the vCPU is not loaded. */
static uint64_t *kept(struct hvm_vcpu *v, uint32_t msr)
{
	switch (msr) {
	case MSR_STAR:
		return &v->vmx->star;
	case MSR_LSTAR:
		return &v->vmx->lstar;
	case MSR_CSTAR:
		return &v->vmx->cstar;
	case MSR_SFMASK:
		return &v->vmx->sfmask;
	case MSR_KERNEL_GS_BASE:
		return &v->vmx->kernel_gs_base;
	default:
		return &v->tsc_aux;
	}
}

static bool offered(uint32_t msr)
{
	return msr != MSR_TSC_AUX || (vmx_controls.proc2 & PROC2_RDTSCP);
}

bool vmx_vcpu_read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct vmx_msr *m = vmx_msr_find(msr);
	bool borrowed;

	if (!m || !offered(msr))
		return false;
	if (m->home == MSR_VIRTUAL) {
		*value = v->vmx->pat;
	} else if (m->home == MSR_IN_CPU) {
		*value = vmx_is_live(v) ? rdmsr(msr) : *kept(v, msr);
	} else {
		borrowed = vmx_borrow(v);
		*value = vmread((enum vmcs_field)m->field);
		vmx_return(v, borrowed);
	}
	return true;
}

/* LMA follows LME and CR0.PG; LME does not change while paging (9.8.5). */
static bool write_efer(uint64_t value)
{
	uint64_t cr0 = vmx_cr0(), old = vmread(GUEST_EFER);

	if ((cr0 & CR0_PG) && ((value ^ old) & EFER_LME))
		return false;
	vmwrite(GUEST_EFER, cr_efer_lma(value, cr0));
	return true;
}

bool vmx_vcpu_write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value)
{
	const struct vmx_msr *m = vmx_msr_find(msr);
	bool borrowed, ok = true;

	if (!m || !offered(msr) || !vmx_msr_value_allowed(m, value))
		return false;
	if (m->home == MSR_VIRTUAL) {
		v->vmx->pat = value;
		return true;
	}
	if (m->home == MSR_IN_CPU) {
		if (vmx_is_live(v))
			wrmsr(msr, value);
		*kept(v, msr) = value;
		return true;
	}
	borrowed = vmx_borrow(v);
	if (m->rule == MSR_IS_EFER)
		ok = write_efer(value);
	else
		vmwrite((enum vmcs_field)m->field, value);
	vmx_return(v, borrowed);
	return ok;
}
