/* SPDX-License-Identifier: MIT */
/*
 * busy: does each of several equal guests get its fair share?
 *
 * Specification: from start= (milliseconds of the hypervisor's system time, the
 * same for all domains; 0 = now) for seconds= (10) of that time, on each vCPU,
 * the guest counts units of equal work and takes no exit of its own:
 *	# busy vcpu=V work=N ns=N
 * Four such guests on two CPUs are compared by the runner: each within 3 % of
 * the mean. The guest itself checks that it was there at the start (not late),
 * that the clock never went back, and that the longest time it was off its CPU
 * is at most gap= ms (0: not checked):
 *	# busy vcpu=V longest_gap_ns=N
 *
 * Options: start=MS  seconds=N  gap=MS  hold (then sleep until a shutdown is asked)
 */
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/guest.h"
#include "guests/lib/options.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"

#define UNIT 2000u /* rounds of two instructions */

struct result {
	uint64_t work, ns, longest_gap;
	bool backwards, late;
};

static uint64_t start_ns, run_ns;
static struct result results[CPU_MAX];

static void unit(void)
{
	uint64_t n = UNIT;

	__asm__ volatile("1:\tdec %0\n\tjnz 1b" : "+r"(n) : : "cc");
}

static void work(void *arg)
{
	struct result *r = arg;
	uint64_t now, last, begin;

	r->late = start_ns && clock_ns() > start_ns;
	while (clock_ns() < start_ns)
		unit();
	begin = last = clock_ns();
	for (;;) {
		unit();
		now = clock_ns();
		r->backwards |= now < last;
		if (now - last > r->longest_gap)
			r->longest_gap = now - last;
		last = now;
		if (now - begin >= run_ns)
			break;
		r->work++;
	}
	r->ns = now - begin;
}

/*
 * Stay busy a little longer before anything is printed: the others still count,
 * and a line takes the serial port, and so a CPU, for milliseconds.
 */
static void stay(void)
{
	while (start_ns && clock_ns() < start_ns + run_ns + 300 * CLOCK_MS)
		unit();
}

static void judge(unsigned id, const struct result *r)
{
	uint64_t gap = option_u64("gap", 0) * CLOCK_MS;

	tap_diag("busy vcpu=%u work=%lu ns=%lu", id, r->work, r->ns);
	tap_diag("busy vcpu=%u longest_gap_ns=%lu", id, r->longest_gap);
	tap_ok(!r->late, "vCPU %u was there at the start", id);
	tap_ok(r->work > 0, "vCPU %u did some work", id);
	tap_ok(!r->backwards, "vCPU %u: time never went back", id);
	if (gap)
		tap_ok(r->longest_gap <= gap, "vCPU %u: never off the CPU for longer than it may",
		       id);
}

void guest_main(void)
{
	bool two = option_u64("vcpus", 1) == 2;

	start_ns = option_u64("start", 0) * CLOCK_MS;
	run_ns = option_u64("seconds", 10) * CLOCK_S;
	clock_init();
	if (two)
		tap_is(smp_start(1, work, &results[1]), 0, "the second vCPU starts");
	work(&results[0]);
	if (two)
		smp_join(1);
	stay();
	judge(0, &results[0]);
	if (two)
		judge(1, &results[1]);
	while (option_flag("hold") && !control_shutdown_asked())
		control_wait(0);
}
