/* SPDX-License-Identifier: MIT */
/* What the files of the VT-x back end share: a vCPU's own half, a CPU's, and their parts. */
#ifndef VMX_VCPU_H
#define VMX_VCPU_H

#include "arch/x86_64/hvm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "kernel/machine.h"

#define ATTENTION_FIRST  BIT(0) /* never entered yet: check the VMCS */
#define ATTENTION_NMI    BIT(1) /* an NMI to deliver when the guest can take it */
#define ATTENTION_TRIPLE BIT(2) /* an injection made a triple fault: the next run is a shutdown */
#define ATTENTION_SPEC   BIT(3) /* on this machine something is flushed before each entry */

struct vmx_vcpu {
	uint64_t vmcs;      /* address of the VMCS */
	bool timer;         /* the preemption timer is on */
	bool launched;      /* VMRESUME from now on; VMCLEAR undoes it */
	uint32_t attention; /* what the next run has to do first; ATTENTION_ */
	uint16_t vpid;
	uint32_t proc;             /* PROC_CONTROLS as in the VMCS */
	uint32_t host_cpu;         /* whose host state is in the VMCS; ~0 none */
	uint64_t host_rsp;         /* HOST_RSP as in the VMCS */
	uint64_t rip, rflags, rsp; /* as in the VMCS */
	uint64_t eptp;
	const uint64_t *log; /* the modification log, PML_ENTRIES; NULL: there is none */

	/* An event to deliver at the next entry; INTR_VALID in info, or none. */
	uint32_t event_info, event_error, event_length;

	/* Virtual: kept here only. */
	uint64_t cr8, pat;
	/* In the CPU while loaded. */
	uint64_t cr2, star, lstar, cstar, sfmask, kernel_gs_base;
};

struct vmx_cpu {
	bool on;
	uint64_t vmxon;           /* address of the VMXON region; 0 not yet made */
	struct hvm_vcpu *current; /* whose VMCS is the current one */
};
extern struct vmx_cpu vmx_cpus[MAX_CPUS];

static inline struct vmx_cpu *vmx_this_cpu(void)
{
	return &vmx_cpus[machine_cpu()];
}

/* vmx.c: the same on all CPUs, checked at cpu_on. */
extern struct vmx_caps vmx_caps;
extern struct vmx_controls vmx_controls;
extern struct pte_format vmx_format;
extern bool vmx_log;            /* page-modification logging is the dirty source */
extern uint64_t vmx_msr_bitmap; /* its address */

/* entry.S: true if the VMX instruction itself failed. */
bool vmx_enter(struct guest_regs *regs, bool launched, uint64_t *host_rsp);
void vmx_exit_point(void); /* HOST_RIP */

/* vmx_vcpu.c */
bool vmx_vcpu_init(struct hvm_vcpu *v, struct space *s, domid_t d, unsigned vcpu_id);
void vmx_vcpu_free(struct hvm_vcpu *v);
void vmx_vcpu_load(struct hvm_vcpu *v);
void vmx_vcpu_unload(struct hvm_vcpu *v);
bool vmx_is_live(const struct hvm_vcpu *v); /* its registers are in this CPU */
/* Make v's VMCS the current one for a moment, if it is not; give back what borrow returned. */
bool vmx_borrow(struct hvm_vcpu *v);
void vmx_return(struct hvm_vcpu *v, bool borrowed);
void vmx_flush_vpid(struct vmx_vcpu *k);

/* vmx_run.c */
void vmx_vcpu_run(struct hvm_vcpu *v, bool flush, struct vmexit *x);
void vmx_vcpu_skip(struct hvm_vcpu *v, const struct vmexit *x);

/* vmx_event.c */
void vmx_vcpu_inject(struct hvm_vcpu *v, const struct hvm_event *e);
bool vmx_vcpu_offer(struct hvm_vcpu *v, int vector);
void vmx_vcpu_drop_events(struct hvm_vcpu *v);
void vmx_event_entry(struct hvm_vcpu *v);
void vmx_event_exit(struct hvm_vcpu *v, const struct vmx_aftermath *a);
void vmx_window(struct vmx_vcpu *k, uint32_t bit, bool on);

/* vmx_state.c */
unsigned vmx_vcpu_mode(struct hvm_vcpu *v);
uint64_t vmx_vcpu_cr4(struct hvm_vcpu *v);
void vmx_vcpu_get_paging(struct hvm_vcpu *v, struct guest_state *s);
void vmx_vcpu_get_state(struct hvm_vcpu *v, struct guest_state *s);
bool vmx_vcpu_set_state(struct hvm_vcpu *v, const struct guest_state *s);
bool vmx_vcpu_write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value);
void vmx_state_reset(void); /* the guest fields of a new VMCS */
uint64_t vmx_cr0(void);     /* CR0 as the guest believes it to be */

/* vmx_msr_access.c */
bool vmx_vcpu_read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value);
bool vmx_vcpu_write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value);
void vmx_msr_load(struct hvm_vcpu *v);
void vmx_msr_save(struct hvm_vcpu *v);

/* vmx_dump.c */
void vmx_snapshot(struct vmcs_state *s);
unsigned vmx_phys_bits(void); /* MAXPHYADDR of this CPU */
const struct vmx_rule *vmx_check_current(void);
void vmx_vcpu_dump(struct hvm_vcpu *v, void (*line)(const char *text));

#endif
