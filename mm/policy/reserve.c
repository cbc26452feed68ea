/* SPDX-License-Identifier: MIT */
/*
 * The reserve is what breaks live on until memory comes back by other ways: merging, the
 * balloon, what the operator does. That takes about RESERVE_NS, so
 *
 *	level = breaks a second * RESERVE_NS, within [least, most]
 *
 * The rate jumps up to what was measured last, and falls by a quarter of the difference a
 * look: bursts come again. Too high a level costs populates that wait for nothing; too
 * low a one, breaks that wait.
 */
#include "mm/policy/reserve.h"
#include "mm/leaf/bits.h"

#define RESERVE_NS UINT64_C(500000000)
#define SECOND_NS  UINT64_C(1000000000)

uint64_t reserve_level(struct reserve_policy *r, uint64_t breaks, uint64_t now_ns)
{
	uint64_t ns = now_ns - r->at_ns, made = breaks - min_u64(breaks, r->breaks), rate;

	if (r->looked && ns) {
		rate = made * SECOND_NS / ns; /* 2^34 breaks would overflow: 64 TiB in one look */
		if (rate >= r->breaks_a_second)
			r->breaks_a_second = rate;
		else
			r->breaks_a_second -= (r->breaks_a_second - rate + 3) / 4;
	}
	r->looked = true;
	r->breaks = breaks;
	r->at_ns = now_ns;
	rate = r->breaks_a_second * (RESERVE_NS / 1000000) / (SECOND_NS / 1000000);
	return min_u64(max_u64(rate, r->least), r->most);
}
