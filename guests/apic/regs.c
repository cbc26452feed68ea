/* SPDX-License-Identifier: MIT */
#include "guests/apic/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/trap.h"

struct seen seen[2];

bool apic_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & BASE_X2APIC;
}

static volatile uint32_t *word(unsigned reg)
{
	return (volatile uint32_t *)(uint64_t)(BASE_ADDRESS + reg * 16);
}

uint32_t apic_read(unsigned reg)
{
	return apic_x2() ? (uint32_t)rdmsr(0x800 + reg) : *word(reg);
}

void apic_write(unsigned reg, uint32_t value)
{
	if (apic_x2())
		wrmsr(0x800 + reg, value);
	else
		*word(reg) = value;
}

uint32_t apic_id(void)
{
	return apic_x2() ? apic_read(REG_ID) : apic_read(REG_ID) >> 24;
}

void apic_icr(uint32_t destination, uint32_t low)
{
	if (apic_x2()) {
		wrmsr(0x800 + REG_ICR, (uint64_t)destination << 32 | low);
		return;
	}
	*word(REG_ICR + 1) = destination << 24;
	*word(REG_ICR) = low;
}

void apic_self(uint8_t vector)
{
	if (apic_x2())
		apic_write(REG_SELF, vector);
	else
		apic_icr(0, ICR_FIXED | ICR_SELF | vector);
}

void apic_enable(bool x2)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	/* To xAPIC mode from x2APIC mode the way leads through "disabled". */
	if (!x2 && (base & BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, base & ~(uint64_t)(BASE_X2APIC | BASE_ENABLE));
	wrmsr(MSR_APIC_BASE,
	      (base & ~(uint64_t)BASE_X2APIC) | BASE_ENABLE | (x2 ? BASE_X2APIC : 0));
	apic_write(REG_SVR, 0x1ff);
	apic_write(REG_TPR, 0);
}

bool apic_requested(uint8_t vector)
{
	return apic_read(REG_IRR + vector / 32) & 1u << vector % 32;
}

bool apic_in_service(uint8_t vector)
{
	return apic_read(REG_ISR + vector / 32) & 1u << vector % 32;
}

static void on_interrupt(struct trap_frame *t)
{
	struct seen *s = &seen[this_cpu()->id];

	s->count[t->vector]++;
	if (s->orders < MAX_ORDER)
		s->order[s->orders++] = (uint8_t)t->vector;
	if (!s->no_eoi)
		apic_write(REG_EOI, 0);
}

/* NMIs are blocked: one more waits, while an interrupt is let in. The IRET of the interrupt's
 * handler ends the blocking, so the NMI comes right behind it and needs a stack below this one. */
static void probe(struct cpu *c)
{
	struct seen *s = &seen[c->id];
	uint64_t top = c->tss.ist[0];

	c->tss.ist[0] = ((uint64_t)__builtin_frame_address(0) - 1024) & ~UINT64_C(15);
	apic_icr(apic_id(), ICR_NMI);
	apic_self(0x44);
	window();
	s->inside = s->count[0x44];
	c->tss.ist[0] = top;
}

static void on_nmi(struct trap_frame *t)
{
	struct cpu *c = this_cpu();
	bool asked = seen[c->id].probe;

	(void)t;
	seen[c->id].nmis++;
	seen[c->id].probe = false;
	if (asked)
		probe(c);
}

/* All but the vector of Xen's callback. */
void seen_init(void)
{
	for (unsigned v = VECTOR_FIRST; v < 0xf0; v++)
		trap_set_handler(v, on_interrupt);
	trap_set_handler(2, on_nmi);
}

void seen_clear(unsigned cpu)
{
	seen[cpu] = (struct seen){.nmis = 0};
}

void window(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* Sleeping, not spinning: an emulator may let one CPU run at a time. */
void nap(void)
{
	struct sched_poll p = {.timeout = clock_ns() + CLOCK_MS / 10};

	hypercall_sched(SCHEDOP_poll, &p);
}

bool reaches(const volatile uint32_t *counter, uint32_t want)
{
	uint64_t end = clock_ns() + CLOCK_S;

	while (*counter < want) {
		if (clock_ns() > end)
			return false;
		nap();
	}
	return true;
}
