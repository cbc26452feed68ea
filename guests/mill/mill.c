/* SPDX-License-Identifier: MIT */
/*
 * mill: how much work does a guest get done, while its memory is scanned, merged and broken out?
 *
 * Specification: the guest never sleeps. It has pages= pages of few contents, so that each has
 * equals in this guest and in others, and it works in units: a sum over some page, and a loop. Before
 * every unit number every= (200) it changes one byte of a page of the first hot= per cent, or puts
 * it back: so hot pages are merged and broken out again and again, and the others stay as they are. From start= ms of
 * the hypervisor's system time, the same for all domains, for seconds= of it, units are counted:
 *	# mill units=N memory_exits=N
 * and no page ever holds anything but what this guest wrote.
 *
 * Options: pages=N  hot=PERCENT (10)  every=N  start=MS  seconds=N (10)  hold (then work on until a
 * shutdown is asked for, so that others are not left alone with the machine)
 */
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define CONTENTS UINT64_C(32)
#define CHANGED  100u /* the word of a page that is changed */
#define LOOP     4000u

static uint64_t pages, hot, every, rng;
static uint64_t *area;
static volatile uint64_t sum;

static uint64_t key_of(uint64_t i)
{
	return random_mix(i % CONTENTS + 0x3311);
}

/* The changed word of a page toggles between two contents; both are other pages' too. */
static void change(void)
{
	area[random_below(&rng, hot) * PAGE_WORDS + CHANGED] ^= 1;
}

static void unit(uint64_t n)
{
	const uint64_t *page = area + random_below(&rng, pages) * PAGE_WORDS;
	uint64_t loops = LOOP;

	if (n % every == 0)
		change();
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		sum += page[i];
	__asm__ volatile("1:\tdec %0\n\tjnz 1b" : "+r"(loops) : : "cc");
}

static bool all_right(void)
{
	for (uint64_t i = 0; i < pages; i++)
		for (unsigned k = 0; k < PAGE_WORDS; k++) {
			uint64_t wrong = area[i * PAGE_WORDS + k] ^ pattern_word(key_of(i), k);

			if (wrong && (wrong != 1 || k != CHANGED || i >= hot)) {
				tap_diag("page %lu of the area is wrong in word %u", i, k);
				return false;
			}
		}
	return true;
}

void guest_main(void)
{
	uint64_t begin = option_u64("start", 0) * CLOCK_MS, n = 0, exits, counted;
	uint64_t end = begin + option_u64("seconds", 10) * CLOCK_S;

	clock_init();
	rng = option_u64("seed", 1);
	pages = option_u64("pages", 1000);
	hot = pages * option_u64("hot", 10) / 100 + 1;
	every = option_u64("every", 200);
	area = memory_take(pages);
	for (uint64_t i = 0; i < pages; i++)
		pattern_fill(area + i * PAGE_WORDS, key_of(i));
	tap_ok(clock_ns() < begin, "it was there at the start");
	while (clock_ns() < begin)
		unit(n++);
	exits = control_exits().memory_exits;
	counted = n;
	while (clock_ns() < end)
		unit(n++);
	counted = n - counted;
	exits = control_exits().memory_exits - exits;
	while (option_flag("hold") && !control_shutdown_asked())
		unit(n++);
	tap_diag("mill units=%lu memory_exits=%lu", counted, exits);
	tap_ok(all_right(), "all is what this guest wrote");
}
