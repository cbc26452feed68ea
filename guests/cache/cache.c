/* SPDX-License-Identifier: MIT */
/*
 * cache: is memory that is taken from an idle guest worth something to a busy one?
 *
 * Specification: the free memory is a cache of as many items as it has pages at the start. The
 * guest keeps the memory that hypercall 50 names: the last pages go to the hypervisor and come
 * back. An item is asked for at random, again and again. Found in its page, it is served at once;
 * if that page is away, or came back empty, the item is made again, at the price of some
 * MAKING fills of a page. So the work that is done in a time grows with the memory that is had.
 * Each item that is found holds what it should, in every byte.
 *
 * Every report= milliseconds:
 *	# cache served=N found=N pages=N
 * counts of this interval, and the pages that are here now.
 * mode=idle: asks for nothing, and only follows; its items are all there at the end.
 *
 * Options: mode=idle  report=MS (1000)
 */
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define MAKING   4u   /* fills of a page, to make one item */
#define A_TURN   16u  /* items between two looks at the target: less than a guest is lent */
#define RETRY_MS 200u /* what could not be had is asked for again */
#define KEPT     8u   /* pages that are not part of the cache */

static uint8_t *area, *scratch, *here; /* here[i]: item i is in page i */
static uint64_t items, out, rng = 7;
static bool good = true;

static uint64_t key_of(uint64_t i)
{
	return random_mix((uint64_t)hypercall_domid() << 32 | i);
}

static uint8_t *page_of(uint64_t i)
{
	return area + i * PAGE_SIZE;
}

static uint64_t gfn_of(uint64_t i)
{
	return (uint64_t)page_of(i) / PAGE_SIZE;
}

/* ---- the balloon: pages [items - out, items) are away ---- */

static void shrink(uint64_t pages)
{
	uint64_t room = items - out, done;

	pages = pages < room ? pages : room;
	done = balloon_run_out(gfn_of(items - out - pages), pages);
	good &= done == pages;
	out += pages;
}

static void grow(uint64_t pages)
{
	uint64_t first = items - out, done;

	pages = pages < out ? pages : out;
	done = balloon_run_in(gfn_of(first), pages);
	for (uint64_t i = first; i < first + done; i++)
		here[i] = false;
	out -= done;
}

/* True if the target is met, as far as that is ours to do. */
static bool approach(uint64_t target)
{
	uint64_t current = (uint64_t)balloon_reservation();

	if (current > target)
		shrink(current - target);
	else if (current < target)
		grow(target - current);
	current = (uint64_t)balloon_reservation();
	return current == target || (current < target && out == 0);
}

/* ---- the cache ---- */

static void make(uint8_t *page, uint64_t i)
{
	for (unsigned k = 0; k < MAKING; k++)
		pattern_fill(page, key_of(i));
}

/* Whether it was found. */
static bool serve(uint64_t i)
{
	bool away = i >= items - out;

	if (!away && here[i]) {
		good = good && pattern_verify(page_of(i), key_of(i), "found");
		return true;
	}
	make(away ? scratch : page_of(i), i);
	if (!away)
		here[i] = true;
	return false;
}

static bool all_right(void)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < items - out && bad < 8; i++)
		bad += here[i] && !pattern_verify(page_of(i), key_of(i), "end");
	return bad == 0;
}

static void prepare(void)
{
	scratch = memory_take(1);
	here = memory_take(memory_free_pages() / PAGE_SIZE + 1); /* taken memory is zero */
	items = memory_free_pages() - KEPT;
	area = memory_take(items);
	tap_diag("cache items=%lu", items);
}

/* Each item is asked for once: as far as memory goes it is here then. */
static void fill(void)
{
	struct quire_control c;

	for (uint64_t i = 0; i < items; i++) {
		if (i % A_TURN == 0 && control_get(&c))
			(void)approach(c.target_pages);
		serve(i);
	}
	tap_diag("cache filled pages=%lu", items - out);
}

static void idle(void)
{
	struct quire_control c;

	while (control_get(&c) && c.shutdown_request == QUIRE_SHUTDOWN_NONE) {
		bool met = approach(c.target_pages);

		control_wait(met ? 0 : clock_ns() + RETRY_MS * CLOCK_MS);
	}
}

static void busy(void)
{
	uint64_t period = option_u64("report", 1000) * CLOCK_MS, next = clock_ns() + period;
	uint64_t served = 0, found = 0;
	struct quire_control c;

	while (control_get(&c) && c.shutdown_request == QUIRE_SHUTDOWN_NONE) {
		(void)approach(c.target_pages);
		for (unsigned k = 0; k < A_TURN; k++, served++)
			found += serve(random_below(&rng, items));
		if (clock_ns() < next)
			continue;
		tap_diag("cache served=%lu found=%lu pages=%lu", served, found, items - out);
		served = found = 0;
		next += period;
	}
}

void guest_main(void)
{
	clock_init();
	control_wait(1); /* binds the event: the operator sees that we listen */
	prepare();
	fill();
	if (option_is("mode", "idle"))
		idle();
	else
		busy();
	tap_ok(good && all_right(), "every item that was found held what it should");
}
