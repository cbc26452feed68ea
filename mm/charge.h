/* SPDX-License-Identifier: MIT */
/*
 * Whom the frames are charged to that are no guest's page: page tables, the hypervisor's own
 * structures for a domain (vCPUs, xenstore, grants) and service pages.
 *
 * Each such frame's record names its owner, a domain id or 0 for the hypervisor itself, and the
 * counters here say at all times what a walk of the records would find: the audit compares.
 *
 * Page tables are bounded by space_create, which takes all that a domain may ever need; the store
 * of compressed pages by the frames that these have given up.
 * The rest is bounded by CHARGE_MAX_PAGES a domain, whatever the files of kernel/ do: a domain
 * cannot make the hypervisor spend more on it. Free-list lock.
 */
#ifndef MM_CHARGE_H
#define MM_CHARGE_H

#include "mm/frame.h"

#define CHARGE_MAX_PAGES 512u /* of one domain, its page tables apart: 2 MiB */

void charge_init(void);

/* Frames of this kind for that owner; false, and nothing counted: it has as many as it may. */
bool charge_add(enum frame_kind kind, domid_t owner, uint64_t pages) must_check;
void charge_drop(enum frame_kind kind, domid_t owner, uint64_t pages);

/* What is charged to a domain, 0 for the hypervisor itself. */
struct charge {
	uint64_t tables, service, hypervisor, store;
};
struct charge charge_of(domid_t owner);

/* The owner that a frame of this kind is charged to, for the audit: one that is no id is 0. */
domid_t charge_owner(uint16_t owner);

#endif
