/* SPDX-License-Identifier: MIT */
/*
 * What an exit means: one function for each kind, in a table. The back end has
 * decoded; here it is decided, alike for VT-x and AMD-V.
 *
 * A guest's mistake is answered as its CPU would answer (an exception), or,
 * where no CPU would go on, ends that guest with a sentence and a dump. What
 * must wait sets the vCPU's state; the instruction runs again later.
 */
#include "kernel/exit.h"
#include "arch/x86_64/guest/cpuid.h"
#include "arch/x86_64/guest/msr.h"
#include "arch/x86_64/xstate.h"
#include "kernel/apic.h"
#include "kernel/crash_walk.h"
#include "kernel/hypercall.h"
#include "kernel/sched.h"

#define RFLAGS_INTERRUPTS BIT(9)
#define MSR_EFER          0xc0000080u

static struct cr_limits limits;
static uint64_t xcr0_mask;
static uint32_t tsc_khz;

/* Answers to CPUID that are the same for all: computed once, as a CPU does it too. */
static struct cpuid_regs cpuid_basics[CPUID_BASIC_LEAVES];
static struct cpuid_regs cpuid_extendeds[CPUID_EXTENDED_LEAVES];

void exit_init(void)
{
	struct cpuid_view view = {.raw = cpuid};

	xcr0_mask = view.xcr0_mask = xstate_guest_mask();
	tsc_khz = (uint32_t)(machine_tsc_hz() / 1000);
	for (uint32_t i = 0; i < CPUID_BASIC_LEAVES; i++)
		cpuid_guest(&view, i, 0, &cpuid_basics[i]);
	for (uint32_t i = 0; i < CPUID_EXTENDED_LEAVES; i++)
		cpuid_guest(&view, 0x80000000u + i, 0, &cpuid_extendeds[i]);
	limits = cpuid_limits(&view);
	guest_phys_bits = limits.phys_bits;
}

const struct cr_limits *exit_limits(void)
{
	return &limits;
}

uint32_t exit_cpu_signature(void)
{
	return cpuid_basics[1].eax;
}

void exit_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	const struct hvm_event e = {EVENT_EXCEPTION, vector, has_error, error};

	hvm->vcpu_inject(&v->hv, &e);
	if (v->hv.displaced)
		v->look = true;
}

static void exit_gp(struct vcpu *v)
{
	exit_raise(v, VECTOR_GP, true, 0);
}

static void exit_skip(struct vcpu *v, const struct vmexit *x)
{
	hvm->vcpu_skip(&v->hv, x);
}

/* ---- the machine's own ---- */

static void exit_interrupt(struct vcpu *v, const struct vmexit *x)
{
	(void)v;
	(void)x;
	machine_irq_window();
	sched_interrupted();
}

static void exit_nothing(struct vcpu *v, const struct vmexit *x)
{
	(void)v;
	(void)x;
}

/* ---- exceptions ---- */

#define VECTOR_DB 1u
#define VECTOR_MC 18u

static void exit_exception(struct vcpu *v, const struct vmexit *x)
{
	/* The machine's memory or bus is broken, not the guest. */
	if (x->exception.vector == VECTOR_MC)
		env_panic("machine check while domain %u ran", v->domain->id);
	if (x->exception.vector == VECTOR_DB)
		v->hv.guest_dr6 |= x->exception.dr6;
	exit_raise(v, x->exception.vector, x->exception.has_error, x->exception.error);
	/*
	 * Its delivery may raise it again, at once and for ever (CVE-2015-5307, -8104). No
	 * interrupt gets a word in between entry and exit then: give it one here.
	 */
	exit_interrupt(v, x);
}

static void exit_undefined(struct vcpu *v, const struct vmexit *x)
{
	(void)x;
	exit_raise(v, VECTOR_UD, false, 0);
}

static void exit_forbidden(struct vcpu *v, const struct vmexit *x)
{
	(void)x;
	exit_gp(v);
}

/* ---- instructions ---- */

static void exit_cpuid_slow(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *r)
{
	const struct cpuid_view view = {
	    .raw = cpuid,
	    .xcr0_mask = xcr0_mask,
	    .xcr0 = v->hv.xcr0,
	    .tsc_khz = tsc_khz,
	    .domid = v->domain->id,
	    .vcpu_id = (uint16_t)v->id,
	    .nr_vcpus = (uint16_t)v->domain->nr_vcpus,
	};

	cpuid_guest(&view, leaf, subleaf, r);
}

static void exit_cpuid_vary(struct vcpu *v, uint32_t leaf, struct cpuid_regs *r)
{
	const struct cpuid_view view = {
	    .raw = cpuid,
	    .cr4 = hvm->vcpu_cr4(&v->hv),
	    .vcpu_id = (uint16_t)v->id,
	    .nr_vcpus = (uint16_t)v->domain->nr_vcpus,
	    .apic = vlapic_enabled(&v->apic),
	};

	cpuid_vary(&view, leaf, r);
}

static void exit_cpuid(struct vcpu *v, const struct vmexit *x)
{
	uint64_t *gpr = v->hv.regs.gpr;
	uint32_t leaf = (uint32_t)gpr[RAX], subleaf = (uint32_t)gpr[RCX];
	struct cpuid_regs r;

	if (leaf < CPUID_BASIC_LEAVES && cpuid_is_fixed(leaf, subleaf))
		r = cpuid_basics[leaf];
	else if (leaf - 0x80000000u < CPUID_EXTENDED_LEAVES)
		r = cpuid_extendeds[leaf - 0x80000000u];
	else
		exit_cpuid_slow(v, leaf, subleaf, &r);
	if (cpuid_varies(leaf))
		exit_cpuid_vary(v, leaf, &r);
	gpr[RAX] = r.eax;
	gpr[RBX] = r.ebx;
	gpr[RCX] = r.ecx;
	gpr[RDX] = r.edx;
	exit_skip(v, x);
}

static void exit_hlt(struct vcpu *v, const struct vmexit *x)
{
	bool can_wake = v->hv.regs.rflags & RFLAGS_INTERRUPTS;

	exit_skip(v, x);
	v->halted = v->look = true;
	/* With interrupts off NMI and INIT only wake it: it is down; with the last one ends the
	 * domain. */
	if (can_wake)
		vcpu_block(v);
	else
		vcpu_stop_unless(v, VLAPIC_NMI | VLAPIC_INIT);
}

static void exit_pause(struct vcpu *v, const struct vmexit *x)
{
	exit_skip(v, x);
	sched_yield(v);
}

static bool exit_msr_value(struct vcpu *v, const struct msr_row *row, uint64_t *value)
{
	switch (row->read) {
	case MSR_READ_VALUE:
		*value = row->value;
		return true;
	case MSR_READ_TSC:
		*value = machine_tsc();
		return true;
	case MSR_READ_APIC_BASE:
		*value = vlapic_base_read(&v->apic);
		return true;
	case MSR_READ_BACKEND:
		return hvm->vcpu_read_msr(&v->hv, row->msr, value);
	case MSR_READ_DENY:
		break;
	}
	return false;
}

static void exit_rdmsr(struct vcpu *v, const struct vmexit *x)
{
	uint64_t *gpr = v->hv.regs.gpr, value;
	uint32_t msr = (uint32_t)gpr[RCX];
	const struct msr_row *row = msr_find(msr);

	if (apic_is_msr(msr) ? !apic_read_msr(v, msr, &value)
	                     : !row || !exit_msr_value(v, row, &value)) {
		exit_gp(v);
		return;
	}
	gpr[RAX] = (uint32_t)value;
	gpr[RDX] = value >> 32;
	exit_skip(v, x);
}

/* The low bits number the page: there is one. */
static int64_t exit_hypercall_page(struct vcpu *v, uint64_t value)
{
	int64_t rc;

	if (value & ~PAGE_MASK)
		return -XEN_EINVAL;
	rc = hypercall_page_write(v, value);
	if (rc == 0)
		domain_latch_width(v->domain, hvm->vcpu_mode(&v->hv) & VCPU_MODE_64);
	return rc;
}

/* 0, an error (#GP), or HC_AGAIN. */
static int64_t exit_msr_write(struct vcpu *v, const struct msr_row *row, uint64_t value)
{
	uint64_t now;

	/* The back end judges EFER against its state; what CPUID hides is our matter. */
	if (!msr_value_allowed(row, value) ||
	    (row->msr == MSR_EFER && (value & ~(limits.efer | EFER_LMA))))
		return -XEN_EINVAL;
	switch (row->write) {
	case MSR_WRITE_SAME:
		return exit_msr_value(v, row, &now) && now == value ? 0 : -XEN_EINVAL;
	case MSR_WRITE_IGNORE:
		return 0;
	case MSR_WRITE_BACKEND:
		return hvm->vcpu_write_msr(&v->hv, row->msr, value) ? 0 : -XEN_EINVAL;
	case MSR_WRITE_APIC_BASE:
		return apic_write_base(v, value) ? 0 : -XEN_EINVAL;
	case MSR_WRITE_HYPERCALL_PAGE:
		return exit_hypercall_page(v, value);
	case MSR_WRITE_DENY:
		break;
	}
	return -XEN_EINVAL;
}

static void exit_wrmsr(struct vcpu *v, const struct vmexit *x)
{
	const uint64_t *gpr = v->hv.regs.gpr;
	uint32_t msr = (uint32_t)gpr[RCX];
	const struct msr_row *row = msr_find(msr);
	uint64_t value = gpr[RDX] << 32 | (uint32_t)gpr[RAX];
	int64_t rc = -XEN_EINVAL;

	if (apic_is_msr(msr))
		rc = apic_write_msr(v, msr, value) ? 0 : -XEN_EINVAL;
	else if (row)
		rc = exit_msr_write(v, row, value);
	if (rc == HC_AGAIN)
		return;
	if (rc)
		exit_gp(v);
	else
		exit_skip(v, x);
}

static void exit_cr(struct vcpu *v, const struct vmexit *x)
{
	struct guest_state s;

	hvm->vcpu_get_state(&v->hv, &s);
	if (!cr_write_allowed(x->cr.number, x->cr.value, &s, &limits)) {
		exit_gp(v);
		return;
	}
	if (!hvm->vcpu_write_cr(&v->hv, x->cr.number, x->cr.value)) {
		exit_gp(v);
		return;
	}
	if (x->cr.number == 8)
		apic_write_cr8(v, x->cr.value);
	exit_skip(v, x);
}

static void exit_xsetbv(struct vcpu *v, const struct vmexit *x)
{
	const uint64_t *gpr = v->hv.regs.gpr;
	uint64_t value = gpr[RDX] << 32 | (uint32_t)gpr[RAX];
	bool privileged = !(hvm->vcpu_mode(&v->hv) & VCPU_MODE_CPL);

	if (!privileged || (uint32_t)gpr[RCX] != 0 || !xstate_set_xcr0(&v->hv, value))
		exit_gp(v);
	else
		exit_skip(v, x);
}

/* ---- memory ---- */

static void exit_memory(struct vcpu *v, const struct vmexit *x)
{
	uint64_t gpa = x->memory.gpa;

	/* Past the tables' reach a CPU may call the address reserved: not a bug of ours. */
	ASSERT(!x->memory.misconfigured || gpa >> PAGE_SHIFT >= GFN_LIMIT);
	switch (gpa >> PAGE_SHIFT < GFN_LIMIT
	            ? mm_fault(&v->domain->space, gfn_of_addr(gpa), x->memory.access)
	            : VERDICT_DEVICE) {
	case VERDICT_RESUME:
		if (v->wait_ticket)
			vcpu_got_memory(v);
		break;
	case VERDICT_WAIT:
		vcpu_wait_memory(v);
		break;
	case VERDICT_DEVICE:
		if (exit_mmio(v, x))
			break;
		domain_crash(v, "it %s guest-physical address 0x%lx, where it has no memory",
		             x->memory.access & FAULT_WRITE ? "wrote to" : "read from",
		             (unsigned long)gpa);
		break;
	case VERDICT_REFUSE:
		domain_crash(v, "it may not %s guest-physical address 0x%lx",
		             x->memory.access & FAULT_WRITE ? "write to" : "execute from",
		             (unsigned long)gpa);
		break;
	}
}

/* ---- ends ---- */

static void exit_dr(struct vcpu *v, const struct vmexit *x)
{
	domain_crash(v, "it used debug register %u in a way that this machine does not have",
	             x->dr.number);
}

static void exit_task_switch(struct vcpu *v, const struct vmexit *x)
{
	(void)x;
	domain_crash(v, "it switched tasks through a task gate or TSS, which no 64-bit CPU offers "
	                "and Quire does not emulate");
}

static void exit_shutdown(struct vcpu *v, const struct vmexit *x)
{
	(void)x;
	domain_crash(v, "triple fault");
	crash_walk(v);
}

static void exit_bad_state(struct vcpu *v, const struct vmexit *x)
{
	domain_crash(v, "the CPU refused to enter it: %s",
	             x->text && x->text[0] ? x->text : "no rule of ours says why");
}

static void exit_unknown(struct vcpu *v, const struct vmexit *x)
{
	domain_crash(v, "an exit that we do not know, reason 0x%lx", (unsigned long)x->hw_reason);
}

typedef void exit_fn(struct vcpu *v, const struct vmexit *x);

static exit_fn *const handlers[EXIT_KINDS] = {
    [EXIT_INTERRUPT] = exit_interrupt,
    [EXIT_NMI] = exit_nothing,
    [EXIT_HANDLED] = exit_nothing,
    [EXIT_WINDOW] = exit_nothing, /* the upcall is offered again before the next entry */
    [EXIT_EXCEPTION] = exit_exception,
    [EXIT_CPUID] = exit_cpuid,
    [EXIT_HLT] = exit_hlt,
    [EXIT_PAUSE] = exit_pause,
    [EXIT_IO] = exit_io,
    [EXIT_MSR_READ] = exit_rdmsr,
    [EXIT_MSR_WRITE] = exit_wrmsr,
    [EXIT_CR_WRITE] = exit_cr,
    [EXIT_DR] = exit_dr,
    [EXIT_HYPERCALL] = hypercall_dispatch,
    [EXIT_MEMORY] = exit_memory,
    [EXIT_XSETBV] = exit_xsetbv,
    [EXIT_CACHE] = exit_skip,
    [EXIT_UNDEFINED] = exit_undefined,
    [EXIT_GP] = exit_forbidden,
    [EXIT_TASK_SWITCH] = exit_task_switch,
    [EXIT_SHUTDOWN] = exit_shutdown,
    [EXIT_BAD_STATE] = exit_bad_state,
    [EXIT_UNKNOWN] = exit_unknown,
};

void exit_dispatch(struct vcpu *v, const struct vmexit *x)
{
	enum exit_kind kind = x->kind;

	ASSERT(kind < EXIT_KINDS);
	v->exits[kind]++;
	v->exits_total++;
	handlers[kind](v, x);
}
