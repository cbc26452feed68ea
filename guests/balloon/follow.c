/* SPDX-License-Identifier: MIT */
/*
 * A balloon that obeys: `out` pages, always the last ones of the area, are with
 * the hypervisor. A target is a wish; what cannot be had now is asked for again
 * a little later.
 */
#include "guests/balloon/balloon.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define RETRY_MS 200u

static uint64_t out;
static bool good = true;

static bool inside_right(const char *when)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < balloon_pages - out && bad < 8; i++)
		bad += !pattern_verify(balloon_area + i * PAGE_SIZE, balloon_key(i), when);
	return bad == 0;
}

/* Pages of ours that nobody pinned can always go out. */
static void shrink(uint64_t pages)
{
	uint64_t room = balloon_pages - out, done;

	pages = pages < room ? pages : room;
	done = balloon_run_out(balloon_gfn(balloon_pages - out - pages), pages);
	if (done != pages) {
		tap_diag("balloon: %lu of %lu pages went out", done, pages);
		good = false;
	}
	out += pages;
}

/* Zero when they come back; then they are used again. */
static void grow(uint64_t pages)
{
	uint64_t first = balloon_pages - out, done;

	pages = pages < out ? pages : out;
	done = balloon_run_in(balloon_gfn(first), pages);
	for (uint64_t i = first; i < first + done; i++) {
		good &= pattern_verify(balloon_area + i * PAGE_SIZE, PATTERN_ZERO, "come back");
		pattern_fill(balloon_area + i * PAGE_SIZE, balloon_key(i));
	}
	out -= done;
}

/* True if the target is met, as far as it can be. */
static bool approach(uint64_t target)
{
	uint64_t current = (uint64_t)balloon_reservation();

	if (current > target)
		shrink(current - target);
	else if (current < target)
		grow(target - current);
	else
		return true;
	current = (uint64_t)balloon_reservation();
	tap_diag("balloon target=%lu current=%lu", target, current);
	good &= inside_right("inside");
	/* All that ever went out is back: a target above that is not ours to reach. */
	return current == target || (current < target && out == 0);
}

void balloon_follow(void)
{
	struct quire_control c;

	control_wait(0); /* binds the event: the operator sees that we listen */
	balloon_prepare(8);
	while (control_get(&c) && c.shutdown_request == QUIRE_SHUTDOWN_NONE) {
		bool met = approach(c.target_pages);

		control_wait(met ? 0 : clock_ns() + RETRY_MS * CLOCK_MS);
	}
	tap_ok(good && inside_right("end"), "every page held what it should, out and in");
}

void balloon_breathe(void)
{
	uint64_t period = option_u64("period", 3000) * CLOCK_MS, full, target;
	uint64_t rounds = option_u64("rounds", 0);

	clock_init();
	balloon_prepare(8);
	full = target = (uint64_t)balloon_reservation();
	for (uint64_t r = 0; !rounds || r < 2 * rounds; r++) {
		uint64_t next = clock_ns() + period;

		while (clock_ns() < next && !control_shutdown_asked())
			control_wait(next);
		if (control_shutdown_asked())
			break;
		target = target == full ? full - balloon_pages / 2 : full;
		approach(target);
	}
	tap_ok(good && inside_right("end"), "every page held what it should, out and in");
}
