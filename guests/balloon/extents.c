/* SPDX-License-Identifier: MIT */
/*
 * Memory that goes and comes in extents of 2 MiB, many a call. `# extents out=N in=N calls=N` says
 * how many extents moved in how many calls, each way.
 */
#include "guests/balloon/balloon.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

#define EXTENT_PAGES 512u
#define EXTENT_BYTES (EXTENT_PAGES * PAGE_SIZE)
#define A_CALL       64u /* extents: 128 MiB */
#define MOST         1024u

static uint64_t gfns[MOST];
static uint8_t *area;
static uint64_t extents, calls;

/* All extents, A_CALL of them a call; returns how many moved. */
static uint64_t move(long (*call)(const uint64_t *, uint64_t, unsigned))
{
	uint64_t done = 0;

	calls = 0;
	while (done < extents) {
		uint64_t n = extents - done < A_CALL ? extents - done : A_CALL;
		long ret = call(gfns + done, n, 9);

		calls++;
		done += ret > 0 ? (uint64_t)ret : 0;
		if (ret != (long)n)
			break;
	}
	return done;
}

static volatile uint64_t *word(uint64_t page)
{
	return (uint64_t *)(area + page * PAGE_SIZE + page * 8 % PAGE_SIZE);
}

static void write_all(void)
{
	for (uint64_t i = 0; i < extents * EXTENT_PAGES; i++)
		*word(i) = ~i;
}

static bool all_zero(void)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < extents * EXTENT_PAGES; i++)
		bad += *word(i) != 0;
	return bad == 0;
}

static void round_trip(uint64_t r)
{
	long before = balloon_reservation();
	uint64_t out, in;

	write_all();
	out = move(balloon_out);
	tap_is((long)out, (long)extents, "round %lu: all extents went out", r);
	tap_is(balloon_reservation(), before - (long)(extents * EXTENT_PAGES),
	       "the reservation fell by as much");
	in = move(balloon_in);
	tap_is((long)in, (long)extents, "all came back");
	tap_is(balloon_reservation(), before, "the reservation is what it was");
	tap_ok(all_zero(), "and nothing is left of what was in them");
	tap_diag("extents out=%lu in=%lu calls=%lu", out, in, calls);
}

void balloon_test_extents(void)
{
	extents = option_u64("extents", 4);
	if (extents > MOST)
		extents = MOST;
	area = memory_take_aligned(extents * EXTENT_PAGES, EXTENT_BYTES);
	for (uint64_t i = 0; i < extents; i++)
		gfns[i] = (uint64_t)area / PAGE_SIZE + i * EXTENT_PAGES;
	/* Out as small pages first; what comes back is large. */
	for (uint64_t r = 0; r < option_u64("rounds", 2); r++)
		round_trip(r);
}
