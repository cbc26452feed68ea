/* SPDX-License-Identifier: MIT */
/*
 * Pages that hold page tables of their guest.
 *
 * Problem: the CPU writes to them by itself. Each walk of guest page tables that sets an
 * accessed or dirty bit there is a write; on AMD, and with EPT's accessed and dirty flags, each
 * walk counts as one (APM vol. 2, 15.25.6; SDM vol. 3, 28.2.4). A table that is quiet for a
 * while can be merged, and the next walk breaks it: one copy, one flush, for nothing.
 *
 * Rule: a page that was broken by a walk is marked (FRAME_GUEST_TABLE) and not merged. At the
 * age a, each pass of the scanner that finds it unwritten takes the mark away with a
 * chance of 1 in 2^a. If it is merged then, and broken by a walk once more, its age is one more,
 * up to 15. So there is at most one break in each back-off, and the back-offs of a page
 * become twice as long each time.
 *
 * While it is private, a page's age is in its frame's record. A merge gives it another frame,
 * perhaps one of many users or a constant one, so the age is kept beside, by guest page, when a
 * back-off is over. That memory is small and forgets: of two pages with one place the later one
 * has it. All that can come of it is a back-off that is too short, or too long for a page of a new
 * domain with an old number.
 *
 * The last few thousand events are kept, so that this can be seen (`table-log` in the monitor,
 * tools/quire_tools/table_log.py). An event is one word, and written by whoever holds the p2m lock
 * of its space: no lock is needed for the log itself.
 */
#include "mm/guest_table.h"

#define AGE_MAX (FRAME_AGE_MASK >> FRAME_AGE_SHIFT)
#define KEPT    4096u

/* An event: gfn in bits 31..0, domain 39..32, what 41..40, age 45..42, pass 63..46. */
_Static_assert(GFN_LIMIT <= BIT(32) && MM_MAX_SPACES <= 256, "an event is one word");
#define PASS_BITS 18u

static _Atomic uint64_t events[KEPT];
static _Atomic uint64_t next_event;
static _Atomic uint64_t ages[KEPT]; /* gfn and domain as in an event, age in bits 45..42 */
static uint64_t seed;               /* scan lock */

void guest_table_init(void)
{
	for (unsigned i = 0; i < KEPT; i++)
		atomic_store_explicit(&ages[i], 0, memory_order_relaxed);
	atomic_store_explicit(&next_event, 0, memory_order_relaxed);
	seed = env_random() | 1;
}

/* ---- the log ---- */

static uint64_t page_name(struct space *s, gfn_t gfn)
{
	return gfn.n | (uint64_t)s->domid << 32;
}

static void guest_table_log(struct space *s, gfn_t gfn, enum guest_table_what what, unsigned age)
{
	uint64_t n = atomic_fetch_add_explicit(&next_event, 1, memory_order_relaxed);
	uint64_t pass = counter_read(&mm.count.full_scans) & (BIT(PASS_BITS) - 1);

	atomic_store_explicit(&events[n % KEPT],
	                      page_name(s, gfn) | (uint64_t)what << 40 | (uint64_t)age << 42 |
	                          pass << 46,
	                      memory_order_release);
}

bool guest_table_next(uint64_t *n, struct guest_table_event *e)
{
	uint64_t end = atomic_load_explicit(&next_event, memory_order_acquire), word;

	if (end > *n + KEPT)
		*n = end - KEPT;
	if (*n >= end)
		return false;
	word = atomic_load_explicit(&events[*n % KEPT], memory_order_acquire);
	++*n;
	*e = (struct guest_table_event){
	    .gfn = GFN(word & UINT32_MAX),
	    .domid = (domid_t)(word >> 32 & 0xff),
	    .what = (enum guest_table_what)(word >> 40 & 3),
	    .age = word >> 42 & 15,
	    .pass = (uint32_t)(word >> 46),
	};
	return true;
}

/* ---- ages ---- */

/* Neighbours have places of their own. */
static _Atomic uint64_t *age_place(uint64_t name)
{
	return &ages[(name ^ (name >> 32) * 619) % KEPT];
}

static void age_keep(struct space *s, gfn_t gfn, unsigned age)
{
	uint64_t name = page_name(s, gfn);

	atomic_store_explicit(age_place(name), name | (uint64_t)age << 42, memory_order_relaxed);
}

static unsigned age_kept(struct space *s, gfn_t gfn)
{
	uint64_t name = page_name(s, gfn);
	uint64_t word = atomic_load_explicit(age_place(name), memory_order_relaxed);

	return (word & BITS(39, 0)) == name ? (unsigned)(word >> 42) : 0;
}

/* ---- a page ---- */

void guest_table_found(struct space *s, gfn_t gfn, mfn_t mfn, unsigned age,
                       enum guest_table_what what)
{
	struct frame *f = frame_at(mfn);

	age = (unsigned)min_u64(max_u64(age, age_kept(s, gfn)) + 1, AGE_MAX);
	frame_set_age(f, age);
	frame_set_flag(f, FRAME_GUEST_TABLE);
	if (what != GUEST_TABLE_PROTECTED)
		s->stats.table_breaks++;
	guest_table_log(s, gfn, what, age);
}

/* A chance of 1 in 2^age; a cheap generator is good enough for a back-off. */
static bool guest_table_dice(unsigned age)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return !(seed >> 16 & (BIT(age) - 1));
}

bool guest_table_rests(struct space *s, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	if (!guest_table_dice(frame_age(f)))
		return true;
	frame_clear_flag(f, FRAME_GUEST_TABLE);
	age_keep(s, gfn, frame_age(f));
	guest_table_log(s, gfn, GUEST_TABLE_OVER, frame_age(f));
	return false;
}
