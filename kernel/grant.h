/* SPDX-License-Identifier: MIT */
/*
 * Grants: a domain lets another one use single pages of its memory, version 1 of
 * Xen's grant tables (xen/grant_table.h). The rules are in grant.c.
 *
 * Whatever touches two domains at once holds the peer lock (domain.h).
 */
#ifndef KERNEL_GRANT_H
#define KERNEL_GRANT_H

#include "kernel/domain.h"

#define GRANT_FRAMES 4u  /* pages of the table: 512 references each */
#define GRANT_ACTIVE 48u /* references of one domain that others use at one time */
#define GRANT_MAPS   64u /* pages of others that one domain has mapped at one time */

struct gnttab_map_grant_ref;
struct gnttab_unmap_grant_ref;

/* GNTST_*. All take the peer lock themselves. */
int16_t grant_map(struct domain *d, struct gnttab_map_grant_ref *op) must_check;
int16_t grant_unmap(struct domain *d, const struct gnttab_unmap_grant_ref *op) must_check;

/* One side of a copy: a reference of another domain, or a page of d's own. */
struct grant_side {
	bool by_ref;
	domid_t domid; /* DOMID_SELF allowed for own pages */
	uint64_t ref_or_gfn;
	uint16_t offset;
};
int16_t grant_copy(struct domain *d, const struct grant_side *from, const struct grant_side *to,
                   uint16_t bytes) must_check;

/* Make the table's pages up to `frames`; how many there are then. */
unsigned grant_grow(struct domain *d, unsigned frames);
unsigned grant_frames(const struct domain *d);
/* Put page `index` of the table at gfn; grows the table. MM_INVAL: there is no such page. */
enum mm_status grant_place(struct domain *d, unsigned index, gfn_t gfn) must_check;
/* Where the page is now; false: nowhere. */
bool grant_placed(const struct domain *d, unsigned index, gfn_t *gfn);

/* The domain dies: what it borrowed is given back, what it lent is replaced. No vCPU of it
 * runs; before its space is destroyed. May be called again. */
void grant_end(struct domain *d);
void grant_free(struct domain *d); /* the table itself; the space is gone */

#endif
