/* SPDX-License-Identifier: MIT */
/* See xs_watch.h. */
#include "kernel/xs_watch.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"
#include <xen/io/xs_wire.h>

ASSERT_STATIC(XS_HOME_BYTES + XENSTORE_ABS_PATH_MAX + 2 + XS_TOKEN_MAX <= XS_EVENT_MAX);

void xs_watch_init(struct xs_watches *w)
{
	memset(w, 0, sizeof(*w));
	xs_heap_init(&w->strings.heap, XS_WATCH_BLOCKS);
}

/* ---- the table ---- */

static bool watch_is(const struct xs_watches *w, const struct xs_watch *at, const struct xs_path *p,
                     const char *token, size_t token_length)
{
	return at->used && at->absolute == p->absolute &&
	       xs_string_is(&w->strings.heap, at->path, p->text, p->length) &&
	       xs_string_is(&w->strings.heap, at->token, token, token_length);
}

static struct xs_watch *watch_find(struct xs_watches *w, const struct xs_path *p, const char *token,
                                   size_t token_length)
{
	for (unsigned i = 0; i < XS_WATCHES; i++)
		if (watch_is(w, &w->watch[i], p, token, token_length))
			return &w->watch[i];
	return NULL;
}

int xs_watch_add(struct xs_watches *w, const struct xs_path *p, const char *token,
                 size_t token_length)
{
	struct xs_heap *h = &w->strings.heap;
	struct xs_watch *at = w->watch;

	if (token_length > XS_TOKEN_MAX)
		return -XEN_EINVAL;
	if (watch_find(w, p, token, token_length))
		return -XEN_EEXIST;
	while (at < w->watch + XS_WATCHES && at->used)
		at++;
	if (at == w->watch + XS_WATCHES ||
	    xs_blocks(p->length) + xs_blocks(token_length) > h->nr_free)
		return -XEN_E2BIG;
	*at = (struct xs_watch){
	    .used = true,
	    .absolute = p->absolute,
	    .again = true,
	    .path = xs_string_make(h, p->text, p->length),
	    .token = xs_string_make(h, token, token_length),
	};
	return 0;
}

/* Drop what is queued for a watch; the others keep their order. */
static void watch_forget_events(struct xs_watches *w, unsigned watch)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->queued; i++) {
		struct xs_event *e = &w->event[(w->first + i) % XS_EVENTS];

		if (e->watch == watch)
			xs_string_free(&w->strings.heap, &e->path);
		else
			w->event[(w->first + kept++) % XS_EVENTS] = *e;
	}
	w->queued = (uint16_t)kept;
}

int xs_watch_remove(struct xs_watches *w, const struct xs_path *p, const char *token,
                    size_t token_length)
{
	struct xs_watch *at = watch_find(w, p, token, token_length);

	if (!at)
		return -XEN_ENOENT;
	watch_forget_events(w, (unsigned)(at - w->watch));
	xs_string_free(&w->strings.heap, &at->path);
	xs_string_free(&w->strings.heap, &at->token);
	at->used = false;
	return 0;
}

/* ---- events ---- */

static void watch_queue(struct xs_watches *w, unsigned watch, const char *path, size_t length)
{
	struct xs_heap *h = &w->strings.heap;

	if (w->queued == XS_EVENTS || xs_blocks(length) > h->nr_free) {
		w->watch[watch].again = true;
		return;
	}
	w->event[(w->first + w->queued++) % XS_EVENTS] =
	    (struct xs_event){(uint16_t)watch, xs_string_make(h, path, length)};
}

/* Whether the watched path lies under this one, or is it. */
static bool watch_below(const struct xs_heap *h, const struct xs_watch *at, const char *path,
                        size_t length)
{
	char next = 0;

	if (length == 0 || at->path.length == length)
		return xs_string_begins(h, at->path, path, length);
	if (!xs_string_begins(h, at->path, path, length))
		return false;
	for (unsigned i = 0, number = at->path.first; number; i++) {
		if (i == length / XS_BLOCK_BYTES)
			next = h->block[number - 1].bytes[length % XS_BLOCK_BYTES];
		number = h->block[number - 1].next;
	}
	return next == '/';
}

/* Whether the path lies under the watched one, or is it. */
static bool watch_above(const struct xs_heap *h, const struct xs_watch *at, const char *path,
                        size_t length)
{
	size_t n = at->path.length;

	return n == 0 || (n <= length && (n == length || path[n] == '/') &&
	                  xs_string_is(h, at->path, path, n));
}

void xs_watch_fire(struct xs_watches *w, const char *path, size_t length, bool gone)
{
	for (unsigned i = 0; i < XS_WATCHES; i++) {
		struct xs_watch *at = &w->watch[i];

		if (!at->used)
			continue;
		if (watch_above(&w->strings.heap, at, path, length))
			watch_queue(w, i, path, length);
		else if (gone && watch_below(&w->strings.heap, at, path, length))
			at->again = true; /* an event with the watch's own path */
	}
}

bool xs_watch_on(const struct xs_watches *w, const char *path, size_t length)
{
	for (unsigned i = 0; i < XS_WATCHES; i++)
		if (w->watch[i].used && watch_above(&w->strings.heap, &w->watch[i], path, length))
			return true;
	return false;
}

/* The path as the guest registered it. */
static size_t watch_put_path(const struct xs_watches *w, const struct xs_watch *at,
                             struct xs_string path, domid_t id, char *dst)
{
	size_t n = 0;

	if (at->absolute) {
		n = xs_home(id, dst);
		if (path.length)
			dst[n++] = '/';
	}
	xs_string_get(&w->strings.heap, path, dst + n);
	n += path.length;
	dst[n++] = '\0';
	return n;
}

static size_t watch_put(struct xs_watches *w, const struct xs_watch *at, struct xs_string path,
                        domid_t id, char *dst)
{
	size_t n = watch_put_path(w, at, path, id, dst);

	xs_string_get(&w->strings.heap, at->token, dst + n);
	n += at->token.length;
	dst[n++] = '\0';
	return n;
}

size_t xs_watch_take(struct xs_watches *w, domid_t id, char *dst)
{
	struct xs_event *e = &w->event[w->first];
	size_t n;

	if (w->queued) {
		n = watch_put(w, &w->watch[e->watch], e->path, id, dst);
		xs_string_free(&w->strings.heap, &e->path);
		w->first = (uint16_t)((w->first + 1) % XS_EVENTS);
		w->queued--;
		return n;
	}
	for (unsigned i = 0; i < XS_WATCHES; i++) {
		struct xs_watch *at = &w->watch[i];

		if (!at->used || !at->again)
			continue;
		at->again = false;
		return watch_put(w, at, at->path, id, dst);
	}
	return 0;
}
