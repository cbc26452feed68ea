/* SPDX-License-Identifier: MIT */
/*
 * The APIC's timer, one-shot and periodic (section "APIC Timer"). Nothing counts:
 * the count is computed from the time since it began, and the caller is told
 * when it will be zero.
 */
#include "arch/x86_64/guest/vlapic.h"

/* Bits 3, 1 and 0: 2 4 8 16 32 64 128, and 7 is "by one" (figure "Divide Configuration Register").
 */
static uint64_t timer_tick_ns(uint32_t divide)
{
	unsigned n = (divide & 3u) | (divide & 8u) >> 1;

	return (uint64_t)VLAPIC_TICK_NS << (n == 7 ? 0 : n + 1);
}

static bool timer_periodic(const struct vlapic *a)
{
	return a->lvt[0] & LVT_PERIODIC;
}

static uint64_t timer_length_ns(const struct vlapic *a)
{
	uint64_t ns = a->timer_initial * timer_tick_ns(a->timer_divide);

	return timer_periodic(a) ? max_u64(ns, VLAPIC_PERIOD_MIN_NS) : ns;
}

uint32_t vlapic_timer_current(const struct vlapic *a, uint64_t now_ns)
{
	/* Both wrap: a slower rate may put the start before time began. */
	uint64_t since = now_ns - a->timer_start_ns;
	uint64_t gone = since / timer_tick_ns(a->timer_divide);

	if (!a->timer_counts || (int64_t)since < 0)
		return a->timer_counts ? a->timer_initial : 0;
	if (gone < a->timer_initial)
		return (uint32_t)(a->timer_initial - gone);
	/* At its end, which the owner has not seen yet. */
	return timer_periodic(a) ? a->timer_initial - (uint32_t)(gone % a->timer_initial) : 0;
}

void vlapic_timer_set(struct vlapic *a, uint32_t initial, uint64_t now_ns)
{
	a->timer_initial = initial;
	a->timer_counts = initial != 0;
	a->timer_start_ns = now_ns;
}

/* The count goes on from where it is, at the new rate. */
void vlapic_timer_set_divide(struct vlapic *a, uint32_t divide, uint64_t now_ns)
{
	uint32_t current = vlapic_timer_current(a, now_ns);

	a->timer_divide = divide & 0xb;
	if (a->timer_counts)
		a->timer_start_ns =
		    now_ns - (a->timer_initial - current) * timer_tick_ns(a->timer_divide);
}

uint64_t vlapic_timer_due(const struct vlapic *a)
{
	return a->timer_counts ? a->timer_start_ns + timer_length_ns(a) : UINT64_MAX;
}

void vlapic_timer_expire(struct vlapic *a, uint64_t now_ns)
{
	uint64_t length = timer_length_ns(a);
	uint8_t vector = (uint8_t)a->lvt[0];

	if (!a->timer_counts || now_ns < a->timer_start_ns + length)
		return;
	if (timer_periodic(a)) /* periods that nobody could see are one */
		a->timer_start_ns += (now_ns - a->timer_start_ns) / length * length;
	else
		a->timer_counts = false;
	if (a->lvt[0] & LVT_MASKED)
		return;
	if (vector < VECTOR_LEGAL)
		vlapic_error(a, (uint32_t)ESR_RECEIVE_ILLEGAL);
	else
		a->irr[vector / 32] |= 1u << vector % 32;
}
