/* SPDX-License-Identifier: MIT */
/*
 * Names of nodes as a guest writes them (docs/misc/xenstore.txt of Xen): what
 * is well formed, and which part of the tree a guest may name at all. Inside,
 * a path is relative to the domain's home, /local/domain/ID; the home itself is "". Pure.
 */
#ifndef KERNEL_XS_PATH_H
#define KERNEL_XS_PATH_H

#include "mm/leaf/types.h"

#define XS_HOME_BYTES 24u /* "/local/domain/255" and its NUL */

struct xs_path {
	const char *text; /* relative to home; not ended by a NUL */
	size_t length;
	bool absolute; /* as it was written */
};

/* The home of a domain; returns its length. */
size_t xs_home(domid_t id, char home[XS_HOME_BYTES]);

/*
 * Split `text` (without its NUL). 0, -XEN_EINVAL (not a path), or -XEN_EACCES: a path
 * outside of this domain's home, whether there is something or not.
 */
int xs_path_parse(domid_t id, const char *text, size_t length, struct xs_path *p) must_check;

/* Whether `inner` is `outer`, or lies under it; both relative to home. */
bool xs_path_under(const char *outer, size_t outer_length, const char *inner, size_t inner_length);

/* The length of the first name of a path. */
size_t xs_path_first(const char *text, size_t length);

#endif
