/* SPDX-License-Identifier: MIT */
/*
 * xenstore, as a domain has it: a tree of its own behind a ring page, by which the
 * operator's wishes reach an unmodified guest (docs/xenstore.md). Made and freed with
 * the domain on CPU 0; in between any CPU may call, with no lock held.
 */
#ifndef KERNEL_XENSTORE_H
#define KERNEL_XENSTORE_H

#include "kernel/domain.h"

/* The tree, the ring page and its event channel; d has its vCPUs. False: no memory, and
 * there is no store. */
bool xenstore_create(struct domain *d) must_check;
/* No vCPU of it may run any more. Does nothing if there is none. The page is special.c's. */
void xenstore_free(struct domain *d);

/* The guest has sent to its store's event channel. True: call again, there is more to do. */
bool xenstore_event(struct domain *d) must_check;

/* The hypervisor writes; who watches is told. False: the domain has no store, or its
 * guest has used up what is kept for us. `path` is relative to the domain's home. */
bool xenstore_write(struct domain *d, const char *path, const char *value) must_check;
/* The value with a NUL, cut to fit; false if there is no such node. */
bool xenstore_read(struct domain *d, const char *path, char *value, size_t bytes) must_check;

struct xenstore_stats {
	unsigned nodes, watches, transactions;
	uint64_t requests, events;
	uint32_t error; /* XENSTORE_ERROR_*: 0 while the ring is in order */
};
/* All zero if the domain has no store. */
struct xenstore_stats xenstore_stats(struct domain *d);
/* Whether the guest watches this path or one above it. */
bool xenstore_watched(struct domain *d, const char *path);

#endif
