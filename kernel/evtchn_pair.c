/* SPDX-License-Identifier: MIT */
/*
 * Event channels between two domains. One offers a port to a certain other
 * (alloc_unbound), the other binds it to a port of its own; from then on, what one sends is
 * pending at the other's. Where one end closes, the other becomes an offer again.
 *
 * Two domains, two locks. All that makes, breaks or walks along a pair holds
 * pair_lock, and inside it one domain's event_lock at a time: so there is no order
 * between domains to keep. A domain is in `peers` from when it can be reached to when
 * its last pair is broken; who finds it there under pair_lock may use it.
 */
#include "kernel/evtchn.h"
#include "kernel/xen_abi.h"

static struct spinlock pair_lock;
static struct domain *peers[MAX_DOMAINS];

/* pair_lock held. NULL: there is none, or it is about to go. */
static struct domain *pair_domain(domid_t id)
{
	return id < MAX_DOMAINS ? peers[id & (MAX_DOMAINS - 1)] : NULL;
}
ASSERT_STATIC((MAX_DOMAINS & (MAX_DOMAINS - 1)) == 0);

void evtchn_peer_add(struct domain *d)
{
	spin_lock(&pair_lock);
	peers[d->id] = d;
	spin_unlock(&pair_lock);
}

int64_t evtchn_alloc_unbound(struct domain *d, domid_t remote)
{
	const struct evtchn e = {.state = EVTCHN_UNBOUND,
	                         .remote_domain = remote == DOMID_SELF ? d->id : remote};
	int64_t rc;

	spin_lock(&d->event_lock);
	rc = evtchn_take(d, &e);
	spin_unlock(&d->event_lock);
	return rc;
}

/* pair_lock held: the offer of r's port is d's to take, and is taken. */
static bool pair_accept(struct domain *r, uint32_t port, const struct domain *d, uint32_t local)
{
	struct evtchn *e;
	bool ok;

	spin_lock(&r->event_lock);
	e = evtchn_of(r, port);
	ok = e && e->state == EVTCHN_UNBOUND && e->remote_domain == d->id;
	if (ok) {
		e->state = EVTCHN_INTERDOMAIN;
		e->remote_port = (uint16_t)local;
	}
	spin_unlock(&r->event_lock);
	return ok;
}

static int64_t pair_bind(struct domain *d, struct domain *r, uint32_t remote_port)
{
	const struct evtchn e = {.state = EVTCHN_INTERDOMAIN,
	                         .remote_domain = r->id,
	                         .remote_port = (uint16_t)remote_port};
	int64_t local;

	spin_lock(&d->event_lock);
	local = evtchn_take(d, &e);
	spin_unlock(&d->event_lock);
	if (local < 0)
		return local;
	if (pair_accept(r, remote_port, d, (uint32_t)local)) {
		/* What was sent while nobody was bound is lost: let it look. */
		evtchn_send_port(d, (unsigned)local);
		return local;
	}
	spin_lock(&d->event_lock);
	evtchn_release(d, (uint32_t)local);
	spin_unlock(&d->event_lock);
	return -XEN_EINVAL;
}

int64_t evtchn_bind_interdomain(struct domain *d, domid_t remote, uint32_t remote_port)
{
	struct domain *r;
	int64_t rc = -XEN_ESRCH;

	if (remote_port >= MAX_EVTCHNS)
		return -XEN_EINVAL;
	spin_lock(&pair_lock);
	r = pair_domain(remote == DOMID_SELF ? d->id : remote);
	if (r && pair_domain(d->id))
		rc = pair_bind(d, r, remote_port);
	spin_unlock(&pair_lock);
	return rc;
}

/* pair_lock held: the other end of d's port, if it is still one of a pair. */
static struct domain *pair_other(struct domain *d, uint32_t port, uint32_t *other)
{
	struct domain *r = NULL;
	struct evtchn *e;

	spin_lock(&d->event_lock);
	e = evtchn_of(d, port);
	if (e && e->state == EVTCHN_INTERDOMAIN) {
		r = pair_domain(e->remote_domain);
		*other = e->remote_port;
		ASSERT(r);
	}
	spin_unlock(&d->event_lock);
	return r;
}

int64_t evtchn_send_pair(struct domain *d, uint32_t port)
{
	struct domain *r;
	uint32_t other;

	spin_lock(&pair_lock);
	r = pair_other(d, port, &other);
	if (r)
		evtchn_send_port(r, other);
	spin_unlock(&pair_lock);
	return r ? 0 : -XEN_EINVAL;
}

/* pair_lock held: port is free, the other end an offer to this domain again. */
static void pair_break(struct domain *d, uint32_t port, struct domain *r, uint32_t other)
{
	spin_lock(&r->event_lock);
	r->evtchn[other].state = EVTCHN_UNBOUND;
	r->evtchn[other].remote_port = 0;
	spin_unlock(&r->event_lock);
	spin_lock(&d->event_lock);
	evtchn_release(d, port);
	spin_unlock(&d->event_lock);
}

int64_t evtchn_close_pair(struct domain *d, uint32_t port)
{
	struct domain *r;
	uint32_t other;

	spin_lock(&pair_lock);
	r = pair_other(d, port, &other);
	if (r)
		pair_break(d, port, r, other);
	spin_unlock(&pair_lock);
	return r ? 0 : -XEN_EINVAL;
}

void evtchn_peer_remove(struct domain *d)
{
	struct domain *r;
	uint32_t other;

	spin_lock(&pair_lock);
	for (unsigned port = 1; peers[d->id] && port < MAX_EVTCHNS; port++) {
		r = pair_other(d, port, &other);
		if (r)
			pair_break(d, port, r, other);
	}
	peers[d->id] = NULL;
	spin_unlock(&pair_lock);
}
