/* SPDX-License-Identifier: MIT */
/*
 * The reader: looks at every watched page over and over, interrupts off, and
 * makes no exit of its own from the first look to the last.
 *
 * It sees its exits from inside, as gaps: a round through one page takes some
 * ten instructions, an exit takes at least half an empty hypercall's time. At
 * the end the hypervisor's count of its exits must not exceed the gaps seen: so
 * no exit went unnoticed, and a look without a gap was a look without an exit.
 */
#include "guests/lib/control.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/tlb/tlb.h"

static uint64_t half_exit(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t t = rdtsc();

		hypercall_version(XENVER_version, 0);
		t = rdtsc() - t;
		if (t < least)
			least = t;
	}
	return least / 2;
}

static void note(struct tlb_reading *r, unsigned page, uint64_t round, uint64_t word0, uint64_t tag)
{
	r->bad_page = page;
	r->bad_round = round;
	r->bad_word0 = word0;
	r->bad_tag = tag;
}

/* word0 may be one ahead of the announcement: the write comes first. */
static void judge(struct tlb_reading *r, unsigned page, uint64_t round, uint64_t word0,
                  uint64_t tag)
{
	if (tag != tlb_tag(page) || word0 > round + 1) {
		if (!r->alien++)
			note(r, page, round, word0, tag);
	} else if (word0 < round) {
		if (!r->old_value++)
			note(r, page, round, word0, tag);
	}
}

static void look(struct tlb_reading *r, uint64_t seen[TLB_PAGES], uint64_t limit)
{
	uint64_t last = rdtsc();

	while (!tlb_stop) {
		for (unsigned i = 0; i < TLB_PAGES; i++) {
			uint64_t round = tlb_announced[i];
			uint64_t word0 = tlb_page[i][TLB_ROUND], tag = tlb_page[i][TLB_TAG];
			uint64_t now = rdtsc();
			bool gap = now - last > limit;

			judge(r, i, round, word0, tag);
			r->gaps += gap;
			if (round != seen[i]) {
				seen[i] = round;
				r->fresh += !gap;
				r->unproven += gap;
			}
			last = now;
		}
		r->loops++;
	}
}

void tlb_reader(void *reading)
{
	struct tlb_reading *r = reading;
	uint64_t seen[TLB_PAGES] = {0}, limit = half_exit();
	uint64_t before;

	for (unsigned i = 0; i < TLB_PAGES; i++)
		seen[i] = tlb_announced[i];
	before = control_exits().exits;
	tlb_ready = 1;
	look(r, seen, limit);
	/* Less the asking itself. */
	r->exits = control_exits().exits - before - 1;
}
