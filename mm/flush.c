/* SPDX-License-Identifier: MIT */
/*
 * The flush protocol.
 *
 * Each space has a generation. A change that takes rights away, or changes the
 * frame, the level or a table, bumps it; each CPU remembers, per space, the
 * generation up to which it has flushed (space.seen). A CPU says which space
 * it is in guest mode with (running; NULL outside of guest mode).
 *
 *	entering CPU			flushing CPU
 *	exchange running for s		generation++
 *					full fence
 *	read generation,		read running: if it is s and seen < generation,
 *	flush if it is news		kick, and wait until that is no longer so
 *
 * Of the two reads at least one sees the other side's store (Dekker): either
 * the entering CPU flushes, or the flusher waits for it. `seen` is stored before
 * the hardware flush is made, but on the way to guest mode nothing stands between
 * the two and no guest access: the flusher may go on.
 *
 * The wait ends when that CPU has left guest mode, never later: it may be spinning
 * for the p2m lock that the flusher holds. Leaving takes no lock (flush_leave
 * is the first thing after the exit), so this cannot deadlock.
 *
 * All four are sequentially consistent, so they have one order (C11, 7.17.3): two of them store, and
 * the one of the reads that comes last in it comes after both. On x86 an exchange is locked, and that is
 * all that the entering side pays: its read is an ordinary load. The flusher's side has a fence
 * besides, for what it stored before (env_fence; natively a read-modify-write of one common
 * word, as ThreadSanitizer does not model fences).
 */
#include "mm/flush.h"
#include "mm/core.h"

struct flush_cpu {
	struct space *_Atomic running;
	_Atomic uint32_t left; /* how often */
	uint32_t asked;        /* `left` as flush_ask_out last saw it, and 1; 0: not inside then */
} __attribute__((aligned(64)));

static struct flush_cpu flush_cpus[ENV_MAX_CPUS];

void flush_space_init(struct space *s)
{
	/* Generation 1 is news to every CPU, as `seen` is zero. */
	atomic_store_explicit(&s->generation, 1, memory_order_relaxed);
	s->harvest_owes = s->switch_owes = 0;
	for (unsigned c = 0; c < ENV_MAX_CPUS; c++)
		atomic_store_explicit(&s->seen[c], 0, memory_order_relaxed);
}

bool flush_enter(struct space *s, unsigned cpu)
{
	uint64_t generation;

	(void)atomic_exchange_explicit(&flush_cpus[cpu].running, s, memory_order_seq_cst);
	generation = atomic_load_explicit(&s->generation, memory_order_seq_cst);
	if (atomic_load_explicit(&s->seen[cpu], memory_order_relaxed) == generation)
		return false;
	atomic_store_explicit(&s->seen[cpu], generation, memory_order_release);
	return true;
}

void flush_leave(unsigned cpu)
{
	struct flush_cpu *c = &flush_cpus[cpu];

	/* Nobody else writes it. */
	atomic_store_explicit(&c->left, atomic_load_explicit(&c->left, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
	/* Release: what the guest read and wrote came before. */
	atomic_store_explicit(&c->running, NULL, memory_order_release);
}

void flush_ask_out(void)
{
	for (unsigned cpu = 0; cpu < mm.nr_cpus; cpu++) {
		struct flush_cpu *c = &flush_cpus[cpu];
		bool inside = atomic_load_explicit(&c->running, memory_order_acquire);
		uint32_t now = atomic_load_explicit(&c->left, memory_order_relaxed) + 1;

		if (inside && c->asked == now)
			env_kick(cpu);
		c->asked = inside ? now : 0;
	}
}

uint64_t flush_begin(struct space *s)
{
	counter_add(&mm.count.flushes, 1);
	return atomic_fetch_add_explicit(&s->generation, 1, memory_order_seq_cst) + 1;
}

/* Whether this CPU may still use translations of s that are older than generation. */
static bool flush_owes(unsigned cpu, struct space *s, uint64_t generation)
{
	return atomic_load_explicit(&flush_cpus[cpu].running, memory_order_seq_cst) == s &&
	       atomic_load_explicit(&s->seen[cpu], memory_order_acquire) < generation;
}

void flush_wait(struct space *s, uint64_t generation)
{
	bool any = false;

	ASSERT(!flush_owes(env_cpu(), s, generation)); /* we are not in guest mode */
	env_fence();
	for (unsigned cpu = 0; cpu < mm.nr_cpus; cpu++)
		if (flush_owes(cpu, s, generation)) {
			env_kick(cpu);
			any = true;
		}
	/* Who owes nothing now will owe nothing later: it flushes before it enters. */
	for (unsigned cpu = 0; any && cpu < mm.nr_cpus; cpu++)
		while (flush_owes(cpu, s, generation))
			env_relax();
}

void flush_owe(struct space *s)
{
	ASSERT(spin_is_locked(&s->lock));
	s->switch_owes = atomic_load_explicit(&s->generation, memory_order_relaxed) + 1;
}

void flush_settle(struct space *s)
{
	uint64_t owes = s->switch_owes;

	ASSERT(spin_is_locked(&s->lock));
	if (!owes)
		return;
	if (atomic_load_explicit(&s->generation, memory_order_relaxed) < owes)
		owes = flush_begin(s); /* else it has begun, and need not have ended */
	flush_wait(s, owes);
	s->switch_owes = 0;
}
