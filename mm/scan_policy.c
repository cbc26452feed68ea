/* SPDX-License-Identifier: MIT */
/*
 * Which policy the scanner goes by, what that one keeps for each frame, its knobs and
 * counters, and the events that it is told of.
 *
 * A policy's table is made when it is chosen, of frames that no guest has, and is given back
 * when another is: so nobody pays for a policy that is not in use. It lies in pieces of 2 MiB
 * at most, as larger blocks cannot be had.
 */
#include "mm/scan.h"
#include "mm/shape.h"

#define TABLE_ORDER  9u
#define TABLE_BYTES  (PAGE_SIZE << TABLE_ORDER)
#define TABLE_PIECES 1024u
#define POLICIES     16u

/* Guarded by the scan lock. */
static struct {
	const struct scan_policy *policy;
	bool changed;
	unsigned shift;                           /* of state_bytes */
	uint32_t piece[TABLE_PIECES], nr_pieces;  /* of the one in use */
	uint32_t coming[TABLE_PIECES], nr_coming; /* of the next one */
} use;

static _Atomic uint64_t cycles_per_ms;
static const struct scan_policy *_Atomic told; /* whom events go to */
static struct {
	_Atomic uint64_t passes, scanned, skipped, read, gated, sought, compared, merged, modelled;
} counts[POLICIES];

/* ---- names ---- */

static bool scan_same_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct scan_policy *scan_find_policy(const char *name)
{
	for (unsigned i = 0; scan_policies[i]; i++)
		if (scan_same_name(scan_policies[i]->name, name))
			return scan_policies[i];
	return NULL;
}

static unsigned scan_number(const struct scan_policy *policy)
{
	unsigned i = 0;

	while (scan_policies[i] && scan_policies[i] != policy)
		i++;
	ASSERT(scan_policies[i] && i < POLICIES);
	return i;
}

const struct scan_policy *scan_policy(void)
{
	const struct scan_policy *p;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	p = use.policy;
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return p;
}

const struct scan_policy *scan_policy_locked(void)
{
	ASSERT(lock_held(LOCK_SCAN));
	return use.policy;
}

const char *scan_policy_name(void)
{
	return scan_policy()->name;
}

/* ---- the table ---- */

static unsigned table_order(uint64_t bytes)
{
	unsigned order = 0;

	while ((PAGE_SIZE << order) < bytes && order < TABLE_ORDER)
		order++;
	return order;
}

uint64_t scan_policy_bytes(const struct scan_policy *policy)
{
	uint64_t bytes = policy->state_bytes * mm.nr_frames, last = bytes % TABLE_BYTES;

	return bytes - last + (last ? PAGE_SIZE << table_order(last) : 0);
}

static void table_free(uint32_t *piece, uint32_t *nr, uint64_t bytes)
{
	for (uint32_t i = 0; i < *nr; i++) {
		unsigned order = table_order(bytes - i * TABLE_BYTES);

		frame_free(MFN(piece[i]), order);
	}
	*nr = 0;
}

/* The table of `policy` as the coming one; false: no memory, and none is held. */
static bool table_make(const struct scan_policy *policy)
{
	uint64_t bytes = scan_policy_bytes(policy);

	ASSERT(!use.nr_coming);
	for (uint64_t done = 0; done < bytes; done += TABLE_BYTES) {
		unsigned order = table_order(bytes - done);
		mfn_t mfn = MFN_NONE;

		if (use.nr_coming < TABLE_PIECES)
			mfn = frame_alloc(order, FRAME_HYPERVISOR, 0);
		if (!mfn_valid(mfn)) {
			table_free(use.coming, &use.nr_coming, bytes);
			return false;
		}
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
			env_page_zero(env_frame(MFN(mfn.n + i)));
		use.coming[use.nr_coming++] = (uint32_t)mfn.n;
	}
	return true;
}

static void table_change(const struct scan_policy *from)
{
	table_free(use.piece, &use.nr_pieces, scan_policy_bytes(from));
	for (uint32_t i = 0; i < use.nr_coming; i++)
		use.piece[i] = use.coming[i];
	use.nr_pieces = use.nr_coming;
	use.nr_coming = 0;
}

void *scan_state(mfn_t mfn)
{
	uint64_t at = mfn.n << use.shift;

	if (!use.nr_pieces)
		return NULL;
	ASSERT(at / TABLE_BYTES < use.nr_pieces);
	return (uint8_t *)env_frame(MFN(use.piece[at / TABLE_BYTES])) + at % TABLE_BYTES;
}

/* ---- choosing ---- */

static void scan_take_up(const struct scan_policy *policy)
{
	ASSERT(!policy->state_bytes || is_power_of_2(policy->state_bytes));
	use.policy = policy;
	use.changed = true;
	use.shift = 0;
	while (policy->state_bytes >> (use.shift + 1))
		use.shift++;
	if (policy->start)
		policy->start();
	atomic_store_explicit(&told, policy->event ? policy : NULL, memory_order_release);
}

enum mm_status scan_use(const struct scan_policy *policy)
{
	enum mm_status st = MM_NOMEM;

	lock_take(&mm.scan_lock, LOCK_SCAN);
	if (table_make(policy)) {
		table_change(use.policy);
		scan_take_up(policy);
		st = MM_OK;
	}
	lock_drop(&mm.scan_lock, LOCK_SCAN);
	return st;
}

bool scan_set_policy(const char *name)
{
	const struct scan_policy *p = scan_find_policy(name);

	return p && scan_use(p) == MM_OK;
}

bool scan_policy_changed(void)
{
	bool changed = use.changed;

	use.changed = false;
	return changed;
}

/* ---- knobs and clock ---- */

const struct scan_knob *scan_find_knob(const struct scan_policy *policy, const char *name)
{
	for (const struct scan_knob *k = policy->knobs; k && k->name; k++)
		if (scan_same_name(k->name, name))
			return k;
	for (const struct scan_knob *k = scan_common_knobs(); k->name; k++)
		if (scan_same_name(k->name, name))
			return k;
	return NULL;
}

const struct scan_knob *scan_common_knobs(void)
{
	return shape_knobs;
}

bool scan_set_knob(const struct scan_knob *knob, uint64_t value)
{
	if (value < knob->least || value > knob->most)
		return false;
	atomic_store_explicit(knob->value, value, memory_order_relaxed);
	return true;
}

void scan_set_clock(uint64_t per_ms)
{
	atomic_store(&cycles_per_ms, per_ms);
}

bool scan_clock(uint64_t *us)
{
	uint64_t per_ms = atomic_load_explicit(&cycles_per_ms, memory_order_relaxed);
	uint64_t now = env_cycles();

	if (!per_ms)
		return false;
	*us = now / per_ms * 1000 + now % per_ms * 1000 / per_ms;
	return true;
}

/* ---- events and counters ---- */

void scan_tell(struct space *s, gfn_t gfn, enum scan_event what)
{
	const struct scan_policy *p = atomic_load_explicit(&told, memory_order_acquire);

	if (p)
		p->event(s, gfn, what);
}

void scan_count(const struct scan_policy *policy, const struct scan_counts *more)
{
	unsigned i = scan_number(policy);

	counter_add(&counts[i].passes, more->passes);
	counter_add(&counts[i].scanned, more->scanned);
	counter_add(&counts[i].skipped, more->skipped);
	counter_add(&counts[i].read, more->read);
	counter_add(&counts[i].gated, more->gated);
	counter_add(&counts[i].sought, more->sought);
	counter_add(&counts[i].compared, more->compared);
	counter_add(&counts[i].merged, more->merged);
	counter_add(&counts[i].modelled, more->modelled);
}

void scan_count_modelled(uint64_t compares)
{
	scan_count(use.policy, &(struct scan_counts){.modelled = compares});
}

struct scan_counts scan_counts(const struct scan_policy *policy)
{
	unsigned i = scan_number(policy);

	return (struct scan_counts){
	    .passes = counter_read(&counts[i].passes),
	    .scanned = counter_read(&counts[i].scanned),
	    .skipped = counter_read(&counts[i].skipped),
	    .read = counter_read(&counts[i].read),
	    .gated = counter_read(&counts[i].gated),
	    .sought = counter_read(&counts[i].sought),
	    .compared = counter_read(&counts[i].compared),
	    .merged = counter_read(&counts[i].merged),
	    .modelled = counter_read(&counts[i].modelled),
	};
}

/* ---- start ---- */

void scan_policy_init(void)
{
	for (unsigned i = 0; scan_policies[i]; i++) {
		const struct scan_knob *k = scan_policies[i]->knobs;

		ASSERT(i < POLICIES);
		for (; k && k->name; k++)
			atomic_store(k->value, k->standard);
	}
	__builtin_memset(counts, 0, sizeof(counts));
	atomic_store(&cycles_per_ms, 0);
	use.nr_pieces = use.nr_coming = 0;
	scan_take_up(scan_policies[0]);
}
