/* SPDX-License-Identifier: MIT */
/* The current VMCS as a plain structure: for the entry checker and for crash reports. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx_asm.h"
#include "arch/x86_64/vmx/vmx_vcpu.h"
#include "kernel/log.h"

unsigned vmx_phys_bits(void)
{
	return cpu_has_leaf(0x80000008) ? cpuid(0x80000008, 0).eax & 0xff : 36;
}

void vmx_snapshot(struct vmcs_state *s)
{
	for (unsigned i = 0; i < VMCS_NR_FIELDS; i++)
		s->f[i] = vmread_any(vmcs_field_names[i].encoding);
	s->caps = vmx_caps;
	s->phys_bits = vmx_phys_bits();
	s->host_ia32e = true;
	s->in_smm = false;
	s->vtpr = 0;
	s->perf_bits = 8;
}

const struct vmx_rule *vmx_check_current(void)
{
	struct vmcs_state s;

	vmx_snapshot(&s);
	return vmx_check(&s);
}

void vmx_vcpu_dump(struct hvm_vcpu *v, void (*line)(const char *text))
{
	static const char *const names[GPRS] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP",
	                                        "RSI", "RDI", "R8",  "R9",  "R10", "R11",
	                                        "R12", "R13", "R14", "R15"};
	bool borrowed = vmx_borrow(v);
	char text[120];

	for (unsigned i = 0; i < GPRS; i += 4) {
		text_format(text, sizeof(text), "%-4s%016llx %-4s%016llx %-4s%016llx %-4s%016llx",
		            names[i], (unsigned long long)v->regs.gpr[i], names[i + 1],
		            (unsigned long long)v->regs.gpr[i + 1], names[i + 2],
		            (unsigned long long)v->regs.gpr[i + 2], names[i + 3],
		            (unsigned long long)v->regs.gpr[i + 3]);
		line(text);
	}
	text_format(text, sizeof(text), "exit reason %llx: %s",
	            (unsigned long long)vmread(EXIT_REASON),
	            vmx_reason_name((uint32_t)vmread(EXIT_REASON)));
	line(text);
	for (unsigned i = 0; i < VMCS_NR_FIELDS; i++) {
		text_format(text, sizeof(text), "VMCS %04x %-22s %016llx",
		            vmcs_field_names[i].encoding, vmcs_field_names[i].name,
		            (unsigned long long)vmread_any(vmcs_field_names[i].encoding));
		line(text);
	}
	vmx_return(v, borrowed);
}
