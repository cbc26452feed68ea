/* SPDX-License-Identifier: MIT */
/* A modelled CPU in guest mode: see tests/host/guest.h. */
#include <string.h>
#include "mm/p2m.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"

#define TLB_ENTRIES 64u
#define PSC_ENTRIES 8u
#define LOG_ENTRIES 6u /* few, so that it is full now and then */

struct tlb_entry {
	struct space *s;
	uint64_t gfn, mfn;
	bool write, exec, dirty, valid;
};

/* A level-1 table that a walk has found: the next walk there begins with it. */
struct psc_entry {
	struct space *s;
	uint64_t region; /* gfn / 512 */
	mfn_t table;
	bool valid;
};

static struct guest_cpu {
	struct space *inside;
	struct tlb_entry tlb[TLB_ENTRIES];
	struct psc_entry psc[PSC_ENTRIES];
	uint64_t exits;
	gfn_t log[LOG_ENTRIES]; /* modification log: pages whose dirty flag this CPU has set */
	unsigned logged;
	_Atomic bool kicked;
} cpus[ENV_MAX_CPUS];

bool guest_loses_flags;

void guest_reset(void)
{
	guest_leave_all();
	memset(cpus, 0, sizeof(cpus));
}

bool guest_inside(unsigned cpu, struct space *s)
{
	return cpus[cpu].inside == s;
}

uint64_t guest_exits(unsigned cpu)
{
	return cpus[cpu].exits;
}

static void guest_empty_log(struct guest_cpu *c)
{
	for (unsigned i = 0; i < c->logged; i++)
		dirty_logged(c->inside, c->log[i]);
	c->logged = 0;
}

void guest_empty_logs(void)
{
	for (unsigned cpu = 0; cpu < ENV_MAX_CPUS; cpu++)
		guest_empty_log(&cpus[cpu]);
}

void guest_leave(unsigned cpu)
{
	unsigned self = env_cpu();

	if (!cpus[cpu].inside)
		return;
	host_set_cpu(cpu);
	guest_empty_log(&cpus[cpu]);
	flush_leave(cpu);
	host_set_cpu(self);
	cpus[cpu].inside = NULL;
	cpus[cpu].exits++;
}

void guest_leave_all(void)
{
	for (unsigned cpu = 0; cpu < ENV_MAX_CPUS; cpu++)
		guest_leave(cpu);
}

void guest_kicked(unsigned cpu)
{
	guest_leave(cpu);
}

void guest_kicked_flag(unsigned cpu)
{
	atomic_store(&cpus[cpu].kicked, true);
}

static void guest_flush(struct guest_cpu *c, struct space *s)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		if (c->tlb[i].s == s)
			c->tlb[i].valid = false;
	for (unsigned i = 0; i < PSC_ENTRIES; i++)
		if (c->psc[i].s == s)
			c->psc[i].valid = false;
}

static void guest_enter(unsigned cpu, struct space *s)
{
	struct guest_cpu *c = &cpus[cpu];
	unsigned self = env_cpu();

	if (atomic_exchange(&c->kicked, false))
		guest_leave(cpu);
	if (c->inside == s)
		return;
	guest_leave(cpu);
	host_set_cpu(cpu);
	if (flush_enter(s, cpu))
		guest_flush(c, s);
	host_set_cpu(self);
	c->inside = s;
}

/* Read an entry that points at a table, and make it accessed, as the CPU does; else false. */
static bool guest_set_accessed(uint64_t *e, uint64_t *v, unsigned level)
{
	uint64_t set = mm.format->accessed_mask;

	*v = __atomic_load_n(e, __ATOMIC_ACQUIRE);
	do {
		if (mm.format->kind(*v, level) != PTE_TABLE)
			return false;
	} while (set & ~*v && !__atomic_compare_exchange_n(e, v, *v | set, false, __ATOMIC_ACQ_REL,
	                                                   __ATOMIC_ACQUIRE));
	return true;
}

static uint64_t *guest_entry(mfn_t table, uint64_t gfn, unsigned level)
{
	return (uint64_t *)env_frame(table) + (gfn >> (9 * (level - 1))) % LARGE_PAGES;
}

/*
 * The leaf or empty entry where a CPU's walk ends; each step depends on the one before.
 * Each entry on the way that points at a table becomes accessed; but a walk that begins with a
 * remembered table does not touch those above it.
 */
static struct p2m_slot guest_find(struct guest_cpu *c, struct space *s, uint64_t gfn)
{
	const struct pte_format *f = mm.format;
	struct psc_entry *psc = &c->psc[gfn / LARGE_PAGES % PSC_ENTRIES];
	struct p2m_slot p = {NULL, f->levels};
	mfn_t table = s->root;

	if (psc->valid && psc->s == s && psc->region == gfn / LARGE_PAGES)
		return (struct p2m_slot){guest_entry(psc->table, gfn, 1), 1};
	while (p.level > 1) {
		uint64_t v;

		p.entry = guest_entry(table, gfn, p.level);
		if (!guest_set_accessed(p.entry, &v, p.level))
			return p;
		table = f->frame(v, p.level--);
	}
	*psc = (struct psc_entry){s, gfn / LARGE_PAGES, table, true};
	p.entry = guest_entry(table, gfn, 1);
	return p;
}

/* The CPU's walk: sets accessed and dirty bits as hardware does, without any lock. */
static bool guest_walk(struct guest_cpu *c, struct space *s, uint64_t gfn, unsigned access,
                       struct tlb_entry *t)
{
	bool write = access & FAULT_WRITE, exec = access & FAULT_EXEC;
	const struct pte_format *f = mm.format;
	struct p2m_slot p = guest_find(c, s, gfn);
	uint64_t set = f->accessed_mask | (write ? f->dirty_mask : 0), v;

	if (write && c->logged == LOG_ENTRIES) /* full: an exit before the access */
		return false;
	v = __atomic_load_n(p.entry, __ATOMIC_ACQUIRE);
	do {
		if (f->kind(v, p.level) != PTE_LEAF || (write && !(f->access(v) & PTE_W)) ||
		    (exec && !(f->access(v) & PTE_X)))
			return false;
	} while (!__atomic_compare_exchange_n(p.entry, &v, v | set, false, __ATOMIC_ACQ_REL,
	                                      __ATOMIC_ACQUIRE));
	if (write && !(v & f->dirty_mask) && mm.dirty == DIRTY_LOG)
		c->log[c->logged++] = GFN(gfn);
	*t = (struct tlb_entry){
	    .s = s,
	    .gfn = gfn,
	    .mfn = f->frame(v, p.level).n + (p.level > 1 ? gfn % LARGE_PAGES : 0),
	    .write = f->access(v) & PTE_W,
	    .exec = f->access(v) & PTE_X,
	    .dirty = write || (v & f->dirty_mask) || guest_loses_flags,
	    .valid = true,
	};
	return true;
}

/* Where the access goes, or NULL: it faults. */
static uint64_t *guest_reach(unsigned cpu, struct space *s, uint64_t gpa, unsigned access)
{
	bool write = access & FAULT_WRITE, exec = access & FAULT_EXEC;
	uint64_t gfn = gpa >> PAGE_SHIFT;
	struct tlb_entry *t = &cpus[cpu].tlb[gfn % TLB_ENTRIES];
	bool hit = t->valid && t->s == s && t->gfn == gfn;

	/* A write through an entry that is not dirty yet, or not writable, walks again. */
	if (!hit || (write && !(t->write && t->dirty)) || (exec && !t->exec))
		if (!guest_walk(&cpus[cpu], s, gfn, access, t)) {
			if (hit) /* a violation drops what was used (SDM vol. 3, 28.3.3.1) */
				t->valid = false;
			return NULL;
		}
	return (uint64_t *)((uint8_t *)env_frame(MFN(t->mfn)) + gpa % PAGE_SIZE);
}

bool guest_write_cached(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value)
{
	uint64_t *at = cpus[cpu].inside == s ? guest_reach(cpu, s, gpa, FAULT_WRITE) : NULL;

	if (at)
		__atomic_store_n(at, value, __ATOMIC_RELAXED);
	return at;
}

bool guest_read_quick(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value)
{
	uint64_t *at = cpus[cpu].inside == s ? guest_reach(cpu, s, gpa, FAULT_READ) : NULL;

	if (at)
		*value = __atomic_load_n(at, __ATOMIC_RELAXED);
	return at;
}

mfn_t guest_remembers(unsigned cpu, struct space *s, gfn_t gfn)
{
	const struct tlb_entry *t = &cpus[cpu].tlb[gfn.n % TLB_ENTRIES];

	if (cpus[cpu].inside != s || !t->valid || t->s != s || t->gfn != gfn.n)
		return MFN_NONE;
	return MFN(t->mfn);
}

bool guest_read_cached(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value)
{
	mfn_t mfn = guest_remembers(cpu, s, gfn_of_addr(gpa));

	if (!mfn_valid(mfn))
		return false;
	*value = *(uint64_t *)((uint8_t *)env_frame(mfn) + gpa % PAGE_SIZE);
	return true;
}

static enum mm_verdict guest_access(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value,
                                    unsigned access)
{
	unsigned self = env_cpu();
	bool write = access & FAULT_WRITE;

	for (;;) {
		enum mm_verdict verdict;
		uint64_t *at;

		guest_enter(cpu, s);
		at = guest_reach(cpu, s, gpa, access);
		if (at && write)
			__atomic_store_n(at, *value, __ATOMIC_RELAXED);
		else if (at)
			*value = __atomic_load_n(at, __ATOMIC_RELAXED);
		if (at)
			return VERDICT_RESUME;
		guest_leave(cpu);
		host_set_cpu(cpu);
		verdict = mm_fault(s, gfn_of_addr(gpa), access);
		host_set_cpu(self);
		if (verdict != VERDICT_RESUME)
			return verdict;
	}
}

enum mm_verdict guest_read(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value)
{
	return guest_access(cpu, s, gpa, value, FAULT_READ);
}

enum mm_verdict guest_fetch(unsigned cpu, struct space *s, uint64_t gpa, uint64_t *value)
{
	return guest_access(cpu, s, gpa, value, FAULT_EXEC);
}

enum mm_verdict guest_write(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value)
{
	return guest_access(cpu, s, gpa, &value, FAULT_WRITE);
}

enum mm_verdict guest_walk_write(unsigned cpu, struct space *s, uint64_t gpa, uint64_t value)
{
	return guest_access(cpu, s, gpa, &value, FAULT_WRITE | FAULT_GUEST_WALK);
}
