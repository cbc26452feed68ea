/* SPDX-License-Identifier: MIT */
/*
 * Life of a VMCS: made, brought onto a CPU, taken off, freed.
 *
 * A VMCS that is current or active on one CPU must not be used on another, and
 * the CPU may keep parts of it to itself until VMCLEAR (SDM vol. 3, 24.11.1).
 * So vcpu_unload always clears: the next load may be anywhere, and asking the
 * old CPU later would take an interrupt and a wait. The price is one VMLAUNCH
 * instead of a VMRESUME after each switch of vCPUs.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"
#include "arch/x86_64/xstate.h"
#include "kernel/domain.h"
#include "mm/frame.h"
#include "mm/space.h"

#define NO_CPU (~0u)

/* #DB and #AC: a loop of deliveries would never reach an interrupt window (CVE-2015-8104,
 * CVE-2015-5307). #MC is ours. */
#define INTERCEPTED (BIT(1) | BIT(17) | BIT(18))

/* PAUSE loops, in TSC ticks: PAUSEs this close belong to one loop; it may last this long. */
#define PLE_GAP_TICKS    128
#define PLE_WINDOW_TICKS 4096

#define PAT_RESET UINT64_C(0x0007040600070406) /* SDM vol. 3, 11.12.4 */
#define DR6_RESET UINT64_C(0xffff0ff0)

/* VPIDs 1 .. 2048: unique while the vCPU lives, and flushed on a CPU before a new owner's
 * first entry there, as last_cpu is then another. */
_Static_assert(MAX_DOMAINS *MAX_VCPUS < 65536, "a VPID has 16 bits");
static uint16_t vpid_of(domid_t d, unsigned vcpu_id)
{
	return (uint16_t)(d * MAX_VCPUS + vcpu_id + 1);
}

/* Two frames, one block: the VMCS, and behind it our own half of the vCPU. */
static uint64_t make_block(struct hvm_vcpu *v)
{
	mfn_t m = frame_alloc(1, FRAME_HYPERVISOR, v->domid);

	if (!mfn_valid(m))
		return 0;
	env_page_zero(env_frame(m));
	env_page_zero(env_frame(MFN(m.n + 1)));
	*(uint32_t *)env_frame(m) = VMX_BASIC_REVISION(vmx_caps.basic);
	v->vmx = env_frame(MFN(m.n + 1));
	return mfn_to_addr(m);
}

/* The log, if there is to be one. False: no frame for it. */
static bool make_log(struct hvm_vcpu *v)
{
	mfn_t m;

	if (!vmx_log)
		return true;
	m = frame_alloc(0, FRAME_HYPERVISOR, v->domid);
	if (mfn_valid(m))
		v->vmx->log = env_frame(m);
	return mfn_valid(m);
}

static void free_log(struct hvm_vcpu *v)
{
	if (v->vmx->log)
		frame_free(mfn_of_addr(virt_to_phys(v->vmx->log)), 0);
}

static void write_controls(const struct vmx_vcpu *k)
{
	vmwrite(PIN_CONTROLS, vmx_controls.pin);
	/* One millisecond, reloaded at each entry. */
	if (vmx_controls.preemption_timer)
		vmwrite(GUEST_PREEMPTION_TIMER,
		        machine_tsc_hz() / 1000 >> VMX_MISC_TIMER_SHIFT(vmx_caps.misc));
	vmwrite(PROC_CONTROLS, k->proc);
	vmwrite(PROC2_CONTROLS, vmx_controls.proc2 | (k->log ? PROC2_PML : 0));
	if (k->log) {
		vmwrite(PML_ADDR, virt_to_phys(k->log));
		vmwrite(GUEST_PML_INDEX, PML_ENTRIES - 1);
	}
	vmwrite(EXIT_CONTROLS, vmx_controls.exit);
	vmwrite(ENTRY_CONTROLS, vmx_controls.entry);
	vmwrite(EXCEPTION_BITMAP, INTERCEPTED);
	vmwrite(PF_ERROR_MASK, 0);
	vmwrite(PF_ERROR_MATCH, 0);
	vmwrite(CR3_TARGET_COUNT, 0);
	vmwrite(EXIT_MSR_STORE_COUNT, 0);
	vmwrite(EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_INTR_INFO, 0);
	vmwrite(MSR_BITMAP, vmx_msr_bitmap);
	vmwrite(EPTP, k->eptp);
	vmwrite(LINK_POINTER, ~UINT64_C(0));
	if (vmx_controls.vpid)
		vmwrite(VPID, k->vpid);
	if (vmx_controls.pause_loop) {
		vmwrite(PLE_GAP, PLE_GAP_TICKS);
		vmwrite(PLE_WINDOW, PLE_WINDOW_TICKS);
	}
	if (vmx_controls.proc2 & PROC2_XSAVES)
		vmwrite(XSS_EXIT_BITMAP, ~UINT64_C(0)); /* XSS is zero anyway */
	if (vmx_controls.proc2 & PROC2_ENCLS_EXIT)
		vmwrite(ENCLS_EXIT_BITMAP, ~UINT64_C(0));
}

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* What an exit loads: this CPU's own tables, stack and per-CPU base (24.5, 27.5). */
static void write_host_state(struct vmx_vcpu *k)
{
	struct table_pointer gdt, idt;
	uint16_t tr;

	asm volatile("sgdt %0" : "=m"(gdt));
	asm volatile("sidt %0" : "=m"(idt));
	asm volatile("str %0" : "=r"(tr));
	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, read_cr3());
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_CS_SELECTOR, SEL_CODE);
	vmwrite(HOST_SS_SELECTOR, SEL_DATA);
	vmwrite(HOST_DS_SELECTOR, SEL_DATA);
	vmwrite(HOST_ES_SELECTOR, SEL_DATA);
	vmwrite(HOST_FS_SELECTOR, 0);
	vmwrite(HOST_GS_SELECTOR, 0);
	vmwrite(HOST_TR_SELECTOR, tr);
	vmwrite(HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmwrite(HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwrite(HOST_TR_BASE, (uint64_t)&this_cpu()->tss);
	vmwrite(HOST_GDTR_BASE, gdt.base);
	vmwrite(HOST_IDTR_BASE, idt.base);
	vmwrite(HOST_SYSENTER_CS, 0);
	vmwrite(HOST_SYSENTER_ESP, 0);
	vmwrite(HOST_SYSENTER_EIP, 0);
	vmwrite(HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(HOST_RIP, (uint64_t)vmx_exit_point);
	k->host_rsp = 0;
	k->host_cpu = machine_cpu();
}

bool vmx_is_live(const struct hvm_vcpu *v)
{
	return vmx_this_cpu()->current == v;
}

bool vmx_borrow(struct hvm_vcpu *v)
{
	if (vmx_is_live(v))
		return false;
	for (unsigned c = 0; c < machine_cpus(); c++)
		ASSERT(vmx_cpus[c].current != v);
	vmptrld(v->vmx->vmcs);
	return true;
}

void vmx_return(struct hvm_vcpu *v, bool borrowed)
{
	struct hvm_vcpu *current = vmx_this_cpu()->current;

	if (!borrowed)
		return;
	vmclear(v->vmx->vmcs);
	v->vmx->launched = false;
	if (current)
		vmptrld(current->vmx->vmcs);
}

bool vmx_vcpu_init(struct hvm_vcpu *v, struct space *s, domid_t d, unsigned vcpu_id)
{
	uint64_t vmcs;
	bool borrowed;

	v->space = s;
	v->domid = d;
	v->vcpu_id = (uint16_t)vcpu_id;
	v->last_cpu = NO_CPU;
	vmcs = make_block(v);
	if (!vmcs)
		return false;
	if (!make_log(v) || !xstate_alloc(v)) {
		free_log(v);
		frame_free(mfn_of_addr(vmcs), 1);
		v->vmx = NULL;
		return false;
	}
	v->guest_dr6 = DR6_RESET;
	v->regs = (struct guest_regs){.rflags = 2};
	v->vmx->vmcs = vmcs;
	v->vmx->vpid = vpid_of(d, vcpu_id);
	v->vmx->proc = vmx_controls.proc;
	v->vmx->eptp = vmx_format.root(s->root);
	v->vmx->host_cpu = NO_CPU;
	v->vmx->attention = ATTENTION_FIRST | (spec_entry_actions ? ATTENTION_SPEC : 0);
	v->vmx->pat = PAT_RESET;
	v->vmx->rflags = 2;
	vmclear(vmcs);
	borrowed = vmx_borrow(v);
	write_controls(v->vmx);
	vmx_state_reset();
	vmx_return(v, borrowed);
	return true;
}

void vmx_vcpu_free(struct hvm_vcpu *v)
{
	if (!v->vmx)
		return;
	for (unsigned c = 0; c < machine_cpus(); c++)
		ASSERT(vmx_cpus[c].current != v);
	xstate_free(v);
	free_log(v);
	frame_free(mfn_of_addr(v->vmx->vmcs), 1);
	v->vmx = NULL;
}

/* Drop what this CPU has cached for the vCPU's linear addresses (28.3.3.3). */
void vmx_flush_vpid(struct vmx_vcpu *k)
{
	if (!vmx_controls.vpid)
		return;
	if (vmx_controls.invvpid_single)
		invvpid(INV_SINGLE, k->vpid);
	else
		invvpid(INV_ALL, 0);
}

void vmx_vcpu_load(struct hvm_vcpu *v)
{
	struct vmx_cpu *c = vmx_this_cpu();
	struct vmx_vcpu *k = v->vmx;
	unsigned cpu = machine_cpu();

	ASSERT(c->on && !c->current);
	vmptrld(k->vmcs);
	c->current = v;
	if (k->host_cpu != cpu)
		write_host_state(k);
	/*
	 * It may have run elsewhere since it was here, and flushed there only. A root
	 * table that another space had before needs nothing here: a new space's
	 * generation is news to every CPU (mm/flush.c).
	 */
	if (v->last_cpu != cpu)
		vmx_flush_vpid(k);
	v->last_cpu = cpu;
	spec_load_domain(cpu, v->domid);
	write_cr2(k->cr2);
	write_dr6(v->guest_dr6);
	vmx_msr_load(v);
	xstate_load(v);
}

void vmx_vcpu_unload(struct hvm_vcpu *v)
{
	struct vmx_cpu *c = vmx_this_cpu();
	struct vmx_vcpu *k = v->vmx;

	ASSERT(c->current == v);
	xstate_save(v);
	vmx_msr_save(v);
	v->guest_dr6 = read_dr6();
	k->cr2 = read_cr2();
	vmclear(k->vmcs);
	k->launched = false;
	c->current = NULL;
}
