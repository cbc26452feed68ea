/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what the vCPUs of a guest do to their local APICs: by MSR, by memory, by CR8, in any
 * mode, while time passes, others post, and interrupts are delivered or come back. After each step
 * every APIC must be as one can be, and what it would deliver the same as a second, slow look at it
 * finds. The APICs of a neighbour stay as they were to the last byte.
 */
#include "kernel/apic.h"
#include "kernel/exit.h"
#include "kernel/sched.h"
#include "tests/fuzz/fuzz.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define PAGES     8u
#define STEPS     200u
#define APIC_BASE 0x1bu

static struct domain *d, *neighbour;

/* ---- what is true of every APIC ---- */

static bool is_set(const uint32_t word[8], unsigned vector)
{
	return word[vector / 32] & 1u << vector % 32;
}

static int slow_highest(const uint32_t word[8])
{
	for (int vector = 255; vector >= 0; vector--)
		if (is_set(word, (unsigned)vector))
			return vector;
	return -1;
}

/* The vector to be delivered, by the text of "Task and Processor Priorities". */
static int slow_pending(const struct vlapic *a)
{
	int vector = slow_highest(a->irr), serving = slow_highest(a->isr);

	if (vector < 0 || !(a->base_flags & APIC_BASE_ENABLE) || !(a->svr & SVR_ENABLE))
		return -1;
	return vector >> 4 > (int)(a->tpr >> 4) && (serving < 0 || vector >> 4 > serving >> 4)
	           ? vector
	           : -1;
}

/* Of one class one interrupt at a time is served; none of the exceptions' vectors ever. */
static void check_vectors(const struct vlapic *a)
{
	for (unsigned class = 0; class < 16; class ++) {
		unsigned served = 0;

		for (unsigned vector = class * 16; vector < class * 16 + 16; vector++) {
			served += is_set(a->isr, vector);
			MUST(class || (!is_set(a->irr, vector) && !is_set(a->isr, vector)));
		}
		MUST(served <= 1);
	}
}

static void check_timer(const struct vlapic *a)
{
	uint64_t now = machine_ns(), due = vlapic_timer_due(a);

	MUST((due == UINT64_MAX) == !a->timer_counts);
	MUST(!a->timer_counts || a->timer_initial);
	MUST(vlapic_timer_current(a, now) <= a->timer_initial);
	MUST(a->timer_counts || !vlapic_timer_current(a, now));
}

static void check(const struct vcpu *v)
{
	const struct vlapic *a = &v->apic;

	MUST(a->id == vlapic_id_of(v->id));
	MUST(vlapic_enabled(a) || !vlapic_x2apic(a));
	MUST(!(a->base_flags & APIC_BASE_BSP) == (v->id != 0));
	MUST(a->tpr <= 0xff && a->svr <= 0x3ff);
	for (unsigned i = 0; i < VLAPIC_LVTS; i++)
		MUST((a->svr & SVR_ENABLE) || (a->lvt[i] & LVT_MASKED));
	check_vectors(a);
	check_timer(a);
	MUST(vlapic_pending(a) == slow_pending(a));
}

/* ---- steps ---- */

static uint64_t value(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	switch (how >> 6) {
	case 0:
		return how & 63;
	case 1:
		return 1ull << (how & 63);
	case 2: /* an IPI: mode, shorthand, vector, anybody */
		return (uint64_t)(how & 7) << 8 | (uint64_t)(how >> 3 & 3) << 18 | BIT(14) |
		       fuzz_u8(in) | (uint64_t)fuzz_u8(in) << 32;
	default:
		return fuzz_take(in, 1 + (how & 7));
	}
}

/* A register that there is, most of the time. */
static uint32_t reg(struct fuzz_input *in)
{
	static const uint8_t known[] = {
	    APIC_TPR,           APIC_EOI,           APIC_LDR,          APIC_DFR,
	    APIC_SVR,           APIC_ESR,           APIC_ICR,          APIC_ICR_HIGH,
	    APIC_LVT_TIMER,     APIC_LVT_LINT0,     APIC_LVT_ERROR,    APIC_SELF_IPI,
	    APIC_TIMER_INITIAL, APIC_TIMER_CURRENT, APIC_TIMER_DIVIDE,
	};
	uint8_t which = fuzz_u8(in);

	return which < 0xe0 ? known[which % sizeof(known)] : fuzz_u8(in);
}

/* What the guest gets of an access by MSR: #GP and nothing else, or the next instruction. */
static void by_msr(struct vcpu *v, struct fuzz_input *in, bool write)
{
	const struct vmexit x = {.kind = write ? EXIT_MSR_WRITE : EXIT_MSR_READ, .length = 2};
	struct fake_vcpu *f = fake_of(&v->hv);
	unsigned skips = f->skips, injects = f->injects;
	struct vlapic before = v->apic;
	uint64_t word = write ? value(in) : 0;

	v->hv.regs.gpr[RCX] = VLAPIC_MSR_FIRST + reg(in);
	v->hv.regs.gpr[RAX] = (uint32_t)word;
	v->hv.regs.gpr[RDX] = word >> 32;
	exit_dispatch(v, &x);
	MUST(f->skips - skips + f->injects - injects == 1);
	if (f->injects == injects) {
		MUST(vlapic_x2apic(&before));
		return;
	}
	MUST(f->event.vector == 13);
	MUST(!memcmp(&before, &v->apic, sizeof(before)));
}

static void by_memory(struct vcpu *v, struct fuzz_input *in, bool write)
{
	uint32_t offset = reg(in) * 16 + (fuzz_u8(in) & 7 ? 0 : 4);

	if (!vlapic_xapic(&v->apic))
		return; /* its page is memory then: kernel/exit_mmio.c */
	if (write)
		apic_write(v, offset & 0xfff, (uint32_t)value(in));
	else
		(void)apic_read(v, offset & 0xfff);
}

static void base(struct vcpu *v, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t word = how & 0x80 ? value(in) : VLAPIC_BASE | (uint64_t)(how & 0xf) << 8;
	struct vlapic before = v->apic;

	if (!apic_write_base(v, word))
		MUST(!memcmp(&before, &v->apic, sizeof(before)));
}

/* The count goes on from where it is when its rate changes. */
static void divide(struct vcpu *v, struct fuzz_input *in)
{
	uint32_t now = vlapic_timer_current(&v->apic, machine_ns());

	vlapic_timer_set_divide(&v->apic, fuzz_u8(in), machine_ns());
	MUST(vlapic_timer_current(&v->apic, machine_ns()) == now);
}

static void others_post(struct vcpu *v, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what & 1)
		vlapic_post(&v->apic, fuzz_u8(in));
	else if (what & 2)
		vlapic_post_event(&v->apic, what & 4 ? VLAPIC_NMI : VLAPIC_TIMER);
	else if (what & 8)
		vlapic_post_startup(&v->apic, fuzz_u8(in));
	else if (what & 16)
		vlapic_post_init(&v->apic);
}

/* Time to the next whole something; long after it, too. */
static void time_passes(struct fuzz_input *in)
{
	host_now_ns[0] += (uint64_t)fuzz_u8(in) << (fuzz_u8(in) % 32);
}

static void enter(struct vcpu *v, struct fuzz_input *in)
{
	struct fake_vcpu *f = fake_of(&v->hv);
	uint8_t how = fuzz_u8(in);
	uint32_t events = v->apic.events;
	int wanted;

	f->takes_interrupts = how & 1;
	f->offered = -1;
	v->hv.regs.rflags = how & 1 ? BIT(9) : 0;
	if (!interrupt_deliver(v))
		return;
	MUST(!(v->apic.events & events) || events == 0);
	wanted = f->offered;
	if (wanted < 0 || !f->takes_interrupts)
		return;
	MUST(is_set(v->apic.isr, (unsigned)wanted));
	if (how & 2) /* an exception took its place */
		v->hv.displaced = (uint16_t)(wanted + 1);
}

static void step(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	struct vcpu *v = d->vcpus[(what >> 4) % d->nr_vcpus];

	switch (what & 15) {
	case 0 ... 2:
		by_msr(v, in, true);
		break;
	case 3:
		by_msr(v, in, false);
		break;
	case 4 ... 6:
		by_memory(v, in, true);
		break;
	case 7:
		by_memory(v, in, false);
		break;
	case 8:
		base(v, in);
		break;
	case 9:
		apic_write_cr8(v, value(in));
		break;
	case 10:
		divide(v, in);
		break;
	case 11:
		others_post(v, in);
		break;
	case 12:
		time_passes(in);
		break;
	default:
		enter(v, in);
		break;
	}
}

/* ---- one guest ---- */

static void begin(unsigned vcpus)
{
	d = fake_domain(1, PAGES, vcpus);
	for (unsigned i = 0; i < vcpus; i++) {
		d->vcpus[i]->initialised = true;
		vcpu_start(d->vcpus[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct vlapic theirs;
	struct fuzz_input in = {bytes, n};

	if (!neighbour) {
		fake_start(1);
		neighbour = fake_domain(2, PAGES, 1);
		theirs = neighbour->vcpus[0]->apic;
	}
	begin(1 + fuzz_u8(&in) % 4);
	for (unsigned i = 0; i < STEPS && in.left; i++) {
		step(&in);
		for (unsigned k = 0; k < d->nr_vcpus; k++)
			check(d->vcpus[k]);
		MUST(!memcmp(&theirs, &neighbour->vcpus[0]->apic, sizeof(theirs)));
	}
	fake_domain_free(d);
	MUST(timer_next_ns() == UINT64_MAX); /* no timer of a vCPU that is gone */
	host_machine_reset(1);
	return 0;
}
