/* SPDX-License-Identifier: MIT */
/*
 * The CPU back end: what VT-x (vmx/) and AMD-V (svm/) do alike. One is chosen
 * at boot by hvm_choose(); common code calls through `hvm` and never reads a
 * word of a VMCS or VMCB.
 *
 * The back end returns a value (struct vmexit); kernel/exit.c decides.
 *
 * A vCPU's back-end half lives in struct hvm_vcpu. All calls but vcpu_init and
 * vcpu_free are made on the CPU on which the vCPU is loaded, interrupts off.
 */
#ifndef ARCH_HVM_H
#define ARCH_HVM_H

#include "arch/x86_64/regs.h"
#include "mm/mm.h"
#include "mm/pte_format.h"

struct space;
struct vmx_vcpu;
struct svm_vcpu;

enum exit_kind {
	EXIT_INTERRUPT, /* a physical interrupt waits: open a machine_irq_window() */
	EXIT_NMI,       /* a physical NMI (already handled by the back end through our IDT) */
	EXIT_WINDOW,    /* the guest can take the interrupt that was offered */
	EXIT_EXCEPTION, /* an intercepted exception: #DB, #AC, #MC */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_PAUSE,
	EXIT_IO,
	EXIT_MSR_READ,
	EXIT_MSR_WRITE,
	EXIT_CR_WRITE,  /* MOV to CR, LMSW, CLTS: new value in .cr */
	EXIT_DR,        /* MOV to or from a debug register, if intercepted */
	EXIT_HYPERCALL, /* VMCALL or VMMCALL */
	EXIT_MEMORY,    /* EPT violation or nested page fault */
	EXIT_XSETBV,
	EXIT_CACHE,       /* INVD, WBINVD: do nothing, skip */
	EXIT_UNDEFINED,   /* an instruction that this machine does not have: inject #UD */
	EXIT_GP,          /* an access that must fault: inject #GP(0) (RDPMC) */
	EXIT_TASK_SWITCH, /* through a task gate; not emulated */
	EXIT_SHUTDOWN,    /* triple fault */
	EXIT_BAD_STATE,   /* VM entry refused: our bug if the guest did not cause it; see .text */
	EXIT_HANDLED,     /* the back end has dealt with it alone: go on */
	EXIT_UNKNOWN,     /* an exit that the tables do not have; .hw_reason */
	EXIT_KINDS
};

struct vmexit {
	enum exit_kind kind;
	uint8_t length;     /* of the instruction, for vcpu_skip; 0 if not an instruction */
	uint64_t hw_reason; /* raw exit reason or code, for dumps and counters only */
	union {
		struct {
			uint64_t gpa;
			unsigned access;    /* FAULT_* of mm/space.h */
			bool misconfigured; /* EPT misconfiguration: our bug */
		} memory;
		struct {
			uint16_t port;
			uint8_t bytes; /* 1, 2, 4 */
			bool in, string, rep;
		} io;
		struct {
			uint8_t vector;
			bool has_error;
			uint32_t error;
			uint64_t dr6; /* for #DB: bits to merge into the guest's DR6 */
		} exception;
		struct {
			uint8_t number; /* 0, 3, 4, 8 */
			uint64_t value; /* what the guest wants it to be */
		} cr;
		struct {
			uint8_t number;
			uint8_t gpr;
			bool write;
		} dr;
		const char *text; /* EXIT_BAD_STATE: the rule that the entry checker names, or "" */
	};
};

/* Bits of vcpu_mode(). */
#define VCPU_MODE_CPL 3u
#define VCPU_MODE_64  4u

/* What may be injected. */
enum event_type { EVENT_INTERRUPT, EVENT_NMI, EVENT_EXCEPTION };

struct hvm_event {
	enum event_type type;
	uint8_t vector;
	bool has_error;
	uint32_t error;
};

/* The back end's half of a vCPU. kernel/ touches regs and the marked fields only. */
struct hvm_vcpu {
	struct guest_regs regs; /* kernel/: valid and writable between exits */
	struct space *space;    /* set by vcpu_init; whose tables translate */
	domid_t domid;
	uint16_t vcpu_id;
	uint32_t last_cpu; /* the CPU it ran on last; ~0 at the start */
	void *fpu;         /* extended state, a page or more, XSAVE layout */
	uint64_t xcr0, guest_dr[4], guest_dr6;
	/* An exception took the place of an interrupt that was queued: its vector and 1; 0 none.
	 * kernel/ takes it back and clears this. */
	uint16_t displaced;
	uint64_t tsc_aux; /* xstate.c switches it; written through vcpu_write_msr or by the guest */
	union {
		struct vmx_vcpu *vmx;
		struct svm_vcpu *svm;
	};
};

struct hvm_ops {
	const char *name; /* "VT-x", "AMD-V" */

	/*
	 * Can this CPU do it? NULL if yes, else one plain sentence that says what
	 * is missing and what to do about it. Changes nothing.
	 */
	const char *(*probe)(void);

	/*
	 * By what this CPU can tell which pages a guest has written: BIT(DIRTY_FLAGS) and
	 * so on. Then: go by this one of them, whose page-table format is returned. After
	 * probe, before cpu_on.
	 */
	unsigned (*dirty_sources)(void);
	const struct pte_format *(*dirty_use)(enum dirty_source source);

	/* Turn it on or off on this CPU. cpu_on returns NULL or a sentence. */
	const char *(*cpu_on)(void);
	void (*cpu_off)(void);

	/* Make the control structures; regs and state as after vcpu_set_state of all zeroes.
	 * False: no frame for them. vcpu_free: the vCPU is loaded nowhere. */
	bool (*vcpu_init)(struct hvm_vcpu *v, struct space *s, domid_t d, unsigned vcpu_id);
	void (*vcpu_free)(struct hvm_vcpu *v);

	/* Bring the vCPU onto this CPU, and take it off again (extended state, MSRs, DRs). */
	void (*vcpu_load)(struct hvm_vcpu *v);
	void (*vcpu_unload)(struct hvm_vcpu *v);

	/*
	 * Enter the guest, come back, decode. An event whose delivery the exit
	 * interrupted is kept inside and delivered again at the next entry.
	 * `flush`: drop all second-level translations of this space first (the
	 * answer of flush_enter()). The back end calls flush_leave() first thing.
	 */
	void (*vcpu_run)(struct hvm_vcpu *v, bool flush, struct vmexit *x);

	/* Step over the instruction that exited: RIP, interrupt shadow, single-step trap. */
	void (*vcpu_skip)(struct hvm_vcpu *v, const struct vmexit *x);

	/*
	 * Deliver at the next entry. An exception that meets one still being
	 * delivered becomes a double fault as the SDM says (vol. 3, 6.15).
	 */
	void (*vcpu_inject)(struct hvm_vcpu *v, const struct hvm_event *e);

	/*
	 * There is an interrupt for the guest: if it can take one now (IF, no
	 * shadow, nothing else queued) it is queued and true returned; else the
	 * CPU will exit with EXIT_WINDOW when it can. vector < 0: no longer any.
	 */
	bool (*vcpu_offer)(struct hvm_vcpu *v, int vector);

	/* Whatever waits to be delivered is forgotten, an NMI or a triple fault too: for INIT. */
	void (*vcpu_drop_events)(struct hvm_vcpu *v);

	/*
	 * Cheap, for each hypercall: the CPL in bits 1..0, and VCPU_MODE_64 if the
	 * guest runs 64-bit code (EFER.LMA and CS.L).
	 */
	unsigned (*vcpu_mode)(struct hvm_vcpu *v);
	/* Cheap, too: CR4 as the guest believes it to be. */
	uint64_t (*vcpu_cr4)(struct hvm_vcpu *v);

	/* Of *s only cr0, cr3, cr4, efer and cpl: what a walk of the guest's tables needs. */
	void (*vcpu_get_paging)(struct hvm_vcpu *v, struct guest_state *s);
	void (*vcpu_get_state)(struct hvm_vcpu *v, struct guest_state *s);
	/* All but cpl. False, and nothing changed, if no CPU could be in that state. */
	bool (*vcpu_set_state)(struct hvm_vcpu *v, const struct guest_state *s);

	/* MSRs that the back end or the CPU holds for the guest (FS_BASE, STAR, PAT, ...):
	 * false if it is not one of these or the value is not allowed. */
	bool (*vcpu_read_msr)(struct hvm_vcpu *v, uint32_t msr, uint64_t *value);
	bool (*vcpu_write_msr)(struct hvm_vcpu *v, uint32_t msr, uint64_t value);

	/*
	 * A write to CR0, CR3, CR4 or CR8 that kernel/ has allowed (arch/x86_64/guest/cr.c). False, and nothing
	 * changed: the CPU would load PDPTEs with it, and they are bad: #GP. Never for CR8.
	 */
	bool (*vcpu_write_cr)(struct hvm_vcpu *v, unsigned number, uint64_t value);

	/* All there is to know, line by line, for a crash report. */
	void (*vcpu_dump)(struct hvm_vcpu *v, void (*line)(const char *text));

	/* Capabilities, for hwinfo. */
	void (*describe)(void (*line)(const char *text));
};

/* The chosen back end. */
extern const struct hvm_ops *hvm;
extern const struct hvm_ops vmx_ops, svm_ops;

/* Choose by CPU vendor and probe; NULL, or why no guest can run here. */
const char *hvm_choose(void);

#endif
