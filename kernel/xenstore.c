/* SPDX-License-Identifier: MIT */
/*
 * See xenstore.h. The parts, from the guest inwards:
 *
 *	xs_ring.c	bytes of the ring page, and how far to go in one turn
 *	xs_request.c	a whole message, answered
 *	xs_path.c	which names a guest may say
 *	xs_store.c	the tree;  xs_tx.c  copies of it;  xs_watch.c  who is told
 *	xs_heap.c	where strings lie
 *
 * Work is done on the CPU that asked: in the hypercall that sends to the store's event
 * channel, a few messages a turn, and by the monitor when it writes. There is no thread.
 */
#include "kernel/xenstore.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/xs_ring.h"

#define KIB_PER_PAGE  (PAGE_SIZE / 1024u)
#define MONITOR_TURNS 32u

/* ---- the tree at first, as Xen's toolstack leaves it ---- */

static void put(struct xs_store *s, const char *path, const char *value)
{
	int rc =
	    xs_store_write(s, XS_HYPERVISOR, path, strlen(path), value, value ? strlen(value) : 0);

	ASSERT(!rc); /* a new tree has room for this */
}

static void put_number(struct xs_store *s, const char *path, uint64_t n)
{
	char text[24];

	text_format(text, sizeof(text), "%lu", n);
	put(s, path, text);
}

static void put_theirs(struct xs_store *s, const char *path)
{
	put(s, path, NULL);
	xs_store_give(s, path, XS_OWNED);
}

static void tree_fill(struct xs_store *s, const struct domain *d)
{
	static const char *const theirs[] = {"control/shutdown", "control/sysrq", "data", "device",
	                                     "drivers",          "attr",          "error"};
	const struct space *space = &d->space;

	put(s, "name", d->name);
	put_number(s, "domid", d->id);
	/* What the memory map shows: the guest takes the difference for its own loss. */
	put_number(s, "memory/static-max", (space->low_pages + space->high_pages) * KIB_PER_PAGE);
	put_number(s, "memory/target", d->target_pages * KIB_PER_PAGE);
	for (unsigned i = 0; i < d->config.vcpus && i < MAX_VCPUS; i++) {
		char path[32];

		text_format(path, sizeof(path), "cpu/%u/availability", i);
		put(s, path, "online");
	}
	put(s, "control/platform-feature-xs_reset_watches", "1");
	xs_store_give(s, "control", XS_FEATURES);
	for (unsigned i = 0; i < ARRAY_SIZE(theirs); i++)
		put_theirs(s, theirs[i]);
}

/* ---- life ---- */

static struct xenstore_domain_interface *ring_of(struct domain *d)
{
	return (struct xenstore_domain_interface *)(void *)d->special[SPECIAL_STORE].page;
}

bool xenstore_create(struct domain *d)
{
	struct xs_conn *c = xs_conn_make(d->id);

	if (!c)
		return false;
	if (!special_make_ring(d, SPECIAL_STORE)) {
		xs_conn_free(c);
		return false;
	}
	tree_fill(c->store, d);
	xs_ring_init(ring_of(d));
	d->store = c;
	return true;
}

void xenstore_free(struct domain *d)
{
	if (d->store)
		xs_conn_free(d->store);
	d->store = NULL;
}

/* ---- work ---- */

static void store_complain(struct domain *d, struct xs_conn *c)
{
	if (!c->error || c->complained)
		return;
	c->complained = true;
	log_warn("domain %u (%s): its xenstore ring makes no sense (%s): not looked at any more",
	         d->id, d->name,
	         c->error == XENSTORE_ERROR_PROTO ? "a message that is too long" : "indices");
}

/* True: there is more to do. c->lock held. */
static bool store_turn(struct domain *d, struct xs_conn *c)
{
	struct xs_turn turn = xs_ring_turn(c, ring_of(d));

	store_complain(d, c);
	if (turn.notify)
		evtchn_send_port(d, d->special[SPECIAL_STORE].port);
	return turn.more;
}

bool xenstore_event(struct domain *d)
{
	struct xs_conn *c = d->store;
	bool more;

	if (!c)
		return false;
	spin_lock(&c->lock);
	more = store_turn(d, c);
	spin_unlock(&c->lock);
	return more;
}

bool xenstore_write(struct domain *d, const char *path, const char *value)
{
	struct xs_conn *c = d->store;
	bool done;

	if (!c)
		return false;
	spin_lock(&c->lock);
	done =
	    xs_store_write(c->store, XS_HYPERVISOR, path, strlen(path), value, strlen(value)) == 0;
	if (done)
		xs_watch_fire(&c->watches, path, strlen(path), false);
	for (unsigned i = 0; i < MONITOR_TURNS && store_turn(d, c); i++)
		;
	spin_unlock(&c->lock);
	return done;
}

bool xenstore_read(struct domain *d, const char *path, char *value, size_t bytes)
{
	struct xs_conn *c = d->store;
	struct xs_string s;
	int i;

	if (!c)
		return false;
	spin_lock(&c->lock);
	i = xs_store_find(c->store, path, strlen(path));
	if (i >= 0) {
		s = c->store->node[i].value;
		s.length = (uint16_t)min_u64(s.length, bytes - 1);
		xs_string_get(&c->store->strings.heap, s, value);
		value[s.length] = '\0';
	}
	spin_unlock(&c->lock);
	return i >= 0;
}

struct xenstore_stats xenstore_stats(struct domain *d)
{
	struct xenstore_stats st = {0};
	struct xs_conn *c = d->store;

	if (!c)
		return st;
	spin_lock(&c->lock);
	st.nodes = XS_NODES - c->store->nr_free_nodes;
	for (unsigned i = 0; i < XS_WATCHES; i++)
		st.watches += c->watches.watch[i].used;
	for (unsigned i = 0; i < XS_TX_MAX; i++)
		st.transactions += c->txs.tx[i].id != 0;
	st.requests = c->requests;
	st.events = c->events;
	st.error = c->error;
	spin_unlock(&c->lock);
	return st;
}

bool xenstore_watched(struct domain *d, const char *path)
{
	struct xs_conn *c = d->store;
	bool watched;

	if (!c)
		return false;
	spin_lock(&c->lock);
	watched = xs_watch_on(&c->watches, path, strlen(path));
	spin_unlock(&c->lock);
	return watched;
}
