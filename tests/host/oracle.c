/* SPDX-License-Identifier: MIT */
/* All pairs, the slow and certain way: see tests/host/oracle.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mm/core.h"
#include "tests/host/oracle.h"

struct oracle_page {
	uint16_t group;
	const void *content;
};

static struct oracle_page *oracle_pages;
static size_t oracle_n, oracle_room;

static void oracle_add(uint16_t group, const void *content)
{
	if (oracle_n == oracle_room) {
		oracle_room = oracle_room ? 2 * oracle_room : 4096;
		oracle_pages = realloc(oracle_pages, oracle_room * sizeof(*oracle_pages));
		ASSERT(oracle_pages);
	}
	oracle_pages[oracle_n++] = (struct oracle_page){group, content};
}

static bool oracle_constant(const void *page)
{
	const unsigned char *p = page;

	return (p[0] == 0x00 || p[0] == 0xff) && memcmp(p, p + 1, PAGE_SIZE - 1) == 0;
}

static void oracle_collect(struct space *s)
{
	for (gfn_t g = p2m_next(s, GFN(0)); g.n < GFN_LIMIT; g = p2m_next(s, GFN(g.n + 1))) {
		struct p2m_view v = p2m_lookup(s, g);
		bool ours = v.type == P2M_PRIVATE || v.type == P2M_SHARED || v.type == P2M_ZERO ||
		            v.type == P2M_ONES;

		if (!ours || v.pinned || v.guest_table)
			continue;
		oracle_add(s->share_group, env_frame(v.mfn));
	}
}

static int oracle_order(const void *a, const void *b)
{
	const struct oracle_page *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->content == y->content) /* one frame */
		return 0;
	return memcmp(x->content, y->content, PAGE_SIZE);
}

uint64_t oracle_saved(void)
{
	uint64_t saved = 0;

	oracle_n = 0;
	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		if (space_find(d))
			oracle_collect(space_find(d));
	if (oracle_n)
		qsort(oracle_pages, oracle_n, sizeof(oracle_pages[0]), oracle_order);
	for (size_t i = 0; i < oracle_n; i++)
		saved += oracle_constant(oracle_pages[i].content) ||
		         (i > 0 && oracle_order(&oracle_pages[i - 1], &oracle_pages[i]) == 0);
	return saved;
}

static void oracle_fail(const char *what, uint64_t have, uint64_t want)
{
	fprintf(stderr, "# oracle: %s: %llu, expected %llu\n", what, (unsigned long long)have,
	        (unsigned long long)want);
	abort();
}

void oracle_audit(void)
{
	struct audit_report r = mm_audit();

	if (r.failures)
		oracle_fail(r.first, r.failures, 0);
}

void oracle_check_settled(void)
{
	scan_settle();
	oracle_audit();
	if (mm_stats().pages_saved != oracle_saved())
		oracle_fail("pages saved", mm_stats().pages_saved, oracle_saved());
}
