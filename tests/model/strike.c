/* SPDX-License-Identifier: MIT */
/*
 * What guests do in the middle of things: between the steps of a scan, a merge, a break or a large copy, and when a CPU
 * is told to leave guest mode. Of whatever they read, the flat array knows the last value.
 */
#include "tests/model/any.h"

/*
 * All that CPUs can do right now without a fault: at any point, under any lock. What they
 * read is what was last written, and what they write is written.
 */
static void strike_cached(struct twin *t)
{
	for (unsigned i = 0; t->alive && i < WINDOW; i++) {
		uint64_t page = window_page(i), at = any_offset(), v = any_value(), seen = 0;
		unsigned cpu = any_cpu();

		if (t->hole[page])
			continue;
		if (guest_read_quick(any_cpu(), &t->s, PAGE(page) + at, &seen))
			MUST(seen == *word(t, page, at));
		if (guest_write_cached(cpu, &t->s, PAGE(page) + at, v)) {
			*word(t, page, at) = v;
			worth.strikes++;
		}
	}
}

/*
 * What CPUs read by the translations that they have is what was written last, at any moment: a
 * frame that a page has left, and that somebody still reads, must not differ from it.
 */
static void all_read_the_last(struct twin *t)
{
	for (unsigned i = 0; t->alive && i < WINDOW; i++) {
		uint64_t page = window_page(i), at = any_offset(), seen;

		for (unsigned cpu = 0; cpu < CPUS && !t->hole[page]; cpu++)
			if (guest_read_cached(cpu, &t->s, PAGE(page) + at, &seen))
				MUST(seen == *word(t, page, at));
	}
}

static void write_to(struct twin *t, uint64_t page)
{
	uint64_t at = any_offset(), v = any_value();

	twin_wrote(t, page, at, v, guest_write(any_cpu(), &t->s, PAGE(page) + at, v));
}

/* One of which some CPU still remembers another frame than the one that it has now; else any. */
static uint64_t page_of_two(struct twin *t)
{
	for (unsigned i = 0; t->alive && i < WINDOW * CPUS; i++) {
		gfn_t gfn = GFN(window_page(i / CPUS));
		mfn_t mfn = guest_remembers(i % CPUS, &t->s, gfn);

		if (mfn_valid(mfn) && !mfn_eq(mfn, p2m_lookup(&t->s, gfn).mfn)) {
			worth.of_two++;
			return gfn.n;
		}
	}
	return window_page(rnd(WINDOW));
}

/* All others that share a page's frame write to theirs, and then its owner does: it is the last one. */
static void leave_alone(struct twin *t, uint64_t page)
{
	mfn_t mfn = t->alive ? p2m_lookup(&t->s, GFN(page)).mfn : MFN_NONE;

	for (unsigned i = 0; mfn_valid(mfn) && i < SPACES * WINDOW; i++) {
		struct twin *other = &twins[i % SPACES];
		uint64_t its = window_page(i / SPACES);

		if (other->alive && !(other == t && its == page) &&
		    mfn_eq(p2m_lookup(&other->s, GFN(its)).mfn, mfn))
			write_to(other, its);
	}
	if (mfn_valid(mfn))
		write_to(t, page);
}

/* Each CPU enters a guest and reads what it can: it remembers all of that now. */
static void look_around(void)
{
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		struct twin *t = any();
		uint64_t seen;

		if (t->alive && guest_read(cpu, &t->s, PAGE(any_page()), &seen) == VERDICT_RESUME)
			for (unsigned i = 0; i < WINDOW; i++)
				if (!t->hole[window_page(i)] &&
				    guest_read_quick(cpu, &t->s, PAGE(window_page(i)), &seen))
					MUST(seen == *word(t, window_page(i), 0));
	}
}

/* With and without faults where no p2m lock is held, without faults everywhere. */
void twins_strike(enum env_point p)
{
	struct twin *t = any();

	if (p == POINT_ALLOC || rnd(p == POINT_SCAN_READ ? 16 : 2))
		return;
	strike_cached(t);
	if (p == POINT_MERGE_PROTECTED || p == POINT_MERGE_FLUSHED || p == POINT_WHOLE_PROTECTED ||
	    p == POINT_WHOLE_FLUSHED)
		for (uint64_t i = rnd(16); i && t->alive; i--) /* some hit a page of the batch */
			twin_write(t);
	if (p == POINT_MERGE_FLUSHED || p == POINT_WHOLE_FLUSHED)
		look_around();
	if (p == POINT_SCAN_READ && t->alive && rnd(2))
		twin_write(t);
	if (p == POINT_MERGE_SWITCHED || p == POINT_WHOLE_SWITCHED) {
		for (unsigned i = 0; i < SPACES; i++)
			if (rnd(2))
				leave_alone(&twins[i], page_of_two(&twins[i]));
		if (t->alive && rnd(2))
			twin_write(t);
	}
	for (unsigned i = 0; i < SPACES; i++)
		all_read_the_last(&twins[i]);
}

/* A CPU that is told to leave guest mode makes some last writes; then it leaves, and will flush. */
void twins_kick(unsigned cpu)
{
	for (unsigned i = 0; i < 4 * SPACES; i++) {
		struct twin *t = &twins[i % SPACES];
		uint64_t page = window_page((unsigned)rnd(WINDOW)), at = any_offset(),
		         v = any_value();

		if (t->alive && !t->hole[page] &&
		    guest_write_cached(cpu, &t->s, PAGE(page) + at, v)) {
			*word(t, page, at) = v;
			worth.strikes++;
		}
	}
	guest_kicked(cpu);
}
