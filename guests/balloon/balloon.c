/* SPDX-License-Identifier: MIT */
/*
 * balloon: does memory that goes out and comes back change nothing else?
 *
 * Specification (mode=test, the default):
 *  - decrease_reservation of 512 single pages, scattered or in a run, private or
 *    merged, returns their number, and the current reservation falls by just it;
 *  - no other page changes;
 *  - populate_physmap gives them back; each comes back all zero, then holds what
 *    is written to it; the reservation is what it was;
 *  - one extent of 2 MiB goes out and comes back likewise;
 *  - a call stops at the first extent that it must refuse (a pinned page, one
 *    that is out already, one beyond the memory) and returns the count done;
 *    what comes after that extent is untouched.
 * mode=follow: keeps the memory that hypercall 50 names, until a shutdown is asked.
 * mode=breathe: gives half of its memory back and takes it again, every period= ms.
 * mode=extents: extents= of 2 MiB go out and come back, 64 a call.
 * The two before say `# balloon target=N current=N` and check all contents as they go.
 *
 * Options: mode=  pages=N  rounds=N (3)  wait=MS for merging (300)  period=MS (3000)
 */
#include "guests/balloon/balloon.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define CONTENTS UINT64_C(64)

uint8_t *balloon_area;
uint64_t balloon_pages;

uint64_t balloon_gfn(uint64_t i)
{
	return (uint64_t)balloon_area / PAGE_SIZE + i;
}

/* Every second page repeats, so that merged and private pages go out alike. */
uint64_t balloon_key(uint64_t i)
{
	return random_mix(i % 2 ? i % (2 * CONTENTS) : i << 16);
}

void balloon_prepare(uint64_t reserve_pages)
{
	balloon_pages = option_u64("pages", memory_free_pages() - reserve_pages);
	balloon_area = memory_take(balloon_pages);
	for (uint64_t i = 0; i < balloon_pages; i++)
		pattern_fill(balloon_area + i * PAGE_SIZE, balloon_key(i));
}

bool balloon_others_right(uint64_t step, uint64_t rest, const char *when)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < balloon_pages && bad < 8; i++)
		if (!step || i % step != rest)
			bad += !pattern_verify(balloon_area + i * PAGE_SIZE, balloon_key(i), when);
	return bad == 0;
}

void guest_main(void)
{
	if (option_is("mode", "follow")) {
		balloon_follow();
		return;
	}
	if (option_is("mode", "breathe")) {
		balloon_breathe();
		return;
	}
	if (option_is("mode", "extents")) {
		balloon_test_extents();
		return;
	}
	balloon_prepare(1100); /* 2 MiB and its alignment for refused.c */
	balloon_test_rounds();
	balloon_test_refused();
}
