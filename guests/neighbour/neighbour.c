/* SPDX-License-Identifier: MIT */
/*
 * neighbour: does a guest get its work done, and keep its memory, whatever others do?
 *
 * Specification: every period= ms the guest does up to units= units of work, each of which
 * checks a page, writes another content into it, and counts; what is not done when the next
 * period begins is lost. period=0: it works all the time. The contents are few, so pages are merged
 * within the guest and with others, and each unit breaks one out. Time is cut into windows
 * of window= ms of the hypervisor's system time, the same for all domains; the work of each is
 * printed when a shutdown is asked for:
 *	# neighbour window=FIRST work=N,N,N...
 *	# neighbour latest_us=N		the longest time that it woke up after the begin of a period
 * No page ever holds anything but what this guest wrote.
 *
 * Options: period=MS  units=N  window=MS  pages=N
 */
#include "guests/lib/clock.h"
#include "guests/lib/console.h"
#include "guests/lib/control.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define WINDOWS  4096u
#define CONTENTS 8u /* keys 1..8, as guests/fuzz has them */
#define A_LINE   16u
#define PAGES    512u

static uint32_t work[WINDOWS];
static uint64_t window_ns, period_ns, units, pages, latest_ns, rng = 0x4e16b0;
static uint8_t *memory;
static uint16_t keys[PAGES];
static bool wrong;

static void memory_begin(void)
{
	memory = memory_take(pages);
	for (unsigned i = 0; i < pages; i++) {
		keys[i] = (uint16_t)(1 + i % CONTENTS);
		pattern_fill(memory + i * PAGE_SIZE, keys[i]);
	}
}

static void check(unsigned i)
{
	wrong |= !pattern_verify(memory + i * PAGE_SIZE, keys[i], "neighbour");
}

static void unit(void)
{
	unsigned i = (unsigned)random_below(&rng, pages);
	uint64_t window;

	check(i);
	keys[i] = (uint16_t)(1 + random_below(&rng, CONTENTS));
	pattern_fill(memory + i * PAGE_SIZE, keys[i]);
	window = clock_ns() / window_ns;
	if (window < WINDOWS)
		work[window]++;
}

/* Until the end of this period; returns when the next begins. */
static uint64_t period(uint64_t begin)
{
	uint64_t now = clock_ns(), end = begin + period_ns;

	if (now > begin && now - begin > latest_ns)
		latest_ns = now - begin;
	for (uint64_t n = 0; n < units && now < end; n++) {
		unit();
		now = clock_ns();
	}
	/* Periods that went by unused are lost. */
	return end > now ? end : end + (now - end + period_ns - 1) / period_ns * period_ns;
}

static void tell(void)
{
	for (unsigned w = 0; w < WINDOWS; w += A_LINE) {
		char line[220], part[16];
		unsigned n = 0, sum = 0;

		for (unsigned i = w; i < w + A_LINE; i++) {
			unsigned v = work[i], digits = 0;

			sum += v;
			do
				part[digits++] = (char)('0' + v % 10);
			while (v /= 10);
			while (digits)
				line[n++] = part[--digits];
			line[n++] = ',';
		}
		line[n - 1] = '\0';
		if (sum)
			tap_diag("neighbour window=%u work=%s", w, line);
	}
	tap_diag("neighbour latest_us=%lu", latest_ns / 1000);
}

void guest_main(void)
{
	uint64_t at, all = 0;

	period_ns = option_u64("period", 20) * CLOCK_MS;
	units = option_u64("units", 20);
	window_ns = option_u64("window", 250) * CLOCK_MS;
	pages = option_u64("pages", PAGES);
	clock_init();
	memory_begin();
	control_wait(0); /* binds the event */
	at = clock_ns();
	while (!control_shutdown_asked()) {
		if (!period_ns) {
			for (unsigned i = 0; i < 64; i++)
				unit();
			continue;
		}
		at = period(at);
		while (clock_ns() < at && !control_shutdown_asked())
			control_wait(at);
	}
	tell();
	for (unsigned i = 0; i < pages; i++)
		check(i);
	for (unsigned w = 0; w < WINDOWS; w++)
		all += work[w];
	tap_ok(!wrong, "every byte of %lu pages was right, each time", pages);
	tap_ok(all > 0, "it did %lu units of work", all);
}
