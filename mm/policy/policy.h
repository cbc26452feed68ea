/* SPDX-License-Identifier: MIT */
/*
 * What a scan policy decides. The mechanism (mm/scan.c) reads dirty bits, fingerprints,
 * looks up, merges and keeps everything right; a policy only says where to look,
 * when a page is worth reading, and when to rest. It cannot make anything
 * wrong, only slow or lazy.
 *
 * To add a policy: write one file here, and add its line to mm/policy/list.c
 * (docs/policies.md walks through one).
 *
 * There are two families. A policy with `look` is shown every private page that the scan
 * comes to, in every pass, and answers for each: so do KSM and its kin. One without it is
 * asked (`written`, `quiet`) only about pages whose content is not in the index as it is.
 *
 * All calls come with the scan lock held, those about a page with the p2m lock
 * of its space as well; `event` alone comes without the scan lock. A hook that is NULL is
 * not called. A policy has four bits for each frame (frame_age, frame_set_age in mm/core.h)
 * unless the frame is FRAME_GUEST_TABLE; one that needs more says how many bytes.
 */
#ifndef MM_POLICY_POLICY_H
#define MM_POLICY_POLICY_H

#include "mm/core.h"

/* Where the scan stands: the next page to look at. */
struct scan_cursor {
	domid_t domid;
	gfn_t gfn;
};

/* What one pass over all spaces came to. */
struct scan_pass {
	uint64_t looked;   /* pages */
	uint64_t written;  /* pages found to have been written since the last look */
	uint64_t placed;   /* pages merged, or put into the index */
	uint64_t merged;   /* of these */
	uint64_t sought;   /* pages whose fingerprint was looked up in the index */
	uint64_t cycles;   /* from its first slice to its last, pauses included */
	uint64_t busy;     /* cycles spent in its slices */
	uint64_t ended_at; /* env_cycles */
};

/* A page that `look` is shown. */
struct scan_look {
	domid_t domid; /* whose it is, */
	gfn_t gfn;     /* and where */
	struct frame *frame;
	void *state;   /* state_bytes of the policy's own for this frame, zeroed at the start.
	                      * A frame that got another page keeps its old state. */
	bool written;  /* since the last look, by its dirty bit; never if blind */
	bool merged;   /* it is a shared or constant frame: the answer only says if it counts */
	bool constant; /* if merged: the zero or the ones frame */
	bool picked;   /* `pick` has named it */
};

enum scan_want {
	SCAN_SKIP, /* not this time */
	SCAN_GATE, /* read it; go on as SCAN_READ only if it reads as it did the last time */
	SCAN_READ, /* read it: merge it with its like, or make it a hint. A written page is not */
	SCAN_STOP, /* no more in this slice; the next one begins with this page */
};

/* A number that the operator may set. */
struct scan_knob {
	const char *name; /* NULL ends the list */
	uint64_t standard, least, most;
	_Atomic uint64_t *value;
	const char *help; /* one line */
};

enum scan_event {
	SCAN_POPULATED, /* a guest's first write to a page */
	SCAN_BROKEN,    /* a guest wrote to a shared page and got its own */
	SCAN_FILLED, /* the hypervisor wrote to it, or a mapping of it by a device's driver ended */
};

struct scan_policy {
	const char *name;
	const char *help; /* one line */
	const struct scan_knob *knobs;
	unsigned state_bytes; /* for each frame of the machine; a power of two, 64 at most */

	/* Goes by no dirty bits, as on a CPU without: every page may be read in every pass. */
	bool blind;
	/* No round: only what `pick` names. A pass is as many picks as there are pages. */
	bool picks_only;

	/* It is in use from now on; its state is zeroed. */
	void (*start)(void);

	/*
	 * A slice is about to begin at *at. The policy may move it (to a space that
	 * is not there: the next one is taken). False: nothing to do now. `last` is the
	 * last whole pass. Not asked by scan_settle.
	 */
	bool (*next)(struct scan_cursor *at, const struct scan_pass *last);

	/* A page to look at, out of turn; false: no (more) such page now. Of the second family
	 * a page under a large leaf is left to the round: its dirty bit is for 511 others too. */
	bool (*pick)(struct scan_cursor *at);

	/* Behind the picks of a slice: whether the round goes on in it. NULL: it does. */
	bool (*round)(void);

	/* ---- the first family ---- */

	enum scan_want (*look)(const struct scan_look *p);

	/* Whether a hint still counts as a match: KSM forgets its unstable tree in each pass. */
	bool (*counts)(const struct frame *f, const void *state);

	/* ---- the second family ---- */

	/* The page was written since the last look. */
	void (*written)(struct frame *f);

	/* The page was not written since the last look and has no valid entry in the index:
	 * is it quiet enough to be read now? */
	bool (*quiet)(struct frame *f);

	/* ---- what happened ---- */

	void (*pass_end)(const struct scan_pass *pass);

	/* From any CPU, with the p2m lock of the space held; LOCK_POLICY may be taken. */
	void (*event)(struct space *s, gfn_t gfn, enum scan_event what);
};

/* All policies, ended by NULL; the first is the default. */
extern const struct scan_policy *const scan_policies[];

/* The one that settling goes by (scan_settle): it leaves nothing out and puts nothing off. */
extern const struct scan_policy *const scan_settler;

extern const struct scan_policy policy_dirty, policy_plain, policy_ksm, policy_esx, policy_xlh,
    policy_dirtybit2011;

/* ---- for policies (mm/scan_policy.c) ---- */

static inline uint64_t scan_knob(_Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* Microseconds, if somebody has said how fast cycles go (scan_set_clock); else false. */
bool scan_clock(uint64_t *us);

/*
 * What is kept for this frame: state_bytes, and those of the next frames right behind, up to a page's end. NULL if
 * nothing is kept. A policy may as well use all of it as a table of its own. Scan lock held.
 */
void *scan_state(mfn_t mfn);

/* So many compares would its own data structures have cost, where it has others than the index. */
void scan_count_modelled(uint64_t compares);

#endif
