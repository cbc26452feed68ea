/* SPDX-License-Identifier: MIT */
/* The oracle beside a replay: see replay_truth.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/replay_truth.h"

#define DOMAINS 256u
#define NO_PAGE UINT64_MAX
#define NEVER   UINT64_MAX

struct page {
	uint32_t content;
	bool shared;
	uint64_t next, prev; /* of the same content and group: domain << 32 | guest frame */
	uint64_t equal_ns;   /* since when it waits; NEVER: it does not */
};

struct holders {
	uint64_t key; /* group << 32 | content, and one more: 0 is an empty place */
	uint64_t count, first;
};

static struct {
	struct page *page;
	uint64_t pages;
	uint16_t group;
} domains[DOMAINS];

static struct holders *table;
static uint64_t table_mask, table_used;

uint64_t truth_savable, truth_patience_ns;
struct truth_waits truth_waits;
bool (*truth_is_shared)(uint8_t domid, uint64_t gfn);

static void *must(void *p)
{
	if (!p) {
		fputs("no memory for the oracle\n", stderr);
		exit(1);
	}
	return p;
}

/* ---- who holds a content ---- */

static struct holders *place(uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);

	for (h ^= h >> 29;; h++) {
		struct holders *p = &table[h & table_mask];

		if (!p->key || p->key == key)
			return p;
	}
}

static void grow(void)
{
	struct holders *old = table;
	uint64_t n = old ? table_mask + 1 : 0;

	table_mask = n ? 2 * n - 1 : 65535;
	table = must(calloc(table_mask + 1, sizeof(*table)));
	for (uint64_t i = 0; i < n; i++)
		if (old[i].key)
			*place(old[i].key) = old[i];
	free(old);
}

static struct holders *holders_of(uint16_t group, uint32_t content)
{
	uint64_t key = ((uint64_t)group << 32 | content) + 1;
	struct holders *p;

	if (!table || 2 * table_used > table_mask)
		grow();
	p = place(key);
	if (!p->key) {
		*p = (struct holders){.key = key, .first = NO_PAGE};
		table_used++;
	}
	return p;
}

static struct page *page_of(uint64_t id)
{
	return &domains[id >> 32].page[id & UINT32_MAX];
}

static bool constant(uint32_t content)
{
	return content < 2;
}

/* ---- waits ---- */

static void wait_add(uint64_t ns)
{
	if (truth_waits.n == truth_waits.room) {
		truth_waits.room = truth_waits.room ? 2 * truth_waits.room : 65536;
		truth_waits.ns =
		    must(realloc(truth_waits.ns, truth_waits.room * sizeof(*truth_waits.ns)));
	}
	truth_waits.ns[truth_waits.n++] = ns;
}

static void wait_begin(uint64_t id, uint64_t now)
{
	struct page *p = page_of(id);

	if (p->shared)
		return;
	if (truth_is_shared && truth_is_shared((uint8_t)(id >> 32), id & UINT32_MAX))
		p->shared = true; /* it was when its twin went, and stayed so */
	else
		p->equal_ns = now;
}

static void wait_in_vain(struct page *p, uint64_t now)
{
	if (p->equal_ns == NEVER)
		return;
	if (now - p->equal_ns < truth_patience_ns)
		truth_waits.vain_short++;
	else
		truth_waits.vain_long++;
	p->equal_ns = NEVER;
}

void truth_shared(uint8_t domid, uint64_t gfn, uint64_t now)
{
	struct page *p = &domains[domid].page[gfn];

	if (gfn >= domains[domid].pages)
		return;
	if (p->equal_ns == 0)
		truth_waits.cold++;
	else if (p->equal_ns != NEVER)
		wait_add(now - p->equal_ns);
	p->equal_ns = NEVER;
	p->shared = true;
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t truth_quantile(double q)
{
	if (!truth_waits.n)
		return 0;
	qsort(truth_waits.ns, truth_waits.n, sizeof(*truth_waits.ns), order);
	return truth_waits.ns[(uint64_t)(q * (double)(truth_waits.n - 1) + 0.5)];
}

/* ---- contents ---- */

static void leave(uint64_t id, uint64_t now)
{
	struct page *p = page_of(id);
	struct holders *h;

	wait_in_vain(p, now);
	p->shared = false;
	if (p->content == TRUTH_NOTHING)
		return;
	h = holders_of(domains[id >> 32].group, p->content);
	if (p->prev != NO_PAGE)
		page_of(p->prev)->next = p->next;
	else
		h->first = p->next;
	if (p->next != NO_PAGE)
		page_of(p->next)->prev = p->prev;
	truth_savable -= constant(p->content) || h->count > 1;
	h->count--;
	if (!constant(p->content) && h->count == 1) {
		wait_in_vain(page_of(h->first), now);
		page_of(h->first)->shared = false;
	}
	p->content = TRUTH_NOTHING;
}

static void enter(uint64_t id, uint32_t content, uint64_t now)
{
	struct page *p = page_of(id);
	struct holders *h = holders_of(domains[id >> 32].group, content);

	p->content = content;
	p->prev = NO_PAGE;
	p->next = h->first;
	if (h->first != NO_PAGE)
		page_of(h->first)->prev = id;
	h->first = id;
	h->count++;
	truth_savable += constant(content) || h->count > 1;
	if (!constant(content) && h->count == 2)
		wait_begin(p->next, now);
	if (constant(content) || h->count > 1)
		p->equal_ns = now; /* written just now: nobody can have it shared */
}

void truth_set(uint8_t domid, uint64_t gfn, uint32_t content, uint64_t now)
{
	uint64_t id = (uint64_t)domid << 32 | gfn;

	if (gfn >= domains[domid].pages) {
		uint64_t n = gfn + gfn / 4 + 1;

		domains[domid].page = must(realloc(domains[domid].page, n * sizeof(struct page)));
		for (uint64_t i = domains[domid].pages; i < n; i++)
			domains[domid].page[i] = (struct page){.content = TRUTH_NOTHING,
			                                       .next = NO_PAGE,
			                                       .prev = NO_PAGE,
			                                       .equal_ns = NEVER};
		domains[domid].pages = n;
	}
	leave(id, now);
	if (content != TRUTH_NOTHING)
		enter(id, content, now);
}

uint32_t truth_get(uint8_t domid, uint64_t gfn)
{
	return gfn < domains[domid].pages ? domains[domid].page[gfn].content : TRUTH_NOTHING;
}

uint64_t truth_pages(uint8_t domid)
{
	return domains[domid].pages;
}

/* ---- domains ---- */

void truth_create(uint8_t domid, uint16_t group, uint64_t pages)
{
	domains[domid].group = group;
	if (pages)
		truth_set(domid, pages - 1, TRUTH_NOTHING, 0);
}

void truth_destroy(uint8_t domid, uint64_t now)
{
	for (uint64_t g = 0; g < domains[domid].pages; g++)
		leave((uint64_t)domid << 32 | g, now);
	free(domains[domid].page);
	domains[domid].page = NULL;
	domains[domid].pages = 0;
}

void truth_end(uint64_t now)
{
	for (unsigned d = 0; d < DOMAINS; d++)
		for (uint64_t g = 0; g < domains[d].pages; g++)
			wait_in_vain(&domains[d].page[g], now);
}
