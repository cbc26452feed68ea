/* SPDX-License-Identifier: MIT */
/*
 * fill: does a guest always read what it wrote, while its pages are merged?
 *
 * Specification: the free memory (or pages=) is filled from a seed with pages
 * that are unique, that repeat within this guest, that repeat in every other
 * fill guest, that are all zero (written, not untouched) and all ones. Every
 * byte is then checked again and again; none may differ, ever.
 *
 * Before the first check the guest prints what the sharing oracle must find
 * for this run of pages alone:
 *	# truth gfn=FIRST pages=N distinct=D zero=Z ones=O common=C self=S unique=U seed=N mix=N
 * pages = distinct contents would be saved down to: D counts contents (zero
 * and ones among them when present), the others count pages. From seed and mix follows each byte
 * (tools/quire_tools/fill_pattern.py).
 *
 * Options: seed=N|auto (the domain's number; default 1)  pages=N  rounds=N (2)
 *	pause=MS between rounds (0)  mix=N: of 16 pages, N repeat (8)
 *	noisy=N: only N words of 8 bytes of each page are noise, the others repeat (512)
 *	hold: after the rounds sleep until a shutdown is asked, then check once more
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

#define COMMON_SEED     UINT64_C(0x7175697265) /* the same in every fill guest */
#define COMMON_CONTENTS 64u
#define SELF_CONTENTS   64u

enum class { UNIQUE, SELF, COMMON, ZERO, ONES, CLASSES };

static uint64_t seed, pages, mix;
static uint8_t *area;

/* Of 16 pages `mix` repeat: in this order zero, ones, then half self, half common. */
static enum class class_of(uint64_t i) {
	uint64_t r = random_mix(seed ^ i << 20) % 16;

	if (r >= mix) return UNIQUE;
	if (r == 0) return ZERO;
	if (r == 1) return ONES;
	return r % 2 ? SELF : COMMON;
}

static uint64_t key_of(uint64_t i)
{
	uint64_t r = random_mix(~seed ^ i << 20);

	switch (class_of(i)) {
	case ZERO:
		return PATTERN_ZERO;
	case ONES:
		return PATTERN_ONES;
	case SELF:
		return random_mix(seed << 32 | UINT64_C(1) << 31 | r % SELF_CONTENTS);
	case COMMON:
		return random_mix(COMMON_SEED << 8 | r % COMMON_CONTENTS);
	default:
		return random_mix(seed << 32 | i);
	}
}

/* What is known without looking at memory: the oracle's own test. */
static void print_truth(void)
{
	bool self[SELF_CONTENTS] = {false}, common[COMMON_CONTENTS] = {false};
	uint64_t count[CLASSES] = {0}, distinct;

	for (uint64_t i = 0; i < pages; i++) {
		uint64_t r = random_mix(~seed ^ i << 20);
		enum class c = class_of(i);

		count[c]++;
		if (c == SELF)
			self[r % SELF_CONTENTS] = true;
		if (c == COMMON)
			common[r % COMMON_CONTENTS] = true;
	}
	distinct = count[UNIQUE] + (count[ZERO] != 0) + (count[ONES] != 0);
	for (unsigned k = 0; k < SELF_CONTENTS; k++)
		distinct += self[k];
	for (unsigned k = 0; k < COMMON_CONTENTS; k++)
		distinct += common[k];
	tap_diag("truth gfn=%lu pages=%lu distinct=%lu zero=%lu ones=%lu common=%lu self=%lu "
	         "unique=%lu seed=%lu mix=%lu",
	         (uint64_t)area / PAGE_SIZE, pages, distinct, count[ZERO], count[ONES],
	         count[COMMON], count[SELF], count[UNIQUE], seed, mix);
}

static bool check_all(const char *when)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < pages && bad < 8; i++)
		bad += !pattern_verify(area + i * PAGE_SIZE, key_of(i), when);
	return bad == 0;
}

static void choose(void)
{
	int domid = hypercall_domid();

	seed =
	    option_is("seed", "auto") ? (uint64_t)(domid > 0 ? domid : 1) : option_u64("seed", 1);
	mix = option_u64("mix", 8);
	pattern_noisy_words = (unsigned)option_u64("noisy", PAGE_SIZE / 8);
	/* Two pages are left over: shared_info, and one to spare. */
	pages = option_u64("pages", memory_free_pages() - 2);
	area = memory_take(pages);
}

void guest_main(void)
{
	uint64_t rounds = option_u64("rounds", 2), pause = option_u64("pause", 0);

	choose();
	print_truth();
	for (uint64_t i = 0; i < pages; i++)
		pattern_fill(area + i * PAGE_SIZE, key_of(i));
	tap_diag("filled");
	for (uint64_t r = 0; r < rounds; r++) {
		tap_ok(check_all("round"), "round %lu: every byte of %lu pages is right", r, pages);
		if (pause)
			clock_sleep_ms(pause);
	}
	if (!option_flag("hold"))
		return;
	tap_diag("hold");
	while (!control_shutdown_asked())
		control_wait(0);
	tap_ok(check_all("end"), "at the end: every byte of %lu pages is right", pages);
}
