/* SPDX-License-Identifier: MIT */
/* Between the files of grants: what is kept of a domain, and references in use. Peer lock held. */
#ifndef KERNEL_GRANT_REF_H
#define KERNEL_GRANT_REF_H

#include "kernel/grant.h"
#include "kernel/xen_abi.h"
#include <xen/grant_table.h>

#define REFS_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define REFS           (GRANT_FRAMES * REFS_PER_FRAME)

/* A reference of this domain that another one uses. */
struct grant_active {
	uint32_t ref;
	domid_t user;
	uint16_t readers, writers; /* 0 and 0: not in use */
	gfn_t gfn;                 /* pinned */
	mfn_t mfn;
};

/* A page that this domain has mapped; its place in map[] is the handle. */
struct grant_map {
	bool used, writable;
	bool replaced; /* the owner is gone: `own` is mapped */
	domid_t owner;
	uint32_t ref;
	gfn_t gfn;
	mfn_t mfn, own;
};

struct grants {
	mfn_t frame; /* where this lies */
	unsigned nr_frames;
	struct {
		mfn_t frame;
		struct grant_entry_v1 *entry;
		gfn_t gfn;
		bool placed;
	} table[GRANT_FRAMES];
	struct grant_active active[GRANT_ACTIVE];
	struct grant_map map[GRANT_MAPS];
};

/* What we keep of a domain, made when it is first needed; NULL: no memory. */
struct grants *grants_of(struct domain *d);

/* A living domain with a table, or NULL. */
struct domain *grant_owner(domid_t id);

/* The use of a reference; in use already, or a free place; NULL: too many are. */
struct grant_active *grant_active_of(struct grants *g, uint32_t ref);

/* One more use of a reference of `owner`. GNTST_*; eagain where memory is short. */
int16_t grant_acquire(struct domain *owner, uint32_t ref, domid_t user, bool write,
                      struct grant_active **out) must_check;
void grant_release(struct domain *owner, struct grant_active *a, bool write);

#endif
