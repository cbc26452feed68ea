/* SPDX-License-Identifier: MIT */
/* From a VMCB's exit fields to a struct vmexit. Pure. */
#ifndef ARCH_SVM_EXIT_H
#define ARCH_SVM_EXIT_H

#include "arch/x86_64/hvm.h"
#include "arch/x86_64/svm/insn_len.h"
#include "arch/x86_64/svm/svm.h"

/* Copied out of the VMCB, once. */
struct svm_raw {
	uint64_t code, info1, info2, next_rip, rip;
	bool has_next_rip; /* the CPU has next-RIP save */
	uint8_t cpl;
	uint64_t dr6;
};

enum svm_answer {
	SVM_DONE,       /* *x is complete */
	SVM_NEEDS_INSN, /* fetch and decode the instruction, then svm_exit_finish() */
	SVM_OWN, /* the back end's own affair: a read of CR0 or CR4, or IRET with an NMI waiting */
};

enum svm_answer svm_exit_decode(const struct svm_raw *raw, struct vmexit *x) must_check;

/* Does this instruction belong to this exit? */
bool svm_exit_matches(uint64_t code, const struct insn *i);

/* Is this one of the few exits that svm_exit_plain may answer? */
static inline bool svm_exit_may_be_plain(uint64_t code)
{
	return (uint32_t)code == SVM_VMMCALL || (uint32_t)code == SVM_CPUID ||
	       (uint32_t)code == SVM_MSR || (uint32_t)code == SVM_HLT;
}

/*
 * The short cut: if `bytes` (the first four at RIP, little-endian) are the usual
 * encoding, without any prefix, of what this exit stands for, *x is complete.
 * False: nothing is known yet.
 */
bool svm_exit_plain(uint64_t code, uint64_t info1, uint32_t bytes, struct vmexit *x);

/*
 * The instruction of an exit that needed it. `cr0` as the guest believes it to
 * be; `source` is LMSW's operand. False: the bytes are not those that the CPU
 * saw; resume the guest with nothing done.
 */
bool svm_exit_finish(const struct svm_raw *raw, const struct insn *i, const struct guest_regs *r,
                     uint64_t cr0, uint16_t source, struct vmexit *x) must_check;

/*
 * The event whose delivery the exit interrupted, in EVENTINJ's form, to be
 * delivered again; 0 if none, or if the guest will raise it again by itself
 * (INTn, INT3 and INTO: RIP still points at them, and without next-RIP save they
 * cannot be injected with the right return address).
 */
uint64_t svm_exit_event(uint64_t exit_int_info);

/* Whether an event, in EVENTINJ's form, is an interrupt: what IF and a shadow hold back. */
bool svm_event_is_interrupt(uint64_t event);

/*
 * Whether a guest in this state can take the event. VMRUN does not ask: it delivers an interrupt
 * even with IF clear (APM vol. 2, 15.20). `interrupt_state` is the VMCB's.
 */
bool svm_event_fits(uint64_t event, uint64_t rflags, uint64_t interrupt_state);

/* EVENTINJ's form of an event, and back. */
uint64_t svm_event_pack(const struct hvm_event *e);
struct hvm_event svm_event_unpack(uint64_t event);

#endif
