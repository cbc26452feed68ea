/* SPDX-License-Identifier: MIT */
/*
 * A space is one domain's guest-physical memory: its p2m tree, its counters
 * and its flush generation. This is the header that kernel/ includes for all
 * it does with guest memory; the files behind it are p2m.c fault.c cow.c
 * balloon.c large.c pin.c access.c flush.c fund.c.
 *
 * Unless a declaration says otherwise, the caller holds no lock, and the call
 * may wait for other CPUs to leave guest mode (flush) but never for memory.
 */
#ifndef MM_SPACE_H
#define MM_SPACE_H

#include <stdatomic.h>
#include "mm/env.h"
#include "mm/leaf/lock.h"
#include "mm/leaf/types.h"
#include "mm/pte_format.h"
#include "mm/status.h"

#define MM_MAX_SPACES  256u /* domain ids are 1 .. MM_MAX_SPACES - 1 */
#define SPACE_MAX_PINS 96u

/*
 * Guest RAM is [0, low_pages) and, above 4 GiB, [high_first, high_first + high_pages).
 * Where the p2m has no entry inside these, the page is "never touched": a read
 * sees zeroes, a write populates. Outside, no entry means no memory.
 */
struct space_config {
	domid_t domid;        /* 1 .. MM_MAX_SPACES - 1, not in use */
	uint16_t share_group; /* shares with spaces of equal group only; by default = domid */
	uint64_t
	    memory_pages; /* current reservation at the start; RAM below 3 GiB, rest above 4 GiB */
	uint64_t max_pages;  /* upper limit for populate (xl's maxmem) */
	uint64_t min_pages;  /* guaranteed: backed at all times (invariant 11) */
	uint64_t loan_pages; /* kept for it to borrow while it gives memory back (fund.h) */
};

/* One domain's counters, in pages. Exact at all times (under the p2m lock). */
struct space_stats {
	uint64_t private_pages;     /* frames held alone, by kind private */
	uint64_t shared_mappings;   /* leaves that map a shared (index) frame */
	uint64_t zero_mappings;     /* leaves merged with the zero frame */
	uint64_t ones_mappings;     /* leaves merged with the ones frame */
	uint64_t untouched_mapped;  /* never-touched pages that a read mapped to the zero frame */
	uint64_t untouched;         /* never-touched pages, mapped or not */
	uint64_t ballooned;         /* pages given back */
	uint64_t foreign;           /* service and device leaves */
	uint64_t granted;           /* leaves that map another domain's pinned page (granted.c) */
	uint64_t pinned;            /* guest frames pinned now */
	uint64_t table_frames;      /* page-table frames, the pool included */
	uint64_t compressed;        /* pages that are kept packed, or as one byte */
	uint64_t compressed_filled; /* of these, as one byte */
	uint64_t store_frames;      /* frames that the others take (mm/store.c) */
	uint64_t store_bytes;       /* and bytes, packed */
	uint64_t large_leaves;
	uint64_t large_shared; /* of these, how many map shared frames, read-only */
	/* events, monotonic */
	uint64_t populates;
	uint64_t breaks;          /* copy-on-write copies */
	uint64_t take_overs;      /* last reference: made writable in place */
	uint64_t unprotects;      /* write to a page that a merge had protected */
	uint64_t table_breaks;    /* breaks caused by a walk of guest page tables */
	uint64_t merges;          /* mappings of this space that a merge switched or shared */
	uint64_t waits;           /* faults answered with VERDICT_WAIT */
	uint64_t splits;          /* of large leaves, for any reason */
	uint64_t splits_sharing;  /* of these, as pages could be shared ... */
	uint64_t split_gain;      /* ... this many, so it was thought */
	uint64_t splits_written;  /* and as one was written all the time */
	uint64_t coalesces;       /* large leaves made anew of small ones */
	uint64_t coalesce_copies; /* of these, by copy */
	uint64_t large_merges;    /* large leaves that became shared as a whole */
	uint64_t compressions;    /* pages compressed, */
	uint64_t expansions;      /* touched again, */
	uint64_t incompressible;  /* and tried in vain */
};

struct space_pin {
	gfn_t gfn;
	uint32_t count;
};

/* Slabs of a domain's compressed pages, by size class (mm/store.c). */
#define STORE_CLASSES 15u
struct store {
	uint32_t partial[STORE_CLASSES]; /* frames: the first slab with room; 0: none */
	uint32_t room[STORE_CLASSES];    /* free slots of all slabs */
};

/* Remembered tables of the p2m, for work on neighbouring gfns (mm/p2m.h). */
struct p2m_cursor {
	uint64_t *table;      /* of level 1 */
	uint64_t index;       /* gfn / 512 */
	uint64_t *upper;      /* of level 2 */
	uint64_t upper_index; /* gfn / 512^2 */
};

struct space {
	domid_t domid;
	uint16_t share_group;
	_Atomic bool dying;   /* no new mappings; destroy is under way (set under the lock) */
	struct spinlock lock; /* the p2m lock: tree, counters, pins */
	mfn_t root;
	uint64_t end;                               /* no guest frame from here on has an entry */
	uint64_t low_pages, high_first, high_pages; /* where RAM was promised at the start */
	uint64_t memory_pages; /* current reservation: promised pages not ballooned */
	uint64_t max_pages, min_pages;
	bool large; /* was given large leaves, so the scanner may give some back (shape.c) */

	_Atomic uint64_t generation;         /* flush.c */
	_Atomic uint64_t seen[ENV_MAX_CPUS]; /* the generation each CPU has flushed to */

	uint64_t switch_owes; /* the generation that the last switch of a frame asks for; 0: paid */
	uint64_t harvest_owes;  /* the generation that the last harvest asks for */
	struct p2m_cursor near; /* the last one used; forgotten when a table is released */

	mfn_t table_pool; /* free page-table frames, linked through the frame table */
	uint64_t table_pool_pages;
	uint64_t table_promised; /* of these, how many promised RAM may still ask for */

	/* fund.c, under the free-list lock */
	uint64_t held;            /* private frames */
	uint64_t grants, credits; /* turns given to its waiters, and frames set aside for them */
	uint64_t loan, borrowed;  /* frames to borrow in order to give others back; in use */
	bool borrows;             /* it was asked to */

	struct store store;
	uint64_t compress_next;  /* the hand of compress.c: the guest frame that is next */
	uint64_t compress_round; /* how often it has come round */

	struct space_pin pins[SPACE_MAX_PINS];
	uint64_t destroy_cursor;
	struct space_stats stats;
};

/* ---- life ---- */

/*
 * Make a space. Takes every page-table frame that max_pages can ever need at
 * 4 KiB granularity now (0.2 % of it), so that no fault, split or populate of
 * promised RAM can fail for want of one. MM_NOMEM if those or min_pages cannot
 * be backed; then nothing has changed.
 */
enum mm_status space_create(struct space *s, const struct space_config *c) must_check;

/*
 * The same in steps that guests can run between. Begin: MM_INVAL, or MM_OK and nothing is taken
 * yet. Then a step takes up to `budget` frames, or gives a few back for others' sake; MM_MORE:
 * there is another to make; MM_OK: the space is made; else it is not, and nothing is left of it. Cancel, between two steps: those that follow end with MM_NOMEM.
 */
enum mm_status space_create_begin(struct space *s, const struct space_config *c) must_check;
enum mm_status space_create_step(struct space *s, const struct space_config *c,
                                 uint64_t budget) must_check;
void space_create_cancel(struct space *s);

/* The page-table frames that space_create takes for a space of this description. */
uint64_t space_tables_needed(const struct space_config *c);

/*
 * Give back up to `budget` pages of a dying space; no vCPU may run in it any
 * more. Returns true when everything is gone and *s may be reused.
 */
bool space_destroy_step(struct space *s, uint64_t budget) must_check;

/* The space of a domain id, or NULL. Stable while a lock below it or the scan lock is held. */
struct space *space_find(domid_t domid);

/* ---- faults ---- */

enum mm_verdict {
	VERDICT_RESUME, /* run the instruction again */
	VERDICT_WAIT,   /* no memory now: the vCPU waits, then runs the instruction again */
	VERDICT_DEVICE, /* not memory: an emulated device, or nothing there */
	VERDICT_REFUSE, /* memory, but not for this access: the guest's own mistake */
};

#define FAULT_READ       1u
#define FAULT_WRITE      2u
#define FAULT_EXEC       4u
#define FAULT_GUEST_WALK 8u /* the CPU touched it while walking guest page tables */

/*
 * A guest access to `gfn` was refused by the second-level tables. Populates,
 * breaks a share, takes over or unprotects, as needed; when it returns
 * VERDICT_RESUME, every CPU that ran this space has flushed what changed.
 */
enum mm_verdict mm_fault(struct space *s, gfn_t gfn, unsigned access) must_check;

/* ---- copies to and from guest memory, by guest-physical address ---- */

/*
 * Copy; crosses page borders. A read of a never-touched page gives zeroes and
 * changes nothing; one of a compressed page expands it if there is a frame, and needs none. A
 * write populates, breaks or expands what it must. On any error the
 * pages before the failing one have been copied. MM_NOMEM, of a write: wait and try again.
 */
enum mm_status mm_read(struct space *s, uint64_t gpa, void *dst, uint64_t bytes) must_check;
enum mm_status mm_write(struct space *s, uint64_t gpa, const void *src, uint64_t bytes) must_check;
/*
 * mm_read within one page. *where: the bytes themselves, which are this guest's for as long as the
 * space's generation is what it was before the call; NULL if they lie nowhere (never touched).
 */
enum mm_status mm_read_where(struct space *s, uint64_t gpa, void *dst, unsigned bytes,
                             const void **where) must_check;

/*
 * Make the page writable and private now and keep it so until mm_unpin: never
 * merged, moved or ballooned. *page is the hypervisor's pointer to it. Pins
 * count. The page is marked dirty at pin and at unpin.
 */
enum mm_status mm_pin(struct space *s, gfn_t gfn, void **page) must_check;
void mm_unpin(struct space *s, gfn_t gfn);

/* ---- building and reshaping ---- */

/* Put whole zeroed 2 MiB frames under [first, first + LARGE_PAGES), all never touched. */
enum mm_status mm_populate_large(struct space *s, gfn_t first) must_check;

/*
 * Make one large leaf of the 512 small ones from `first` on (a multiple of LARGE_PAGES). In
 * place where the frames still lie in one large frame, in order, be they all private or all
 * shared; else by copy, if a
 * large frame is free beyond all promises and the reserve. What guests read
 * does not change, nor what any domain may have; hints of the scanner stay valid. Holds the p2m
 * lock for as long as 512 pages take to copy; whoever faults meanwhile waits for it.
 *
 * MM_INVAL: not all 512 are private pages that a guest can write (one is shared, untouched,
 * ballooned, foreign, or about to be merged), nor all shared and in order; or they are large
 * already, or lie outside of promised RAM. MM_PINNED: one is pinned. MM_NOMEM: no large frame. Then nothing changed.
 */
enum mm_status mm_coalesce(struct space *s, gfn_t first) must_check;

/*
 * Map a service frame (frame_alloc with FRAME_SERVICE, owned by this domain) at
 * gfn, writable. What was there (RAM page, balloon hole, nothing) is released;
 * a released RAM page counts as given up, as in Xen. MM_PINNED, MM_LIMIT.
 */
enum mm_status mm_map_service(struct space *s, gfn_t gfn, mfn_t frame) must_check;
/* Take a service frame out again; the gfn becomes a balloon hole. The frame stays allocated. */
enum mm_status mm_unmap_service(struct space *s, gfn_t gfn) must_check;

/*
 * Map a page that another domain has granted and that is pinned there for as long, at a gfn
 * without memory (none, or a balloon hole). MM_INVAL: not such a page or not such a
 * gfn; MM_LIMIT: no page table left.
 */
enum mm_status mm_map_granted(struct space *s, gfn_t gfn, mfn_t frame, bool writable) must_check;
/* Take it out again: a balloon hole stays. After it the owner's page may be unpinned. */
void mm_unmap_granted(struct space *s, gfn_t gfn, mfn_t frame);
/* The same, but `own`, a service frame of this domain, takes its place, with its content. */
void mm_replace_granted(struct space *s, gfn_t gfn, mfn_t frame, mfn_t own);

/* ---- the balloon: single pages; batches flush once ---- */

/*
 * Give back the pages gfns[0 .. n-1], each of 2^order pages (0 or 9). Stops at
 * the first that is not there or pinned and returns how many extents went.
 * Needs no memory, whatever the page was. Private frames are scrubbed; *again: it stopped because that
 * was enough for one turn (an extent of 512 small pages): call again for the rest.
 */
uint64_t balloon_out_part(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order,
                          bool *again);

/*
 * Promise and back the pages again, zeroed. Stops at the first that has memory
 * already or cannot be backed now; returns how many extents were populated. *again: it stopped for
 * want of frames, and a dying domain has given some back for it (mm/repay.h): call again for the rest.
 */
uint64_t balloon_in_part(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order,
                         bool *again);

/* ---- compression (mm/compress.c) ---- */

#define COMPRESS_PACK_LOOKS 32u /* what the packing of a page takes, in looks at a leaf */

struct compress_result {
	uint64_t freed; /* frames that are free now */
	uint64_t
	    looked; /* leaves looked at, and COMPRESS_PACK_LOOKS for each page that was tried */
	bool round; /* the hand has come round: who was not used since is cold now */
};

/*
 * Compress cold pages of s, as long as it holds more than its min, until `frames` are freed (or
 * some more: it goes by batches), `looks` are used up (ditto), or the hand has come round once.
 * All zero if another CPU is at it, or there is nothing above min.
 */
struct compress_result compress_some(struct space *s, uint64_t frames, uint64_t looks);

/* ---- looking (never changes anything) ---- */

enum p2m_soft {
	P2M_SOFT_BALLOONED = 1,
	P2M_SOFT_COMPRESSED, /* mm/store.c has its object */
	P2M_SOFT_FILLED,     /* the entry has the byte that it is filled with */
};

enum p2m_type {
	P2M_NONE,      /* no memory was ever promised here */
	P2M_UNTOUCHED, /* promised, never written; may be mapped to the zero frame */
	P2M_PRIVATE,
	P2M_SHARED,
	P2M_ZERO, /* merged with the zero frame */
	P2M_ONES, /* merged with the ones frame */
	P2M_BALLOONED,
	P2M_FOREIGN,
	P2M_COMPRESSED,
};

struct p2m_view {
	enum p2m_type type;
	mfn_t mfn;       /* MFN_NONE unless a leaf is there; of the small page */
	unsigned access; /* PTE_R, PTE_W, PTE_X of the leaf */
	bool large, pinned, guest_table;
};

/* Takes and drops the p2m lock. */
struct p2m_view p2m_lookup(struct space *s, gfn_t gfn);

/* The first gfn at or above `from` that may hold something (skips empty tables);
 * GFN_LIMIT when there is none. For walks: audit, dump, the map verb. */
gfn_t p2m_next(struct space *s, gfn_t from);

/* A copy of the counters. */
struct space_stats space_stats(struct space *s);

/* ---- flushing: used by the run loop around guest mode (mm/flush.c) ---- */

/*
 * This CPU, number `cpu` (env_cpu, which whoever enters and leaves all the time knows already), is
 * about to enter guest mode in s; interrupts are off. Returns true if it must first drop every
 * cached second-level translation of s.
 */
bool flush_enter(struct space *s, unsigned cpu) must_check;
/* Back from guest mode; called before anything else is done with the exit. */
void flush_leave(unsigned cpu);

/*
 * An entry of the CPU's modification log: gfn was written, in s. Called by the CPU that ran s,
 * after the exit and before flush_leave. Takes no lock (mm/dirty_log.c).
 */
void dirty_logged(struct space *s, gfn_t gfn);

#endif
