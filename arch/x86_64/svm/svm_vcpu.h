/* SPDX-License-Identifier: MIT */
/* What the files of the AMD-V back end share with each other and with nobody else. */
#ifndef ARCH_SVM_VCPU_H
#define ARCH_SVM_VCPU_H

#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/guest/gva_memo.h"
#include "arch/x86_64/hvm.h"
#include "arch/x86_64/svm/insn_len.h"
#include "arch/x86_64/svm/svm.h"

/* Why an NMI may have to wait; all clear in the usual case. */
#define NMI_PENDING 1u /* wants to be delivered */
#define NMI_MASKED  2u /* one was delivered, its IRET has not been seen */
#define NMI_IRET    4u /* the IRET was seen at iret_rip, and may not be done yet */

struct svm_vcpu {
	struct vmcb *vmcb;
	uint64_t vmcb_pa;

	uint64_t event; /* in EVENTINJ's form, for the next entry; 0: none */
	bool window;    /* V_IRQ is set: exit when the guest can take an interrupt */
	bool shutdown;  /* a triple fault of our making: do not enter again */
	uint8_t nmi;
	uint64_t iret_rip;

	/* translations of this guest on the CPU that it ran on last */
	bool flush_own; /* the guest's own translations are out of date */
	uint32_t asid_cpu;
	uint64_t asid_epoch;       /* of that CPU, when the ASID was given */
	uint64_t space_generation; /* that the ASID's entries are not older than */

	uint64_t cr0_hidden; /* CD and NW as the guest believes them to be */
	uint64_t cr4;        /* as the guest believes it to be: the real MCE is always 1 */
	uint64_t pat;        /* as the guest believes it to be */

	struct gva_memo fetch; /* of the page that an instruction was last fetched from */
};

ASSERT_STATIC(sizeof(struct svm_vcpu) <= PAGE_SIZE);

/* Detected once by probe. */
struct svm_machine {
	uint32_t features, nr_asids; /* CPUID 8000_000Ah */
	unsigned phys_bits;
	bool delivers_twice; /* QEMU's: see svm_event_enter() */
};
extern struct svm_machine svm_machine;

/* The mode of the code that v runs: 16, 32 or 64. */
static inline unsigned svm_code_bits(const struct hvm_vcpu *v)
{
	const struct vmcb *b = v->svm->vmcb;

	if ((b->efer & EFER_LMA) && (b->cs.attributes & SEG_ATTR_L))
		return 64;
	return b->cs.attributes & SEG_ATTR_DB ? 32 : 16;
}

uint64_t svm_guest_cr0(const struct hvm_vcpu *v);

/* svm_run.c */
void svm_vcpu_run(struct hvm_vcpu *v, bool flush, struct vmexit *x);
void svm_vcpu_skip(struct hvm_vcpu *v, const struct vmexit *x);
void svm_vcpu_inject(struct hvm_vcpu *v, const struct hvm_event *e);
bool svm_vcpu_offer(struct hvm_vcpu *v, int vector);
void svm_vcpu_drop_events(struct hvm_vcpu *v);
const char *svm_run_cpu_on(void);
void svm_run_cpu_off(void);

/* svm_state.c */
void svm_vcpu_get_paging(struct hvm_vcpu *v, struct guest_state *s);
void svm_vcpu_get_state(struct hvm_vcpu *v, struct guest_state *s);
bool svm_vcpu_set_state(struct hvm_vcpu *v, const struct guest_state *s);
bool svm_vcpu_read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value);
bool svm_vcpu_write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value);
bool svm_vcpu_write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value);
void svm_vcpu_dump(struct hvm_vcpu *v, void (*line)(const char *text));

/* svm_fetch.c: the guest's bytes at CS:RIP, at most INSN_MAX; returns how many. */
unsigned svm_fetch(struct hvm_vcpu *v, uint8_t bytes[INSN_MAX + 1]);
/* The first four of them if that takes no walk; 0 (no instruction begins so and exits) if not. */
uint32_t svm_fetch_quick(struct hvm_vcpu *v);
/* Two bytes at an offset in a segment; false if they cannot be read. */
bool svm_fetch_operand(struct hvm_vcpu *v, unsigned segment, uint64_t offset, uint16_t *value);
static inline void svm_fetch_forget(struct svm_vcpu *s)
{
	s->fetch.page = GVA_MEMO_NONE;
}

/* svm_insn.c: complete an exit that needs the instruction. */
void svm_insn_complete(struct hvm_vcpu *v, uint64_t code, uint64_t info1, struct vmexit *x);

/* entry.S: run the guest once. gpr: in and out. host_pa: what VMLOAD restores for us. */
void svm_enter(uint64_t vmcb_pa, uint64_t gpr[GPRS], uint64_t host_pa);

#endif
