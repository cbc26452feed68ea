/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU takes before it is entered, and in which order:
 *
 *	INIT, start-up IPI	vcpu_init.c; may end with no entry at all
 *	NMI			the back end keeps it until the guest can take it
 *	Xen's upcall		the domain's callback vector, without the local APIC: no
 *				priority, no EOI; level-like, as long as the guest's flag is up
 *	the local APIC's	the highest vector above the processor priority
 *
 * One interrupt at most goes with an entry. If one is left that could be taken
 * next, the back end is asked for a window, and the exit by which that opens
 * leads here again. Interrupts of the APIC that its priorities hold back need no
 * window: what changes priorities exits (TPR, CR8, EOI) and sets `look`.
 *
 * HLT: a halted vCPU is not entered before it took something. Whatever wakes it
 * for less, as an interrupt that TPR holds back, lets it sleep again.
 */
#include "kernel/apic.h"
#include "kernel/evtchn.h"

#define RFLAGS_INTERRUPTS BIT(9)

/* An exception took the place of an interrupt that was to be delivered. */
static void interrupt_take_back(struct vcpu *v)
{
	if (v->hv.displaced)
		vlapic_return(&v->apic, (uint8_t)(v->hv.displaced - 1));
	v->hv.displaced = 0;
}

static bool interrupt_upcall_wanted(struct vcpu *v)
{
	return v->domain->callback_vector && !v->upcall_vector && evtchn_pending(v);
}

/* Offer the one with precedence; if it goes, ask for a window for the other. */
static void interrupt_offer(struct vcpu *v)
{
	bool waiting = false;
	int vector;

	if (interrupt_upcall_wanted(v))
		waiting = !hvm->vcpu_offer(&v->hv, v->domain->callback_vector);
	vector = vlapic_pending(&v->apic);
	if (vector >= 0 && !waiting) {
		waiting = !hvm->vcpu_offer(&v->hv, vector);
		if (!waiting)
			vlapic_take(&v->apic, (uint8_t)vector);
	} else if (!waiting && v->offered) {
		(void)hvm->vcpu_offer(&v->hv, -1);
	}
	v->offered = waiting;
}

bool interrupt_pending(struct vcpu *v)
{
	return evtchn_pending(v) || vlapic_has_posts(&v->apic) || vlapic_pending(&v->apic) >= 0;
}

/* In HLT: is there something that ends it? */
static bool interrupt_ends_halt(struct vcpu *v, uint32_t events)
{
	if (events & VLAPIC_NMI)
		return true;
	if (!(v->hv.regs.rflags & RFLAGS_INTERRUPTS))
		return false;
	return evtchn_pending(v) || vlapic_pending(&v->apic) >= 0;
}

bool interrupt_deliver(struct vcpu *v)
{
	const struct hvm_event nmi = {.type = EVENT_NMI, .vector = 2};
	uint32_t events = vlapic_collect(&v->apic);

	v->look = false;
	interrupt_take_back(v);
	if (!vcpu_init_events(v, events)) {
		v->look = true; /* whatever wakes it: it is not to be entered */
		return false;
	}
	if (events & VLAPIC_TIMER) {
		vlapic_timer_expire(&v->apic, machine_ns());
		timer_set_apic(v, vlapic_timer_due(&v->apic));
	}
	if (v->halted && !interrupt_ends_halt(v, events)) {
		v->look = true;
		vcpu_block(v);
		return false;
	}
	v->halted = false;
	if (events & VLAPIC_NMI)
		hvm->vcpu_inject(&v->hv, &nmi);
	interrupt_offer(v);
	return true;
}
