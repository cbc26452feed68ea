/* SPDX-License-Identifier: MIT */
/*
 * The pages that this guest shares with the hypervisor: the rings of console and
 * xenstore, with indices that cannot be and garbage all over, and the ACPI tables
 * overwritten. The hypervisor must take what makes sense, answer each bell, and
 * keep the pages: none of them is this guest's to give back.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

#include <xen/io/console.h>

#define FLOODS 4u /* what a guest may print is rationed, and its verdicts are to be heard */

static uint64_t param(unsigned index)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};

	return hypercall_hvm(HVMOP_get_param, &p) ? 0 : p.value;
}

static long ring(uint64_t port)
{
	struct evtchn_send s = {.port = (evtchn_port_t)port};

	return hypercall_evtchn(EVTCHNOP_send, &s);
}

static void console_indices(volatile struct xencons_interface *r, uint64_t port)
{
	static const uint32_t bad[] = {0, 1, 2049, 0x7fffffff, 0x80000000, UINT32_MAX};
	unsigned n = 0;

	for (unsigned at = 0; at < sizeof(r->out); at++) /* lines that are no TAP */
		r->out[at] = "#\n"[at % 64 == 63];
	for (unsigned i = 0; i < 6 * 6; i++) {
		r->out_prod = bad[i / 6];
		r->out_cons = bad[i % 6];
		r->in_prod = bad[(i + 1) % 6];
		r->in_cons = bad[(i + 3) % 6];
		n += ring(port) == 0 && r->out_cons == r->out_prod;
	}
	r->out_prod = r->out_cons;
	r->out[r->out_prod++ % sizeof(r->out)] = '\n';
	ring(port);
	tap_is(n, 6 * 6, "rings: console indices that cannot be leave an empty ring");
}

static void console_flood(volatile struct xencons_interface *r, uint64_t port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FLOODS; i++) {
		r->out_prod += sizeof(r->out);
		n += ring(port) == 0 && r->out_cons == r->out_prod;
	}
	r->out[r->out_prod++ % sizeof(r->out)] = '\n'; /* the verdict on a line of its own */
	ring(port);
	tap_is(n, FLOODS, "rings: a full console ring, time after time");
}

static void garbage(volatile uint8_t *page, uint64_t port, const char *what)
{
	uint32_t x = 0x2545f491;
	unsigned n = 0;

	for (unsigned round = 0; round < 16; round++) {
		for (unsigned i = 0; i < PAGE_SIZE; i++) {
			x = x * 1664525 + 1013904223;
			page[i] = round == 0 ? 0xff : round == 1 ? 0 : (uint8_t)(x >> 24);
		}
		n += ring(port) == 0;
	}
	tap_is(n, 16, "rings: garbage in the page of the %s", what);
}

/* No page of ours can be ballooned out: it is no memory of this guest. */
static void give_back(void)
{
	static const uint32_t pages[] = {0xfeff8, 0xfeffc, 0xfefff};

	for (unsigned i = 0; i < 3; i++)
		tap_is(balloon_run_out(pages[i], 1), 0, "rings: page %x cannot be given back",
		       pages[i]);
}

void attack_rings(void)
{
	uint64_t console = param(HVM_PARAM_CONSOLE_PFN), port = param(HVM_PARAM_CONSOLE_EVTCHN);
	uint64_t store = param(HVM_PARAM_STORE_PFN), store_port = param(HVM_PARAM_STORE_EVTCHN);
	struct evtchn_close c = {.port = (evtchn_port_t)port};

	tap_is((long)console, 0xfefff, "rings: the console is where it should be");
	tap_is((long)store, 0xfeffc, "rings: and so is the store");
	give_back();
	console_indices((void *)(console * PAGE_SIZE), port);
	console_flood((void *)(console * PAGE_SIZE), port);
	garbage((void *)(store * PAGE_SIZE), store_port, "store");
	memset((void *)(UINT64_C(0xfeff8) * PAGE_SIZE), 0xff,
	       PAGE_SIZE); /* nobody reads it but us */
	tap_is(hypercall_evtchn(EVTCHNOP_close, &c), 0, "rings: the console's port can be closed");
	tap_is(ring(port), -XEN_EINVAL, "rings: and then rings no bell");
	tap_is((long)param(HVM_PARAM_CONSOLE_EVTCHN), 0, "rings: nor is it told any more");
}
