/* SPDX-License-Identifier: MIT */
/*
 * Guests of the native tests. A guest access on a CPU goes through that CPU's
 * modelled TLB and paging-structure cache: what is once in them stays until flush_enter() says
 * flush, and a walk from a remembered table marks nothing above it as accessed. The
 * CPU stays in guest mode after an access, until it faults or is kicked, so a missing
 * flush shows as a stale read or a lost write.
 */
#ifndef TESTS_HOST_GUEST_H
#define TESTS_HOST_GUEST_H

#include "mm/space.h"

/*
 * One access of a 64-bit word; faults are served by mm_fault as often as needed.
 * Returns VERDICT_RESUME when it was made, or the verdict that stopped it.
 */
enum mm_verdict guest_read(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value);
enum mm_verdict guest_fetch(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value);
enum mm_verdict guest_write(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value);
/* A write by the CPU's walk of guest page tables (it sets an accessed bit). */
enum mm_verdict guest_walk_write(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value);

/*
 * A write by a CPU that is in guest mode in s and needs no fault for it: it takes no lock, and
 * goes by what the CPU has cached, or by what it finds in the tables right now. False if it would
 * fault.
 */
bool guest_write_cached(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value);
/* The same for a read: it walks the tables if it must, and sets accessed flags. */
bool guest_read_quick(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value);
/* By a translation that the CPU remembers, and no other. */
bool guest_read_cached(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value);

/* A guest gives pages back, and goes on for as long as it is told to. */
static inline uint64_t balloon_out(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order)
{
	uint64_t done = 0;
	bool again;

	do
		done += balloon_out_part(s, gfns + done, n - done, order, &again);
	while (again);
	return done;
}

/* A guest takes pages back, and goes on for as long as it is told to. */
static inline uint64_t balloon_in(struct space *s, const gfn_t *gfns, uint64_t n, unsigned order)
{
	uint64_t done = 0;
	bool again;

	do
		done += balloon_in_part(s, gfns + done, n - done, order, &again);
	while (again);
	return done;
}

/* The frame by which a CPU in guest mode in s remembers that page; MFN_NONE if by none. */
mfn_t guest_remembers(unsigned cpu, struct space *s, gfn_t gfn);

/* Whether that CPU is in guest mode in s, and its exits so far. */
bool guest_inside(unsigned cpu, struct space *s);
uint64_t guest_exits(unsigned cpu);

void guest_leave(unsigned cpu);
void guest_leave_all(void);

/* What is in the CPUs' modification logs is told, as at an exit; they stay in guest mode. */
void guest_empty_logs(void);

void guest_kicked(unsigned cpu); /* the CPU leaves guest mode now: for one thread */
void guest_reset(void);

/* While true, a CPU takes a leaf that it walks to for dirty, though it is not: as after a dirty
 * flag that was lost. It then writes without setting one. */
extern bool guest_loses_flags;

/* For threads: env_kick only sets a flag, which the guest looks at before each access. */
void guest_kicked_flag(unsigned cpu);

#endif
