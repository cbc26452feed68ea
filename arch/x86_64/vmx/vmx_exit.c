/* SPDX-License-Identifier: MIT */
/*
 * What a VM exit means: from the exit fields of the VMCS to a neutral struct
 * vmexit. Pure: reads nothing but its arguments.
 *
 * A table says for each basic reason (SDM vol. 3, appendix C) what kind of
 * exit it is and which fields have to be read; the hottest exits need the
 * instruction's length and nothing else. Only exits that can happen while an
 * event is being delivered read the IDT-vectoring information (27.2.4).
 */
#include "arch/x86_64/vmx/vmx.h"
#include "mm/space.h"

#define R(reason, text, kind, needs) [REASON_##reason] = {text, EXIT_##kind, needs}
#define LEN                          NEED_LENGTH
#define QUAL                         NEED_QUALIFICATION

/* clang-format off */
const struct vmx_reason vmx_reasons[VMX_NR_REASONS] = {
	R(EXCEPTION, "exception or NMI", EXCEPTION, QUAL | LEN | NEED_INTR | NEED_IDT),
	R(INTERRUPT, "external interrupt", INTERRUPT, 0),
	R(TRIPLE_FAULT, "triple fault", SHUTDOWN, 0),
	R(INIT, "INIT signal", INTERRUPT, 0),
	R(SIPI, "start-up IPI", UNKNOWN, 0),
	R(INTERRUPT_WINDOW, "interrupt window", WINDOW, 0),
	R(NMI_WINDOW, "NMI window", WINDOW, 0),
	R(TASK_SWITCH, "task switch", TASK_SWITCH, QUAL | LEN | NEED_IDT),
	R(CPUID, "CPUID", CPUID, LEN),
	R(GETSEC, "GETSEC", UNDEFINED, LEN),
	R(HLT, "HLT", HLT, LEN),
	R(INVD, "INVD", CACHE, LEN),
	R(INVLPG, "INVLPG", UNKNOWN, LEN),
	R(RDPMC, "RDPMC", GP, LEN),
	R(RDTSC, "RDTSC", UNKNOWN, LEN),
	R(RSM, "RSM", UNDEFINED, LEN),
	R(VMCALL, "VMCALL", HYPERCALL, LEN),
	R(VMCLEAR, "VMCLEAR", UNDEFINED, LEN),
	[20] = {"VMLAUNCH", EXIT_UNDEFINED, LEN},
	[21] = {"VMPTRLD", EXIT_UNDEFINED, LEN},
	[22] = {"VMPTRST", EXIT_UNDEFINED, LEN},
	[23] = {"VMREAD", EXIT_UNDEFINED, LEN},
	[24] = {"VMRESUME", EXIT_UNDEFINED, LEN},
	[25] = {"VMWRITE", EXIT_UNDEFINED, LEN},
	[26] = {"VMXOFF", EXIT_UNDEFINED, LEN},
	R(VMXON, "VMXON", UNDEFINED, LEN),
	R(CR, "control register", CR_WRITE, QUAL | LEN | NEED_CR),
	R(DR, "debug register", DR, QUAL | LEN),
	R(IO, "port I/O", IO, QUAL | LEN),
	R(RDMSR, "RDMSR", MSR_READ, LEN),
	R(WRMSR, "WRMSR", MSR_WRITE, LEN),
	R(BAD_GUEST, "entry refused: guest state", BAD_STATE, QUAL),
	R(BAD_MSR_LOAD, "entry refused: MSR loading", BAD_STATE, QUAL),
	R(MWAIT, "MWAIT", UNDEFINED, LEN),
	R(MONITOR_TRAP, "monitor trap flag", UNKNOWN, 0),
	R(MONITOR, "MONITOR", UNDEFINED, LEN),
	R(PAUSE, "PAUSE", PAUSE, LEN),
	R(MACHINE_CHECK, "entry refused: machine check", BAD_STATE, 0),
	R(TPR, "TPR below threshold", UNKNOWN, 0),
	R(APIC_ACCESS, "APIC access", UNKNOWN, QUAL | NEED_IDT),
	R(EOI, "virtual EOI", UNKNOWN, QUAL),
	R(GDTR_IDTR, "access to GDTR or IDTR", UNKNOWN, LEN),
	R(LDTR_TR, "access to LDTR or TR", UNKNOWN, LEN),
	R(EPT_VIOLATION, "EPT violation", MEMORY, QUAL | NEED_GPA | NEED_IDT),
	R(EPT_MISCONFIG, "EPT misconfiguration", MEMORY, NEED_GPA | NEED_IDT | LEN),
	R(INVEPT, "INVEPT", UNDEFINED, LEN),
	R(RDTSCP, "RDTSCP", UNKNOWN, LEN),
	R(PREEMPTION_TIMER, "preemption timer", INTERRUPT, 0),
	R(INVVPID, "INVVPID", UNDEFINED, LEN),
	R(WBINVD, "WBINVD", CACHE, LEN),
	R(XSETBV, "XSETBV", XSETBV, LEN),
	R(APIC_WRITE, "APIC write", UNKNOWN, QUAL),
	R(RDRAND, "RDRAND", UNKNOWN, LEN),
	R(INVPCID, "INVPCID", UNKNOWN, LEN),
	R(VMFUNC, "VMFUNC", UNDEFINED, LEN),
	R(ENCLS, "ENCLS", UNDEFINED, LEN),
	R(RDSEED, "RDSEED", UNKNOWN, LEN),
	R(PML_FULL, "modification log full", HANDLED, QUAL | NEED_IDT),
	R(XSAVES, "XSAVES", UNKNOWN, LEN),
	R(XRSTORS, "XRSTORS", UNKNOWN, LEN),
	R(PCONFIG, "PCONFIG", UNDEFINED, LEN),
	R(SPP, "sub-page event", UNKNOWN, NEED_IDT | LEN),
	R(UMWAIT, "UMWAIT", UNDEFINED, LEN),
	R(TPAUSE, "TPAUSE", UNDEFINED, LEN),
	R(LOADIWKEY, "LOADIWKEY", UNDEFINED, LEN),
	R(ENCLV, "ENCLV", UNDEFINED, LEN),
	/* Of TDX; they exit from any guest where the CPU has them, even at CPL 3. */
	R(SEAMCALL, "SEAMCALL", UNDEFINED, LEN),
	R(TDCALL, "TDCALL", UNDEFINED, LEN),
};
/* clang-format on */

static const struct vmx_reason *reason_find(uint32_t reason)
{
	static const struct vmx_reason unknown = {"unknown reason", EXIT_UNKNOWN, 0};
	unsigned n = REASON_BASIC(reason);

	return n < VMX_NR_REASONS && vmx_reasons[n].name ? &vmx_reasons[n] : &unknown;
}

unsigned vmx_exit_needs(uint32_t reason)
{
	return reason_find(reason)->needs;
}

const char *vmx_reason_name(uint32_t reason)
{
	return reason_find(reason)->name;
}

/* Exit qualification of a debug exception, table 27-1: B3..B0, BD, BS, and RTM. */
#define DR6_FROM_QUALIFICATION (BITS(3, 0) | BIT(13) | BIT(14))

static void decode_exception(const struct vmx_raw_exit *raw, struct vmexit *x,
                             struct vmx_aftermath *after)
{
	uint32_t info = raw->intr_info;

	x->length = 0;
	if (INTR_TYPE(info) == INTR_TYPE_NMI) {
		x->kind = EXIT_NMI;
		after->host_nmi = true;
		return;
	}
	/* INT1 is a trap: the guest's handler returns behind it. */
	if (INTR_TYPE(info) == INTR_TYPE_PRIV_SOFT_EXC)
		after->step = (uint8_t)raw->length;
	x->exception.vector = INTR_VECTOR(info);
	x->exception.has_error = info & INTR_ERROR_CODE;
	x->exception.error = x->exception.has_error ? raw->intr_error : 0;
	x->exception.dr6 = 0;
	if (x->exception.vector == 1)
		x->exception.dr6 = raw->qualification & DR6_FROM_QUALIFICATION;
	after->host_mce = x->exception.vector == 18;
	/*
	 * An IRET that unblocked NMIs and then faulted runs again, so NMIs must be
	 * blocked again. Bit 12 says so, except for #DF and for a fault while
	 * another event was being delivered (27.2.3).
	 */
	after->nmi_unblocked =
	    (info & INTR_NMI_UNBLOCK) && x->exception.vector != 8 && !(raw->idt_info & INTR_VALID);
}

/* Exit qualification of an EPT violation, table 27-7. */
static void decode_memory(const struct vmx_raw_exit *raw, struct vmexit *x,
                          struct vmx_aftermath *after)
{
	uint64_t q = raw->qualification;

	x->length = 0;
	x->memory.gpa = raw->gpa;
	x->memory.access = 0;
	x->memory.misconfigured = REASON_BASIC(raw->reason) == REASON_EPT_MISCONFIG;
	if (x->memory.misconfigured)
		return;
	if (q & BIT(0))
		x->memory.access |= FAULT_READ;
	if (q & BIT(1))
		x->memory.access |= FAULT_WRITE;
	if (q & BIT(2))
		x->memory.access |= FAULT_EXEC;
	/*
	 * Bit 7: the linear address is valid; bit 8: the access was to its final
	 * translation. Not both: the CPU walked the guest's tables, or loaded PDPTEs.
	 */
	if (!(q & BIT(7)) || !(q & BIT(8)))
		x->memory.access |= FAULT_GUEST_WALK;
	after->nmi_unblocked = (q & BIT(12)) && !(raw->idt_info & INTR_VALID);
}

/* Exit qualification of a control-register access, table 27-3. */
static void decode_cr(const struct vmx_raw_exit *raw, const struct guest_regs *regs,
                      struct vmexit *x, struct vmx_aftermath *after)
{
	unsigned access = (raw->qualification >> 4) & 3, gpr = (raw->qualification >> 8) & 15;
	uint64_t source = (raw->qualification >> 16) & 0xffff;

	x->cr.number = raw->qualification & 15;
	switch (access) {
	case 0: /* MOV to CR */
		x->cr.value = regs->gpr[gpr];
		break;
	case 1: /* MOV from CR: only CR8's exits */
		x->kind = EXIT_HANDLED;
		after->reads_cr8 = true;
		after->gpr = gpr;
		break;
	case 2: /* CLTS */
		x->cr.value = raw->cr0 & ~BIT(3);
		break;
	default: /* LMSW: PE, MP, EM, TS; it can set PE but not clear it (vol. 2, LMSW) */
		x->cr.value = (raw->cr0 & ~(uint64_t)14) | (source & 15);
		break;
	}
}

/* Exit qualification of MOV DR, table 27-4. */
static void decode_dr(const struct vmx_raw_exit *raw, struct vmexit *x)
{
	x->dr.number = raw->qualification & 7;
	x->dr.write = !(raw->qualification & BIT(4));
	x->dr.gpr = (raw->qualification >> 8) & 15;
}

/* Exit qualification of an I/O instruction, table 27-5. */
static void decode_io(const struct vmx_raw_exit *raw, struct vmexit *x)
{
	uint64_t q = raw->qualification;

	x->io.port = (uint16_t)(q >> 16);
	x->io.bytes = (q & 7) + 1;
	x->io.in = q & BIT(3);
	x->io.string = q & BIT(4);
	x->io.rep = q & BIT(5);
}

/*
 * An event whose delivery the exit interrupted is delivered again at the next
 * entry, with its error code, and for software events the instruction length
 * (24.9.3, 26.2.1.3).
 */
static void decode_again(const struct vmx_raw_exit *raw, struct vmx_aftermath *after)
{
	uint32_t info = raw->idt_info;

	if (!(info & INTR_VALID))
		return;
	after->again_info = info & (uint32_t)(INTR_VALID | BITS(11, 0));
	after->again_error = info & INTR_ERROR_CODE ? raw->idt_error : 0;
	after->again_length = raw->length;
}

void vmx_exit_decode(const struct vmx_raw_exit *raw, const struct guest_regs *regs,
                     struct vmexit *x, struct vmx_aftermath *after)
{
	const struct vmx_reason *r = reason_find(raw->reason);

	x->kind = (enum exit_kind)r->kind;
	x->hw_reason = raw->reason;
	x->length = r->needs & NEED_LENGTH ? (uint8_t)raw->length : 0;
	if (raw->reason & REASON_ENTRY_FAILED)
		x->kind = EXIT_BAD_STATE;
	if (!(r->needs & ~NEED_LENGTH) && x->kind != EXIT_BAD_STATE && x->kind != EXIT_WINDOW) {
		after->any = false;
		return;
	}
	*after = (struct vmx_aftermath){.any = true};
	if (r->needs & NEED_IDT)
		decode_again(raw, after);

	switch (x->kind) {
	case EXIT_EXCEPTION:
		decode_exception(raw, x, after);
		break;
	case EXIT_MEMORY:
		decode_memory(raw, x, after);
		after->any = after->again_info || after->nmi_unblocked; /* seldom */
		break;
	case EXIT_CR_WRITE:
		decode_cr(raw, regs, x, after);
		break;
	case EXIT_DR:
		decode_dr(raw, x);
		break;
	case EXIT_IO:
		decode_io(raw, x);
		break;
	case EXIT_TASK_SWITCH: /* the length is of use for the event only */
		x->length = 0;
		break;
	case EXIT_HANDLED: /* the log is empty again; the access has not been made (27.2.1, 27.2.3)
	                    */
		after->nmi_unblocked =
		    (raw->qualification & BIT(12)) && !(raw->idt_info & INTR_VALID);
		break;
	case EXIT_BAD_STATE:
		x->text = "";
		break;
	default:
		break;
	}
}

bool vmx_nmi_first(bool nmi_waits, uint64_t interruptibility)
{
	return nmi_waits && !(interruptibility & BLOCKING_NMI);
}
