/* SPDX-License-Identifier: MIT */
/*
 * What one domain may use of what the hypervisor keeps for all, and what it uses: counted when
 * asked. Each quota is a size of some array made with the domain, or of a pool that was funded
 * with it; so a guest that fills one finds an error, and nobody else less.
 */
#ifndef KERNEL_QUOTA_H
#define KERNEL_QUOTA_H

#include "kernel/domain.h"

enum quota_kind {
	QUOTA_PORTS,        /* event channels: -ENOSPC */
	QUOTA_NODES,        /* of xenstore: "ENOSPC" */
	QUOTA_WATCHES,      /* of xenstore: "E2BIG" */
	QUOTA_TRANSACTIONS, /* of xenstore: "ENOSPC" */
	QUOTA_MAPS,         /* pages of others that it has mapped: GNTST_no_space */
	QUOTA_LENT,         /* references that others use: GNTST_no_space for them */
	QUOTA_TABLES,       /* frames of its p2m: -ENOMEM; what was promised never fails */
	QUOTA_PINS,         /* pages to which the hypervisor holds a pointer: -ENOMEM */
	QUOTA_LOG,          /* bytes printed at once: lines are dropped, and it is said how many */
	QUOTAS,
};

struct quota {
	const char *name, *heading; /* for programs, for people */
	uint64_t used, most;
};

/* CPU 0. */
void quota_look(struct domain *d, struct quota q[QUOTAS]);

#endif
