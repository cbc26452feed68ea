/* SPDX-License-Identifier: MIT */
/*
 * Exits that need the instruction itself: its length where the CPU has no
 * next-RIP save, the operands of writes to control registers, and reads of CR0
 * and CR4 while the guest believes in bits that are not what the CPU has.
 *
 * The bytes are read once. Where they do not fit the exit, another vCPU has
 * changed them since: the guest is resumed with nothing done.
 */
#include "arch/x86_64/svm/svm_exit.h"
#include "arch/x86_64/svm/svm_vcpu.h"

#define CR0_READ_INTERCEPT BIT(0)

static void svm_insn_resume(uint64_t code, struct vmexit *x)
{
	*x = (struct vmexit){.kind = EXIT_HANDLED, .hw_reason = code};
}

static void svm_write_gpr(struct hvm_vcpu *v, unsigned gpr, unsigned bits, uint64_t value)
{
	uint64_t *r = &v->regs.gpr[gpr];

	if (bits == 16)
		*r = (*r & ~UINT64_C(0xffff)) | (uint16_t)value;
	else
		*r = bits == 32 ? (uint32_t)value : value;
}

/* MOV from CR0 or CR4, or SMSW. */
static void svm_read_cr(struct hvm_vcpu *v, unsigned number, const struct insn *i, struct vmexit *x)
{
	if (i->kind == INSN_SMSW && i->memory) {
		/* It stores 16 bits, and CD and NW are not among them: let the CPU do it.
		 * The next write of CR0 intercepts reads again. */
		v->svm->vmcb->intercepts[WORD_CR] &= (uint32_t)~CR0_READ_INTERCEPT;
		return;
	}
	svm_write_gpr(v, i->gpr, i->bits, number ? v->svm->cr4 : svm_guest_cr0(v));
	x->length = i->length;
	svm_vcpu_skip(v, x);
}

/* LMSW's operand; false if it cannot be read. */
static bool svm_lmsw_source(struct hvm_vcpu *v, const struct insn *i, uint16_t *source)
{
	if (i->kind != INSN_LMSW)
		return true;
	if (!i->memory) {
		*source = (uint16_t)v->regs.gpr[i->gpr];
		return true;
	}
	return svm_fetch_operand(v, i->segment,
	                         insn_offset(i, v->regs.gpr, v->regs.rip + i->length), source);
}

void svm_insn_complete(struct hvm_vcpu *v, uint64_t code, uint64_t info1, struct vmexit *x)
{
	struct svm_raw raw = {.code = code, .info1 = info1};
	uint8_t bytes[INSN_MAX + 1];
	struct insn i;
	uint16_t source = 0;
	unsigned n = svm_fetch(v, bytes);

	if (insn_decode(bytes, n, svm_code_bits(v), &i) != INSN_OK ||
	    !svm_lmsw_source(v, &i, &source)) {
		svm_insn_resume(code, x);
		return;
	}
	if (((uint32_t)code == SVM_CR_READ || (uint32_t)code == SVM_CR_READ + 4) &&
	    svm_exit_matches(code, &i)) {
		svm_read_cr(v, (unsigned)code - SVM_CR_READ, &i, x);
		svm_insn_resume(code, x);
		return;
	}
	if (!svm_exit_finish(&raw, &i, &v->regs, svm_guest_cr0(v), source, x))
		svm_insn_resume(code, x);
}
