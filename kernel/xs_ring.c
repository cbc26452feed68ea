/* SPDX-License-Identifier: MIT */
/*
 * See xs_ring.h. A guest kernel tells us once when it has put bytes into an empty
 * ring, and may have put in the half of a message: what is there must be taken at
 * once, or it never has room for the other half.
 */
#include "kernel/xs_ring.h"
#include "kernel/string.h"
#include "mm/leaf/bits.h"

#define FEATURES (XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR)

_Static_assert(sizeof(struct xenstore_domain_interface) <= PAGE_SIZE, "one page");

void xs_ring_init(struct xenstore_domain_interface *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->server_features = FEATURES;
}

static uint32_t ring_load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void ring_store(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* This guest's ring makes no sense: leave it alone until the guest connects anew. */
static void ring_broken(struct xs_conn *c, struct xenstore_domain_interface *ring, uint32_t error)
{
	xs_conn_reset(c);
	c->error = error;
	ring_store(&ring->error, error);
}

static void ring_reconnect(struct xs_conn *c, struct xenstore_domain_interface *ring)
{
	xs_conn_reset(c);
	c->req_cons = c->rsp_prod = 0;
	c->error = XENSTORE_ERROR_NONE;
	ring_store(&ring->req_cons, 0);
	ring_store(&ring->req_prod, 0);
	ring_store(&ring->rsp_cons, 0);
	ring_store(&ring->rsp_prod, 0);
	ring_store(&ring->server_features, FEATURES);
	ring_store(&ring->error, XENSTORE_ERROR_NONE);
	ring_store(&ring->connection, XENSTORE_CONNECTED);
}

/* Copy n bytes that begin at index `at`, to or from a ring; both may go round its end. */
static void ring_get(const char *ring, uint32_t at, char *dst, uint32_t n)
{
	uint32_t first = (uint32_t)min_u64(n, XENSTORE_RING_SIZE - MASK_XENSTORE_IDX(at));

	memcpy(dst, ring + MASK_XENSTORE_IDX(at), first);
	memcpy(dst + first, ring, n - first);
}

static void ring_put(char *ring, uint32_t at, const char *src, uint32_t n)
{
	uint32_t first = (uint32_t)min_u64(n, XENSTORE_RING_SIZE - MASK_XENSTORE_IDX(at));

	memcpy(ring + MASK_XENSTORE_IDX(at), src, first);
	memcpy(ring, src + first, n - first);
}

/* What may be looked at in this turn: the guest's indices, read once. */
struct ring_view {
	struct xenstore_domain_interface *ring;
	uint32_t ready; /* bytes of requests that are there */
	uint32_t room;  /* for answers */
	bool took, gave;
};

/* Bytes go on to where the message in `in` ends so far, at most up to `end`. */
static void ring_fill(struct xs_conn *c, struct ring_view *v, uint32_t end)
{
	uint32_t n = (uint32_t)min_u64(end - c->in.bytes, v->ready);

	ring_get(v->ring->req, c->req_cons, (char *)&c->in.head + c->in.bytes, n);
	c->in.bytes += n;
	c->req_cons += n;
	v->ready -= n;
	v->took |= n != 0;
}

/* Whether a whole request is there. A length that no buffer holds breaks the ring. */
static bool ring_request(struct xs_conn *c, struct ring_view *v)
{
	const uint32_t head = sizeof(c->in.head);

	if (c->in.bytes < head)
		ring_fill(c, v, head);
	if (c->in.bytes < head)
		return false;
	if (c->in.head.len > XENSTORE_PAYLOAD_MAX) {
		ring_broken(c, v->ring, XENSTORE_ERROR_PROTO);
		return false;
	}
	ring_fill(c, v, head + c->in.head.len);
	return c->in.bytes == head + c->in.head.len;
}

/* Whether all of the message in `out` has gone. */
static bool ring_send(struct xs_conn *c, struct ring_view *v)
{
	uint32_t n = (uint32_t)min_u64(c->out.bytes - c->out.sent, v->room);

	ring_put(v->ring->rsp, c->rsp_prod, (const char *)&c->out.head + c->out.sent, n);
	c->out.sent += n;
	c->rsp_prod += n;
	v->room -= n;
	v->gave |= n != 0;
	return c->out.sent == c->out.bytes;
}

static bool ring_look(struct xs_conn *c, struct xenstore_domain_interface *ring,
                      struct ring_view *v)
{
	uint32_t ready = ring_load(&ring->req_prod) - c->req_cons;
	uint32_t full = c->rsp_prod - ring_load(&ring->rsp_cons);

	if (ready > XENSTORE_RING_SIZE || full > XENSTORE_RING_SIZE)
		return false;
	*v = (struct ring_view){ring, ready, XENSTORE_RING_SIZE - full, false, false};
	return true;
}

/* One thing: an event, or a request and its answer. False: nothing to do, or no room. */
static bool ring_step(struct xs_conn *c, struct ring_view *v)
{
	if (!ring_send(c, v))
		return false;
	if (xs_next_event(c))
		return true;
	if (!ring_request(c, v))
		return false;
	xs_request(c);
	return true;
}

/*
 * After ours were published: is there more already? A guest's kernel tells us of
 * bytes only if it sees that we had taken all before, and of room only if it sees
 * the ring full. What it did before it could see our new index it will not tell.
 */
static bool ring_more(const struct xs_conn *c, const struct xenstore_domain_interface *ring)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (c->out.sent < c->out.bytes)
		return c->rsp_prod - ring_load(&ring->rsp_cons) != XENSTORE_RING_SIZE;
	return ring_load(&ring->req_prod) != c->req_cons;
}

struct xs_turn xs_ring_turn(struct xs_conn *c, struct xenstore_domain_interface *ring)
{
	struct ring_view v;
	unsigned steps = 0;

	if (ring_load(&ring->connection) == XENSTORE_RECONNECT) {
		ring_reconnect(c, ring);
		return (struct xs_turn){.notify = true};
	}
	if (c->error)
		return (struct xs_turn){.more = false};
	if (!ring_look(c, ring, &v)) {
		ring_broken(c, ring, XENSTORE_ERROR_RINGIDX);
		return (struct xs_turn){.notify = true};
	}
	while (steps < XS_TURN && ring_step(c, &v))
		steps++;
	if (c->error)
		return (struct xs_turn){.notify = true};
	ring_store(&ring->req_cons, c->req_cons);
	ring_store(&ring->rsp_prod, c->rsp_prod);
	return (struct xs_turn){.more = steps == XS_TURN || ring_more(c, ring),
	                        .notify = v.took || v.gave};
}
