/* SPDX-License-Identifier: MIT */
/*
 * The frame table is sparse over holes, so nobody may walk it from end to end.
 * These are the parts that hold frames of ours, in ascending order.
 */
#include "mm/ranges.h"
#include "mm/leaf/assert.h"

#define RANGES_MAX 128u

static struct mm_range ranges[RANGES_MAX];
static unsigned nr_ranges;

void ranges_init(const struct mm_range *r, unsigned n)
{
	ASSERT(n <= RANGES_MAX);
	nr_ranges = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = nr_ranges++;

		for (; at > 0 && ranges[at - 1].first.n > r[i].first.n; at--)
			ranges[at] = ranges[at - 1];
		ranges[at] = r[i];
	}
}

mfn_t ranges_next(mfn_t from)
{
	if (from.n == 0)
		from.n = 1;
	for (unsigned i = 0; i < nr_ranges; i++)
		if (from.n < ranges[i].first.n + ranges[i].pages)
			return MFN(max_u64(from.n, ranges[i].first.n));
	return MFN_NONE;
}
