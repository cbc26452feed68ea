/* SPDX-License-Identifier: MIT */
/*
 * spin: can a guest that never lets go be preempted, and go on unharmed?
 *
 * Specification: with interrupts off the guest counts in a register loop. It
 * makes no exit of its own but one question for a shutdown every poll= ms
 * (default 100). Its registers and a page of its own are unharmed throughout.
 * At the end, or every report= seconds, it says how far it came:
 *	# spin count=N ns=N
 *
 * Options: poll=MS  report=SECONDS (0: at the end only)  seconds=N (0: until asked)
 */
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/cpu.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define BATCH 10000u

/* BATCH rounds on nine registers, which must then hold what arithmetic says. */
static bool batch(uint64_t start)
{
	uint64_t n = BATCH, a = start, b = ~start;
	register uint64_t r12 __asm__("r12") = start ^ 0x12;
	register uint64_t r13 __asm__("r13") = start ^ 0x13;
	register uint64_t r14 __asm__("r14") = start ^ 0x14;
	register uint64_t r15 __asm__("r15") = start ^ 0x15;

	__asm__ volatile("1:\tinc %0\n\t"
	                 "dec %1\n\t"
	                 "inc %3\n\tdec %4\n\tinc %5\n\tdec %6\n\t"
	                 "dec %2\n\t"
	                 "jnz 1b"
	                 : "+r"(a), "+r"(b), "+r"(n), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
	                 :
	                 : "cc");
	return a == start + BATCH && b == ~start - BATCH && r12 == (start ^ 0x12) + BATCH &&
	       r13 == (start ^ 0x13) - BATCH && r14 == (start ^ 0x14) + BATCH &&
	       r15 == (start ^ 0x15) - BATCH;
}

static void report(uint64_t count, uint64_t since)
{
	tap_diag("spin count=%lu ns=%lu", count, clock_ns() - since);
}

void guest_main(void)
{
	uint64_t poll = option_u64("poll", 100) * CLOCK_MS;
	uint64_t every = option_u64("report", 0) * CLOCK_S,
	         run = option_u64("seconds", 0) * CLOCK_S;
	uint64_t begin, next_poll, next_report, now, count = 0;
	uint8_t *page = memory_take(1);
	bool good = true;

	tap_plan(2);
	clock_init(); /* maps the page that the clock is in */
	irq_off();
	pattern_fill(page, 0x5917);
	begin = now = clock_ns();
	next_poll = begin + poll;
	next_report = begin + every;
	while (good && (!run || now - begin < run)) {
		good = batch(count);
		count += BATCH;
		now = clock_ns();
		if (every && now >= next_report) {
			report(count, begin);
			next_report += every;
		}
		if (now >= next_poll) {
			if (control_shutdown_asked())
				break;
			next_poll = now + poll;
		}
	}
	report(count, begin);
	tap_ok(good, "the registers held what they should at every look");
	tap_ok(pattern_verify(page, 0x5917, "end"), "so did a page of memory");
}
