/* SPDX-License-Identifier: MIT */
/*
 * store: does xenstore serve a guest as Xen's does, and survive one that does not keep
 * to the rules?
 *
 * Specification:
 *  - a message is answered, whether it comes at once, byte by byte, or is larger than the ring;
 *  - what is not ours is refused, whether it exists or not;
 *  - a transaction's writes are seen after its end; one that was overtaken is refused;
 *  - a watch fires when it is set, and at each change;
 *  - indices that cannot be end the connection and nothing else, until the guest connects anew;
 *  - then, with `hold`: what `mem-set` writes to memory/target is followed (`# store target=KIB`),
 *    until control/shutdown says poweroff or reboot, and that is acknowledged.
 */
#include "guests/lib/ballooning.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/store.h"
#include "guests/lib/tap.h"

#define KIB_PER_PAGE 4u
#define LONG_VALUE   2048u

/* ---- messages ---- */

static void test_messages(void)
{
	static char big[10 + LONG_VALUE] = "data/long"; /* and its NUL */
	bool same = true;

	tap_ok(store_ask_path(XS_READ, 0, "domid"), "READ is answered");
	tap_ok(store_payload[0] - '0' == hypercall_domid() || hypercall_domid() > 9,
	       "with our own number");
	store_ask(XS_READ, 0, "name", 5, 1);
	tap_ok(store_type == XS_READ, "a request that comes byte by byte is answered");
	for (unsigned i = 10; i < sizeof(big); i++)
		big[i] = (char)(i * 7);
	store_ask(XS_WRITE, 0, big, sizeof(big), 0);
	tap_ok(store_answer_is("OK"), "a request of twice the ring's size is answered");
	store_ask_path(XS_READ, 0, "data/long");
	for (unsigned i = 0; i < LONG_VALUE; i++)
		same &= store_payload[i] == big[10 + i];
	tap_ok(store_bytes == LONG_VALUE && same, "and so is the one that reads it back");
	store_ask(250, 0, "x", 2, 0);
	tap_ok(store_type == XS_ERROR && store_answer_is("ENOSYS"), "an unknown type is ENOSYS");
	store_ask(XS_READ, 0, "name", 4, 0);
	tap_ok(store_type == XS_ERROR && store_answer_is("EINVAL"), "a path without NUL is EINVAL");
}

static void refused(uint32_t type, const char *path)
{
	tap_ok(!store_ask_path(type, 0, path) && store_answer_is("EACCES"),
	       "type %u of %s is refused", type, path);
}

static void test_borders(void)
{
	refused(XS_READ, "/local/domain/0/name");
	refused(XS_READ, "/local/domain/254/name"); /* nobody there */
	refused(XS_DIRECTORY, "/local/domain");
	refused(XS_RM, "memory");
	tap_ok(!store_write(0, "memory/target", "1") && store_answer_is("EACCES"),
	       "memory/target is not ours to write");
	tap_ok(store_write(0, "control/feature-poweroff", "1"), "control/feature-poweroff is");
}

static uint32_t begin(void)
{
	uint32_t id = 0;

	store_ask_path(XS_TRANSACTION_START, 0, "");
	for (const char *c = store_payload; *c >= '0' && *c <= '9'; c++)
		id = id * 10 + (uint32_t)(*c - '0');
	return id;
}

static void test_transactions(void)
{
	uint32_t tx = begin();

	store_write(tx, "data/a", "1");
	tap_ok(!store_ask_path(XS_READ, 0, "data/a") && store_answer_is("ENOENT"),
	       "a transaction's write is not seen before its end");
	tap_ok(store_ask_path(XS_TRANSACTION_END, tx, "T"), "it ends");
	tap_ok(store_ask_path(XS_READ, 0, "data/a") && store_answer_is("1"), "and is seen");
	tx = begin();
	store_write(tx, "data/a", "2");
	store_write(0, "data/b", "3");
	tap_ok(!store_ask_path(XS_TRANSACTION_END, tx, "T") && store_answer_is("EAGAIN"),
	       "one that was overtaken is EAGAIN");
}

static void test_watches(void)
{
	tap_ok(store_watch("data", "tok"), "WATCH is answered");
	store_wait_event();
	tap_ok(store_answer_is("data"), "a watch fires when it is set");
	store_write(0, "data/c", "x");
	store_wait_event();
	tap_ok(store_answer_is("data/c"), "and at a change below");
	tap_ok(memcmp(store_payload + 7, "tok", 4) == 0, "with its token");
}

/* ---- not keeping to the rules ---- */

static void test_broken(void)
{
	struct xenstore_domain_interface *r = store_ring;

	if (!(r->server_features & XENSTORE_SERVER_FEATURE_RECONNECTION)) {
		tap_ok(false, "the ring can be connected anew");
		return;
	}
	r->req_prod += 5000;
	store_notify();
	tap_is(r->error, XENSTORE_ERROR_RINGIDX, "impossible indices are an error");
	__atomic_store_n(&r->connection, XENSTORE_RECONNECT, __ATOMIC_SEQ_CST);
	store_notify();
	tap_is(r->connection, XENSTORE_CONNECTED, "connecting anew");
	tap_ok(store_ask_path(XS_READ, 0, "name"), "all works again");
}

/* ---- obeying ---- */

static uint64_t number(const char *c)
{
	uint64_t n = 0;

	for (; *c >= '0' && *c <= '9'; c++)
		n = n * 10 + (uint64_t)(*c - '0');
	return n;
}

/* Pages of `area` from `out` on are with the hypervisor. */
static void follow_target(uint8_t *area, uint64_t pages, uint64_t *in)
{
	uint64_t now = (uint64_t)balloon_reservation(), target, n;

	store_ask_path(XS_READ, 0, "memory/target");
	target = number(store_payload) / KIB_PER_PAGE;
	if (target < now) {
		n = now - target < *in ? now - target : *in;
		*in -= balloon_run_out((uint64_t)area / PAGE_SIZE + *in - n, n);
	} else {
		n = target - now < pages - *in ? target - now : pages - *in;
		*in += balloon_run_in((uint64_t)area / PAGE_SIZE + *in, n);
	}
	tap_diag("store target=%lu current=%lu", target, (uint64_t)balloon_reservation());
}

static bool asked_to_end(void)
{
	uint32_t tx;

	do {
		tx = begin();
		store_ask_path(XS_READ, tx, "control/shutdown");
		if (!store_bytes) {
			store_ask_path(XS_TRANSACTION_END, tx, "F");
			return false;
		}
		store_write(tx, "control/shutdown", "");
	} while (!store_ask_path(XS_TRANSACTION_END, tx, "T"));
	return true;
}

static void obey(void)
{
	uint64_t pages = memory_free_pages() - 8, in = pages;
	uint8_t *area = memory_take(pages);

	tap_ok(store_watch("memory/target", "t"), "memory/target is watched");
	tap_ok(store_watch("control/shutdown", "s"), "control/shutdown is watched");
	for (bool end = false; !end;) {
		store_wait_event();
		if (store_answer_is("memory/target"))
			follow_target(area, pages, &in);
		else if (store_answer_is("control/shutdown"))
			end = asked_to_end();
	}
	tap_ok(true, "asked to end through xenstore");
}

void guest_main(void)
{
	if (!tap_ok(store_init(), "there is a xenstore"))
		return;
	test_messages();
	test_borders();
	test_transactions();
	test_watches();
	test_broken();
	if (option_flag("hold"))
		obey();
}
