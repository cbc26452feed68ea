/* SPDX-License-Identifier: MIT */
/* Extents that must stop a call, and large extents. */
#include "guests/balloon/balloon.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define LARGE_PAGES 512u

static const uint8_t *page(uint64_t i)
{
	return balloon_area + i * PAGE_SIZE;
}

/* Pages 0 and 1 are good, `bad` is in between: one is done, and page 1 is as it was. */
static void stops_at(uint64_t bad, const char *what)
{
	uint64_t list[3] = {balloon_gfn(0), bad, balloon_gfn(1)};

	tap_is(balloon_out(list, 3, 0), 1, "out stops at %s", what);
	tap_ok(pattern_verify(page(1), balloon_key(1), what), "and what comes after it stays");
	tap_is(balloon_in(list, 1, 0), 1, "the one that went out comes back");
	pattern_fill(balloon_area, balloon_key(0));
}

static void refused_out(void)
{
	uint64_t out = balloon_gfn(2);

	event_init();
	stops_at((uint64_t)event_shared / PAGE_SIZE, "a pinned page (shared_info)");
	tap_is(balloon_out(&out, 1, 0), 1, "page 2 goes out");
	stops_at(out, "a page that is out already");
	tap_is(balloon_in(&out, 1, 0), 1, "page 2 comes back");
	tap_ok(pattern_verify(page(2), PATTERN_ZERO, "page 2"), "scrubbed");
	pattern_fill(balloon_area + 2 * PAGE_SIZE, balloon_key(2));
	stops_at(memory_top() / PAGE_SIZE + 16, "a page beyond the memory");
	stops_at(UINT64_C(1) << 40, "a frame number beyond any machine");
	stops_at(UINT64_MAX, "the frame number ~0");
}

/* Nothing is out, so nothing may come in: no page loses its content. */
static void refused_in(void)
{
	uint64_t here[2] = {balloon_gfn(4), balloon_gfn(5)};

	tap_ok(balloon_in(here, 2, 0) <= 0, "populate of pages that are there does nothing");
	tap_ok(pattern_verify(page(4), balloon_key(4), "page 4"), "the first keeps its content");
	tap_ok(pattern_verify(page(5), balloon_key(5), "page 5"), "so does the second");
	tap_is(balloon_out(here, 0, 0), 0, "no extents: nothing done");
	tap_is(balloon_in(here, 0, 0), 0, "no extents: nothing done");
}

static void large_extent(void)
{
	uint8_t *area = memory_take_aligned(LARGE_PAGES, LARGE_PAGES * PAGE_SIZE);
	uint64_t gfn = (uint64_t)area / PAGE_SIZE, odd = gfn + 1;
	long before = balloon_reservation();
	unsigned bad = 0;

	for (unsigned i = 0; i < LARGE_PAGES; i++)
		pattern_fill(area + i * PAGE_SIZE, 0x1a46e + i);
	tap_is(balloon_out(&gfn, 1, 9), 1, "an extent of 2 MiB goes out");
	tap_is(balloon_reservation(), before - LARGE_PAGES, "the reservation fell by 512");
	tap_is(balloon_in(&gfn, 1, 9), 1, "it comes back");
	tap_is(balloon_reservation(), before, "the reservation is what it was");
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		bad += !pattern_verify(area + i * PAGE_SIZE, PATTERN_ZERO, "2 MiB");
	tap_is(bad, 0, "scrubbed, all 512 pages");
	tap_ok(balloon_out(&odd, 1, 9) <= 0, "an unaligned extent of 2 MiB is refused");
	tap_is(balloon_reservation(), before, "and nothing went out");
}

void balloon_test_refused(void)
{
	refused_out();
	refused_in();
	large_extent();
	tap_ok(balloon_others_right(0, 0, "at the end"), "every page holds what it should");
}
