/* SPDX-License-Identifier: MIT */
/*
 * The two balloon calls with lists that lie: sizes that wrap, extents that
 * overlap each other or hold the list itself, orders no machine has.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define PAGES 16u
#define KEY   UINT64_C(0xba1100)

static uint8_t *area;

static long call(unsigned op, uint64_t list, uint64_t n, unsigned order, domid_t domid)
{
	struct xen_memory_reservation r = {.nr_extents = n, .extent_order = order, .domid = domid};

	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)list);
	return hypercall_memory(op, &r);
}

static bool area_right(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < PAGES; i++)
		bad += !pattern_verify(area + i * PAGE_SIZE, KEY + i, "area");
	return bad == 0;
}

struct row {
	const char *name;
	uint64_t list, n;
	unsigned order;
	domid_t domid;
};

/* None of these may do anything: an error, or 0 extents done. */
static void nothing_done(void)
{
	static uint64_t list[4];
	const struct row rows[] = {
	    {"nowhere",	                            UINT64_C(0x7000000000), 4,                 0,          DOMID_SELF},
	    {"not canonical",	                      UINT64_C(1) << 63,      4,                 0,          DOMID_SELF},
	    {"2^61 extents: 8 bytes each wrap to 0",       UINT64_C(0x7000000000), UINT64_C(1) << 61, 0,
	     DOMID_SELF	                                                                                             },
	    {"2^63 extents",	                       (uint64_t)list,         UINT64_C(1) << 63, 0,          DOMID_SELF},
	    {"the list over the end of the address space", UINT64_MAX - 8,         4,                 0,          DOMID_SELF},
	    {"order 64",	                           (uint64_t)list,         1,                 64,         DOMID_SELF},
	    {"order 2^32 - 1",                             (uint64_t)list,         1,                 UINT32_MAX, DOMID_SELF},
	    {"order 52",	                           (uint64_t)list,         1,                 52,         DOMID_SELF},
	    {"order 20",	                           (uint64_t)list,         1,                 20,         DOMID_SELF},
	    {"domain 0",	                           (uint64_t)list,         1,                 0,          0         },
	    {"domain 32767",	                       (uint64_t)list,         1,                 0,          32767     },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned op = XENMEM_decrease_reservation; op <= XENMEM_populate_physmap;
		     op += 5) {
			long before = balloon_reservation(), ret;

			list[0] = UINT64_C(1) << 40; /* no guest frame */
			ret = call(op, rows[i].list, rows[i].n, rows[i].order, rows[i].domid);
			tap_ok(ret <= 0 && balloon_reservation() == before,
			       "balloon op %u, %s: %ld", op, rows[i].name, ret);
		}
}

/* The same page twice in one list: once out is out. */
static void twice(void)
{
	uint64_t gfn = (uint64_t)area / PAGE_SIZE, list[3] = {gfn + 1, gfn + 1, gfn + 2};
	long before = balloon_reservation();

	tap_is(balloon_out(list, 3, 0), 1, "balloon: a page twice in a list goes out once");
	tap_is(balloon_reservation(), before - 1, "balloon: and counts once");
	tap_is(balloon_in(list, 2, 0), 1, "balloon: and comes in once");
	pattern_fill(area + PAGE_SIZE, KEY + 1);
	tap_ok(area_right(), "balloon: the others are as they were");
}

/* The list lies in the page that goes out. It is read before or it is not there. */
static void list_inside(void)
{
	uint64_t gfn = (uint64_t)area / PAGE_SIZE + 3, *list = (uint64_t *)(area + 3 * PAGE_SIZE);
	uint64_t back = gfn;
	long ret;

	for (unsigned i = 0; i < 4; i++)
		list[i] = gfn + i;
	ret = balloon_out(list, 4, 0);
	tap_ok(ret >= 1 && ret <= 4, "balloon: the list in the page that goes out: %ld done", ret);
	for (long i = 0; i < ret; i++, back++)
		balloon_in(&back, 1, 0);
	for (unsigned i = 3; i < 7; i++)
		pattern_fill(area + i * PAGE_SIZE, KEY + i);
	tap_ok(area_right(), "balloon: all is back");
}

/* The structure ends in a page that is not there. */
static void across(void)
{
	uint64_t gfn = (uint64_t)area / PAGE_SIZE;
	long ret =
	    hypercall_memory(XENMEM_decrease_reservation, (void *)(UINT64_C(0x100000000) - 16));

	/* As Xen answers: the number of extents done, which is none. */
	tap_is(ret, 0, "balloon: the structure over the end of what is mapped");
	ret = call(XENMEM_populate_physmap, (uint64_t)&gfn, 1, 0, DOMID_SELF);
	tap_ok(ret <= 0, "balloon: populate of a page that is there: %ld", ret);
	tap_ok(area_right(), "balloon: which keeps its content");
}

void attack_balloon(void)
{
	area = memory_take(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		pattern_fill(area + i * PAGE_SIZE, KEY + i);
	nothing_done();
	twice();
	list_inside();
	across();
}
