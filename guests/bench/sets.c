/* SPDX-License-Identifier: MIT */
/*
 * The contents are those on which ksmd was measured (docs/costs.md):
 *
 *	near	pages 2i and 2i + 1 are equal
 *	far	pages i and i + N/2 are equal
 *	zero	all pages hold zeroes, written by the guest
 *	unique	no two pages are equal
 *	tail	no two pages are equal, but only their last 8 bytes differ
 */
#include "guests/bench/sets.h"
#include "guests/lib/control.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/tap.h"

static uint8_t *area;
static uint64_t pages;

static uint64_t near_key(uint64_t i)
{
	return random_mix(i / 2 + 1);
}

static uint64_t far_key(uint64_t i)
{
	return random_mix((UINT64_C(1) << 32) + i % (pages / 2));
}

static uint64_t zero_key(uint64_t i)
{
	(void)i;
	return PATTERN_ZERO;
}

static uint64_t unique_key(uint64_t i)
{
	return random_mix((UINT64_C(2) << 32) + i);
}

static uint64_t tail_key(uint64_t i)
{
	(void)i;
	return random_mix(UINT64_C(3) << 32);
}

static const struct set {
	const char *name;
	uint64_t (*key)(uint64_t i);
	bool tail; /* the last word is the page's number */
} sets[] = {
    {"near",   near_key,   false},
    {"far",    far_key,    false},
    {"zero",   zero_key,   false},
    {"unique", unique_key, false},
    {"tail",   tail_key,   true },
};

static uint64_t *last_word(uint64_t i)
{
	return (uint64_t *)(area + (i + 1) * PAGE_SIZE) - 1;
}

static void set_fill(const struct set *s)
{
	for (uint64_t i = 0; i < pages; i++) {
		pattern_fill(area + i * PAGE_SIZE, s->key(i));
		if (s->tail)
			*last_word(i) = i;
	}
}

static uint64_t set_check(const struct set *s)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < pages; i++) {
		int at = pattern_check(area + i * PAGE_SIZE, s->key(i));

		if (s->tail)
			bad += at != (int)(PAGE_SIZE / 8 - 1) || *last_word(i) != i;
		else
			bad += at >= 0;
	}
	return bad;
}

static void await_change(uint64_t target)
{
	struct quire_control now;

	do
		control_wait(0);
	while (control_get(&now) && now.target_pages == target);
}

void sets_run(void)
{
	pages = option_u64("pages", 2048);
	area = memory_take(pages);
	control_wait(0); /* binds */
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct quire_control before; /* what is asked for once the line is out counts */

		set_fill(&sets[i]);
		control_get(&before);
		tap_diag("set %s pages=%lu", sets[i].name, pages);
		await_change(before.target_pages);
		tap_is((long)set_check(&sets[i]), 0, "%s: every byte is as written", sets[i].name);
	}
}
