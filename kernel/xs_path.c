/* SPDX-License-Identifier: MIT */
/* See xs_path.h. */
#include "kernel/xs_path.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include <xen/io/xs_wire.h>

size_t xs_home(domid_t id, char home[XS_HOME_BYTES])
{
	return (size_t)text_format(home, XS_HOME_BYTES, "/local/domain/%u", id);
}

/* '@' begins the names of special watches, which are not for guests. */
static bool path_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '/' || c == '_' || c == '@';
}

static bool path_well_formed(const char *text, size_t length)
{
	if (length == 0 || length > XENSTORE_ABS_PATH_MAX)
		return false;
	if (text[0] != '/' && length > XENSTORE_REL_PATH_MAX)
		return false;
	if (length > 1 && text[length - 1] == '/')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!path_character(text[i]) || (i && text[i] == '/' && text[i - 1] == '/'))
			return false;
	return true;
}

int xs_path_parse(domid_t id, const char *text, size_t length, struct xs_path *p)
{
	char home[XS_HOME_BYTES];
	size_t n = xs_home(id, home);

	if (!path_well_formed(text, length))
		return -XEN_EINVAL;
	*p = (struct xs_path){text, length, false};
	if (text[0] == '@')
		return -XEN_EACCES;
	if (text[0] != '/')
		return 0;
	if (!xs_path_under(home, n, text, length))
		return -XEN_EACCES;
	n += length > n; /* the slash */
	*p = (struct xs_path){text + n, length - n, true};
	return 0;
}

bool xs_path_under(const char *outer, size_t outer_length, const char *inner, size_t inner_length)
{
	if (outer_length == 0)
		return true;
	return inner_length >= outer_length && memcmp(inner, outer, outer_length) == 0 &&
	       (inner_length == outer_length || inner[outer_length] == '/');
}

size_t xs_path_first(const char *text, size_t length)
{
	const char *slash = length ? memchr(text, '/', length) : NULL;

	return slash ? (size_t)(slash - text) : length;
}
