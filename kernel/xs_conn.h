/* SPDX-License-Identifier: MIT */
/*
 * One domain's side of xenstore: the tree, its watches and transactions, the
 * message that is coming in and the one that is going out. A request is answered as soon as
 * it is whole, and the next is not looked at before the answer has left for the ring:
 * a guest that does not read is not served, and costs what lies here.
 */
#ifndef KERNEL_XS_CONN_H
#define KERNEL_XS_CONN_H

#include "kernel/xs_tx.h"
#include "mm/leaf/lock.h"
#include <xen/io/xs_wire.h>

/* A header and its payload, in the making. */
struct xs_message {
	uint32_t bytes; /* so far (in), or of the whole message (out) */
	uint32_t sent;  /* out: of these */
	struct xsd_sockmsg head;
	char payload[XENSTORE_PAYLOAD_MAX];
};

_Static_assert(offsetof(struct xs_message, payload) - offsetof(struct xs_message, head) == 16,
               "a message is sent as it lies");

struct xs_conn {
	struct spinlock lock; /* everything here; inside: event_lock, the free list */
	domid_t domain;
	mfn_t frame, store_frame; /* where this and the tree lie */
	struct xs_store *store;
	struct xs_txs txs;
	/* our own indices: what the guest does to those in the page does not matter */
	uint32_t req_cons, rsp_prod;
	uint32_t error; /* XENSTORE_ERROR_*: the ring is not looked at any more */
	bool complained;
	uint64_t requests, events; /* answered; sent */
	struct xs_message in, out;
	struct xs_watches watches;
};

/* Connected, with an empty tree. NULL: no memory, and nothing is left. */
struct xs_conn *xs_conn_make(domid_t domain) must_check;
void xs_conn_free(struct xs_conn *c);

/* in holds a whole request: answer it into out, which is empty. */
void xs_request(struct xs_conn *c);

/* Put the next event into out, which is empty; false if there is none. */
bool xs_next_event(struct xs_conn *c) must_check;

/* The guest begins anew: no message, watch or transaction is left. */
void xs_conn_reset(struct xs_conn *c);

#endif
