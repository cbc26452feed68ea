/* SPDX-License-Identifier: MIT */
/*
 * The state of a virtual local APIC, what is posted to it, and which interrupt
 * it would deliver next.
 *
 *	another CPU --post--> posted --collect--> IRR --take--> ISR --EOI-->
 *	   (atomic)                     (owner: all from here on)
 *
 * The order in which a poster stores, the vector first and the flag in `events`
 * after, and in which the owner fetches, the flags first, loses nothing: a bit
 * that the owner did not see has a flag that it will see next time.
 */
#include "arch/x86_64/guest/vlapic.h"
#include "mm/leaf/assert.h"

#define CLASS(vector) ((vector)&0xf0u)

/* ---- reset ---- */

/* Section "Local APIC State After It Has Been Software Disabled" and "... After an INIT Reset". */
void vlapic_init(struct vlapic *a)
{
	a->svr = 0xff;
	a->ldr = 0;
	a->dfr = UINT32_MAX;
	a->tpr = a->esr = a->esr_new = 0;
	a->icr = a->icr_high = 0;
	for (unsigned i = 0; i < VLAPIC_LVTS; i++)
		a->lvt[i] = LVT_MASKED;
	for (unsigned i = 0; i < 8; i++)
		a->irr[i] = a->isr[i] = 0;
	a->timer_initial = a->timer_divide = 0;
	a->timer_counts = false;
	a->timer_start_ns = 0;
}

void vlapic_reset(struct vlapic *a, unsigned vcpu)
{
	a->id = vlapic_id_of(vcpu);
	a->base_flags = (uint32_t)(APIC_BASE_ENABLE | (vcpu == 0 ? APIC_BASE_BSP : 0));
	vlapic_init(a);
	for (unsigned i = 0; i < 8; i++)
		a->posted[i] = 0;
	a->events = 0;
}

/* ---- IA32_APIC_BASE ---- */

uint64_t vlapic_base_read(const struct vlapic *a)
{
	return VLAPIC_BASE | a->base_flags;
}

/*
 * Which moves are legal: figure "Local x2APIC State Transitions". The mode is
 * two bits; all others must stay as they are, but for the boot CPU's flag, which
 * is ours: what is written there is ignored.
 */
static bool vlapic_move_allowed(uint64_t from, uint64_t to)
{
	if (!(to & APIC_BASE_ENABLE))
		return !(to & APIC_BASE_X2APIC);
	if (!(from & APIC_BASE_ENABLE))
		return !(to & APIC_BASE_X2APIC);
	return !(from & APIC_BASE_X2APIC) || (to & APIC_BASE_X2APIC);
}

bool vlapic_base_write(struct vlapic *a, uint64_t value, unsigned phys_bits, struct vlapic_todo *t)
{
	const uint64_t mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	uint64_t old = a->base_flags, rest = value & ~(mode | APIC_BASE_BSP);

	t->what = 0;
	if (rest >> phys_bits || rest != VLAPIC_BASE)
		return false;
	if (!vlapic_move_allowed(old, value))
		return false;
	if ((old & mode) == (value & mode))
		return true;
	/* Through "disabled" nothing is preserved but the id. */
	if (!(old & value & APIC_BASE_ENABLE)) {
		vlapic_init(a);
		t->what = VLAPIC_DO_TPR | VLAPIC_DO_TIMER | VLAPIC_DO_LOOK;
	}
	a->icr_high = 0; /* "State Changes From xAPIC Mode to x2APIC Mode" */
	a->base_flags = (uint32_t)((old & APIC_BASE_BSP) | (value & mode));
	return true;
}

/* ---- priorities ---- */

static int vlapic_highest(const uint32_t word[8])
{
	for (int i = 7; i >= 0; i--)
		if (word[i])
			return i * 32 + 31 - __builtin_clz(word[i]);
	return -1;
}

uint32_t vlapic_ppr(const struct vlapic *a)
{
	int in_service = vlapic_highest(a->isr);
	uint32_t class = in_service < 0 ? 0 : CLASS((uint32_t)in_service);

	return CLASS(a->tpr) >= class ? a->tpr : class;
}

void vlapic_set_tpr(struct vlapic *a, uint32_t tpr)
{
	a->tpr = tpr & 0xff;
}

int vlapic_pending(const struct vlapic *a)
{
	int vector = vlapic_highest(a->irr);

	/* Held while software has disabled the APIC, as is all that was requested before. */
	if (vector < 0 || !vlapic_enabled(a) || !(a->svr & SVR_ENABLE))
		return -1;
	return CLASS((uint32_t)vector) > CLASS(vlapic_ppr(a)) ? vector : -1;
}

void vlapic_take(struct vlapic *a, uint8_t vector)
{
	ASSERT(a->irr[vector / 32] & 1u << vector % 32);
	a->irr[vector / 32] &= ~(1u << vector % 32);
	a->isr[vector / 32] |= 1u << vector % 32;
}

void vlapic_return(struct vlapic *a, uint8_t vector)
{
	/* It may have been reset meanwhile. */
	if (!(a->isr[vector / 32] & 1u << vector % 32))
		return;
	a->isr[vector / 32] &= ~(1u << vector % 32);
	a->irr[vector / 32] |= 1u << vector % 32;
}

void vlapic_eoi(struct vlapic *a)
{
	int vector = vlapic_highest(a->isr);

	if (vector >= 0)
		a->isr[vector / 32] &= ~(1u << vector % 32);
}

void vlapic_error(struct vlapic *a, uint32_t bit)
{
	uint32_t lvt = a->lvt[APIC_LVT_ERROR - APIC_LVT_TIMER];
	uint8_t vector = (uint8_t)lvt;

	a->esr_new |= bit;
	if (lvt & LVT_MASKED)
		return;
	if (vector < VECTOR_LEGAL)
		a->esr_new |= (uint32_t)ESR_RECEIVE_ILLEGAL;
	else
		a->irr[vector / 32] |= 1u << vector % 32;
}

/* ---- posting ---- */

void vlapic_post(struct vlapic *a, uint8_t vector)
{
	atomic_fetch_or(&a->posted[vector / 32], 1u << vector % 32);
	atomic_fetch_or(&a->events, (uint32_t)VLAPIC_FIXED);
}

void vlapic_post_event(struct vlapic *a, uint32_t event)
{
	atomic_fetch_or(&a->events, event);
}

/* An INIT that comes after a STARTUP or an NMI undoes these; interrupts go with the IRR. */
void vlapic_post_init(struct vlapic *a)
{
	for (unsigned i = 0; i < 8; i++)
		atomic_store(&a->posted[i], 0);
	atomic_store(&a->events, (uint32_t)VLAPIC_INIT);
}

void vlapic_post_startup(struct vlapic *a, uint8_t page)
{
	uint32_t old = atomic_load(&a->events), new_events;

	do {
		new_events = (old & 0xffu) | (uint32_t)VLAPIC_STARTUP | (uint32_t)page << 8;
	} while (!atomic_compare_exchange_weak(&a->events, &old, new_events));
}

uint32_t vlapic_collect(struct vlapic *a)
{
	uint32_t events = atomic_exchange(&a->events, 0);

	if (!(events & VLAPIC_FIXED))
		return events;
	for (unsigned i = 0; i < 8; i++)
		if (a->posted[i])
			a->irr[i] |= atomic_exchange(&a->posted[i], 0);
	/* The first sixteen are exceptions: such an interrupt is an error, not delivered. */
	if (a->irr[0] & 0xffff) {
		a->irr[0] &= ~0xffffu;
		vlapic_error(a, (uint32_t)ESR_RECEIVE_ILLEGAL);
	}
	return events & ~(uint32_t)VLAPIC_FIXED;
}
