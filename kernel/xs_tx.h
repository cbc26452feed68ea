/* SPDX-License-Identifier: MIT */
/*
 * Transactions: each works on a copy of the whole tree, and a commit puts the copy
 * in the place of the tree, unless something was written there meanwhile (then
 * -XEN_EAGAIN, and the guest tries again, as Xen's manual says). The first
 * transaction's memory is made with the domain: a guest that is to give back
 * memory, because there is none, must be able to read what is wanted of it.
 */
#ifndef KERNEL_XS_TX_H
#define KERNEL_XS_TX_H

#include "kernel/xs_store.h"
#include "kernel/xs_watch.h"

#define XS_TX_MAX      4u
#define XS_STORE_ORDER 2u /* frames of one tree */

struct xs_tx {
	uint32_t id;   /* 0: not in use */
	uint64_t base; /* the tree's generation when it began */
	mfn_t frame;
	struct xs_store *copy;
};

struct xs_txs {
	domid_t domain;
	uint32_t last_id;
	mfn_t spare; /* a tree's frames for the next one, or MFN_NONE */
	struct xs_tx tx[XS_TX_MAX];
};

bool xs_tx_init(struct xs_txs *t, domid_t domain) must_check; /* false: no memory */
void xs_tx_free(struct xs_txs *t);                            /* everything goes back */
void xs_tx_reset(struct xs_txs *t);                           /* drop all that are open */

struct xs_tx *xs_tx_find(struct xs_txs *t, uint32_t id); /* NULL: no such */
/* Its number, or 0 with *error: -XEN_ENOSPC (quota) or -XEN_ENOMEM. */
uint32_t xs_tx_start(struct xs_txs *t, const struct xs_store *s, int *error) must_check;
void xs_tx_drop(struct xs_txs *t, struct xs_tx *tx);
/* Commit; tx is gone after, whatever comes of it. `path`: XENSTORE_ABS_PATH_MAX bytes to work in.
 * 0 or -XEN_EAGAIN. */
int xs_tx_commit(struct xs_txs *t, struct xs_tx *tx, struct xs_store *s, struct xs_watches *w,
                 char *path) must_check;

#endif
