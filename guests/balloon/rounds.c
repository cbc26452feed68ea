/* SPDX-License-Identifier: MIT */
/* Out and in, again and again, while the pages are being merged. */
#include "guests/balloon/balloon.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

static uint64_t batch[BALLOON_BATCH];

/* All pages i with i % step == rest, in calls of at most 512. Returns the pages done. */
static uint64_t move(long (*call)(const uint64_t *, uint64_t, unsigned), uint64_t step,
                     uint64_t rest)
{
	uint64_t done = 0, n = 0;

	for (uint64_t i = rest; i < balloon_pages; i += step) {
		batch[n++] = balloon_gfn(i);
		if (n == BALLOON_BATCH || i + step >= balloon_pages) {
			long ret = call(batch, n, 0);

			done += ret > 0 ? (uint64_t)ret : 0;
			n = 0;
		}
	}
	return done;
}

static bool all_zero(uint64_t step, uint64_t rest)
{
	unsigned bad = 0;

	for (uint64_t i = rest; i < balloon_pages && bad < 8; i += step)
		bad += !pattern_verify(balloon_area + i * PAGE_SIZE, PATTERN_ZERO, "come back");
	return bad == 0;
}

static void refill(uint64_t step, uint64_t rest)
{
	for (uint64_t i = rest; i < balloon_pages; i += step)
		pattern_fill(balloon_area + i * PAGE_SIZE, balloon_key(i));
}

static void one_round(uint64_t r, uint64_t step)
{
	uint64_t rest = r % step, count = (balloon_pages - rest + step - 1) / step;
	long before = balloon_reservation();

	tap_is((long)move(balloon_out, step, rest), (long)count, "round %lu: all went out", r);
	tap_is(balloon_reservation(), before - (long)count, "the reservation fell by as much");
	tap_ok(balloon_others_right(step, rest, "others, while out"), "no other page changed");
	tap_is((long)move(balloon_in, step, rest), (long)count, "all came back");
	tap_is(balloon_reservation(), before, "the reservation is what it was");
	tap_ok(all_zero(step, rest), "what comes back is scrubbed");
	refill(step, rest);
	tap_ok(balloon_others_right(0, 0, "all, after"), "every page holds what it should");
}

void balloon_test_rounds(void)
{
	uint64_t rounds = option_u64("rounds", 3), wait = option_u64("wait", 300);

	for (uint64_t r = 0; r < rounds; r++) {
		clock_sleep_ms(wait); /* let some be merged */
		one_round(r, r % 2 ? 3 : 2);
	}
}
