/* SPDX-License-Identifier: MIT */
/*
 * VT-x on one CPU: what it can do, turning it on and off (SDM vol. 3, 23.6 to
 * 23.8 and appendix A). The capabilities are read once, in probe, and each
 * further CPU must have the same.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_msr.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"
#include "arch/x86_64/xstate.h"
#include "kernel/log.h"
#include "mm/env.h"
#include "mm/frame.h"

#define CPUID1_ECX_VMX BIT(5)

struct vmx_cpu vmx_cpus[MAX_CPUS];
struct vmx_caps vmx_caps;
struct vmx_controls vmx_controls;
struct pte_format vmx_format;
bool vmx_log;
uint64_t vmx_msr_bitmap;

static void read_caps(struct vmx_caps *c)
{
	uint64_t *word = &c->basic;

	for (unsigned i = 0; i < VMX_NR_CAPS; i++)
		if (!rdmsr_safe(MSR_VMX_BASIC + i, &word[i]))
			word[i] = 0;
}

static uint64_t feature_control(void)
{
	uint64_t v;

	return rdmsr_safe(MSR_VMX_FEATURE_CONTROL, &v) ? v : 0;
}

static const char *vmx_probe(void)
{
	bool there = cpuid(1, 0).ecx & CPUID1_ECX_VMX;
	const char *why = vmx_feature_refusal(there, there ? feature_control() : 0);

	if (why)
		return why;
	read_caps(&vmx_caps);
	return vmx_controls_choose(&vmx_caps, &vmx_controls);
}

static unsigned vmx_dirty_sources(void)
{
	unsigned flags = vmx_controls.ept_ad ? BIT(DIRTY_FLAGS) : 0;

	return flags | BIT(DIRTY_PROTECT) | (vmx_controls.pml ? BIT(DIRTY_LOG) : 0);
}

/*
 * With accessed and dirty flags on, the CPU's walks of guest page tables count as writes (28.2.4):
 * where nobody wants the flags they stay off.
 */
static const struct pte_format *vmx_dirty_use(enum dirty_source source)
{
	vmx_log = source == DIRTY_LOG;
	vmx_format = source == DIRTY_PROTECT ? ept_format_no_ad : ept_format;
	return &vmx_format;
}

/* The firmware may leave the register open: then it is ours to set and to lock (23.7). */
static const char *unlock(void)
{
	uint64_t f = feature_control();

	if (!(f & FEATURE_CONTROL_LOCK) &&
	    !wrmsr_safe(MSR_VMX_FEATURE_CONTROL, f | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX))
		return "VT-x cannot be enabled: IA32_FEATURE_CONTROL does not take the value.";
	return vmx_feature_refusal(true, feature_control());
}

/* A zeroed page for the CPU or for a VMCS, with the revision in its first word (24.2). */
static uint64_t new_region(void)
{
	mfn_t m = frame_alloc(0, FRAME_HYPERVISOR, 0);

	if (!mfn_valid(m))
		return 0;
	env_page_zero(env_frame(m));
	*(uint32_t *)env_frame(m) = VMX_BASIC_REVISION(vmx_caps.basic);
	return mfn_to_addr(m);
}

/* The MSR bitmap is the same for every vCPU. */
static bool make_msr_bitmap(void)
{
	mfn_t m;

	if (vmx_msr_bitmap)
		return true;
	m = frame_alloc(0, FRAME_HYPERVISOR, 0);
	if (!mfn_valid(m))
		return false;
	vmx_msr_bitmap_fill(env_frame(m), vmx_controls.proc2 & PROC2_RDTSCP);
	vmx_msr_bitmap = mfn_to_addr(m);
	return true;
}

/* All CPUs must be alike: a vCPU runs on any of them. */
static bool same_as_first(void)
{
	struct vmx_caps caps;
	struct vmx_controls c;

	read_caps(&caps);
	if (vmx_controls_choose(&caps, &c) || caps.basic != vmx_caps.basic)
		return false;
	return c.pin == vmx_controls.pin && c.proc == vmx_controls.proc &&
	       c.proc2 == vmx_controls.proc2 && c.exit == vmx_controls.exit &&
	       c.entry == vmx_controls.entry && c.ept_ad == vmx_controls.ept_ad &&
	       c.pml == vmx_controls.pml;
}

static const char *vmx_cpu_on(void)
{
	struct vmx_cpu *c = vmx_this_cpu();
	const char *why = unlock();

	if (why)
		return why;
	if (!same_as_first())
		return "The CPUs of this machine differ in what their VT-x can do.";
	xstate_cpu_on();
	spec_cpu_on();
	if (!c->vmxon)
		c->vmxon = new_region();
	if (!c->vmxon || !make_msr_bitmap())
		return "There is no memory left for VT-x.";
	write_cr0(read_cr0() | vmx_caps.cr0_fixed0);
	write_cr4(read_cr4() | CR4_VMXE | vmx_caps.cr4_fixed0);
	if (!vmxon(c->vmxon)) {
		write_cr4(read_cr4() & ~CR4_VMXE);
		return "VMXON failed, though the firmware allows VT-x.";
	}
	c->on = true;
	c->current = NULL;
	/* Nothing of an earlier life may be left (28.3.3.4). */
	if (vmx_caps.ept_vpid & EPT_CAP_INVEPT_ALL)
		invept(INV_ALL, 0);
	if (vmx_controls.vpid && (vmx_caps.ept_vpid & EPT_CAP_INVVPID_ALL))
		invvpid(INV_ALL, 0);
	return NULL;
}

/* Also on the way to a reboot: INIT is blocked in VMX operation (23.8). */
static void vmx_cpu_off(void)
{
	struct vmx_cpu *c = vmx_this_cpu();

	if (!c->on)
		return;
	if (c->current)
		vmclear(c->current->vmx->vmcs);
	c->current = NULL;
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
	c->on = false;
}

static void describe_controls(void (*line)(const char *text))
{
	const uint32_t words[] = {vmx_controls.pin, vmx_controls.proc, vmx_controls.proc2,
	                          vmx_controls.exit, vmx_controls.entry};
	char text[120];

	for (unsigned i = 0; i < vmx_nr_control_bits; i++) {
		const struct vmx_control_bit *b = &vmx_control_bits[i];

		if (b->wish != WISH_IF_THERE)
			continue;
		text_format(text, sizeof(text), "VT-x: %s: %s", b->name,
		            words[b->word] & b->bit ? "used" : "not there");
		line(text);
	}
}

static void vmx_describe(void (*line)(const char *text))
{
	const uint64_t *word = &vmx_caps.basic;
	char text[120];

	text_format(text, sizeof(text), "VT-x: EPT, unrestricted guest%s%s%s%s",
	            vmx_controls.ept_ad ? ", EPT accessed and dirty flags" : "",
	            vmx_controls.pml ? ", page-modification logging" : "",
	            vmx_controls.vpid ? ", VPID" : "",
	            vmx_caps.ept_vpid & EPT_CAP_1G ? ", 1 GiB EPT pages" : "");
	line(text);
	spec_describe(line);
	describe_controls(line);
	text_format(text, sizeof(text), "VT-x: IA32_FEATURE_CONTROL = %llx",
	            (unsigned long long)feature_control());
	line(text);
	for (unsigned i = 0; i < VMX_NR_CAPS; i++) {
		text_format(text, sizeof(text), "VT-x: MSR %03x = %016llx", MSR_VMX_BASIC + i,
		            (unsigned long long)word[i]);
		line(text);
	}
}

const struct hvm_ops vmx_ops = {
    .name = "VT-x",
    .probe = vmx_probe,
    .dirty_sources = vmx_dirty_sources,
    .dirty_use = vmx_dirty_use,
    .cpu_on = vmx_cpu_on,
    .cpu_off = vmx_cpu_off,
    .vcpu_init = vmx_vcpu_init,
    .vcpu_free = vmx_vcpu_free,
    .vcpu_load = vmx_vcpu_load,
    .vcpu_unload = vmx_vcpu_unload,
    .vcpu_run = vmx_vcpu_run,
    .vcpu_skip = vmx_vcpu_skip,
    .vcpu_inject = vmx_vcpu_inject,
    .vcpu_offer = vmx_vcpu_offer,
    .vcpu_drop_events = vmx_vcpu_drop_events,
    .vcpu_mode = vmx_vcpu_mode,
    .vcpu_cr4 = vmx_vcpu_cr4,
    .vcpu_get_paging = vmx_vcpu_get_paging,
    .vcpu_get_state = vmx_vcpu_get_state,
    .vcpu_set_state = vmx_vcpu_set_state,
    .vcpu_read_msr = vmx_vcpu_read_msr,
    .vcpu_write_msr = vmx_vcpu_write_msr,
    .vcpu_write_cr = vmx_vcpu_write_cr,
    .vcpu_dump = vmx_vcpu_dump,
    .describe = vmx_describe,
};
