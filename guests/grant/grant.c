/* SPDX-License-Identifier: MIT */
/*
 * grant: do two domains share exactly the pages that one of them lends?
 *
 * Specification (role=lender peer=ID and role=borrower peer=ID, in two domains):
 *  - the borrower maps a page and both see each other's words in it; an event channel
 *    between them, whose port lies in that page, tells each of the other's;
 *  - a page that is lent for reading can be read and copied, and is not written: neither by a
 *    copy nor by a mapping;
 *  - a page that is lent to somebody else, or not at all, cannot be had;
 *  - while a page is lent it does not go out with the balloon, and the table says "in use";
 *  - the lender ends and is destroyed while one page is mapped: the borrower still
 *    reads there what was there, may write, and gives it back.
 */
#include "guests/grant/grant.h"
#include "guests/lib/clock.h"
#include "guests/lib/guest.h"
#include "guests/lib/options.h"
#include "guests/lib/tap.h"

void guest_main(void)
{
	unsigned peer = (unsigned)option_u64("peer", 0);

	clock_init();
	if (option_is("role", "lender"))
		lender(peer);
	else
		borrower(peer);
}
