/* SPDX-License-Identifier: MIT */
/* The paravirtual clock and one-shot timers. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

#define XEN_ETIME 62

static void monotonic(void)
{
	uint64_t last = clock_ns(), begin = last;
	bool forward = true;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t now = clock_ns();

		forward &= now >= last;
		last = now;
	}
	tap_ok(forward, "100000 looks at the clock never saw it go back");
	tap_ok(last > begin, "but it goes on");
}

/* The clock and the TSC tell one story; a look without an interruption is the shortest. */
static void rate(void)
{
	uint64_t ns = clock_ns(), tsc = rdtsc(), hz = clock_hz(), passed, ticks;

	while (clock_ns() - ns < 20 * CLOCK_MS)
		cpu_relax();
	passed = clock_ns() - ns;
	ticks = (rdtsc() - tsc) * CLOCK_S / hz;
	tap_ok(passed > ticks - ticks / 50 && passed < ticks + ticks / 50,
	       "20 ms of the clock are 20 ms of the TSC: %lu and %lu ns", passed, ticks);
}

static uint64_t fire(uint64_t after_ns)
{
	uint32_t seen = event_count[clock_port()];
	uint64_t deadline = clock_ns() + after_ns;
	int64_t late;

	clock_timer(deadline);
	event_wait(&event_count[clock_port()], seen);
	late = (int64_t)(clock_ns() - deadline);
	return late < 0 ? UINT64_MAX : (uint64_t)late;
}

static void precision(void)
{
	uint64_t worst = 0, best = UINT64_MAX, allowed = option_u64("precise", 20000) * 1000;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t late = fire(2 * CLOCK_MS);

		worst = late > worst ? late : worst;
		best = late < best ? late : best;
	}
	tap_ok(worst != UINT64_MAX, "a timer never fires before its time");
	tap_diag("timer late_best_ns=%lu late_worst_ns=%lu", best, worst);
	tap_ok(worst <= allowed, "nor much after it");
}

static long set_timer(unsigned vcpu, uint64_t deadline, uint32_t flags)
{
	struct vcpu_set_singleshot_timer s = {.timeout_abs_ns = deadline, .flags = flags};

	return hypercall_vcpu(VCPUOP_set_singleshot_timer, vcpu, &s);
}

static void edges(void)
{
	uint32_t seen = event_count[clock_port()];

	tap_is(set_timer(0, 1, 0), 0, "a deadline long past");
	event_wait(&event_count[clock_port()], seen);
	tap_is(event_count[clock_port()], seen + 1, "fires at once, and once");
	tap_is(set_timer(0, 1, VCPU_SSHOTTMR_future), -XEN_ETIME, "unless only the future counts");
	tap_is(set_timer(0, clock_ns() + 5 * CLOCK_MS, 0), 0, "a timer is set");
	tap_is(hypercall_vcpu(VCPUOP_stop_singleshot_timer, 0, 0), 0, "and stopped");
	seen = event_count[clock_port()];
	for (uint64_t end = clock_ns() + 15 * CLOCK_MS; clock_ns() < end;)
		hypercall_sched(SCHEDOP_yield, 0);
	tap_is(event_count[clock_port()], seen, "then it does not fire");
	tap_ok(set_timer(99, 1, 0) < 0, "no timer of vCPU 99");
	tap_is(hypercall_vcpu(VCPUOP_set_singleshot_timer, 0, NOWHERE), -XEN_EFAULT,
	       "a bad pointer");
	tap_is(hypercall_vcpu(VCPUOP_stop_periodic_timer, 0, 0), 0,
	       "there is no periodic timer to stop");
}

void ops_time(void)
{
	clock_init();
	monotonic();
	rate();
	precision();
	edges();
}
