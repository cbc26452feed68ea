/* SPDX-License-Identifier: MIT */
/* One vCPU with its own APIC: priorities, order, EOI, errors, NMI, the timer. Interrupts are off
 * but in window() and HLT. */
#include "guests/apic/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/tap.h"

static struct seen *const me = &seen[0];

static void identity(const char *mode)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	tap_is((long)(r[1] >> 24), (long)apic_id(), "%s: CPUID and APIC tell one id", mode);
	tap_is((long)apic_read(REG_VERSION), 0x50014, "%s: version", mode);
	tap_ok(r[2] >> 21 & 1 && r[3] >> 9 & 1, "%s: CPUID has APIC and x2APIC", mode);
}

static void self_ipis(const char *mode)
{
	seen_clear(0);
	apic_self(0x31);
	tap_ok(apic_requested(0x31), "%s: a self-IPI is requested", mode);
	window();
	tap_is((long)me->count[0x31], 1, "%s: and comes once interrupts are on", mode);
	tap_ok(!apic_requested(0x31) && !apic_in_service(0x31), "%s: and is over with EOI", mode);
	apic_self(0x51);
	apic_self(0x31);
	apic_self(0x62);
	apic_self(0x31);
	window();
	tap_ok(me->orders == 4 && me->order[1] == 0x62 && me->order[2] == 0x51 &&
	           me->order[3] == 0x31,
	       "%s: the highest first, each once", mode);
}

static void task_priority(const char *mode)
{
	seen_clear(0);
	apic_write(REG_TPR, 0x50);
	tap_is((long)READ_CR(8), 5, "%s: CR8 shows TPR", mode);
	apic_self(0x5f);
	apic_self(0x60);
	window();
	tap_ok(me->count[0x60] == 1 && me->count[0x5f] == 0, "%s: TPR holds its class back", mode);
	WRITE_CR(8, 6);
	tap_is((long)apic_read(REG_TPR), 0x60, "%s: TPR shows CR8", mode);
	WRITE_CR(8, 4);
	window();
	tap_is((long)me->count[0x5f], 1, "%s: a lower CR8 lets it come", mode);
	apic_write(REG_TPR, 0);
}

static void in_service(const char *mode)
{
	seen_clear(0);
	me->no_eoi = true;
	apic_self(0x61);
	window();
	tap_ok(apic_in_service(0x61), "%s: in service until EOI", mode);
	tap_is((long)apic_read(REG_PPR), 0x60, "%s: PPR is its class", mode);
	apic_self(0x6f);
	apic_self(0x41);
	window();
	tap_is((long)me->orders, 1, "%s: nothing of its class or below comes", mode);
	apic_self(0x71);
	window();
	tap_is((long)me->count[0x71], 1, "%s: a higher one does", mode);
	apic_write(REG_EOI, 0);
	apic_write(REG_EOI, 0);
	me->no_eoi = false;
	window();
	tap_ok(me->orders == 4 && me->order[2] == 0x6f && me->order[3] == 0x41,
	       "%s: after EOI the others, in order", mode);
	tap_is((long)apic_read(REG_PPR), 0, "%s: PPR is 0 again", mode);
}

static void errors(const char *mode)
{
	seen_clear(0);
	apic_write(REG_ESR, 0);
	apic_write(REG_ESR, 0);
	apic_write(REG_LVT_ERROR, 0x33);
	apic_self(5);
	window();
	tap_is((long)me->count[0x33], 1, "%s: an illegal vector is an error", mode);
	apic_write(REG_ESR, 0);
	tap_is((long)apic_read(REG_ESR), 0x20, "%s: ESR tells which", mode);
	apic_write(REG_LVT_ERROR, 0x10000);
}

static void nmi(const char *mode)
{
	seen_clear(0);
	apic_icr(apic_id(), ICR_NMI);
	tap_ok(reaches(&me->nmis, 1), "%s: an NMI to oneself, interrupts off", mode);
	seen_clear(0);
	me->probe = true;
	apic_icr(apic_id(), ICR_NMI);
	tap_ok(reaches(&me->nmis, 2), "%s: an NMI out of an NMI's handler comes behind it", mode);
	tap_is((long)me->inside, 1, "%s: an interrupt comes before, though that NMI waits", mode);
	seen_clear(0);
	apic_self(0x44);
	apic_icr(apic_id(), ICR_NMI);
	window();
	tap_ok(me->nmis == 1 && me->count[0x44] == 1, "%s: NMI and interrupt at once", mode);
}

static void timer(const char *mode)
{
	uint64_t begin;

	seen_clear(0);
	apic_write(REG_DIVIDE, 0xb);
	apic_write(REG_LVT_TIMER, 0x35);
	begin = clock_ns();
	apic_write(REG_INITIAL, 2000000); /* ticks of a nanosecond */
	tap_ok(apic_read(REG_CURRENT) <= 2000000 && apic_read(REG_CURRENT) > 0,
	       "%s: the timer counts", mode);
	while (me->count[0x35] == 0 && clock_ns() < begin + CLOCK_S)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	tap_ok(clock_ns() - begin >= 2000000, "%s: HLT until its end, not before", mode);
	tap_is((long)me->count[0x35], 1, "%s: one interrupt", mode);
	tap_is((long)apic_read(REG_CURRENT), 0, "%s: it stands", mode);
	apic_write(REG_LVT_TIMER, 0x20036);
	apic_write(REG_INITIAL, 500000);
	while (me->count[0x36] < 3 && clock_ns() < begin + CLOCK_S)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	tap_ok(me->count[0x36] >= 3, "%s: periodic, it goes on", mode);
	apic_write(REG_INITIAL, 0);
	apic_write(REG_LVT_TIMER, 0x10000);
}

void test_alone(const char *mode)
{
	irq_off();
	identity(mode);
	self_ipis(mode);
	task_priority(mode);
	in_service(mode);
	errors(mode);
	nmi(mode);
	timer(mode);
	irq_on();
}
