/* SPDX-License-Identifier: MIT */
/*
 * VMware ESX Server (Waldspurger, "Memory Resource Management in VMware ESX Server", OSDI 2002,
 * section 4.3), as a policy.
 *
 * No round: pages are picked at random, at so many a second for each guest and for the whole
 * machine. A page is read and looked up. If there is a shared page of its content it is
 * merged; if there is a hint, it is merged with that page, provided that this one still has
 * that content; else it becomes a hint. Nothing is ever forgotten, and nothing has to have been
 * quiet: a hint does not write-protect its page, so whether it still holds is found out at a match.
 *
 * The rates are those of ESX Server 2 (its administration guide: Mem.ShareScanVM, 50 pages a
 * second for each virtual machine, and Mem.ShareScanTotal, 200 in all); later versions give a
 * time for a whole virtual machine instead, an hour. At these rates a guest of 256 MiB is gone
 * through in 22 minutes, as far as chance has it: of n pages, n picks leave 37 % out.
 *
 * What differs. ESX keeps 16 bits of a hint's hash and reads the hint's page once more at a match;
 * ours has all 32, and the compare of the merge finds out. It also looks for sharing before it
 * pages something out, and it backs guests by large pages, which it breaks when memory is short:
 * neither is here. A pick may fall on a page that a guest has never touched; it is lost.
 */
#include "mm/policy/policy.h"

static _Atomic uint64_t share_scan_vm, share_scan_total;

static const struct scan_knob esx_knobs[] = {
    {"share_scan_vm",    50,  0, UINT32_MAX, &share_scan_vm,    "pages a second for each guest, at most"},
    {"share_scan_total", 200, 0, UINT32_MAX, &share_scan_total, "pages a second for all, at most"       },
    {NULL,               0,   0, 0,          NULL,              NULL                                    },
};

#define ESX_PAGE                                                                                   \
	UINT64_C(1000000) /* what a page costs: a microsecond earns as much as pages a second */

/* Guarded by the scan lock. */
static struct {
	uint64_t random;
	uint64_t now_us, total;
	domid_t turn; /* whose the last pick was */
	uint64_t credit[MM_MAX_SPACES];
	bool paced;
} esx;

static void esx_start(void)
{
	esx.random = env_random() | 1;
	esx.now_us = 0;
	esx.total = 0;
	esx.turn = 0;
	for (domid_t d = 0; d < MM_MAX_SPACES; d++)
		esx.credit[d] = 0;
}

static uint64_t esx_random(uint64_t n)
{
	esx.random ^= esx.random << 13;
	esx.random ^= esx.random >> 7;
	esx.random ^= esx.random << 17;
	return (esx.random >> 11) % n;
}

/* What was earned since the last slice. Nothing is saved up for longer than a second. */
static uint64_t esx_earn(uint64_t credit, uint64_t us, uint64_t rate)
{
	uint64_t most = max_u64(rate, 1) * ESX_PAGE;

	return min_u64(credit + min_u64(us, 1000000) * rate, most);
}

static bool esx_next(struct scan_cursor *at, const struct scan_pass *last)
{
	uint64_t now, us;

	(void)at;
	(void)last;
	esx.paced = scan_clock(&now);
	if (!esx.paced)
		return true;
	us = esx.now_us ? now - esx.now_us : 0;
	esx.now_us = now;
	esx.total = esx_earn(esx.total, us, scan_knob(&share_scan_total));
	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		esx.credit[d] = esx_earn(esx.credit[d], us, scan_knob(&share_scan_vm));
	return esx.total >= ESX_PAGE;
}

static uint64_t esx_pages(const struct space *s)
{
	return s->low_pages + s->high_pages;
}

static struct scan_cursor esx_page(const struct space *s, uint64_t n)
{
	return (struct scan_cursor){
	    s->domid, n < s->low_pages ? GFN(n) : GFN(s->high_first + n - s->low_pages)};
}

/* Guests in turn, of those that have not had their share. */
static bool esx_pick_paced(struct scan_cursor *page)
{
	for (domid_t i = 1; i < MM_MAX_SPACES && esx.total >= ESX_PAGE; i++) {
		domid_t d = (domid_t)((esx.turn + i - 1) % (MM_MAX_SPACES - 1) + 1);
		struct space *s = space_find(d);

		if (!s || !esx_pages(s) || esx.credit[d] < ESX_PAGE)
			continue;
		esx.turn = d;
		esx.credit[d] -= ESX_PAGE;
		esx.total -= ESX_PAGE;
		*page = esx_page(s, esx_random(esx_pages(s)));
		return true;
	}
	return false;
}

/* Without a clock: any page of any guest. */
static bool esx_pick_any(struct scan_cursor *page)
{
	uint64_t pages = 0, n;

	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		pages += space_find(d) ? esx_pages(space_find(d)) : 0;
	if (!pages)
		return false;
	n = esx_random(pages);
	for (domid_t d = 1; d < MM_MAX_SPACES; d++) {
		struct space *s = space_find(d);

		if (s && n < esx_pages(s)) {
			*page = esx_page(s, n);
			return true;
		}
		n -= s ? esx_pages(s) : 0;
	}
	return false;
}

static bool esx_pick(struct scan_cursor *page)
{
	return esx.paced ? esx_pick_paced(page) : esx_pick_any(page);
}

static enum scan_want esx_look(const struct scan_look *p)
{
	return p->merged ? SCAN_SKIP : SCAN_READ;
}

const struct scan_policy policy_esx = {
    .name = "esx",
    .help = "random pages, at a rate for each guest; hints that are never forgotten (ESX, 2002)",
    .knobs = esx_knobs,
    .blind = true,
    .picks_only = true,
    .start = esx_start,
    .next = esx_next,
    .pick = esx_pick,
    .look = esx_look,
};
