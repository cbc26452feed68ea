/* SPDX-License-Identifier: MIT */
/* What the tests of the trace share: domains, a sink that keeps what it is told, and the check of that. */
#ifndef TESTS_UNIT_TRACE_TEST_H
#define TESTS_UNIT_TRACE_TEST_H

#include "mm/hash.h"
#include "mm/trace.h"
#include "tests/unit/mm_test.h"

#define DOMAINS 3u
#define PAGES   96u
#define CPUS    4u

static struct space guest[DOMAINS + 1];
static bool there[DOMAINS + 1];

/* ---- a sink that believes what it is told ---- */

static struct told {
	bool known;
	uint64_t value;
} told[DOMAINS + 1][LARGE_PAGES];

static uint64_t events[TRACE_TYPES];
static uint64_t pages_told_of = PAGES;
static bool room;
static struct trace_record last;

static void sink_put(struct trace_record r)
{
	assert_in_range(r.type, 1, TRACE_TYPES - 1);
	events[r.type]++;
	last = r;
	if (r.type == TRACE_WRITE) {
		assert_in_range(r.domid, 1, DOMAINS);
		assert_in_range(r.gfn, 0, pages_told_of - 1);
		told[r.domid][r.gfn] = (struct told){true, r.value};
	}
	for (uint64_t i = 0; r.type == TRACE_OUT && i < r.value; i++)
		told[r.domid][r.gfn + i].known = false;
	if (r.type == TRACE_CREATE || r.type == TRACE_DESTROY)
		memset(told[r.domid], 0, sizeof(told[r.domid]));
}

static bool sink_room(void)
{
	return room;
}

static const struct trace_sink sink = {sink_put, sink_room};

static inline int setup_with(struct host_config c)
{
	c.frames = 4096;
	c.cpus = CPUS;
	host_start(&c);
	memset(guest, 0, sizeof(guest));
	memset(there, 0, sizeof(there));
	memset(told, 0, sizeof(told));
	memset(events, 0, sizeof(events));
	room = true;
	pages_told_of = PAGES;
	return 0;
}

static inline int setup(void **state)
{
	(void)state;
	return setup_with((struct host_config){0});
}

static inline int setup_log(void **state)
{
	(void)state;
	return setup_with((struct host_config){.log = true});
}

static inline int setup_protect(void **state)
{
	(void)state;
	return setup_with((struct host_config){.format = &toy_format_no_dirty});
}

static inline int teardown(void **state)
{
	(void)state;
	trace_stop();
	guest_leave_all();
	host_stop();
	return 0;
}

static inline void pass(void)
{
	for (unsigned i = 0; i < 10000; i++)
		if (trace_step(50))
			return;
	fail_msg("the pass never ends");
}

/* ---- what pages hold, against what was told ---- */

/* A page's content as the guest sees it; false: it has none that a trace tells of. */
static inline bool content_of(domid_t d, uint64_t gfn, uint8_t *page)
{
	struct p2m_view v = p2m_lookup(&guest[d], GFN(gfn));

	if (v.type == P2M_UNTOUCHED || v.type == P2M_BALLOONED || v.type == P2M_NONE)
		return false;
	assert_int_equal(mm_read(&guest[d], PAGE(gfn), page, PAGE_SIZE), MM_OK);
	return true;
}

static inline bool all_bytes(const uint8_t *page, uint8_t byte)
{
	return page[0] == byte && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

/* Equal values for equal contents, and only for these. */
static inline void check_told(void)
{
	static uint8_t page[DOMAINS * PAGES][PAGE_SIZE];
	static uint64_t value[DOMAINS * PAGES];
	unsigned n = 0;

	for (domid_t d = 1; d <= DOMAINS; d++)
		for (uint64_t g = 0; there[d] && g < PAGES; g++) {
			if (!content_of(d, g, page[n])) {
				assert_false(told[d][g].known);
				continue;
			}
			if (!told[d][g].known)
				fail_msg("nothing was told of page %u of domain %u", (unsigned)g,
				         d);
			value[n] = told[d][g].value;
			assert_int_equal(value[n] == TRACE_ZERO, all_bytes(page[n], 0));
			assert_int_equal(value[n] == TRACE_ONES, all_bytes(page[n], 0xff));
			for (unsigned i = 0; i < n; i++)
				if ((value[i] == value[n]) != !memcmp(page[i], page[n], PAGE_SIZE))
					fail_msg("page %u of domain %u is not what was told",
					         (unsigned)g, d);
			n++;
		}
}

static inline void make(domid_t d)
{
	make_space(&guest[d], d, PAGES);
	there[d] = true;
}

#endif
