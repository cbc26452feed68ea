/* SPDX-License-Identifier: MIT */
/*
 * desktop: a guest that has used all of its memory, as the desktops did of whom more fit into a
 * machine than it had memory for.
 *
 * Specification: every page of RAM is written. Of 100 pages of the run of free memory
 *	15 are unique,
 *	 5 are volatile: written again every `every` ms, with something else each time,
 *	25 are written and then zeroed, a piece at a time, as a desktop zeroes what was freed,
 *	55 are common: the same in every desktop, no two alike within one.
 * The few pages outside the run (the image, what the loader left, what lies below) are written
 * with what they hold, so that not one is left that was never touched. Every byte of the run is
 * then checked, and once more when a shutdown is asked. Between the two the volatile change.
 *
 *	# desktop pages=N unique=N volatile=N zeroed=N common=N
 *
 * Options: every=MS (10000)
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

#define COMMON_SEED UINT64_C(0x6465736b746f70) /* the same in every desktop */
#define PIECE       1024u                      /* pages that are written before some are zeroed */

enum class { UNIQUE, VOLATILE, ZEROED, COMMON, CLASSES };

static uint64_t seed, pages, generation;
static uint8_t *area;

static uint8_t *page_at(uint64_t i)
{
	return area + i * PAGE_SIZE;
}

static enum class class_of(uint64_t i) {
	uint64_t r = random_mix(seed ^ i << 20) % 100;

	if (r < 15) return UNIQUE;
	if (r < 20) return VOLATILE;
	return r < 45 ? ZEROED : COMMON;
}

/* No other page of any desktop has it, nor had this one before. */
static uint64_t own_key(uint64_t i, uint64_t at)
{
	return random_mix(random_mix(seed << 32 | i) + at);
}

/* A walk over the run; the common ones are numbered in their order. */
struct walk {
	uint64_t i, nth_common;
};

/* What page w->i holds once the piece is done; the walk goes on to the next one. */
static uint64_t next_key(struct walk *w)
{
	uint64_t i = w->i++;

	switch (class_of(i)) {
	case VOLATILE:
		return own_key(i, generation);
	case ZEROED:
		return PATTERN_ZERO;
	case COMMON:
		return random_mix(COMMON_SEED ^ w->nth_common++);
	default:
		return own_key(i, 0);
	}
}

static void use(void)
{
	struct walk w = {0};

	while (w.i < pages) {
		uint64_t begin = w.i, end = begin + PIECE < pages ? begin + PIECE : pages;

		while (w.i < end) {
			uint64_t i = w.i, key = next_key(&w);

			pattern_fill(page_at(i), key == PATTERN_ZERO ? own_key(i, 0) : key);
		}
		for (uint64_t i = begin; i < end; i++)
			if (class_of(i) == ZEROED)
				pattern_fill(page_at(i), PATTERN_ZERO);
	}
}

/* Those were written, and may be shared by now: one more write would break that. */
static bool in_the_run(uint64_t address)
{
	uint64_t begin = (uint64_t)area;

	return address >= begin && address < begin + pages * PAGE_SIZE;
}

/* Adds nothing to a word of each page of RAM outside the run: a write that changes nothing. */
static void touch_the_rest(void)
{
	const struct memory_range *list;
	unsigned n = memory_ranges(&list);

	for (unsigned r = 0; r < n; r++) {
		if (list[r].type != XEN_HVM_MEMMAP_TYPE_RAM)
			continue;
		for (uint64_t a = list[r].base; a < list[r].base + list[r].bytes; a += PAGE_SIZE)
			if (!in_the_run(a))
				__atomic_fetch_add((uint64_t *)a, 0, __ATOMIC_SEQ_CST);
	}
}

static bool check(const char *when)
{
	struct walk w = {0};
	uint64_t bad = 0;

	while (w.i < pages && bad < 8) {
		const uint8_t *page = page_at(w.i);

		bad += !pattern_verify(page, next_key(&w), when);
	}
	return tap_ok(bad == 0, "%s: every byte of %lu pages is right", when, pages);
}

static void change_the_volatile(void)
{
	generation++;
	for (uint64_t i = 0; i < pages; i++)
		if (class_of(i) == VOLATILE)
			pattern_fill(page_at(i), own_key(i, generation));
}

static void tell(void)
{
	uint64_t count[CLASSES] = {0};

	for (uint64_t i = 0; i < pages; i++)
		count[class_of(i)]++;
	tap_diag("desktop pages=%lu unique=%lu volatile=%lu zeroed=%lu common=%lu", pages,
	         count[UNIQUE], count[VOLATILE], count[ZEROED], count[COMMON]);
}

void guest_main(void)
{
	uint64_t every = option_u64("every", 10000) * CLOCK_MS;
	int domid = hypercall_domid();

	seed = (uint64_t)(domid > 0 ? domid : 1);
	clock_init();
	pages = memory_free_pages() - 2; /* shared_info, and one to spare */
	area = memory_take(pages);
	tell();
	use();
	touch_the_rest();
	tap_diag("used");
	check("after the use");
	while (!control_shutdown_asked()) {
		uint64_t next = clock_ns() + every;

		change_the_volatile();
		while (!control_shutdown_asked() && clock_ns() < next)
			control_wait(next);
	}
	check("at the end");
}
