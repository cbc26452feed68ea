/* SPDX-License-Identifier: MIT */
/* The MSRs that a guest's RDMSR and WRMSR reach, by one table (vmx_msr.c). Pure. */
#ifndef VMX_MSR_H
#define VMX_MSR_H

#include "mm/leaf/types.h"

enum vmx_msr_home {
	MSR_IN_VMCS, /* a guest-state field; switched by entry and exit */
	MSR_IN_CPU,  /* the guest's value is in the CPU while the vCPU is loaded */
	MSR_VIRTUAL, /* a variable of ours */
};

enum vmx_msr_rule { MSR_ANY, MSR_CANONICAL, MSR_LOW32, MSR_IS_PAT, MSR_IS_EFER };

struct vmx_msr {
	uint32_t msr;
	enum vmx_msr_home home;
	enum vmx_msr_rule rule; /* which values WRMSR takes */
	bool read, write;       /* without an exit */
	uint16_t field;         /* MSR_IN_VMCS: its encoding */
	const char *why;
};

extern const struct vmx_msr vmx_msrs[];
extern const unsigned vmx_nr_msrs;

const struct vmx_msr *vmx_msr_find(uint32_t msr); /* NULL: none of ours */
bool vmx_msr_value_allowed(const struct vmx_msr *m, uint64_t value);

/* Fill the 4 KiB bitmap: everything exits but what the table lets through. */
void vmx_msr_bitmap_fill(void *page, bool tsc_aux);

#endif
