/* SPDX-License-Identifier: MIT */
#include "guests/grant/grant.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

static struct grant_entry_v1 *table;

static bool table_init(void)
{
	struct xen_add_to_physmap x = {.domid = DOMID_SELF, .space = XENMAPSPACE_grant_table};
	struct gnttab_query_size q = {.dom = DOMID_SELF};
	struct gnttab_set_version v = {2};

	table = memory_take(1);
	x.gpfn = (uint64_t)table / PAGE_SIZE;
	tap_is(hypercall_grant(GNTTABOP_set_version, &v, 1), -XEN_ENOSYS, "version 2 is refused");
	tap_is(v.version, 1, "there is version 1");
	if (!tap_is(hypercall_memory(XENMEM_add_to_physmap, &x), 0, "the table has a place"))
		return false;
	hypercall_grant(GNTTABOP_query_size, &q, 1);
	return tap_ok(q.status == 0 && q.nr_frames == 1 && q.max_nr_frames >= 1,
	              "it has one page of %u", q.max_nr_frames);
}

static void lend(unsigned ref, unsigned peer, const void *page, uint16_t flags)
{
	table[ref].domid = (uint16_t)peer;
	table[ref].frame = (uint32_t)((uint64_t)page / PAGE_SIZE);
	__atomic_store_n(&table[ref].flags, GTF_permit_access | flags, __ATOMIC_SEQ_CST);
}

static bool in_use(unsigned ref)
{
	return __atomic_load_n(&table[ref].flags, __ATOMIC_SEQ_CST) & (GTF_reading | GTF_writing);
}

static unsigned offer(unsigned peer)
{
	struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)peer};

	tap_is(hypercall_evtchn(EVTCHNOP_alloc_unbound, &a), 0, "a port is offered");
	event_unmask(a.port);
	return a.port;
}

void lender(unsigned peer)
{
	struct shared_page *p = memory_take(1);
	uint8_t *read_only = memory_take(1), *other = memory_take(1);
	uint64_t gfn = (uint64_t)p / PAGE_SIZE;

	if (!table_init())
		return;
	memset(read_only, READ_BYTE, PAGE_SIZE);
	other[0] = 1;
	p->word = WORD_LENDER;
	p->port = offer(peer);
	lend(REF_READ, peer, read_only, GTF_readonly);
	lend(REF_OTHER, 200, other, 0);
	lend(REF_SHARED, peer, p, 0);
	/* The borrower sends once when it has mapped the page, once when it is done. */
	event_wait(&event_count[p->port], 0);
	tap_ok(p->word == WORD_BORROWER, "the borrower's word is in our page");
	tap_ok(in_use(REF_SHARED), "the table says that it is in use");
	tap_is(balloon_out(&gfn, 1, 0), 0, "it does not go out with the balloon");
	while (!p->done)
		clock_sleep_ms(5);
	tap_ok(!in_use(REF_READ), "the page to be read is in use no more");
	tap_ok(read_only[0] == READ_BYTE && read_only[PAGE_SIZE - 1] == READ_BYTE,
	       "and holds what it did");
	/* It ends with the shared page still mapped. */
}
