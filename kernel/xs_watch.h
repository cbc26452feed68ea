/* SPDX-License-Identifier: MIT */
/*
 * Watches of one domain, and the events that it has not been sent yet.
 *
 * The queue of events is short. Where it is full, the watch is marked and fires once
 * more later, with its own path: the guest looks at all of what it watches then, and
 * the protocol allows an event too many. So no change goes unnoticed and
 * no guest can make the hypervisor remember more than this structure holds. Pure.
 */
#ifndef KERNEL_XS_WATCH_H
#define KERNEL_XS_WATCH_H

#include "kernel/xs_heap.h"
#include "kernel/xs_path.h"

#define XS_WATCHES      48u
#define XS_EVENTS       48u
#define XS_WATCH_BLOCKS 192u
#define XS_TOKEN_MAX    256u

struct xs_watch {
	bool used, absolute; /* absolute: as it was registered, so are its events */
	bool again;          /* fires with its own path once the queue is empty */
	struct xs_string path, token;
};

struct xs_event {
	uint16_t watch;
	struct xs_string path;
};

struct xs_watches {
	uint16_t first, queued; /* of event[], a ring */
	struct xs_watch watch[XS_WATCHES];
	struct xs_event event[XS_EVENTS];
	XS_HEAP(XS_WATCH_BLOCKS) strings;
};

void xs_watch_init(struct xs_watches *w);

/* Add, and let it fire once. 0, -XEN_EEXIST, -XEN_E2BIG (quota) or -XEN_EINVAL (token). */
int xs_watch_add(struct xs_watches *w, const struct xs_path *p, const char *token,
                 size_t token_length) must_check;
/* Remove, with its events. 0 or -XEN_ENOENT. */
int xs_watch_remove(struct xs_watches *w, const struct xs_path *p, const char *token,
                    size_t token_length) must_check;

/* Something happened at this path, relative to home. gone: it was removed with all below. */
void xs_watch_fire(struct xs_watches *w, const char *path, size_t length, bool gone);

/* Whether a change of this path would be told to anyone. */
bool xs_watch_on(const struct xs_watches *w, const char *path, size_t length);

/*
 * Take the next event: writes "PATH|TOKEN|" (NULs where the bars are) and returns its length,
 * 0 if there is none. dst has XS_EVENT_MAX bytes.
 */
#define XS_EVENT_MAX 4096u
size_t xs_watch_take(struct xs_watches *w, domid_t id, char *dst);

#endif
