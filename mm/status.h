/* SPDX-License-Identifier: MIT */
/* The one set of answers that the memory core gives. */
#ifndef MM_STATUS_H
#define MM_STATUS_H

enum mm_status {
	MM_OK = 0,
	MM_NOMEM,  /* no frame may be used for this now; the caller waits or gives up */
	MM_NORAM,  /* the guest frame is not guest RAM (or is ballooned out) */
	MM_PINNED, /* the frame is held by the hypervisor and cannot move or go away */
	MM_LIMIT,  /* a limit of this domain is reached (maxmem, page-table frames, pins) */
	MM_INVAL,  /* an argument makes no sense */
	MM_MORE,   /* done in part: make the same call again */
};

#endif
