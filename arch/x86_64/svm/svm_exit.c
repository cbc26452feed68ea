/* SPDX-License-Identifier: MIT */
/*
 * Exit codes: APM vol. 2, appendix C and 15.9 to 15.13.
 *
 * An instruction that does not exist on the machine that the guest sees (VMRUN
 * and its kin, MONITOR, RDPRU, ...) is EXIT_UNDEFINED, whatever its operands: no
 * length is needed to inject #UD. Where a length is needed it comes from
 * next-RIP save, or from the decoder when the CPU has none.
 */
#include "arch/x86_64/svm/svm_exit.h"
#include "mm/space.h"

#define RFLAGS_IF BIT(9)
#define VECTOR_DB 1u
#define VECTOR_BP 3u
#define VECTOR_OF 4u
#define VECTOR_MF 16u
#define VECTOR_AC 17u

#define DR6_STATUS (BITS(3, 0) | BITS(15, 13)) /* B0-3, BD, BS, BT */

/* The instruction kinds that an exit code may stand for. */
static uint64_t svm_exit_kinds(uint64_t code)
{
	switch ((uint32_t)code) {
	case SVM_CR_READ:
		return BIT(INSN_MOV_FROM_CR) | BIT(INSN_SMSW);
	case SVM_CR_READ + 4:
		return BIT(INSN_MOV_FROM_CR);
	case SVM_CR_WRITE:
	case SVM_CR0_SELWRITE:
		return BIT(INSN_MOV_TO_CR) | BIT(INSN_LMSW) | BIT(INSN_CLTS);
	case SVM_CR_WRITE + 3:
	case SVM_CR_WRITE + 4:
	case SVM_CR_WRITE + 8:
		return BIT(INSN_MOV_TO_CR);
	case SVM_CPUID:
		return BIT(INSN_CPUID);
	case SVM_IRET:
		return BIT(INSN_IRET);
	case SVM_HLT:
		return BIT(INSN_HLT);
	case SVM_PAUSE:
		return BIT(INSN_PAUSE);
	case SVM_MSR:
		return BIT(INSN_RDMSR) | BIT(INSN_WRMSR);
	case SVM_VMMCALL:
		return BIT(INSN_VMMCALL);
	case SVM_XSETBV:
		return BIT(INSN_XSETBV);
	case SVM_ICEBP:
		return BIT(INSN_ICEBP);
	case SVM_INVD: /* QEMU exits for INVD as for WBINVD */
	case SVM_WBINVD:
		return BIT(INSN_INVD) | BIT(INSN_WBINVD);
	}
	return 0;
}

bool svm_exit_matches(uint64_t code, const struct insn *i)
{
	return svm_exit_kinds(code) & BIT(i->kind);
}

static bool svm_exit_plain_is(bool same, enum exit_kind kind, unsigned length, struct vmexit *x)
{
	x->kind = kind;
	x->length = (uint8_t)length;
	return same;
}

/* One comparison for what nearly every exit is. These bytes mean the same in every mode. */
bool svm_exit_plain(uint64_t code, uint64_t info1, uint32_t bytes, struct vmexit *x)
{
	uint16_t two = (uint16_t)bytes;

	x->hw_reason = code;
	switch ((uint32_t)code) {
	case SVM_VMMCALL:
		return svm_exit_plain_is((bytes & 0xffffff) == 0xd9010f, EXIT_HYPERCALL, 3, x);
	case SVM_CPUID:
		return svm_exit_plain_is(two == 0xa20f, EXIT_CPUID, 2, x);
	case SVM_MSR:
		return info1 ? svm_exit_plain_is(two == 0x300f, EXIT_MSR_WRITE, 2, x)
		             : svm_exit_plain_is(two == 0x320f, EXIT_MSR_READ, 2, x);
	case SVM_HLT:
		return svm_exit_plain_is((uint8_t)bytes == 0xf4, EXIT_HLT, 1, x);
	}
	return false;
}

/* An exit of which only the length is to be found. */
static enum svm_answer svm_exit_sized(const struct svm_raw *raw, enum exit_kind kind,
                                      struct vmexit *x)
{
	uint64_t length = raw->next_rip - raw->rip;

	x->kind = kind;
	if (!raw->has_next_rip || length == 0 || length > INSN_MAX)
		return SVM_NEEDS_INSN;
	x->length = (uint8_t)length;
	return SVM_DONE;
}

static enum svm_answer svm_exit_simple(enum exit_kind kind, struct vmexit *x)
{
	x->kind = kind;
	return SVM_DONE;
}

static enum svm_answer svm_exit_io(const struct svm_raw *raw, struct vmexit *x)
{
	x->kind = EXIT_IO;
	x->length = (uint8_t)(raw->info2 - raw->rip);
	x->io.port = (uint16_t)(raw->info1 >> 16);
	x->io.bytes = raw->info1 & IOIO_SZ8 ? 1 : raw->info1 & IOIO_SZ16 ? 2 : 4;
	x->io.in = raw->info1 & IOIO_IN;
	x->io.string = raw->info1 & IOIO_STR;
	x->io.rep = raw->info1 & IOIO_REP;
	return SVM_DONE;
}

/* EXITINFO1 is a page-fault error code of the nested walk (15.25.6). */
static enum svm_answer svm_exit_npf(const struct svm_raw *raw, struct vmexit *x)
{
	x->kind = EXIT_MEMORY;
	x->memory.gpa = raw->info2;
	x->memory.access = raw->info1 & NPF_WRITE ? FAULT_WRITE : FAULT_READ;
	if (raw->info1 & NPF_FETCH)
		x->memory.access = FAULT_EXEC;
	if (raw->info1 & NPF_WALK)
		x->memory.access |= FAULT_GUEST_WALK;
	x->memory.misconfigured = raw->info1 & NPF_RSVD;
	return SVM_DONE;
}

static enum svm_answer svm_exit_exception(const struct svm_raw *raw, unsigned vector,
                                          struct vmexit *x)
{
	x->kind = EXIT_EXCEPTION;
	x->exception.vector = (uint8_t)vector;
	x->exception.has_error = vector == VECTOR_AC;
	x->exception.error = vector == VECTOR_AC ? (uint32_t)raw->info1 : 0;
	x->exception.dr6 = vector == VECTOR_DB ? raw->dr6 & DR6_STATUS : 0;
	return SVM_DONE;
}

static enum svm_answer svm_exit_instruction(const struct svm_raw *raw, struct vmexit *x)
{
	switch ((uint32_t)raw->code) {
	case SVM_CPUID:
		return svm_exit_sized(raw, EXIT_CPUID, x);
	case SVM_HLT:
		return svm_exit_sized(raw, EXIT_HLT, x);
	case SVM_PAUSE:
		return svm_exit_sized(raw, EXIT_PAUSE, x);
	case SVM_VMMCALL:
		return svm_exit_sized(raw, EXIT_HYPERCALL, x);
	case SVM_MSR:
		return svm_exit_sized(raw, raw->info1 ? EXIT_MSR_WRITE : EXIT_MSR_READ, x);
	case SVM_INVD:
	case SVM_WBINVD:
		return svm_exit_sized(raw, EXIT_CACHE, x);
	case SVM_XSETBV: /* the intercept comes before the check of CPL (15.12) */
		return raw->cpl ? svm_exit_simple(EXIT_GP, x) : svm_exit_sized(raw, EXIT_XSETBV, x);
	case SVM_ICEBP:
		(void)svm_exit_exception(raw, VECTOR_DB, x);
		x->exception.dr6 = 0;
		return svm_exit_sized(raw, EXIT_EXCEPTION, x);
	case SVM_RDPMC:
		return svm_exit_simple(EXIT_GP, x);
	case SVM_INVLPGA:
	case SVM_VMRUN:
	case SVM_VMLOAD:
	case SVM_VMSAVE:
	case SVM_STGI:
	case SVM_CLGI:
	case SVM_SKINIT:
	case SVM_MONITOR:
	case SVM_MWAIT:
	case SVM_MWAIT_ARMED:
	case SVM_RDPRU:
	case SVM_INVLPGB:
	case SVM_INVLPGB_BAD:
	case SVM_MCOMMIT:
	case SVM_TLBSYNC:
		return svm_exit_simple(EXIT_UNDEFINED, x);
	}
	return svm_exit_simple(EXIT_UNKNOWN, x);
}

static enum svm_answer svm_exit_cr_write(unsigned number, struct vmexit *x)
{
	x->kind = EXIT_CR_WRITE;
	x->cr.number = (uint8_t)number;
	return SVM_NEEDS_INSN;
}

enum svm_answer svm_exit_decode(const struct svm_raw *raw, struct vmexit *x)
{
	uint32_t code = (uint32_t)raw->code;

	*x = (struct vmexit){.hw_reason = raw->code};
	if (code >= SVM_CR_WRITE && code < SVM_DR_READ)
		return svm_exit_cr_write(code - SVM_CR_WRITE, x);
	if (code >= SVM_EXCEPTION && code < SVM_INTR)
		return svm_exit_exception(raw, code - SVM_EXCEPTION, x);
	switch (code) {
	case SVM_NPF:
		return svm_exit_npf(raw, x);
	case SVM_IOIO:
		return svm_exit_io(raw, x);
	case SVM_INTR:
		return svm_exit_simple(EXIT_INTERRUPT, x);
	case SVM_NMI: /* held pending while GIF is clear, taken by our IDT at STGI (15.17) */
	case SVM_SMI:
	case SVM_INIT:
		return svm_exit_simple(EXIT_NMI, x);
	case SVM_VINTR:
		return svm_exit_simple(EXIT_WINDOW, x);
	case SVM_CR0_SELWRITE:
		return svm_exit_cr_write(0, x);
	case SVM_CR_READ:
	case SVM_CR_READ + 4:
	case SVM_IRET:
		return SVM_OWN;
	case SVM_FERR_FREEZE: /* no interrupt controller to tell it to: as with CR0.NE */
		return svm_exit_exception(raw, VECTOR_MF, x);
	case SVM_TASK_SWITCH:
		return svm_exit_simple(EXIT_TASK_SWITCH, x);
	case SVM_SHUTDOWN:
		return svm_exit_simple(EXIT_SHUTDOWN, x);
	case SVM_INVALID:
		x->text = "";
		return svm_exit_simple(EXIT_BAD_STATE, x);
	}
	return svm_exit_instruction(raw, x);
}

/* What the guest wants the control register to be. */
static bool svm_exit_cr_value(const struct insn *i, const struct guest_regs *r, uint64_t cr0,
                              uint16_t source, struct vmexit *x)
{
	const uint64_t ts = BIT(3), low = BITS(3, 0), pe = BIT(0);

	switch (i->kind) {
	case INSN_CLTS:
		x->cr.value = cr0 & ~ts;
		return true;
	case INSN_LMSW: /* PE can be set, not cleared (APM vol. 3, LMSW) */
		x->cr.value = (cr0 & ~(low & ~pe)) | (source & low);
		return true;
	default:
		x->cr.value = i->bits == 64 ? r->gpr[i->gpr] : (uint32_t)r->gpr[i->gpr];
		return i->special == x->cr.number;
	}
}

bool svm_exit_finish(const struct svm_raw *raw, const struct insn *i, const struct guest_regs *r,
                     uint64_t cr0, uint16_t source, struct vmexit *x)
{
	if (!svm_exit_matches(raw->code, i))
		return false;
	if ((uint32_t)raw->code == SVM_MSR && (i->kind == INSN_WRMSR) != (raw->info1 != 0))
		return false;
	/* QEMU 7.2 executes CPUID behind LOCK; a CPU would not have come here. */
	if (i->lock) {
		x->kind = EXIT_UNDEFINED;
		return true;
	}
	x->length = i->length;
	if (x->kind == EXIT_CR_WRITE)
		return svm_exit_cr_value(i, r, cr0, source, x);
	return true;
}

uint64_t svm_exit_event(uint64_t info)
{
	uint64_t vector = info & EVENT_VECTOR, type = info & EVENT_TYPE;

	if (!(info & EVENT_VALID) || type == EVENT_TYPE_SOFTWARE)
		return 0;
	if (type == EVENT_TYPE_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
		return 0;
	if (!(info & EVENT_HAS_ERROR))
		info &= BITS(31, 0);
	return info & ~BITS(30, 12);
}

bool svm_event_is_interrupt(uint64_t event)
{
	return (event & (EVENT_VALID | EVENT_TYPE)) == (EVENT_VALID | EVENT_TYPE_INTR);
}

bool svm_event_fits(uint64_t event, uint64_t rflags, uint64_t interrupt_state)
{
	return !svm_event_is_interrupt(event) ||
	       ((rflags & RFLAGS_IF) && !(interrupt_state & STATE_SHADOW));
}

uint64_t svm_event_pack(const struct hvm_event *e)
{
	static const uint64_t type[] = {
	    [EVENT_INTERRUPT] = EVENT_TYPE_INTR,
	    [EVENT_NMI] = EVENT_TYPE_NMI,
	    [EVENT_EXCEPTION] = EVENT_TYPE_EXCEPTION,
	};
	uint64_t word = EVENT_VALID | type[e->type] | (e->type == EVENT_NMI ? 2 : e->vector);

	if (e->has_error)
		word |= EVENT_HAS_ERROR | (uint64_t)e->error << EVENT_ERROR_SHIFT;
	return word;
}

struct hvm_event svm_event_unpack(uint64_t event)
{
	uint64_t type = event & EVENT_TYPE;

	return (struct hvm_event){
	    .type = type == EVENT_TYPE_NMI         ? EVENT_NMI
	            : type == EVENT_TYPE_EXCEPTION ? EVENT_EXCEPTION
	                                           : EVENT_INTERRUPT,
	    .vector = (uint8_t)(event & EVENT_VECTOR),
	    .has_error = event & EVENT_HAS_ERROR,
	    .error = (uint32_t)(event >> EVENT_ERROR_SHIFT),
	};
}
