/* SPDX-License-Identifier: MIT */
#include "guests/grant/grant.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

static struct gnttab_map_grant_ref op;

/* A place without memory: a page that was given back. */
static void *hole(void)
{
	void *page = memory_take(1);

	balloon_run_out((uint64_t)page / PAGE_SIZE, 1);
	return page;
}

static int map(unsigned peer, unsigned ref, void *at, uint32_t flags)
{
	op = (struct gnttab_map_grant_ref){.host_addr = (uint64_t)at,
	                                   .flags = GNTMAP_host_map | flags,
	                                   .ref = ref,
	                                   .dom = (domid_t)peer};
	return hypercall_grant(GNTTABOP_map_grant_ref, &op, 1) ? -99 : op.status;
}

static int unmap(void *at, uint32_t handle)
{
	struct gnttab_unmap_grant_ref u = {.host_addr = (uint64_t)at, .handle = handle};

	return hypercall_grant(GNTTABOP_unmap_grant_ref, &u, 1) ? -99 : u.status;
}

/* 16 bytes: from a reference to a page of ours, or back. */
static int copy(unsigned peer, unsigned ref, void *page, bool back)
{
	const struct gnttab_copy_ptr theirs = {.u.ref = ref, .domid = (domid_t)peer};
	const struct gnttab_copy_ptr ours = {.u.gmfn = (uint64_t)page / PAGE_SIZE,
	                                     .domid = DOMID_SELF};
	struct gnttab_copy c = {.source = back ? ours : theirs,
	                        .dest = back ? theirs : ours,
	                        .len = 16,
	                        .flags = back ? GNTCOPY_dest_gref : GNTCOPY_source_gref};

	return hypercall_grant(GNTTABOP_copy, &c, 1) ? -99 : c.status;
}

static void test_read_only(unsigned peer)
{
	uint8_t *page = memory_take(1), *place = hole();

	page[0] = 1;
	tap_is(copy(peer, REF_READ, page, false), GNTST_okay, "a page is copied by reference");
	tap_ok(page[0] == READ_BYTE && page[15] == READ_BYTE && page[16] == 0, "16 bytes of it");
	tap_is(copy(peer, REF_READ, page, true), GNTST_general_error,
	       "it is not written by a copy");
	tap_is(map(peer, REF_READ, place, 0), GNTST_general_error, "nor mapped to be written");
	tap_is(map(peer, REF_READ, place, GNTMAP_readonly), GNTST_okay, "but to be read");
	tap_ok(place[PAGE_SIZE - 1] == READ_BYTE, "and holds what it should");
	tap_is(unmap(place, op.handle), GNTST_okay, "it is given back");
}

static void test_refused(unsigned peer)
{
	void *place = hole();

	tap_is(map(peer, REF_OTHER, place, 0), GNTST_bad_gntref, "a page lent to another");
	tap_is(map(peer, REF_OTHER + 1, place, 0), GNTST_bad_gntref, "one that is not lent");
	tap_is(map(peer, 1u << 30, place, 0), GNTST_bad_gntref, "a reference beyond the table");
	tap_is(map(254, REF_SHARED, place, 0), GNTST_bad_domain, "of nobody");
	tap_is(map(peer, REF_SHARED, memory_take(1), 0), GNTST_bad_virt_addr,
	       "where there is memory");
	tap_is(unmap(place, 1u << 30), GNTST_bad_handle, "a handle that never was");
}

static unsigned bind(unsigned peer, const struct shared_page *p)
{
	struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)peer, .remote_port = p->port};

	tap_is(hypercall_evtchn(EVTCHNOP_bind_interdomain, &b), 0, "its port is bound");
	return b.local_port;
}

/* Until the lender is gone: then our port has nobody at its other end. */
static void wait_for_the_end(unsigned port)
{
	struct evtchn_status s;

	do {
		clock_sleep_ms(10);
		s = (struct evtchn_status){.dom = DOMID_SELF, .port = port};
	} while (!hypercall_evtchn(EVTCHNOP_status, &s) && s.status == EVTCHNSTAT_interdomain);
}

void borrower(unsigned peer)
{
	struct shared_page *p = hole();
	struct evtchn_send send;
	uint32_t shared;

	while (map(peer, REF_SHARED, p, 0) != GNTST_okay)
		clock_sleep_ms(5); /* it is not lent yet */
	shared = op.handle;
	tap_ok(op.dev_bus_addr == 0, "no machine address is told");
	tap_ok(p->word == WORD_LENDER, "the lender's word is in the page");
	send.port = bind(peer, p);
	p->word = WORD_BORROWER;
	hypercall_evtchn(EVTCHNOP_send, &send);
	test_read_only(peer);
	test_refused(peer);
	p->done = 1;
	wait_for_the_end(send.port);
	tap_ok(p->word == WORD_BORROWER && p->done == 1, "the page holds what it did: %x", p->word);
	p->word = 7;
	tap_is(p->word, 7, "and can be written");
	tap_is(unmap(p, shared), GNTST_okay, "it is given back");
	tap_is(unmap(p, shared), GNTST_bad_handle, "once");
}
