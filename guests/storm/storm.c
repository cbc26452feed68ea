/* SPDX-License-Identifier: MIT */
/*
 * storm: do bursts of writes to merged pages change just what was written?
 *
 * Specification: the free memory (or pages=) is filled with few contents, each
 * on many pages, and left alone so that it is merged. Then bursts: a random
 * fraction of the pages gets one byte changed at a random place, by a plain
 * store, a locked add, a store across two pages, or `rep stosb`. Every byte of
 * every page is checked after each burst; pages not written are unchanged; then
 * the old contents are put back, so that all merges again. Each burst says
 *	# burst N: written=N memory_exits=N
 * where memory_exits above zero show that merged pages were broken.
 *
 * Options: pages=N  seed=N  bursts=N (8; 0: until a shutdown is asked)
 *	wait=MS between bursts (300)  share=PERCENT written in a burst (30)
 *	need: at least one burst must have broken a merged page
 */
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

#define CONTENTS UINT64_C(16)

struct change {
	uint16_t offset; /* of the byte; CHANGE_NONE if the page was left alone */
	uint8_t value;
};
#define CHANGE_NONE 0xffff

static uint64_t pages, rng;
static uint8_t *area;
static struct change *changes;

static uint64_t key_of(uint64_t i)
{
	return random_mix(i % CONTENTS + 0x5704);
}

static uint8_t byte_of(uint64_t i, unsigned offset)
{
	return (uint8_t)(pattern_word(key_of(i), offset / 8) >> offset % 8 * 8);
}

/* Four ways to write one byte; all must leave the bytes beside it alone. */
static void write_byte(uint8_t *p, uint8_t v, unsigned way)
{
	uint8_t delta = (uint8_t)(v - *(volatile uint8_t *)p);
	uint64_t one = 1;

	switch (way) {
	case 0:
		*(volatile uint8_t *)p = v;
		break;
	case 1:
		__atomic_fetch_add(p, delta, __ATOMIC_SEQ_CST);
		break;
	case 2:
		__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
		break;
	default:
		__asm__ volatile("rep stosb" : "+D"(p), "+c"(one) : "a"(v) : "memory");
	}
}

/* A store that crosses into the next page changes both, or neither faults half-way. */
static void write_across(uint64_t i)
{
	volatile uint16_t *w = (volatile uint16_t *)(area + (i + 1) * PAGE_SIZE - 1);
	uint8_t low = (uint8_t)random_next(&rng), high = (uint8_t)random_next(&rng);

	*w = (uint16_t)(high << 8 | low);
	changes[i] = (struct change){PAGE_SIZE - 1, low};
	changes[i + 1] = (struct change){0, high};
}

static uint64_t burst(uint64_t percent)
{
	uint64_t written = 0;

	for (uint64_t i = 0; i < pages; i++)
		changes[i].offset = CHANGE_NONE;
	for (uint64_t i = 0; i < pages; i++) {
		if (changes[i].offset != CHANGE_NONE || random_below(&rng, 100) >= percent)
			continue;
		written++;
		if (i + 1 < pages && random_below(&rng, 8) == 0) {
			write_across(i);
			written++;
			continue;
		}
		changes[i].offset = (uint16_t)random_below(&rng, PAGE_SIZE);
		changes[i].value = (uint8_t)random_next(&rng);
		write_byte(area + i * PAGE_SIZE + changes[i].offset, changes[i].value,
		           (unsigned)random_below(&rng, 4));
	}
	return written;
}

/* The page with its change is right in every byte: look at the change, undo it in
 * the expectation. */
static bool page_right(uint64_t i)
{
	const volatile uint64_t *w = (const volatile uint64_t *)(area + i * PAGE_SIZE);
	uint64_t bad = 0;

	for (unsigned k = 0; k < PAGE_WORDS; k++) {
		uint64_t want = pattern_word(key_of(i), k);
		unsigned shift = changes[i].offset % 8 * 8;

		if (changes[i].offset / 8 == k) {
			want &= ~(UINT64_C(0xff) << shift);
			want |= (uint64_t)changes[i].value << shift;
		}
		bad |= w[k] ^ want;
	}
	if (bad)
		tap_diag("page %lu of the area is wrong; changed byte %u", i, changes[i].offset);
	return !bad;
}

static bool all_right(void)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < pages && bad < 8; i++)
		bad += !page_right(i);
	return bad == 0;
}

static void restore(void)
{
	for (uint64_t i = 0; i < pages; i++) {
		if (changes[i].offset == CHANGE_NONE)
			continue;
		area[i * PAGE_SIZE + changes[i].offset] = byte_of(i, changes[i].offset);
		changes[i].offset = CHANGE_NONE;
	}
}

static void prepare(void)
{
	uint64_t room = memory_free_pages() - 2;

	rng = option_u64("seed", 1);
	/* Four bytes of notes for each page. */
	pages = option_u64("pages", room - room / 1000 - 2);
	changes = memory_take(pages * sizeof(struct change) / PAGE_SIZE + 1);
	area = memory_take(pages);
	for (uint64_t i = 0; i < pages; i++) {
		changes[i].offset = CHANGE_NONE;
		pattern_fill(area + i * PAGE_SIZE, key_of(i));
	}
	tap_diag("storm pages=%lu contents=%lu", pages, CONTENTS);
}

void guest_main(void)
{
	uint64_t bursts = option_u64("bursts", 8), wait = option_u64("wait", 300);
	uint64_t percent = option_u64("share", 30), breaks = 0;

	prepare();
	for (uint64_t b = 0; !bursts || b < bursts; b++) {
		uint64_t before, written, faults;

		clock_sleep_ms(wait);
		if (!bursts && control_shutdown_asked())
			break;
		before = control_exits().memory_exits;
		written = burst(percent);
		faults = control_exits().memory_exits - before;
		breaks += faults;
		tap_diag("burst %lu: written=%lu memory_exits=%lu", b, written, faults);
		if (!tap_ok(all_right(), "burst %lu: changed is what was written, and no more", b))
			return;
		restore();
	}
	tap_ok(all_right(), "all is as it was at the start");
	if (option_flag("need"))
		tap_ok(breaks > 0, "merged pages were broken by the bursts");
}
