/* SPDX-License-Identifier: MIT */
/* Two vCPUs: IPIs of all kinds between them, and how vCPU 1 is started and stopped. */
#include "guests/apic/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"

static struct seen *const me = &seen[0], *const other = &seen[1];

#define OTHER_ID 2u

static void pause_ms(unsigned ms)
{
	uint64_t end = clock_ns() + ms * CLOCK_MS;

	while (clock_ns() < end)
		nap();
}

static bool beats(void)
{
	return reaches(&ap.beats, ap.beats + 1);
}

static void start(const char *mode)
{
	uint32_t starts = ap.starts, r[4];

	cpuid(1, 0, r);
	ap_kick_off();
	tap_ok(reaches(&ap.starts, starts + 1), "%s: INIT and start-up IPI start vCPU 1", mode);
	pause_ms(5);
	tap_is((long)ap.starts, (long)starts + 1, "%s: once, whatever comes behind", mode);
	tap_is((long)ap.cs, 0x900, "%s: in real mode, CS is the page", mode);
	tap_is((long)ap.signature, (long)r[0], "%s: EDX is the CPU's signature", mode);
	tap_is((long)ap.id, OTHER_ID, "%s: its APIC id is 2", mode);
	tap_is((long)ap.svr, 0xff, "%s: its APIC is as after reset", mode);
	tap_is((long)ap.x2, apic_x2(), "%s: INIT keeps the mode", mode);
	tap_is(smp_is_up(1), 1, "%s: it is up", mode);
}

static void stop(const char *mode)
{
	uint32_t now;

	apic_icr(OTHER_ID, ICR_INIT);
	pause_ms(5);
	now = ap.beats;
	pause_ms(5);
	tap_is((long)ap.beats, (long)now, "%s: INIT stops vCPU 1", mode);
	tap_is(smp_is_up(1), 0, "%s: it is down", mode);
	apic_icr(OTHER_ID, ICR_NMI);
	apic_icr(OTHER_ID, ICR_FIXED | 0x40);
	pause_ms(5);
	tap_is((long)ap.beats, (long)now, "%s: nothing but a start-up IPI goes on", mode);
	tap_is(hypercall_vcpu(VCPUOP_up, 1, 0), -XEN_EINVAL, "%s: nor VCPUOP_up", mode);
}

static void fixed(const char *mode)
{
	seen_clear(1);
	apic_icr(OTHER_ID, ICR_FIXED | 0x40);
	tap_ok(reaches(&other->count[0x40], 1), "%s: a fixed IPI", mode);
	ap_tell(AP_SPIN, 0);
	apic_icr(OTHER_ID, ICR_FIXED | 0x41);
	tap_ok(reaches(&other->count[0x41], 1), "%s: to one that does not exit", mode);
	ap.order = AP_IDLE;
	ap_tell(AP_HALT, 0);
	pause_ms(5);
	apic_icr(OTHER_ID, ICR_FIXED | 0x42);
	tap_ok(reaches(&other->count[0x42], 1) && beats(), "%s: to one in HLT", mode);
	for (unsigned i = 0; i < 50; i++) {
		apic_icr(OTHER_ID, ICR_FIXED | 0x43);
		if (!reaches(&other->count[0x43], i + 1))
			break;
	}
	tap_is((long)other->count[0x43], 50, "%s: none of 50 is lost", mode);
	apic_icr(0x7d, ICR_FIXED | 0x40);
	apic_icr(0x7d, ICR_NMI);
	apic_icr(0x7d, ICR_INIT);
	apic_icr(OTHER_ID + 1, ICR_STARTUP | 0x9);
	tap_ok(beats(), "%s: to ids that nobody has: nothing", mode);
}

static void shorthands(const char *mode)
{
	uint32_t logical = apic_x2() ? 1u << OTHER_ID : 2;

	if (!apic_x2())
		apic_write(REG_LDR, 1u << 24);
	seen_clear(0);
	seen_clear(1);
	apic_icr(0, ICR_FIXED | ICR_OTHERS | 0x44);
	tap_ok(reaches(&other->count[0x44], 1), "%s: all but self", mode);
	window();
	tap_is((long)me->count[0x44], 0, "%s: and not self", mode);
	apic_icr(0, ICR_FIXED | ICR_ALL | 0x45);
	window();
	tap_ok(reaches(&other->count[0x45], 1) && me->count[0x45] == 1, "%s: all", mode);
	apic_icr(logical, ICR_FIXED | ICR_LOGICAL | 0x46);
	tap_ok(reaches(&other->count[0x46], 1), "%s: logical", mode);
	apic_icr(logical | 1, ICR_FIXED | ICR_LOGICAL | 0x47);
	window();
	tap_ok(reaches(&other->count[0x47], 1) && me->count[0x47] == 1, "%s: logical, to both",
	       mode);
	tap_is((long)me->count[0x46], 0, "%s: logical, only whom it names", mode);
}

static void priority(const char *mode)
{
	seen_clear(1);
	ap_tell(AP_TPR, 0x50);
	apic_icr(OTHER_ID, ICR_FIXED | 0x48);
	apic_icr(OTHER_ID, ICR_FIXED | 0x61);
	tap_ok(reaches(&other->count[0x61], 1), "%s: above its TPR", mode);
	pause_ms(2);
	tap_is((long)other->count[0x48], 0, "%s: not above its TPR", mode);
	ap_tell(AP_HALT, 0);
	pause_ms(2);
	apic_icr(OTHER_ID, ICR_FIXED | 0x49);
	pause_ms(5);
	tap_is((long)other->count[0x49], 0, "%s: what TPR holds back does not end a HLT", mode);
	apic_icr(OTHER_ID, ICR_FIXED | 0x62);
	tap_ok(reaches(&other->count[0x62], 1) && beats(), "%s: what it does not, does", mode);
	ap_tell(AP_TPR, 0);
	tap_ok(reaches(&other->count[0x48], 1) && reaches(&other->count[0x49], 1),
	       "%s: with TPR 0 they come", mode);
}

static void nmis(const char *mode)
{
	seen_clear(1);
	apic_icr(OTHER_ID, ICR_NMI);
	tap_ok(reaches(&other->nmis, 1), "%s: an NMI", mode);
	ap_tell(AP_HALT, 0);
	pause_ms(2);
	apic_icr(OTHER_ID, ICR_NMI);
	tap_ok(reaches(&other->nmis, 2) && beats(), "%s: to one in HLT", mode);
	ap_tell(AP_DEAF, 0);
	pause_ms(2);
	apic_icr(OTHER_ID, ICR_FIXED | 0x4a);
	pause_ms(5);
	tap_is((long)other->count[0x4a], 0, "%s: HLT with interrupts off: deaf to an IPI", mode);
	apic_icr(OTHER_ID, ICR_NMI);
	tap_ok(reaches(&other->nmis, 3) && beats(), "%s: not to an NMI", mode);
	tap_ok(reaches(&other->count[0x4a], 1), "%s: and then the IPI comes", mode);
}

static void back(const char *mode)
{
	uint64_t end = clock_ns() + CLOCK_S;

	seen_clear(0);
	ap.argument = 0x4b;
	ap.order = AP_SEND;
	while (!me->count[0x4b] && clock_ns() < end)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	tap_is((long)me->count[0x4b], 1, "%s: an IPI back wakes vCPU 0", mode);
}

void test_pair(const char *mode)
{
	irq_off();
	start(mode);
	fixed(mode);
	shorthands(mode);
	priority(mode);
	nmis(mode);
	back(mode);
	stop(mode);
	start(mode);
	irq_on();
}
