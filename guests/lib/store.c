/* SPDX-License-Identifier: MIT */
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/store.h"

#define EVENTS_KEPT 8u
#define EVENT_BYTES 128u

struct xenstore_domain_interface *store_ring;
uint32_t store_type, store_bytes;
char store_payload[XENSTORE_PAYLOAD_MAX + 1];

static unsigned port;
static volatile uint32_t rung;
static uint32_t next_req;
static char kept[EVENTS_KEPT][EVENT_BYTES];
static unsigned kept_first, nr_kept;

static void ring(unsigned p)
{
	(void)p;
	rung++;
}

static uint64_t param(unsigned index)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};

	return hypercall_hvm(HVMOP_get_param, &p) ? 0 : p.value;
}

bool store_init(void)
{
	event_init();
	port = (unsigned)param(HVM_PARAM_STORE_EVTCHN);
	if (!port || port >= EVENT_PORTS)
		return false;
	event_handler(port, ring);
	event_unmask(port);
	store_ring = (void *)(param(HVM_PARAM_STORE_PFN) * PAGE_SIZE);
	return store_ring;
}

void store_notify(void)
{
	struct evtchn_send s = {.port = port};

	hypercall_evtchn(EVTCHNOP_send, &s);
}

/* ---- bytes ---- */

static void put_bytes(const char *from, uint32_t n, uint32_t chunk)
{
	struct xenstore_domain_interface *r = store_ring;

	while (n) {
		uint32_t seen = rung, i = 0;
		uint32_t prod = r->req_prod;

		while (i < n && (!chunk || i < chunk) &&
		       prod - __atomic_load_n(&r->req_cons, __ATOMIC_ACQUIRE) < XENSTORE_RING_SIZE)
			r->req[MASK_XENSTORE_IDX(prod++)] = from[i++];
		__atomic_store_n(&r->req_prod, prod, __ATOMIC_RELEASE);
		from += i;
		n -= i;
		store_notify();
		if (!i)
			event_wait(&rung, seen);
	}
}

static void get_bytes(char *to, uint32_t n)
{
	struct xenstore_domain_interface *r = store_ring;

	while (n) {
		uint32_t seen = rung;

		if (__atomic_load_n(&r->rsp_prod, __ATOMIC_ACQUIRE) == r->rsp_cons) {
			event_wait(&rung, seen);
			continue;
		}
		*to++ = r->rsp[MASK_XENSTORE_IDX(r->rsp_cons)];
		n--;
		__atomic_store_n(&r->rsp_cons, r->rsp_cons + 1, __ATOMIC_RELEASE);
		/* It waits for room only if it saw the ring full. */
		if (r->rsp_prod - r->rsp_cons == XENSTORE_RING_SIZE - 1)
			store_notify();
	}
}

/* ---- messages ---- */

static void get_message(struct xsd_sockmsg *head)
{
	get_bytes((char *)head, sizeof(*head));
	if (head->len > XENSTORE_PAYLOAD_MAX)
		head->len = XENSTORE_PAYLOAD_MAX;
	get_bytes(store_payload, head->len);
	store_payload[head->len] = '\0';
	store_type = head->type;
	store_bytes = head->len;
}

/* A path and a token, as far as they fit; what is beyond is not waited for by anyone. */
static void keep_event(void)
{
	if (nr_kept == EVENTS_KEPT || store_bytes > EVENT_BYTES)
		return;
	memcpy(kept[(kept_first + nr_kept++) % EVENTS_KEPT], store_payload, store_bytes);
}

void store_ask(uint32_t type, uint32_t tx, const void *payload, uint32_t bytes, uint32_t chunk)
{
	struct xsd_sockmsg head = {type, ++next_req, tx, bytes};

	put_bytes((const char *)&head, sizeof(head), chunk);
	put_bytes(payload, bytes, chunk);
	for (get_message(&head); head.type == XS_WATCH_EVENT; get_message(&head))
		keep_event();
	if (head.req_id != next_req || head.tx_id != tx)
		store_type = XS_INVALID;
}

void store_wait_event(void)
{
	struct xsd_sockmsg head;

	if (nr_kept) {
		memcpy(store_payload, kept[kept_first], EVENT_BYTES);
		kept_first = (kept_first + 1) % EVENTS_KEPT;
		nr_kept--;
		return;
	}
	do
		get_message(&head);
	while (head.type != XS_WATCH_EVENT);
}

static uint32_t length(const char *s)
{
	uint32_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool store_ask_path(uint32_t type, uint32_t tx, const char *path)
{
	store_ask(type, tx, path, length(path) + 1, 0);
	return store_type == type;
}

static bool ask_two(uint32_t type, uint32_t tx, const char *a, const char *b, uint32_t b_bytes)
{
	static char both[1024];

	memcpy(both, a, length(a) + 1);
	memcpy(both + length(a) + 1, b, b_bytes);
	store_ask(type, tx, both, length(a) + 1 + b_bytes, 0);
	return store_type == type;
}

bool store_write(uint32_t tx, const char *path, const char *value)
{
	return ask_two(XS_WRITE, tx, path, value, length(value));
}

bool store_watch(const char *path, const char *token)
{
	return ask_two(XS_WATCH, 0, path, token, length(token) + 1);
}

bool store_answer_is(const char *text)
{
	return memcmp(store_payload, text, length(text) + 1) == 0;
}
