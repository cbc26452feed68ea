/* SPDX-License-Identifier: MIT */
/*
 * The trace of what the memory core was told (mm/trace.c has the design). While it is off
 * each place that would tell costs one branch, which is predicted.
 */
#ifndef MM_TRACE_H
#define MM_TRACE_H

#include "mm/core.h"
#include "mm/trace_format.h"

/* Where records go. Called on any CPU, with any lock of mm/ held; must not wait. */
struct trace_sink {
	void (*put)(struct trace_record r); /* may lose it, and count that */
	/* Whether this CPU's next TRACE_CHUNK records will find room; only trace_step asks. */
	bool (*room)(void);
};

#define TRACE_CHUNK 32u

/*
 * Begin: every page of every domain counts as written, so that the trace begins with all
 * that there is. MM_INVAL: it is on already, or there is no page-table format. MM_NOMEM: no
 * memory for one bit a page of each domain.
 */
enum mm_status trace_start(const struct trace_sink *sink) must_check;

/* End, and forget. trace_step is not under way on another CPU, and does nothing any more. */
void trace_stop(void);

/*
 * Work off some of a pass: collect dirty flags, flush, then read the pages that were written
 * since the last pass, and tell what they hold. `pages`: how many leaves to look at; a page that
 * is read counts as eight. True: a pass has ended with this call. False: there
 * is more to do, or no room for it now.
 */
bool trace_step(uint64_t pages) must_check;

/* One record, as it is. */
void trace_put(enum trace_type type, domid_t domid, uint64_t gfn, uint64_t value);

struct trace_view {
	bool on;
	uint64_t id;     /* the trace's number */
	uint64_t passes; /* ended */
	uint64_t writes; /* told */
	uint64_t untold; /* writes to pages for which there is no bit */
};
struct trace_view trace_look(void);

/* ---- told by the files of mm/ ---- */

/* Of a private frame that its owner has written, or will; p2m lock held. */
void trace_mark(const struct frame *f);
void trace_space_begin(struct space *s);
void trace_space_end(struct space *s);

static inline bool trace_on(void)
{
	return __builtin_expect(atomic_load_explicit(&mm.tracing, memory_order_relaxed), 0);
}

static inline void trace_written(const struct frame *f)
{
	if (trace_on())
		trace_mark(f);
}

static inline void trace_event(enum trace_type type, const struct space *s, gfn_t gfn,
                               uint64_t value)
{
	if (trace_on())
		trace_put(type, s->domid, gfn.n, value);
}

#endif
