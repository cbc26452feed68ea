/* SPDX-License-Identifier: MIT */
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

void clock_init(void)
{
	struct cpu *c = this_cpu();
	struct evtchn_bind_virq b = {.virq = VIRQ_TIMER, .vcpu = c->id};

	if (!hypercall_present() || c->timer_port)
		return;
	if (c->id == 0)
		event_init();
	if (hypercall_evtchn(EVTCHNOP_bind_virq, &b)) {
		tap_ok(false, "VIRQ_TIMER could not be bound");
		tap_done();
	}
	c->timer_port = (uint16_t)b.port;
	event_unmask(b.port);
}

unsigned clock_port(void)
{
	return this_cpu()->timer_port;
}

/* xen/xen.h at struct vcpu_time_info: shift, multiply by a 0.32 fraction, add;
 * an odd or changed version means that it was being written. */
uint64_t clock_ns(void)
{
	volatile struct vcpu_time_info *t;
	uint64_t delta, ns;
	uint32_t version;

	if (!this_cpu()->info)
		return rdtsc();
	t = &this_cpu()->info->time;
	do {
		version = t->version;
		__asm__ volatile("" : : : "memory");
		delta = rdtsc() - t->tsc_timestamp;
		delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
		ns = t->system_time +
		     (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
		__asm__ volatile("" : : : "memory");
	} while ((version & 1) || version != t->version);
	return ns;
}

uint64_t clock_hz(void)
{
	volatile struct vcpu_time_info *t;
	uint64_t hz;

	if (!this_cpu()->info || !this_cpu()->info->time.tsc_to_system_mul)
		return CLOCK_S;
	t = &this_cpu()->info->time;
	/* ns = (ticks << shift) * mul >> 32 */
	hz = (CLOCK_S << 32) / t->tsc_to_system_mul;
	return t->tsc_shift >= 0 ? hz >> t->tsc_shift : hz << -t->tsc_shift;
}

void clock_timer(uint64_t deadline_ns)
{
	struct vcpu_set_singleshot_timer s = {.timeout_abs_ns = deadline_ns};

	hypercall_vcpu(VCPUOP_set_singleshot_timer, this_cpu()->id, &s);
}

void clock_sleep_ms(uint64_t ms)
{
	uint64_t end = clock_ns() + ms * CLOCK_MS;

	clock_init();
	if (!hypercall_present()) {
		while (clock_ns() < end)
			cpu_relax();
		return;
	}
	while (clock_ns() < end) {
		uint32_t seen = event_count[clock_port()];

		clock_timer(end);
		event_wait(&event_count[clock_port()], seen);
	}
}
