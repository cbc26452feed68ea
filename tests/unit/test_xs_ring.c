/* SPDX-License-Identifier: MIT */
/*
 * Watches, transactions, and the ring itself (docs/misc/xenstore.txt, xenstore-ring.txt of
 * Xen); and that a ring which lies harms only its guest.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include "tests/unit/xs_guest.h"

/* ---- watches ---- */

/* A watch fires once when it is set, then for each change at or below; paths as it was set. */
static void test_watch(void **state)
{
	(void)state;
	ASK(XS_WATCH, "data\0mine");
	OK();
	EVENT("data\0mine\0");
	SILENCE();
	ASK(XS_WATCH, "/local/domain/7/data\0full\0reserved");
	OK();
	EVENT("/local/domain/7/data\0full\0");
	WRITE("data/x\0"
	      "1");
	EVENT("data/x\0mine\0");
	EVENT("/local/domain/7/data/x\0full\0");
	WRITE("control/shutdown\0");
	SILENCE();
	ASK(XS_MKDIR, "data/x"); /* changes nothing */
	SILENCE();
	ASK(XS_WATCH, "data\0mine");
	ERROR("EEXIST");
	ASK(XS_UNWATCH, "data\0other");
	ERROR("ENOENT");
	ASK(XS_UNWATCH, "data\0mine");
	OK();
	ASK(XS_UNWATCH, "/local/domain/7/data\0full");
	OK();
	WRITE("data/x\0"
	      "2");
	SILENCE();
}

/* What the hypervisor writes is told: that is what all of this is for. */
static void test_hypervisor_writes(void **state)
{
	(void)state;
	ASK(XS_WATCH, "memory/target\0t");
	EVENT("memory/target\0t\0");
	hv_write("memory/target", "32768");
	EVENT("memory/target\0t\0");
	ASK(XS_READ, "memory/target");
	IS("32768");
}

/* Removing a parent fires the watch of a child with the child's own path. */
static void test_watch_removed(void **state)
{
	(void)state;
	WRITE("data/a/b\0");
	WRITE("data/ab\0");
	ASK(XS_WATCH, "data/a/b\0t");
	EVENT("data/a/b\0t\0");
	ASK(XS_WATCH, "data/ab\0u");
	EVENT("data/ab\0u\0");
	ASK(XS_RM, "data/a");
	EVENT("data/a/b\0t\0");
	SILENCE();
}

/* A full queue loses no change: the watch fires with its own path when there is room. */
static void test_event_quota(void **state)
{
	char path[32];
	unsigned events = 0, own = 0;

	(void)state;
	ASK(XS_WATCH, "data\0t");
	EVENT("data\0t\0");
	for (unsigned i = 0; i < XS_EVENTS + 20; i++) {
		snprintf(path, sizeof(path), "data/%u", i % 50);
		hv_write(path, "");
	}
	assert_int_equal(c->watches.queued, XS_EVENTS);
	while (receive()) {
		events++;
		own += !strcmp(payload, "data");
	}
	assert_int_equal(events, XS_EVENTS + 1);
	assert_int_equal(own, 1);
	assert_int_equal(c->watches.strings.heap.nr_free, XS_WATCH_BLOCKS - 2);
}

static void test_reset_watches(void **state)
{
	(void)state;
	ASK(XS_WATCH, "data\0t");
	EVENT("data\0t\0");
	(void)begin();
	ASK(XS_RESET_WATCHES, "");
	OK();
	hv_write("data/x", "");
	SILENCE();
	assert_int_equal(c->watches.strings.heap.nr_free, XS_WATCH_BLOCKS);
	for (unsigned i = 0; i < XS_TX_MAX; i++)
		assert_int_equal(c->txs.tx[i].id, 0);
}

/* ---- transactions ---- */

/* Nobody sees a transaction's writes before its end; then all of them, and their events. */
static void test_commit(void **state)
{
	uint32_t tx;

	(void)state;
	WRITE("data/old/x\0");
	ASK(XS_WATCH, "data\0t");
	EVENT("data\0t\0");
	tx = begin();
	WRITE_TX(tx, "data/new\0"
	             "1");
	OK();
	ASK_TX(tx, XS_RM, "data/old");
	OK();
	ASK_TX(tx, XS_READ, "data/new");
	IS("1");
	ASK(XS_READ, "data/new");
	ERROR("ENOENT");
	SILENCE();
	ASK_TX(tx, XS_TRANSACTION_END, "T");
	OK();
	EVENT("data/old\0t\0");
	EVENT("data/new\0t\0");
	SILENCE();
	ASK(XS_READ, "data/new");
	IS("1");
	ASK(XS_READ, "data/old");
	ERROR("ENOENT");
	ASK_TX(tx, XS_READ, "data/new");
	ERROR("ENOENT"); /* no such transaction any more */
}

/* A node that is removed and made again keeps no trace of the old one. */
static void test_commit_reused(void **state)
{
	uint32_t tx;

	(void)state;
	WRITE("data/a\0");
	ASK(XS_WATCH, "data\0t");
	EVENT("data\0t\0");
	tx = begin();
	ASK_TX(tx, XS_RM, "data/a");
	WRITE_TX(tx, "data/b\0"); /* most likely where data/a was */
	ASK_TX(tx, XS_TRANSACTION_END, "T");
	OK();
	EVENT("data/a\0t\0");
	EVENT("data/b\0t\0");
	SILENCE();
}

static void test_abort(void **state)
{
	uint32_t tx = begin();

	(void)state;
	WRITE_TX(tx, "data/x\0");
	ASK_TX(tx, XS_TRANSACTION_END, "F");
	OK();
	ASK(XS_READ, "data/x");
	ERROR("ENOENT");
	ASK_TX(tx, XS_TRANSACTION_END, "T");
	ERROR("ENOENT");
}

/* Somebody wrote meanwhile: EAGAIN, and nothing of the transaction is left. */
static void test_conflict(void **state)
{
	uint32_t tx = begin();

	(void)state;
	WRITE_TX(tx, "control/shutdown\0");
	hv_write("control/shutdown", "poweroff");
	ASK_TX(tx, XS_TRANSACTION_END, "T");
	ERROR("EAGAIN");
	ASK(XS_READ, "control/shutdown");
	IS("poweroff");
	ASK_TX(tx, XS_TRANSACTION_END, "T");
	ERROR("ENOENT");
}

static void test_transaction_rules(void **state)
{
	uint32_t tx[XS_TX_MAX];

	(void)state;
	for (unsigned i = 0; i < XS_TX_MAX; i++) {
		tx[i] = begin();
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(tx[i], tx[k]);
	}
	ASK(XS_TRANSACTION_START, "");
	ERROR("ENOSPC");
	ASK_TX(tx[0], XS_TRANSACTION_START, "");
	ERROR("EBUSY");
	ASK_TX(tx[0], XS_TRANSACTION_END, "");
	ERROR("EINVAL");
	ASK_TX(tx[0], XS_TRANSACTION_END, "maybe");
	ERROR("EINVAL");
	ASK(XS_TRANSACTION_END, "T");
	ERROR("ENOENT");
	ASK_TX(12345, XS_READ, "data");
	ERROR("ENOENT");
	ASK_TX(12345, XS_WATCH, "data\0t"); /* a watch does not care */
	OK();
}

/* The first transaction needs no memory, the next one says that there is none. */
static void test_transaction_memory(void **state)
{
	(void)state;
	host_fail_alloc(1);
	(void)begin();
	ASK(XS_TRANSACTION_START, "");
	ERROR("ENOMEM");
	ASK(XS_TRANSACTION_START, "");
	IS("2\0");
}

/* ---- the ring ---- */

/* Byte by byte: what is there is taken, and the answer comes when the message is whole. */
static void test_partial(void **state)
{
	struct {
		struct xsd_sockmsg h;
		char path[14];
	} m = {
	    {XS_READ, 77, 0, 14},
            "memory/target"
        };

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(ring->rsp_prod, ring->rsp_cons);
		assert_int_equal(push((char *)&m + i, 1), 1);
		assert_true(serve());
		assert_int_equal(ring->req_cons, ring->req_prod);
	}
	assert_true(receive());
	assert_int_equal(head.req_id, 77);
	IS("65536");
}

/* A message larger than the ring, from a guest that fills it as far as it can. */
static void test_larger_than_ring(void **state)
{
	static char value[7 + XS_VALUE_MAX] = "data/x";

	(void)state;
	for (unsigned i = 7; i < sizeof(value); i++)
		value[i] = (char)i;
	ask_tx(0, XS_WRITE, value, sizeof(value));
	OK();
	ASK(XS_READ, "data/x");
	assert_int_equal(head.len, XS_VALUE_MAX);
	assert_memory_equal(payload, value + 7, XS_VALUE_MAX);
}

/* Many requests at once, and a guest that reads no answer until it has sent all. */
static void test_backlog(void **state)
{
	struct {
		struct xsd_sockmsg h;
		char path[14];
	} m = {
	    {XS_READ, 0, 0, 14},
            "memory/target"
        };
	unsigned sent = 0, got = 0;

	(void)state;
	while (push(&m, 30) == 30) {
		m.h.req_id = ++sent;
		serve();
	}
	assert_true(sent > 1024 / 30 * 2 - 2); /* both rings are full */
	assert_int_equal(ring->rsp_prod - ring->rsp_cons, XENSTORE_RING_SIZE);
	while (got < sent && receive())
		assert_int_equal(head.req_id, got++);
	assert_int_equal(got, sent);
}

/* Indices go round 32 bits. */
static void test_wrap(void **state)
{
	(void)state;
	ring->req_prod = ring->req_cons = ring->rsp_prod = ring->rsp_cons = UINT32_MAX - 20;
	c->req_cons = c->rsp_prod = UINT32_MAX - 20;
	for (unsigned i = 0; i < 100; i++) {
		ASK(XS_READ, "memory/target");
		IS("65536");
	}
}

static void broken(uint32_t error)
{
	assert_true(serve());
	assert_int_equal(ring->error, error);
	assert_int_equal(c->error, error);
	ring->rsp_cons = ring->rsp_prod;
	ring->req_prod = c->req_cons + 30;
	assert_false(serve()); /* never looked at again */
	assert_int_equal(ring->rsp_prod, ring->rsp_cons);
}

/* Impossible indices, and a length that no buffer holds: the ring is left alone. */
static void test_broken(void **state)
{
	struct xsd_sockmsg h = {XS_READ, 1, 0, XENSTORE_PAYLOAD_MAX + 1};

	(void)state;
	ring->req_prod = c->req_cons + XENSTORE_RING_SIZE + 1;
	broken(XENSTORE_ERROR_RINGIDX);
	ring->connection = XENSTORE_RECONNECT;
	assert_true(serve());
	assert_int_equal(ring->connection, XENSTORE_CONNECTED);
	ring->rsp_cons = c->rsp_prod + 1;
	broken(XENSTORE_ERROR_RINGIDX);
	ring->connection = XENSTORE_RECONNECT;
	assert_true(serve());
	(void)push(&h, sizeof(h));
	broken(XENSTORE_ERROR_PROTO);
}

/* Connecting anew: nothing begun is left, and all works again. */
static void test_reconnect(void **state)
{
	struct xsd_sockmsg h = {XS_READ, 1, 0, 14};

	(void)state;
	ASK(XS_WATCH, "data\0t");
	EVENT("data\0t\0");
	(void)begin();
	(void)push(&h, sizeof(h));
	serve();
	(void)push("memo", 4);
	ring->connection = XENSTORE_RECONNECT;
	assert_true(serve());
	assert_int_equal(ring->error, XENSTORE_ERROR_NONE);
	assert_int_equal(ring->req_prod, ring->req_cons);
	hv_write("data/x", "");
	SILENCE();
	ASK(XS_READ, "memory/target");
	IS("65536");
	assert_true(mfn_valid(c->txs.spare));
}

/* What the guest does to indices of ours, it does to itself. */
static void test_our_indices(void **state)
{
	(void)state;
	ASK(XS_READ, "memory/target");
	ring->req_cons += 500;
	ring->rsp_prod -= 3;
	serve();
	assert_int_equal(ring->req_cons, c->req_cons);
	assert_int_equal(ring->rsp_prod, c->rsp_prod);
	ASK(XS_READ, "memory/target");
	IS("65536");
}

/* ---- a guest that tells as little as Linux does (drivers/xen/xenbus/xenbus_comms.c) ---- */

#define LINUX_BYTES 3000u /* of a request: thrice around the ring, and as much in answers */
#define LINUX_TIMES 400u

static _Atomic unsigned bell; /* rung by the guest */
static _Atomic bool over;

static void *server(void *arg)
{
	unsigned heard = 0;

	host_set_cpu(1);
	while (!over) {
		if (bell == heard) {
			sched_yield();
			continue;
		}
		heard = bell;
		while (xs_ring_turn(c, ring).more)
			;
	}
	return arg;
}

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

/* Until the index differs; false: nobody came for ten seconds. */
static bool wait_while(const uint32_t *p, uint32_t value)
{
	const time_t end = time(NULL) + 10;

	while (load(p) == value) {
		if (time(NULL) > end)
			return false;
		sched_yield();
	}
	return true;
}

/* It rings only if all that it had put in before was taken. */
static bool linux_write(const char *from, uint32_t n)
{
	while (n) {
		uint32_t prod = ring->req_prod, room, i = 0;

		room = XENSTORE_RING_SIZE - (prod - load(&ring->req_cons));
		if (!room && !wait_while(&ring->req_cons, prod - XENSTORE_RING_SIZE))
			return false;
		for (; i < n && i < room; i++)
			ring->req[MASK_XENSTORE_IDX(prod + i)] = from[i];
		__atomic_store_n(&ring->req_prod, prod + i, __ATOMIC_SEQ_CST);
		from += i;
		n -= i;
		if (i && load(&ring->req_cons) == prod)
			bell++;
	}
	return true;
}

/* It rings only if the ring was full. */
static bool linux_read(char *to, uint32_t n)
{
	while (n) {
		uint32_t cons = ring->rsp_cons, there, i = 0;

		if (!wait_while(&ring->rsp_prod, cons))
			return false;
		there = load(&ring->rsp_prod) - cons;
		for (; i < n && i < there; i++)
			to[i] = ring->rsp[MASK_XENSTORE_IDX(cons + i)];
		__atomic_store_n(&ring->rsp_cons, cons + i, __ATOMIC_SEQ_CST);
		to += i;
		n -= i;
		if (load(&ring->rsp_prod) - cons >= XENSTORE_RING_SIZE)
			bell++;
	}
	return true;
}

/* Nothing gets stuck, however guest and hypervisor overtake each other. */
static void test_no_bell_is_missed(void **state)
{
	static char text[LINUX_BYTES];
	const struct xsd_sockmsg ask = {XS_READ, 1, 0, sizeof(text)};
	pthread_t thread;
	bool good = true;

	(void)state;
	over = false;
	bell = 0;
	assert_int_equal(pthread_create(&thread, NULL, server, NULL), 0);
	for (unsigned i = 0; good && i < LINUX_TIMES; i++) {
		good = linux_write((const char *)&ask, sizeof(ask)) &&
		       linux_write(text, sizeof(text)) && linux_read((char *)&head, sizeof(head)) &&
		       linux_read(payload, head.len) && head.type == XS_ERROR;
	}
	over = true;
	pthread_join(thread, NULL);
	assert_true(good);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(test_watch),
	    T(test_hypervisor_writes),
	    T(test_watch_removed),
	    T(test_event_quota),
	    T(test_reset_watches),
	    T(test_commit),
	    T(test_commit_reused),
	    T(test_abort),
	    T(test_conflict),
	    T(test_transaction_rules),
	    T(test_transaction_memory),
	    T(test_partial),
	    T(test_larger_than_ring),
	    T(test_backlog),
	    T(test_wrap),
	    T(test_broken),
	    T(test_reconnect),
	    T(test_our_indices),
	    T(test_no_bell_is_missed),
	};

	return cmocka_run_group_tests_name("xs_ring", tests, NULL, NULL);
}
