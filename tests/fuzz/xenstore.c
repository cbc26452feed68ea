/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what three guests do to their xenstore rings: whole messages, parts of
 * messages, bytes anywhere in the page, indices that lie, answers that are not read,
 * while the hypervisor writes to each of them. No guest may make us crash or forget a quota;
 * none reads a byte of another's tree; and as long as its ring is in order, each whole
 * request is answered exactly once, in order, with a type that fits.
 */
#include "kernel/xen_abi.h"
#include "kernel/xs_ring.h"
#include "tests/fuzz/fuzz.h"
#include "tests/host/env.h"

#define GUESTS 3u
#define STEPS  64u
#define ASKED  256u /* requests without an answer that the test remembers */

struct guest {
	struct xs_conn *c;
	struct xenstore_domain_interface *ring;
	/* what was asked, in order; only while the guest is honest */
	bool honest;
	struct xsd_sockmsg asked[ASKED];
	unsigned first, nr_asked;
	/* the answer that is being read */
	struct xsd_sockmsg head;
	char payload[XENSTORE_PAYLOAD_MAX];
	uint32_t got;
};

static struct guest guests[GUESTS];
static struct fuzz_input in;

/* Each tree holds a word that no other does. */
static void secret(unsigned i, char text[16])
{
	snprintf(text, 16, "secret-%u", i);
}

static void hypervisor_writes(struct guest *g, const char *path, const char *value)
{
	/* There is always room for what we say, whatever the guest has used up. */
	MUST(xs_store_write(g->c->store, XS_HYPERVISOR, path, strlen(path), value, strlen(value)) ==
	     0);
	xs_watch_fire(&g->c->watches, path, strlen(path), false);
}

static void begin_one(unsigned i)
{
	struct guest *g = &guests[i];
	char text[16];

	memset(g, 0, sizeof(*g));
	g->c = xs_conn_make((domid_t)(i + 1));
	g->ring = malloc(sizeof(*g->ring));
	MUST(g->c && g->ring);
	xs_ring_init(g->ring);
	g->honest = true;
	secret(i, text);
	hypervisor_writes(g, "name", text);
	hypervisor_writes(g, "memory/target", "65536");
	hypervisor_writes(g, "control/shutdown", "");
	hypervisor_writes(g, "data", "");
	xs_store_give(g->c->store, "control", XS_FEATURES);
	xs_store_give(g->c->store, "control/shutdown", XS_OWNED);
	xs_store_give(g->c->store, "data", XS_OWNED);
}

/* ---- answers ---- */

/* Secrets differ in their last character. */
static void no_other_secret(unsigned i, const char *bytes, size_t n)
{
	char text[16];
	size_t length;

	secret(i, text);
	length = strlen(text);
	for (size_t at = 0; at + length <= n; at++)
		MUST(memcmp(bytes + at, text, length - 1) ||
		     bytes[at + length - 1] == text[length - 1]);
}

static void answered(unsigned i)
{
	struct guest *g = &guests[i];
	const struct xsd_sockmsg *a = &g->asked[g->first];

	no_other_secret(i, g->payload, g->head.len);
	if (g->head.type == XS_WATCH_EVENT) {
		MUST(!g->head.req_id && !g->head.tx_id);
		return;
	}
	MUST(g->nr_asked > 0);
	MUST(g->head.req_id == a->req_id && g->head.tx_id == a->tx_id);
	MUST(g->head.type == a->type || g->head.type == XS_ERROR);
	g->first = (g->first + 1) % ASKED;
	g->nr_asked--;
}

/* Read at most n bytes of answers. */
static void pull(unsigned i, uint32_t n)
{
	struct guest *g = &guests[i];

	if (!g->honest)
		g->ring->rsp_cons += n & 0x3ff; /* as far as it says it has read */
	for (; g->honest && n && g->ring->rsp_cons != g->ring->rsp_prod; n--) {
		char b = g->ring->rsp[MASK_XENSTORE_IDX(g->ring->rsp_cons++)];

		if (g->got < sizeof(g->head)) {
			((char *)&g->head)[g->got++] = b;
			MUST(g->got < sizeof(g->head) || g->head.len <= XENSTORE_PAYLOAD_MAX);
		} else {
			g->payload[g->got++ - sizeof(g->head)] = b;
		}
		if (g->got >= sizeof(g->head) && g->got == sizeof(g->head) + g->head.len) {
			answered(i);
			g->got = 0;
		}
	}
}

static void serve(struct guest *g)
{
	struct xs_turn t;
	unsigned turns = 0;

	do {
		t = xs_ring_turn(g->c, g->ring);
		MUST(++turns < 10000);
	} while (t.more);
}

/* ---- requests ---- */

static size_t payload_words(char *dst, size_t room)
{
	static const char *const words[] = {"data",
	                                    "control/shutdown",
	                                    "memory/target",
	                                    "/",
	                                    "/local/domain/1/",
	                                    "/local/domain/2",
	                                    "name",
	                                    "/a",
	                                    "/b",
	                                    "feature",
	                                    "n1",
	                                    "T",
	                                    "F",
	                                    "1",
	                                    "control/feature-",
	                                    "@x"};
	size_t n = 0;

	for (unsigned k = 1 + (fuzz_u8(&in) & 7); k; k--) {
		uint8_t how = fuzz_u8(&in);

		if (how & 0x80) {
			size_t length = (size_t)(how & 0x3f) << (how & 0x40 ? 6 : 0);

			length = length < room - n ? length : room - n;
			memset(dst + n, fuzz_u8(&in), length);
			n += length;
		} else if (how & 0x40) {
			size_t length = strlen(words[how & 15]);

			length = length < room - n ? length : room - n;
			memcpy(dst + n, words[how & 15], length);
			n += length;
		} else if (n < room) {
			dst[n++] = (char)(how & 0x20 ? fuzz_u8(&in) : 0);
		}
	}
	return n;
}

/* Bytes go into the ring; the other side is told whenever it is full. False: it does not read. */
static bool push(unsigned i, const void *bytes, size_t n)
{
	struct guest *g = &guests[i];
	const char *from = bytes;

	for (unsigned tries = 0; n && tries < 64; tries++) {
		while (n && g->ring->req_prod - g->ring->req_cons < XENSTORE_RING_SIZE) {
			g->ring->req[MASK_XENSTORE_IDX(g->ring->req_prod++)] = *from++;
			n--;
		}
		serve(g);
		if (n)
			pull(i, UINT32_MAX);
	}
	return n == 0;
}

static void ask(unsigned i, bool read_answer)
{
	struct guest *g = &guests[i];
	static char bytes[XENSTORE_PAYLOAD_MAX];
	struct xsd_sockmsg h = {.type = fuzz_u8(&in) % 24, .req_id = fuzz_u8(&in)};

	h.tx_id = fuzz_u8(&in) & 7;
	h.len = (uint32_t)payload_words(bytes, sizeof(bytes));
	if (g->nr_asked == ASKED)
		pull(i, UINT32_MAX);
	if (g->honest)
		g->asked[(g->first + g->nr_asked++) % ASKED] = h;
	MUST((push(i, &h, sizeof(h)) && push(i, bytes, h.len)) || !g->honest);
	if (read_answer)
		pull(i, UINT32_MAX);
}

/* ---- a guest that lies; from then on nothing is expected of its answers ---- */

static void lie(struct guest *g)
{
	uint8_t how = fuzz_u8(&in);
	uint32_t *const words[] = {&g->ring->req_cons,        &g->ring->req_prod,
	                           &g->ring->rsp_cons,        &g->ring->rsp_prod,
	                           &g->ring->server_features, &g->ring->connection,
	                           &g->ring->error,           &g->ring->req_prod};

	g->honest = false;
	if (how & 8)
		*words[how & 7] = (uint32_t)fuzz_take(&in, 4);
	else if (how & 16)
		*words[how & 7] += fuzz_u8(&in);
	else
		((char *)g->ring)[fuzz_take(&in, 2) % sizeof(*g->ring)] = (char)fuzz_u8(&in);
	if (how & 32)
		g->ring->connection = XENSTORE_RECONNECT;
	serve(g);
}

/* ---- what must hold ---- */

static unsigned chain(const struct xs_heap *h, struct xs_string s)
{
	unsigned n = 0;

	for (unsigned b = s.first; b; b = h->block[b - 1].next)
		n++;
	MUST(n == xs_blocks(s.length));
	return n;
}

/* Every node and block is in use once, or free once. */
static void check_store(const struct xs_store *s)
{
	unsigned nodes = 0, blocks = s->strings.heap.nr_free, children = 0;

	for (unsigned i = 0; i < XS_NODES; i++) {
		const struct xs_node *n = &s->node[i];

		if (!(n->flags & XS_USED))
			continue;
		nodes++;
		blocks += chain(&s->strings.heap, n->name) + chain(&s->strings.heap, n->value) +
		          chain(&s->strings.heap, n->perms);
		for (unsigned k = n->child; k; k = s->node[k].next) {
			MUST(s->node[k].parent == i && (s->node[k].flags & XS_USED));
			MUST(++children < XS_NODES);
		}
	}
	MUST(nodes + s->nr_free_nodes == XS_NODES && children == nodes - 1);
	MUST(blocks == XS_BLOCKS);
	/* What is kept for the hypervisor is there, less what it took itself. */
	MUST(s->nr_free_nodes + 2u >= XS_KEPT_NODES &&
	     s->strings.heap.nr_free + 8u >= XS_KEPT_BLOCKS);
}

static void check_watches(const struct xs_watches *w)
{
	unsigned blocks = w->strings.heap.nr_free;

	for (unsigned i = 0; i < XS_WATCHES; i++)
		if (w->watch[i].used)
			blocks += chain(&w->strings.heap, w->watch[i].path) +
			          chain(&w->strings.heap, w->watch[i].token);
	for (unsigned i = 0; i < w->queued; i++)
		blocks += chain(&w->strings.heap, w->event[(w->first + i) % XS_EVENTS].path);
	MUST(w->queued <= XS_EVENTS && blocks == XS_WATCH_BLOCKS);
}

static void end_one(unsigned i)
{
	struct guest *g = &guests[i];
	struct xs_conn *c = g->c;
	char text[16], found[16] = "";
	int node;

	if (g->honest) {
		MUST(!c->error);
		for (unsigned tries = 0; tries < 10000 && g->nr_asked; tries++) {
			serve(g);
			pull(i, UINT32_MAX);
		}
		MUST(!g->nr_asked); /* every request was answered */
	}
	check_store(c->store);
	check_watches(&c->watches);
	for (unsigned k = 0; k < XS_TX_MAX; k++)
		if (c->txs.tx[k].id)
			check_store(c->txs.tx[k].copy);
	secret(i, text);
	node = xs_store_find(c->store, "name", 4);
	MUST(node > 0 && c->store->node[node].value.length == strlen(text));
	xs_string_get(&c->store->strings.heap, c->store->node[node].value, found);
	MUST(!strcmp(found, text));
	xs_conn_free(c);
	free(g->ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static uint64_t free_at_start;

	if (!free_at_start) {
		host_start_small();
		free_at_start = host_free_frames();
	}
	in = (struct fuzz_input){bytes, n};
	for (unsigned i = 0; i < GUESTS; i++)
		begin_one(i);
	for (unsigned step = 0; step < STEPS && in.left; step++) {
		uint8_t what = fuzz_u8(&in);
		unsigned i = (what >> 4) % GUESTS;

		if (what & 8)
			ask(i, what & 1);
		else if (what & 4)
			hypervisor_writes(&guests[i],
			                  what & 2 ? "memory/target" : "control/shutdown",
			                  what & 1 ? "1" : "poweroff");
		else if (what & 2)
			pull(i, fuzz_u8(&in));
		else if (fuzz_u8(&in) == 0x77)
			lie(&guests[i]);
		else
			serve(&guests[i]);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		end_one(i);
	MUST(host_free_frames() == free_at_start);
	return 0;
}
