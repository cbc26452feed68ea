/* SPDX-License-Identifier: MIT */
/*
 * The two rings that the hypervisor reads: xenstore's and the console's. Messages that
 * are right but for a field, in one piece or in several, with a payload of paths
 * that there are and are not; bytes without sense; indices that no ring has. Answers are
 * thrown away unread, but for the numbers of transactions.
 */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/tap.h"
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

static struct xenstore_domain_interface *store;
static struct xencons_interface *console;
static uint32_t store_port, console_port;
static uint32_t last_tx;

static uint64_t param(unsigned index)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};

	return hypercall_hvm(HVMOP_get_param, &p) ? 0 : p.value;
}

void rings_init(void)
{
	store = (void *)(param(HVM_PARAM_STORE_PFN) * PAGE_SIZE);
	console = (void *)(param(HVM_PARAM_CONSOLE_PFN) * PAGE_SIZE);
	store_port = (uint32_t)param(HVM_PARAM_STORE_EVTCHN);
	console_port = (uint32_t)param(HVM_PARAM_CONSOLE_EVTCHN);
	tap_ok(store && console && store_port && console_port, "there are two rings");
}

bool rings_port(uint32_t port)
{
	return port == store_port || port == console_port;
}

/* The port may be closed by now, like any other. */
static bool ring_bell(uint32_t port)
{
	struct evtchn_send s = {.port = port};

	return hypercall_evtchn(EVTCHNOP_send, &s) == 0;
}

/* ---- messages ---- */

static const char *const names[] = {"data",
                                    "device",
                                    "control/shutdown",
                                    "memory/target",
                                    "control/feature-x",
                                    "attr/os/a/b/c/d/e",
                                    "domid",
                                    "",
                                    "/",
                                    "/local/domain/0",
                                    "/local/domain/1/data",
                                    "data/../name",
                                    "error",
                                    "a//b",
                                    "@introduceDomain",
                                    "control",
                                    "drivers/0",
                                    "data/0123456789"};

static uint32_t length(const char *s)
{
	uint32_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* A path, mostly below one that we may write; returns its length with the NUL. */
static uint32_t put_path(struct fuzzer *f, char *to)
{
	const char *name = names[below(f, sizeof(names) / sizeof(names[0]))];
	uint32_t n = length(name);

	memcpy(to, name, n);
	if (chance(f, 2)) {
		to[n++] = '/';
		for (uint64_t more = 1 + below(f, chance(f, 8) ? 200 : 4); more; more--)
			to[n++] = (char)('a' + below(f, 26));
	}
	to[n++] = chance(f, 32) ? 'x' : '\0';
	return n;
}

static uint32_t put_payload(struct fuzzer *f, uint32_t type, char *to)
{
	uint32_t n = 0;

	switch (type) {
	case XS_TRANSACTION_START:
		to[0] = '\0';
		return 1;
	case XS_TRANSACTION_END:
		to[0] = chance(f, 2) ? 'T' : 'F';
		to[1] = '\0';
		return 2;
	case XS_WATCH:
	case XS_UNWATCH:
		n = put_path(f, to);
		return n + put_path(f, to + n);
	case XS_SET_PERMS:
		n = put_path(f, to);
		memcpy(to + n, "n0\0r1", 6);
		return n + 6;
	case XS_WRITE:
		n = put_path(f, to);
		for (uint64_t more = below(f, chance(f, 8) ? 3000 : 40); more; more--)
			to[n++] = (char)random_next(&f->rng);
		return n;
	default:
		return put_path(f, to);
	}
}

static void put_bytes(const void *from, uint32_t n)
{
	uint32_t prod = store->req_prod;

	for (uint32_t i = 0; i < n; i++)
		store->req[MASK_XENSTORE_IDX(prod + i)] = ((const char *)from)[i];
	__atomic_store_n(&store->req_prod, prod + n, __ATOMIC_RELEASE);
}

/* Our place in what goes out is where it ends: all of it is read. */
static void take_answers(void)
{
	const struct xsd_sockmsg *head;
	char bytes[sizeof(*head) + 8] __attribute__((aligned(8)));
	uint32_t at = store->rsp_cons, prod = __atomic_load_n(&store->rsp_prod, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = store->rsp[MASK_XENSTORE_IDX(at + i)];
	head = (const void *)bytes;
	if (prod != at && head->type == XS_TRANSACTION_START) {
		last_tx = 0;
		for (unsigned i = sizeof(*head);
		     i < sizeof(bytes) && bytes[i] >= '0' && bytes[i] <= '9'; i++)
			last_tx = last_tx * 10 + (uint32_t)(bytes[i] - '0');
	}
	__atomic_store_n(&store->rsp_cons, prod, __ATOMIC_RELEASE);
}

bool store_message(struct fuzzer *f)
{
	static char payload[VCPUS][8192];
	char *text = payload[f->id];
	struct xsd_sockmsg head = {
	    .type = (uint32_t)(chance(f, 16) ? odd_number(f) : below(f, XS_RESET_WATCHES + 2)),
	    .req_id = (uint32_t)f->rng,
	    .tx_id = chance(f, 2)   ? 0
	             : chance(f, 8) ? (uint32_t)odd_number(f)
	                            : last_tx,
	};
	uint32_t cut;

	head.len = put_payload(f, head.type, text);
	if (chance(f, 16))
		head.len = (uint32_t)odd_number(f);
	else if (chance(f, 4))
		bend(f, text, head.len);
	if (head.len > XENSTORE_PAYLOAD_MAX && !chance(f, 16))
		head.len = XENSTORE_PAYLOAD_MAX;
	put_bytes(&head, sizeof(head));
	ring_bell(store_port);
	/* What does not fit overruns the ring: the hypervisor's to notice. */
	cut = head.len > XENSTORE_RING_SIZE ? XENSTORE_RING_SIZE : head.len;
	put_bytes(text, cut);
	if (!ring_bell(store_port))
		return false;
	take_answers();
	return ring_bell(store_port);
}

/* Nonsense of all kinds; then, mostly, a new connection, so that messages have a chance again. */
bool store_noise(struct fuzzer *f)
{
	switch (below(f, 6)) {
	case 0:
		store->req_prod = (uint32_t)odd_number(f);
		break;
	case 1:
		store->rsp_cons = (uint32_t)odd_number(f);
		break;
	case 2:
		bend(f, store->req, sizeof(store->req));
		store->req_prod += (uint32_t)below(f, XENSTORE_RING_SIZE);
		break;
	case 3:
		store->req_cons = store->rsp_prod = (uint32_t)odd_number(f);
		break;
	case 4:
		bend(f, &store->req_cons,
		     sizeof(*store) - offsetof(struct xenstore_domain_interface, req_cons));
		break;
	default: /* answers that nobody reads: the ring fills */
		store->rsp_cons -= 1;
	}
	ring_bell(store_port);
	if (!chance(f, 4)) {
		store->connection = XENSTORE_RECONNECT;
		ring_bell(store_port);
		last_tx = 0;
	}
	return true;
}

bool console_noise(struct fuzzer *f)
{
	if (chance(f, 16)) {
		console->out_prod = (uint32_t)odd_number(f);
	} else {
		uint32_t prod = console->out_prod;

		for (uint64_t n = below(f, 24); n; n--)
			console->out[MASK_XENCONS_IDX(prod++, console->out)] =
			    (char)random_next(&f->rng);
		console->out_prod = prod;
	}
	if (chance(f, 4))
		bend(f, &console->in_cons, 16);
	return ring_bell(console_port);
}
