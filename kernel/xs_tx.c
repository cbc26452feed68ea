/* SPDX-License-Identifier: MIT */
/*
 * See xs_tx.h. A node keeps its number in the copy, so two trees are compared by number:
 * a node was removed if its number is now free or was used anew (XS_CREATED).
 */
#include "kernel/xs_tx.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "mm/env.h"
#include "mm/frame.h"

ASSERT_STATIC(sizeof(struct xs_store) <= PAGE_SIZE << XS_STORE_ORDER);

bool xs_tx_init(struct xs_txs *t, domid_t domain)
{
	memset(t, 0, sizeof(*t));
	t->domain = domain;
	t->spare = frame_alloc(XS_STORE_ORDER, FRAME_HYPERVISOR, domain);
	return mfn_valid(t->spare);
}

void xs_tx_drop(struct xs_txs *t, struct xs_tx *tx)
{
	if (mfn_valid(t->spare))
		frame_free(tx->frame, XS_STORE_ORDER);
	else
		t->spare = tx->frame;
	*tx = (struct xs_tx){.id = 0};
}

void xs_tx_reset(struct xs_txs *t)
{
	for (unsigned i = 0; i < XS_TX_MAX; i++)
		if (t->tx[i].id)
			xs_tx_drop(t, &t->tx[i]);
}

void xs_tx_free(struct xs_txs *t)
{
	xs_tx_reset(t);
	if (mfn_valid(t->spare))
		frame_free(t->spare, XS_STORE_ORDER);
	t->spare = MFN_NONE;
}

struct xs_tx *xs_tx_find(struct xs_txs *t, uint32_t id)
{
	for (unsigned i = 0; id && i < XS_TX_MAX; i++)
		if (t->tx[i].id == id)
			return &t->tx[i];
	return NULL;
}

/* Never 0, and none that is in use. */
static uint32_t tx_new_id(struct xs_txs *t)
{
	do
		t->last_id++;
	while (!t->last_id || xs_tx_find(t, t->last_id));
	return t->last_id;
}

static struct xs_tx *tx_slot(struct xs_txs *t)
{
	for (unsigned i = 0; i < XS_TX_MAX; i++)
		if (!t->tx[i].id)
			return &t->tx[i];
	return NULL;
}

uint32_t xs_tx_start(struct xs_txs *t, const struct xs_store *s, int *error)
{
	struct xs_tx *tx = tx_slot(t);
	mfn_t frame = t->spare;

	*error = tx ? -XEN_ENOMEM : -XEN_ENOSPC;
	if (!tx)
		return 0;
	if (!mfn_valid(frame))
		frame = frame_alloc(XS_STORE_ORDER, FRAME_HYPERVISOR, t->domain);
	if (!mfn_valid(frame))
		return 0;
	t->spare = MFN_NONE;
	*tx = (struct xs_tx){tx_new_id(t), s->generation, frame, env_frame(frame)};
	memcpy(tx->copy, s, sizeof(*s));
	for (unsigned i = 0; i < XS_NODES; i++)
		tx->copy->node[i].flags &= (uint16_t) ~(XS_CHANGED | XS_CREATED);
	return tx->id;
}

static bool tx_removed(const struct xs_store *old, const struct xs_store *new, unsigned i)
{
	return (old->node[i].flags & XS_USED) &&
	       (!(new->node[i].flags &XS_USED) || (new->node[i].flags &XS_CREATED));
}

/* What was removed fires once, at its top; what was written fires where it is. */
static void tx_fire(const struct xs_store *old, const struct xs_store *new, struct xs_watches *w,
                    char *path)
{
	for (unsigned i = 1; i < XS_NODES; i++)
		if (tx_removed(old, new, i) && !tx_removed(old, new, old->node[i].parent))
			xs_watch_fire(w, path, xs_store_path(old, i, path), true);
	for (unsigned i = 1; i < XS_NODES; i++)
		if ((new->node[i].flags &XS_USED) && (new->node[i].flags &XS_CHANGED))
			xs_watch_fire(w, path, xs_store_path(new, i, path), false);
}

int xs_tx_commit(struct xs_txs *t, struct xs_tx *tx, struct xs_store *s, struct xs_watches *w,
                 char *path)
{
	int rc = tx->base == s->generation ? 0 : -XEN_EAGAIN;

	if (!rc && tx->copy->generation != tx->base) {
		tx_fire(s, tx->copy, w, path);
		memcpy(s, tx->copy, sizeof(*s));
	}
	xs_tx_drop(t, tx);
	return rc;
}
