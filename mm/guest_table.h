/* SPDX-License-Identifier: MIT */
/* Pages that hold page tables of their guest, and how long they are left alone: guest_table.c. */
#ifndef MM_GUEST_TABLE_H
#define MM_GUEST_TABLE_H

#include "mm/core.h"

enum guest_table_what {
	GUEST_TABLE_BROKE,     /* a walk wrote to it while it was shared: a copy was made, or it was
	                          taken over */
	GUEST_TABLE_CONSTANT,  /* the same, and it was merged with a constant frame */
	GUEST_TABLE_PROTECTED, /* a walk wrote to it while a merge had protected it */
	GUEST_TABLE_OVER,      /* its back-off is over: it may be merged again */
};

/* One event, and the whole passes of the scanner that were done by then (modulo 2^18). */
struct guest_table_event {
	domid_t domid;
	gfn_t gfn;
	enum guest_table_what what;
	unsigned age; /* of the back-off that begins, or is over */
	uint32_t pass;
};

/* A walk of guest page tables wrote to gfn, which maps frame mfn of its own now; `age` is what was
 * known of the page before. p2m lock held. */
void guest_table_found(struct space *s, gfn_t gfn, mfn_t mfn, unsigned age,
                       enum guest_table_what what);

/* A pass of the scanner comes to a page that is marked and was not written of late: whether it
 * is left alone once more. p2m lock held, and the scan lock. */
bool guest_table_rests(struct space *s, gfn_t gfn, mfn_t mfn) must_check;

/* Begin anew; called by scan_init. */
void guest_table_init(void);

/*
 * The event number *n, or the oldest kept one after it; *n becomes its successor's number.
 * False: there is none yet. While no other CPU is in mm/, or the newest may be half made.
 */
bool guest_table_next(uint64_t *n, struct guest_table_event *e);

#endif
