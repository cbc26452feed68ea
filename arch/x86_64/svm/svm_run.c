/* SPDX-License-Identifier: MIT */
/*
 * Entering a guest and coming back: translations, events, the exit.
 *
 * ASIDs. Each CPU hands out its ASIDs one after the other, one to each vCPU
 * that enters it. A vCPU whose translations are out of date takes a new one,
 * which no entry in the TLB carries, and when they run out the whole TLB is
 * flushed and a new epoch begins (APM vol. 2, 15.16). With flush-by-ASID the
 * vCPU keeps its ASID instead. An ASID belongs to one vCPU, not to a space:
 * flush_enter() tells the first vCPU of a space on this CPU that something has
 * changed, and the others find out by comparing the space's generation with
 * the one that their ASID last saw.
 *
 * Events. One event word, in EVENTINJ's form, waits for the next entry. What
 * an exit interrupted goes back into it, so nothing is lost while a vCPU waits.
 */
#include "arch/x86_64/svm/svm_vcpu.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm_event.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/svm/svm_controls.h"
#include "arch/x86_64/svm/svm_exit.h"
#include "arch/x86_64/xstate.h"
#include "kernel/machine.h"
#include "mm/frame.h"
#include "mm/space.h"

#define RFLAGS_RF BIT(16)
#define DR6_BS    BIT(14)
#define DR7_GD    BIT(13)
#define VECTOR_DB 1u

#define MISC1_VINTR BIT(4)
#define MISC1_IRET  BIT(20)

struct svm_cpu {
	uint64_t host_pa; /* a VMCB page that holds what VMLOAD restores for us */
	uint64_t asid_epoch;
	uint32_t next_asid;
} __attribute__((aligned(64)));
static struct svm_cpu svm_cpus[MAX_CPUS];

/* ---- this CPU ---- */

const char *svm_run_cpu_on(void)
{
	struct svm_cpu *c = &svm_cpus[machine_cpu()];
	mfn_t save, host;

	if (!c->host_pa) {
		save = frame_alloc(0, FRAME_HYPERVISOR, 0);
		host = frame_alloc(0, FRAME_HYPERVISOR, 0);
		if (!mfn_valid(save) || !mfn_valid(host))
			return "There is no memory for this CPU's AMD-V save area.";
		wrmsr(MSR_VM_HSAVE_PA, mfn_to_addr(save));
		c->host_pa = mfn_to_addr(host);
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	asm volatile("vmsave %0" ::"a"(c->host_pa) : "memory");
	/* The first ASID asked for starts an epoch, so with a flush of everything. */
	c->next_asid = svm_machine.nr_asids;
	return NULL;
}

void svm_run_cpu_off(void)
{
	asm volatile("stgi");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
}

/* ---- translations ---- */

static void svm_new_asid(struct svm_vcpu *s, struct svm_cpu *c)
{
	if (c->next_asid >= svm_machine.nr_asids) {
		c->asid_epoch++;
		c->next_asid = 1;
		s->vmcb->tlb_control = TLB_FLUSH_ALL;
	}
	s->vmcb->guest_asid = c->next_asid++;
	s->asid_epoch = c->asid_epoch;
}

/* Nothing that this vCPU may use in the TLB is older than what the space and the guest are now. */
static __attribute__((noinline)) void svm_translations_renew(struct hvm_vcpu *v, struct svm_cpu *c,
                                                             uint64_t generation, bool mine)
{
	struct svm_vcpu *s = v->svm;
	uint32_t cpu = (uint32_t)(c - svm_cpus);

	if (mine && (svm_machine.features & SVM_FEATURE_FLUSH_BY_ASID))
		s->vmcb->tlb_control = TLB_FLUSH_ASID;
	else
		svm_new_asid(s, c);
	s->asid_cpu = cpu;
	s->space_generation = generation;
	s->flush_own = false;
	v->last_cpu = cpu;
}

static inline void svm_translations(struct hvm_vcpu *v, struct svm_vcpu *s, struct vmcb *b,
                                    struct svm_cpu *c, uint32_t cpu, bool flush)
{
	uint64_t generation = atomic_load_explicit(&v->space->generation, memory_order_acquire);
	bool mine = s->asid_cpu == cpu && s->asid_epoch == c->asid_epoch;

	b->tlb_control = TLB_KEEP;
	if (!mine || flush || s->flush_own || s->space_generation != generation)
		svm_translations_renew(v, c, generation, mine);
}

/* ---- events ---- */

static void svm_window_open(struct svm_vcpu *s)
{
	s->vmcb->virtual_interrupt |= V_IRQ | V_INTR_PRIO | V_IGN_TPR;
	s->vmcb->intercepts[WORD_MISC1] |= MISC1_VINTR;
	s->window = true;
}

static void svm_window_close(struct svm_vcpu *s)
{
	s->vmcb->virtual_interrupt &= ~V_IRQ;
	s->vmcb->intercepts[WORD_MISC1] &= (uint32_t)~MISC1_VINTR;
	s->window = false;
}

bool svm_vcpu_offer(struct hvm_vcpu *v, int vector)
{
	struct svm_vcpu *s = v->svm;
	/* An NMI that can be taken goes first. */
	bool nmi = (s->nmi & (NMI_PENDING | NMI_MASKED)) == NMI_PENDING;
	bool open = (v->regs.rflags & RFLAGS_IF) && !(s->vmcb->interrupt_state & STATE_SHADOW);

	if (vector < 0 || (open && !s->event && !nmi)) {
		if (s->window)
			svm_window_close(s);
		if (vector >= 0)
			s->event = EVENT_VALID | EVENT_TYPE_INTR | (uint8_t)vector;
		return vector >= 0;
	}
	if (!s->window)
		svm_window_open(s);
	return false;
}

static void svm_inject_exception(struct hvm_vcpu *v, const struct hvm_event *e)
{
	struct svm_vcpu *s = v->svm;
	struct hvm_event first = svm_event_unpack(s->event), out;

	/* A CPU that delivers #DB clears general detect (APM vol. 2, 13.1.1.4); one that is told to
	 * inject it does not. */
	if (e->vector == VECTOR_DB)
		s->vmcb->dr7 &= ~DR7_GD;
	if (s->event && first.type == EVENT_NMI)
		s->nmi = (s->nmi | NMI_PENDING) & ~NMI_MASKED;
	if (s->event && first.type == EVENT_INTERRUPT)
		v->displaced = (uint16_t)(first.vector + 1);
	if (hvm_event_merge(s->event ? &first : NULL, e, &out) == EVENT_TRIPLE_FAULT)
		s->shutdown = true;
	else
		s->event = svm_event_pack(&out);
}

void svm_vcpu_inject(struct hvm_vcpu *v, const struct hvm_event *e)
{
	struct svm_vcpu *s = v->svm;

	switch (e->type) {
	case EVENT_EXCEPTION:
		svm_inject_exception(v, e);
		break;
	case EVENT_NMI:
		s->nmi |= NMI_PENDING;
		break;
	case EVENT_INTERRUPT:
		if (!s->event)
			s->event = svm_event_pack(e);
		break;
	}
}

/* There is no NMI window in hardware: watch for the IRET that ends the one before. */
static void svm_nmi_enter(struct hvm_vcpu *v)
{
	struct svm_vcpu *s = v->svm;

	if ((s->nmi & NMI_IRET) && v->regs.rip != s->iret_rip)
		s->nmi &= ~(NMI_IRET | NMI_MASKED);
	if (!(s->nmi & NMI_PENDING))
		return;
	if (!(s->nmi & NMI_MASKED) && !s->event) {
		s->event = EVENT_VALID | EVENT_TYPE_NMI | 2;
		s->nmi = NMI_MASKED;
		s->vmcb->intercepts[WORD_MISC1] |= MISC1_IRET;
	} else if (!(s->nmi & NMI_MASKED)) {
		/* Behind the event that is delivered first: come back at once, before an
		 * instruction. */
		machine_kick(machine_cpu());
	}
}

/*
 * An event goes with this entry. An interrupt is asked once more whether it fits: nobody else
 * would, and the guest would take it where it holds a lock.
 *
 * QEMU 7.2 remembers the vector of an interrupt that VMRUN injected as its CPU's next exception,
 * until an exit from the guest makes it forget. If its main loop ends before that (its timers, its
 * other CPUs, a full count of -icount), it delivers the vector a second time, as an exception,
 * whatever IF says. So have an exit come at once, behind the delivery and before an instruction.
 */
static __attribute__((noinline)) void svm_event_enter(struct hvm_vcpu *v)
{
	struct svm_vcpu *s = v->svm;

	ASSERT(svm_event_fits(s->event, v->regs.rflags, s->vmcb->interrupt_state));
	if (svm_machine.delivers_twice && svm_event_is_interrupt(s->event))
		machine_kick(machine_cpu());
}

void svm_vcpu_drop_events(struct hvm_vcpu *v)
{
	struct svm_vcpu *s = v->svm;

	if (s->window)
		svm_window_close(s);
	s->vmcb->intercepts[WORD_MISC1] &= (uint32_t)~MISC1_IRET;
	s->event = 0;
	s->nmi = 0;
	s->shutdown = false;
	v->displaced = 0;
}

/* The IRET of an NMI's handler is about to be executed: the mask ends behind it. Where another one
 * waits, ask for an exit there, which comes as soon as the guest takes interrupts. */
static void svm_nmi_iret(struct hvm_vcpu *v, struct vmexit *x)
{
	struct svm_vcpu *s = v->svm;

	s->vmcb->intercepts[WORD_MISC1] &= (uint32_t)~MISC1_IRET;
	s->nmi |= NMI_IRET;
	s->iret_rip = v->regs.rip;
	if ((s->nmi & NMI_PENDING) && !s->window)
		svm_window_open(s);
	*x = (struct vmexit){.kind = EXIT_HANDLED, .hw_reason = SVM_IRET};
}

/* TF is set: the instruction that we did for the guest traps behind itself. */
static __attribute__((noinline)) void svm_single_step(struct hvm_vcpu *v)
{
	v->guest_dr6 |= DR6_BS;
	svm_inject_exception(v, &(struct hvm_event){EVENT_EXCEPTION, VECTOR_DB, false, 0});
}

void svm_vcpu_skip(struct hvm_vcpu *v, const struct vmexit *x)
{
	struct vmcb *b = v->svm->vmcb;
	uint64_t rip = v->regs.rip + x->length;

	v->regs.rip = svm_code_bits(v) == 64 ? rip : (uint32_t)rip;
	b->interrupt_state &= ~STATE_SHADOW;
	v->regs.rflags &= ~RFLAGS_RF;
	if (__builtin_expect(v->regs.rflags & RFLAGS_TF, 0))
		svm_single_step(v);
}

/* ---- the exit ---- */

static void svm_own_exit(struct hvm_vcpu *v, const struct svm_raw *raw, struct vmexit *x)
{
	if ((uint32_t)raw->code == SVM_IRET)
		svm_nmi_iret(v, x);
	else
		svm_insn_complete(v, raw->code, raw->info1, x);
}

static void svm_after_decode(struct hvm_vcpu *v, struct vmexit *x)
{
	struct svm_vcpu *s = v->svm;

	if (x->kind == EXIT_WINDOW) {
		svm_window_close(s);
	} else if (x->kind == EXIT_EXCEPTION && x->length) {
		/* INT1 is a trap: its #DB points behind it. */
		v->regs.rip += x->length;
		x->length = 0;
	} else if (x->kind == EXIT_BAD_STATE) {
		/* A flush of everything that it was to make may not have been made. */
		svm_cpus[machine_cpu()].next_asid = svm_machine.nr_asids;
		x->text = svm_vmrun_rule(s->vmcb, svm_machine.phys_bits);
	}
}

static __attribute__((noinline)) void svm_decode(struct hvm_vcpu *v, struct vmexit *x)
{
	struct vmcb *b = v->svm->vmcb;
	struct svm_raw raw = {
	    .code = b->exit_code,
	    .info1 = b->exit_info1,
	    .info2 = b->exit_info2,
	    .next_rip = b->next_rip,
	    .rip = v->regs.rip,
	    .has_next_rip = svm_machine.features & SVM_FEATURE_NRIPS,
	    .cpl = b->cpl,
	    .dr6 = b->dr6,
	};

	switch (svm_exit_decode(&raw, x)) {
	case SVM_DONE:
		break;
	case SVM_NEEDS_INSN:
		svm_insn_complete(v, raw.code, raw.info1, x);
		break;
	case SVM_OWN:
		svm_own_exit(v, &raw, x);
		break;
	}
	svm_after_decode(v, x);
}

static inline void svm_to_vmcb(const struct hvm_vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
	b->rax = v->regs.gpr[RAX];
	b->rsp = v->regs.gpr[RSP];
	b->rip = v->regs.rip;
	b->rflags = v->regs.rflags;
	b->dr6 = v->guest_dr6;
	b->event_injection = s->event;
}

static inline void svm_from_vmcb(struct hvm_vcpu *v, struct svm_vcpu *s, const struct vmcb *b)
{
	v->regs.gpr[RAX] = b->rax;
	v->regs.gpr[RSP] = b->rsp;
	v->regs.rip = b->rip;
	v->regs.rflags = b->rflags;
	v->guest_dr6 = b->dr6;
	s->event = b->exit_int_info ? svm_exit_event(b->exit_int_info) : 0;
}

/* A guest that enters and exits at once with nothing pending costs what is written here. */
void svm_vcpu_run(struct hvm_vcpu *v, bool flush, struct vmexit *x)
{
	struct svm_vcpu *s = v->svm;
	struct vmcb *b = s->vmcb;
	uint32_t cpu = this_cpu()->cpu;
	struct svm_cpu *c = &svm_cpus[cpu];

	/* `flush` is not lost: each vCPU has an ASID, and compares the generation of its own last flush
	 * with that of the space at each entry (svm_translations). */
	if (__builtin_expect(s->shutdown, 0)) {
		flush_leave(cpu);
		*x = (struct vmexit){.kind = EXIT_SHUTDOWN, .hw_reason = SVM_SHUTDOWN};
		return;
	}
	if (__builtin_expect(s->nmi, 0))
		svm_nmi_enter(v);
	if (__builtin_expect(s->event != 0, 0))
		svm_event_enter(v);
	svm_translations(v, s, b, c, cpu, flush);
	svm_to_vmcb(v, s, b);
	if (__builtin_expect(spec_entry_actions != 0, 0))
		spec_before_entry();
	svm_enter(s->vmcb_pa, v->regs.gpr, c->host_pa);
	if (__builtin_expect(spec_ibrs_at_exit, 0))
		spec_after_exit();
	flush_leave(cpu);
	svm_from_vmcb(v, s, b);
	/* Without OSXSAVE an XSETBV is #UD. */
	if (s->cr4 & CR4_OSXSAVE)
		xstate_reread_xcr0(v);
	if (svm_exit_may_be_plain(b->exit_code) &&
	    svm_exit_plain(b->exit_code, b->exit_info1, svm_fetch_quick(v), x))
		return;
	svm_decode(v, x);
}
