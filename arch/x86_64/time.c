/* SPDX-License-Identifier: MIT */
/*
 * Time is TSC ticks since boot, scaled by what we measured ourselves: CPUID
 * leaves 15H and 16H are never believed (on emulators they describe another
 * machine).
 */
#include "arch/x86_64/time.h"

#include <stdatomic.h>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/guest/cpuid.h"
#include "arch/x86_64/percpu.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "mm/leaf/assert.h"

#define PM_HZ          UINT64_C(3579545)
#define PIT_HZ         UINT64_C(1193182)
#define CALIBRATE_MS   20u
#define TRIES          8u
#define SYNC_ROUNDS    16u
#define NS_PER_SECOND  UINT64_C(1000000000)
#define FAR_NS         (3600 * NS_PER_SECOND) /* an alarm further ahead comes early */
#define PORT_PIT_DATA2 0x42
#define PORT_PIT_MODE  0x43
#define PORT_B         0x61

struct sample {
	uint64_t tsc;
	uint32_t reference, apic;
};

static uint64_t tsc_hz, apic_hz, tsc_start, wall_start_s;
static uint64_t ns_per_tick_32; /* nanoseconds a tick, in 1/2^32 */
static uint32_t pm_port, reference_mask;
static bool use_deadline;

static uint32_t pit_read(void)
{
	uint8_t low, high;

	outb(PORT_PIT_MODE, 0x80); /* latch counter 2 */
	low = inb(PORT_PIT_DATA2);
	high = inb(PORT_PIT_DATA2);
	return 0xffffu & ~(uint32_t)(high << 8 | low); /* it counts down */
}

/* Counter 2 runs freely: gate on, speaker off, mode 2, reload 65536. */
static void pit_start(void)
{
	outb(PORT_B, (inb(PORT_B) & 0xfc) | 1);
	outb(PORT_PIT_MODE, 0xb4);
	outb(PORT_PIT_DATA2, 0);
	outb(PORT_PIT_DATA2, 0);
}

static uint32_t reference_read(void)
{
	return (pm_port ? inl((uint16_t)pm_port) : pit_read()) & reference_mask;
}

/* All three clocks at one moment: the try that was interrupted least. */
static struct sample sample(void)
{
	struct sample best = {0};
	uint64_t best_gap = UINT64_MAX;

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t before = rdtsc_ordered();
		uint32_t reference = reference_read(), apic = apic_timer_read();
		uint64_t gap = rdtsc_ordered() - before;

		if (gap < best_gap) {
			best_gap = gap;
			best = (struct sample){before + gap / 2, reference, apic};
		}
	}
	return best;
}

/* A PM timer that stands still is none. */
static bool reference_moves(void)
{
	uint32_t first = reference_read();

	for (unsigned i = 0; i < 100000; i++)
		if (reference_read() != first)
			return true;
	return false;
}

static void reference_choose(uint32_t port, bool wide)
{
	pm_port = port;
	reference_mask = wide ? UINT32_MAX : 0xffffff;
	if (port && reference_moves())
		return;
	pm_port = 0;
	reference_mask = 0xffff;
	pit_start();
	if (!reference_moves())
		env_panic("no clock to measure the TSC with: neither ACPI PM timer nor PIT runs");
}

void time_init(uint32_t pm_timer_port, bool pm_timer_32)
{
	struct sample a, b;
	uint64_t hz, want;
	uint32_t passed;

	wall_start_s = rtc_read();
	reference_choose(pm_timer_port, pm_timer_32);
	hz = pm_port ? PM_HZ : PIT_HZ;
	want = hz * CALIBRATE_MS / 1000;
	apic_timer_mode(false, true);
	apic_timer_write(UINT32_MAX);
	a = sample();
	while (((reference_read() - a.reference) & reference_mask) < want)
		cpu_relax();
	b = sample();
	apic_timer_write(0);
	passed = (b.reference - a.reference) & reference_mask;
	tsc_hz = (b.tsc - a.tsc) * hz / passed;
	apic_hz = (uint64_t)(a.apic - b.apic) * hz / passed;
	if (!tsc_hz || !apic_hz)
		env_panic("the TSC or the APIC timer stands still");
	ns_per_tick_32 = (NS_PER_SECOND << 32) / tsc_hz;
	tsc_start = b.tsc;
}

const char *time_source(void)
{
	return pm_port ? "ACPI PM timer" : "PIT";
}

uint64_t time_apic_hz(void)
{
	return apic_hz;
}

bool time_uses_deadline(void)
{
	return use_deadline;
}

/* On the boot CPU: ask for an alarm 1 ms ahead and see whether it comes within 10. */
static bool deadline_works(void)
{
	volatile bool *fired = &this_cpu()->timer_fired;
	uint64_t start = rdtsc();

	*fired = false;
	apic_timer_mode(true, false);
	wrmsr(MSR_TSC_DEADLINE, start + tsc_hz / 1000);
	while (!*fired && rdtsc() - start < tsc_hz / 100)
		machine_irq_window();
	wrmsr(MSR_TSC_DEADLINE, 0);
	return *fired && rdtsc() - start >= tsc_hz / 1000;
}

void time_cpu_init(void)
{
	if (machine_cpu() == 0)
		use_deadline = (cpuid(1, 0).ecx & BIT(24)) && deadline_works();
	apic_timer_mode(use_deadline, false);
	this_cpu()->timer_ns = UINT64_MAX;
}

/* ---- the TSCs of several CPUs ---- */

static _Atomic uint64_t sync_answer;
static _Atomic bool sync_asked;

void time_sync_serve(const bool *done)
{
	while (!*(volatile const bool *)done) {
		if (atomic_load(&sync_asked)) {
			atomic_store(&sync_asked, false);
			atomic_store(&sync_answer, rdtsc_ordered() | 1);
		}
		cpu_relax();
	}
}

void time_sync(void)
{
	uint64_t best = UINT64_MAX;
	int64_t offset = 0;

	for (unsigned i = 0; i < SYNC_ROUNDS; i++) {
		uint64_t before, answer, trip;

		atomic_store(&sync_answer, 0);
		before = rdtsc_ordered();
		atomic_store(&sync_asked, true);
		while (!(answer = atomic_load(&sync_answer)))
			cpu_relax();
		trip = rdtsc_ordered() - before;
		if (trip < best) {
			best = trip;
			offset = (int64_t)(answer - (before + trip / 2));
		}
	}
	/* within the error of the measurement they are the same counter */
	if ((uint64_t)(offset < 0 ? -offset : offset) <= best)
		offset = 0;
	this_cpu()->tsc_offset = offset;
}

/* ---- kernel/machine.h ---- */

uint64_t machine_tsc(void)
{
	return rdtsc();
}

uint64_t machine_tsc_hz(void)
{
	return tsc_hz;
}

bool machine_tsc_stable(void)
{
	for (unsigned i = 0; i < machine_cpus(); i++)
		if (percpu_table[i]->tsc_offset)
			return false;
	return cpuid_tsc_invariant();
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * ns_per_tick_32 >> 32);
}

static uint64_t ns_to_ticks(uint64_t ns, uint64_t hz)
{
	return ns / NS_PER_SECOND * hz + ns % NS_PER_SECOND * hz / NS_PER_SECOND;
}

uint64_t machine_ns_at(uint64_t tsc)
{
	int64_t ticks;

	if (!tsc_hz)
		return 0;
	ticks = (int64_t)(tsc - tsc_start) + this_cpu()->tsc_offset;
	return ticks > 0 ? ticks_to_ns((uint64_t)ticks) : 0;
}

uint64_t machine_ns(void)
{
	return machine_ns_at(rdtsc());
}

uint64_t machine_wallclock_s(void)
{
	return wall_start_s + machine_ns() / NS_PER_SECOND;
}

/* The TSC value of this CPU at a time, rounded up so that the alarm is not early. */
static uint64_t deadline_tsc(uint64_t ns)
{
	return tsc_start + ns_to_ticks(ns, tsc_hz) + 1 - (uint64_t)this_cpu()->tsc_offset;
}

void machine_timer(uint64_t deadline_ns)
{
	uint64_t now = machine_ns(), count;

	this_cpu()->timer_ns = deadline_ns;
	if (use_deadline) {
		if (deadline_ns == UINT64_MAX)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			wrmsr(MSR_TSC_DEADLINE,
			      deadline_tsc(max_u64(now, min_u64(deadline_ns, now + FAR_NS))));
		return;
	}
	if (deadline_ns == UINT64_MAX) {
		apic_timer_write(0);
		return;
	}
	/* a second at most: an early alarm is no harm, the caller looks at the clock */
	count =
	    ns_to_ticks(deadline_ns > now ? min_u64(deadline_ns - now, NS_PER_SECOND) : 0, apic_hz);
	apic_timer_write((uint32_t)min_u64(count + 1, UINT32_MAX));
}

void time_delay_us(uint64_t us)
{
	uint64_t start = rdtsc(), ticks = us * tsc_hz / 1000000;

	while (rdtsc() - start < ticks)
		cpu_relax();
}
