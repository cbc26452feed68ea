/* SPDX-License-Identifier: MIT */
/*
 * The tree of one domain: names, values, who may write. It is one piece of
 * memory without a pointer in it: a transaction works on a copy (xs_tx.c).
 *
 * Every domain has a tree of its own, rooted at its home. No path leads from one
 * guest to another, so there is no permission that could be wrong about it.
 *
 * The hypervisor owns what it writes, and the guest may read that. The guest owns,
 * and may write, what the hypervisor has given to it (`data`, `device`, ...), what
 * it has made below, and control/feature-*. Some nodes and blocks are kept for the
 * hypervisor, so that a guest which has used up its quota can still be told things.
 */
#ifndef KERNEL_XS_STORE_H
#define KERNEL_XS_STORE_H

#include "kernel/xs_heap.h"

#define XS_NODES          160u
#define XS_BLOCKS         384u
#define XS_KEPT_NODES     8u
#define XS_KEPT_BLOCKS    16u
#define XS_VALUE_MAX      2048u
#define XS_PERMS_MAX      5u /* entries of one node */
#define XS_PERMS_TEXT_MAX 64u

enum xs_who { XS_HYPERVISOR, XS_GUEST };

#define XS_USED     1u
#define XS_OWNED    2u  /* by the guest: it may write, remove, add below */
#define XS_FEATURES 4u  /* the guest may add nodes whose names begin with "feature-" */
#define XS_CHANGED  8u  /* in a transaction's copy: written in it */
#define XS_CREATED  16u /* in a transaction's copy: made in it */

struct xs_node {
	uint16_t parent, child, next; /* of the list of children; 0 is home, thus none */
	uint16_t flags;
	struct xs_string name, value, perms;
};

struct xs_store {
	uint64_t generation; /* changes so far */
	uint16_t free_node, nr_free_nodes;
	uint32_t reserved;
	struct xs_node node[XS_NODES]; /* 0 is home */
	XS_HEAP(XS_BLOCKS) strings;
};

void xs_store_init(struct xs_store *s);

/* The node of a path relative to home, or -XEN_ENOENT. */
int xs_store_find(const struct xs_store *s, const char *path, size_t length) must_check;

/*
 * Each returns 0 or -XEN_ENOENT, -XEN_EACCES, -XEN_ENOSPC (quota), -XEN_EINVAL, and then has
 * changed nothing. xs_store_make and xs_store_remove return 1 where there was nothing to do.
 */
int xs_store_write(struct xs_store *s, enum xs_who who, const char *path, size_t length,
                   const char *value, size_t value_length) must_check;
int xs_store_make(struct xs_store *s, enum xs_who who, const char *path, size_t length) must_check;
int xs_store_remove(struct xs_store *s, enum xs_who who, const char *path,
                    size_t length) must_check;
/* perms: as sent, one string after the other, each with its NUL; checked by the caller. */
int xs_store_set_perms(struct xs_store *s, const char *path, size_t length, const char *perms,
                       size_t perms_length) must_check;

/* The hypervisor gives a node that is there to the guest, with XS_OWNED or XS_FEATURES. */
void xs_store_give(struct xs_store *s, const char *path, unsigned flags);

/* The path of a node, without NUL, relative to home; at most XENSTORE_ABS_PATH_MAX bytes. */
size_t xs_store_path(const struct xs_store *s, unsigned node, char *path);

#endif
