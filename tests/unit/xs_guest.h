/* SPDX-License-Identifier: MIT */
/* A guest at its ring, for the tests of xenstore: it sends, it reads, it compares. */
#ifndef TESTS_UNIT_XS_GUEST_H
#define TESTS_UNIT_XS_GUEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernel/xen_abi.h"
#include "kernel/xs_ring.h"
#include "tests/host/env.h"

#define ID 7

static struct xs_conn *c;
static struct xenstore_domain_interface *ring;
static uint64_t free_at_start;
static uint32_t next_req;

static inline void hv_write(const char *path, const char *value)
{
	assert_int_equal(
	    xs_store_write(c->store, XS_HYPERVISOR, path, strlen(path), value, strlen(value)), 0);
	xs_watch_fire(&c->watches, path, strlen(path), false);
}

static inline int start(void **state)
{
	(void)state;
	host_start_small();
	free_at_start = host_free_frames();
	c = xs_conn_make(ID);
	ring = malloc(sizeof(*ring)); /* exactly: a byte too far is noticed */
	assert_true(c && ring);
	xs_ring_init(ring);
	hv_write("memory/target", "65536");
	hv_write("control/shutdown", "");
	hv_write("data", "");
	xs_store_give(c->store, "control", XS_FEATURES);
	xs_store_give(c->store, "control/shutdown", XS_OWNED);
	xs_store_give(c->store, "data", XS_OWNED);
	return 0;
}

static inline int stop(void **state)
{
	(void)state;
	xs_conn_free(c);
	free(ring);
	assert_int_equal(host_free_frames(), free_at_start);
	host_stop();
	return 0;
}

/* ---- a guest ---- */

static inline bool serve(void)
{
	struct xs_turn t;
	bool notified = false;
	unsigned turns = 0;

	do {
		t = xs_ring_turn(c, ring);
		notified |= t.notify;
		assert_true(++turns < 1000);
	} while (t.more);
	return notified;
}

/* As much as there is room for; returns how much that was. */
static inline size_t push(const void *bytes, size_t n)
{
	const char *from = bytes;
	size_t i = 0;

	while (i < n && ring->req_prod - ring->req_cons < XENSTORE_RING_SIZE)
		ring->req[MASK_XENSTORE_IDX(ring->req_prod++)] = from[i++];
	return i;
}

static inline size_t pull(void *bytes, size_t n)
{
	char *to = bytes;
	size_t i = 0;

	while (i < n && ring->rsp_cons != ring->rsp_prod)
		to[i++] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons++)];
	return i;
}

static inline void push_all(const void *bytes, size_t n)
{
	for (size_t done = 0; done < n; serve())
		done += push((const char *)bytes + done, n - done);
}

static struct xsd_sockmsg head;
static char payload[XENSTORE_PAYLOAD_MAX + 1];

/* One message from the ring; false: there is none. */
static inline bool receive(void)
{
	size_t got = 0;

	serve();
	if (pull(&head, sizeof(head)) == 0)
		return false;
	assert_true(head.len <= XENSTORE_PAYLOAD_MAX);
	while (got < head.len) {
		got += pull(payload + got, head.len - got);
		serve();
	}
	payload[head.len] = '\0';
	return true;
}

static inline void ask_tx(uint32_t tx, uint32_t type, const char *bytes, size_t n)
{
	struct xsd_sockmsg h = {type, ++next_req, tx, (uint32_t)n};

	push_all(&h, sizeof(h));
	push_all(bytes, n);
	assert_true(receive());
	assert_int_equal(head.req_id, next_req);
	assert_int_equal(head.tx_id, tx);
	assert_true(head.type == type || head.type == XS_ERROR);
}

/* Payloads of string literals end in the literal's own NUL. */
#define ASK(type, literal)        ask_tx(0, type, literal, sizeof(literal))
#define ASK_BARE(type, literal)   ask_tx(0, type, literal, sizeof(literal) - 1)
#define ASK_TX(tx, type, literal) ask_tx(tx, type, literal, sizeof(literal))
#define WRITE(literal)            ASK_BARE(XS_WRITE, literal)
#define WRITE_TX(tx, literal)     ask_tx(tx, XS_WRITE, literal, sizeof(literal) - 1)
#define OK()                      assert_string_equal(payload, "OK")
#define ERROR(name)                                                                                \
	do {                                                                                       \
		assert_int_equal(head.type, XS_ERROR);                                             \
		assert_string_equal(payload, name);                                                \
	} while (0)
#define IS(literal)                                                                                \
	do {                                                                                       \
		assert_int_not_equal(head.type, XS_ERROR);                                         \
		assert_int_equal(head.len, sizeof(literal) - 1);                                   \
		assert_memory_equal(payload, literal, sizeof(literal) - 1);                        \
	} while (0)
#define EVENT(literal)                                                                             \
	do {                                                                                       \
		assert_true(receive());                                                            \
		assert_int_equal(head.type, XS_WATCH_EVENT);                                       \
		assert_int_equal(head.req_id, 0);                                                  \
		assert_int_equal(head.tx_id, 0);                                                   \
		IS(literal);                                                                       \
	} while (0)
#define SILENCE() assert_false(receive())

static inline uint32_t begin(void)
{
	ASK(XS_TRANSACTION_START, "");
	assert_int_not_equal(head.type, XS_ERROR);
	return (uint32_t)strtoul(payload, NULL, 10);
}

#endif
