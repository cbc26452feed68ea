/* SPDX-License-Identifier: MIT */
/* See xs_store.h. Nothing here calls itself: a tree may be as deep as it has nodes. */
#include "kernel/xs_store.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "kernel/xs_path.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"
#include <xen/io/xs_wire.h>

ASSERT_STATIC(sizeof(struct xs_store) <= 4 * PAGE_SIZE);
ASSERT_STATIC(sizeof(struct xs_node) == 20);

void xs_store_init(struct xs_store *s)
{
	s->generation = 0;
	s->node[0] = (struct xs_node){.flags = XS_USED};
	for (unsigned i = 1; i < XS_NODES; i++)
		s->node[i] = (struct xs_node){.next = (uint16_t)(i + 1 < XS_NODES ? i + 1 : 0)};
	s->free_node = 1;
	s->nr_free_nodes = XS_NODES - 1;
	xs_heap_init(&s->strings.heap, XS_BLOCKS);
}

/* ---- looking ---- */

static unsigned store_child(const struct xs_store *s, unsigned parent, const char *name, size_t n)
{
	unsigned i = s->node[parent].child;

	while (i && !xs_string_is(&s->strings.heap, s->node[i].name, name, n))
		i = s->node[i].next;
	return i;
}

/* The deepest node on the way that is there; *done is how much of the path it covers. */
static unsigned store_nearest(const struct xs_store *s, const char *path, size_t length,
                              size_t *done)
{
	unsigned at = 0;

	*done = 0;
	while (*done < length) {
		size_t n = xs_path_first(path + *done, length - *done);
		unsigned child = store_child(s, at, path + *done, n);

		if (!child)
			break;
		at = child;
		*done += n;
		*done += *done < length; /* the slash */
	}
	return at;
}

int xs_store_find(const struct xs_store *s, const char *path, size_t length)
{
	size_t done;
	unsigned at = store_nearest(s, path, length, &done);

	return done == length ? (int)at : -XEN_ENOENT;
}

size_t xs_store_path(const struct xs_store *s, unsigned node, char *path)
{
	size_t length = 0, at;

	for (unsigned i = node; i; i = s->node[i].parent)
		length += s->node[i].name.length + (s->node[i].parent ? 1u : 0u);
	ASSERT(length <= XENSTORE_ABS_PATH_MAX);
	at = length;
	for (unsigned i = node; i; i = s->node[i].parent) {
		at -= s->node[i].name.length;
		xs_string_get(&s->strings.heap, s->node[i].name, path + at);
		if (s->node[i].parent)
			path[--at] = '/';
	}
	return length;
}

/* ---- adding ---- */

static unsigned store_names(const char *path, size_t length)
{
	unsigned n = length != 0;

	for (size_t i = 0; i < length; i++)
		n += path[i] == '/';
	return n;
}

/* Blocks for the names of the nodes that are missing. */
static unsigned store_name_blocks(const char *path, size_t length)
{
	unsigned blocks = 0;

	while (length) {
		size_t n = xs_path_first(path, length);

		blocks += xs_blocks(n);
		n += n < length;
		path += n;
		length -= n;
	}
	return blocks;
}

static bool store_fits(const struct xs_store *s, enum xs_who who, unsigned nodes, unsigned blocks)
{
	unsigned kept_nodes = who == XS_GUEST ? XS_KEPT_NODES : 0;
	unsigned kept_blocks = who == XS_GUEST ? XS_KEPT_BLOCKS : 0;

	return nodes + kept_nodes <= s->nr_free_nodes &&
	       blocks + kept_blocks <= s->strings.heap.nr_free;
}

static bool store_may_add(const struct xs_node *parent, enum xs_who who, const char *name, size_t n)
{
	static const char feature[] = "feature-";

	if (who == XS_HYPERVISOR || (parent->flags & XS_OWNED))
		return true;
	return (parent->flags & XS_FEATURES) && n > strlen(feature) &&
	       memcmp(name, feature, strlen(feature)) == 0;
}

static unsigned store_add_one(struct xs_store *s, unsigned parent, enum xs_who who,
                              const char *name, size_t n)
{
	unsigned i = s->free_node;

	ASSERT(i);
	s->free_node = s->node[i].next;
	s->nr_free_nodes--;
	s->node[i] = (struct xs_node){
	    .parent = (uint16_t)parent,
	    .next = s->node[parent].child,
	    .flags = (uint16_t)(XS_USED | XS_CHANGED | XS_CREATED |
	                        (who == XS_GUEST ? XS_OWNED : s->node[parent].flags & XS_OWNED)),
	    .name = xs_string_make(&s->strings.heap, name, n),
	};
	s->node[parent].child = (uint16_t)i;
	return i;
}

/* Make what is missing of a path; `extra` more blocks must be there after. The node, or -XEN_E*. */
static int store_add(struct xs_store *s, enum xs_who who, const char *path, size_t length,
                     unsigned extra)
{
	size_t done;
	unsigned at = store_nearest(s, path, length, &done);

	if (!store_may_add(&s->node[at], who, path + done,
	                   xs_path_first(path + done, length - done)))
		return -XEN_EACCES;
	if (!store_fits(s, who, store_names(path + done, length - done),
	                store_name_blocks(path + done, length - done) + extra))
		return -XEN_ENOSPC;
	while (done < length) {
		size_t n = xs_path_first(path + done, length - done);

		at = store_add_one(s, at, who, path + done, n);
		done += n + 1;
	}
	return (int)at;
}

int xs_store_make(struct xs_store *s, enum xs_who who, const char *path, size_t length)
{
	int i = xs_store_find(s, path, length);

	if (i >= 0)
		return 1;
	i = store_add(s, who, path, length, 0);
	if (i < 0)
		return i;
	s->generation++;
	return 0;
}

static bool store_may_write(const struct xs_node *n, enum xs_who who)
{
	return who == XS_HYPERVISOR || (n->flags & XS_OWNED);
}

int xs_store_write(struct xs_store *s, enum xs_who who, const char *path, size_t length,
                   const char *value, size_t value_length)
{
	struct xs_heap *h = &s->strings.heap;
	int i = xs_store_find(s, path, length);
	struct xs_node *n;

	if (value_length > XS_VALUE_MAX)
		return -XEN_ENOSPC;
	if (i < 0) {
		i = store_add(s, who, path, length, xs_blocks(value_length));
		if (i < 0)
			return i;
	}
	n = &s->node[i];
	if (!store_may_write(n, who))
		return -XEN_EACCES;
	/* What the old value gives back may be used for the new one. */
	if (xs_blocks(value_length) > xs_blocks(n->value.length) &&
	    !store_fits(s, who, 0, xs_blocks(value_length) - xs_blocks(n->value.length)))
		return -XEN_ENOSPC;
	xs_string_free(h, &n->value);
	n->value = xs_string_make(h, value, value_length);
	n->flags |= XS_CHANGED;
	s->generation++;
	return 0;
}

int xs_store_set_perms(struct xs_store *s, const char *path, size_t length, const char *perms,
                       size_t perms_length)
{
	struct xs_heap *h = &s->strings.heap;
	int i = xs_store_find(s, path, length);
	struct xs_node *n;

	ASSERT(perms_length <= XS_PERMS_TEXT_MAX);
	if (i < 0)
		return i;
	n = &s->node[i];
	if (!store_may_write(n, XS_GUEST))
		return -XEN_EACCES;
	if (!store_fits(s, XS_GUEST, 0, xs_blocks(perms_length)))
		return -XEN_ENOSPC;
	xs_string_free(h, &n->perms);
	n->perms = xs_string_make(h, perms, perms_length);
	n->flags |= XS_CHANGED;
	s->generation++;
	return 0;
}

void xs_store_give(struct xs_store *s, const char *path, unsigned flags)
{
	int i = xs_store_find(s, path, strlen(path));

	ASSERT(i > 0);
	s->node[i].flags |= (uint16_t)flags;
}

/* ---- removing ---- */

static void store_unlink(struct xs_store *s, unsigned i)
{
	uint16_t *link = &s->node[s->node[i].parent].child;

	while (*link != i) {
		ASSERT(*link);
		link = &s->node[*link].next;
	}
	*link = s->node[i].next;
}

static void store_free_node(struct xs_store *s, unsigned i)
{
	struct xs_node *n = &s->node[i];

	xs_string_free(&s->strings.heap, &n->name);
	xs_string_free(&s->strings.heap, &n->value);
	xs_string_free(&s->strings.heap, &n->perms);
	*n = (struct xs_node){.next = s->free_node};
	s->free_node = (uint16_t)i;
	s->nr_free_nodes++;
}

/* Leaves first: go down to a node without children, take it off its parent, go up. */
static void store_free_tree(struct xs_store *s, unsigned top)
{
	unsigned at = top, up;

	store_unlink(s, top);
	do {
		while (s->node[at].child)
			at = s->node[at].child;
		up = s->node[at].parent;
		if (at != top)
			s->node[up].child = s->node[at].next;
		store_free_node(s, at);
		if (at == top)
			return;
		at = up;
	} while (true);
}

int xs_store_remove(struct xs_store *s, enum xs_who who, const char *path, size_t length)
{
	size_t done;
	unsigned at = store_nearest(s, path, length, &done);

	if (done < length) /* there is nothing; an error only if there is no parent either */
		return xs_path_first(path + done, length - done) == length - done ? 1 : -XEN_ENOENT;
	if (at == 0 || !store_may_write(&s->node[at], who))
		return -XEN_EACCES;
	store_free_tree(s, at);
	s->generation++;
	return 0;
}
