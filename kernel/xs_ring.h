/* SPDX-License-Identifier: MIT */
/*
 * The ring page: bytes of requests one way, bytes of answers and events the other
 * (docs/misc/xenstore-ring.txt of Xen). The guest may write anything anywhere in
 * it at any time. So each of its two indices is read once a turn, checked and masked,
 * ours are kept elsewhere, and bytes are copied out before they are looked at.
 */
#ifndef KERNEL_XS_RING_H
#define KERNEL_XS_RING_H

#include "kernel/xs_conn.h"

struct xs_turn {
	bool more;   /* there is more to do at once */
	bool notify; /* the guest has something to see */
};

/*
 * Serve at most XS_TURN messages. Stops where the guest's request is not whole yet, or the
 * ring for answers is full; what was begun goes on next time. c->lock held.
 */
#define XS_TURN 8u
struct xs_turn xs_ring_turn(struct xs_conn *c, struct xenstore_domain_interface *ring) must_check;

/* What the page holds at first: nothing, and the features that we have. */
void xs_ring_init(struct xenstore_domain_interface *ring);

#endif
