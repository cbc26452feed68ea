/* SPDX-License-Identifier: MIT */
/* The monitor's verb `compress`: for tests, and to see what a guest's cold pages would come to. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "mm/fund.h"

#define PAGES_PER_MIB 256u
#define LOOKS         2048u /* leaves between two looks at the clock */
#define ROUNDS        3u /* the first may find accessed flags only; then what is left is in use */

/* What a run remembers: r->at */
enum { AT_DOMAIN, AT_FREED, AT_ROUNDS, AT_WANTED };

/* Why there is no more, if that is worth a sentence. */
static void compress_why(struct domain *d, uint64_t freed)
{
	char min[24];

	if (!fund_above_min(&d->space))
		log_print("%s holds no more for itself than its guaranteed `min` of %s MiB, and "
		          "of that nothing may be packed\n",
		          d->name, monitor_mib(min, d->space.min_pages));
	else if (!freed)
		log_print(
		    "%s has nothing that could be packed now: its pages are shared, in use, or do "
		    "not get smaller\n",
		    d->name);
}

static void compress_tell(struct domain *d, uint64_t freed)
{
	struct space_stats st = space_stats(&d->space);

	log_tag("compressed domain=%u freed=%lu pages=%lu filled=%lu frames=%lu bytes=%lu "
	        "expanded=%lu incompressible=%lu",
	        d->id, freed, st.compressed, st.compressed_filled, st.store_frames, st.store_bytes,
	        st.expansions, st.incompressible);
	log_print("%s: %lu frames freed; %lu of its pages are compressed now, into %lu frames\n",
	          d->name, freed, st.compressed, st.store_frames);
	compress_why(d, freed);
}

static bool compress_begin(struct run *r)
{
	struct domain *d = monitor_domain(r, r->word[1]);
	uint64_t mib = UINT64_MAX / PAGES_PER_MIB;

	if (!d || (r->words > 2 && !monitor_number(r, r->word[2], "the memory in MiB", &mib)))
		return false;
	r->at[AT_DOMAIN] = d->id;
	r->at[AT_WANTED] = min_u64(mib, UINT64_MAX / PAGES_PER_MIB) * PAGES_PER_MIB;
	return true;
}

bool monitor_compress(struct run *r)
{
	struct domain *d;

	if (r->calls == 0 && !compress_begin(r))
		return true;
	d = domain_find((domid_t)r->at[AT_DOMAIN]);
	if (!d)
		return monitor_fail(r, "it is gone");
	while (r->at[AT_FREED] < r->at[AT_WANTED] && r->at[AT_ROUNDS] < ROUNDS) {
		struct compress_result c =
		    compress_some(&d->space, r->at[AT_WANTED] - r->at[AT_FREED], LOOKS);

		r->at[AT_FREED] += c.freed;
		r->at[AT_ROUNDS] += c.round;
		if (!c.looked && !c.round) /* nothing above its min */
			break;
		if (monitor_turn_over())
			return false;
	}
	compress_tell(d, r->at[AT_FREED]);
	return true;
}
