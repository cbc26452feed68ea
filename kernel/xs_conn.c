/* SPDX-License-Identifier: MIT */
/* See xs_conn.h: where it lies, and that all of it can go. */
#include "kernel/xs_conn.h"
#include "kernel/string.h"
#include "mm/env.h"
#include "mm/frame.h"

#define CONN_ORDER 2u

ASSERT_STATIC(sizeof(struct xs_conn) <= PAGE_SIZE << CONN_ORDER);

struct xs_conn *xs_conn_make(domid_t domain)
{
	mfn_t frame = frame_alloc(CONN_ORDER, FRAME_HYPERVISOR, domain);
	struct xs_conn *c;

	if (!mfn_valid(frame))
		return NULL;
	c = env_frame(frame);
	memset(c, 0, sizeof(*c));
	c->frame = frame;
	c->domain = domain;
	xs_watch_init(&c->watches);
	c->store_frame = frame_alloc(XS_STORE_ORDER, FRAME_HYPERVISOR, domain);
	if (!mfn_valid(c->store_frame) || !xs_tx_init(&c->txs, domain)) {
		xs_conn_free(c);
		return NULL;
	}
	c->store = env_frame(c->store_frame);
	xs_store_init(c->store);
	return c;
}

void xs_conn_free(struct xs_conn *c)
{
	xs_tx_free(&c->txs);
	if (mfn_valid(c->store_frame))
		frame_free(c->store_frame, XS_STORE_ORDER);
	frame_free(c->frame, CONN_ORDER);
}

void xs_conn_reset(struct xs_conn *c)
{
	xs_watch_init(&c->watches);
	xs_tx_reset(&c->txs);
	c->in.bytes = 0;
	c->out.bytes = c->out.sent = 0;
}
