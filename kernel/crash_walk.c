/* SPDX-License-Identifier: MIT */
/* See crash_walk.h. Changes nothing: no accessed bits, no break of a merged page. */
#include "kernel/crash_walk.h"
#include "kernel/log.h"

#define CR4_LA57    BIT(12)
#define EFER_LMA    BIT(10)
#define ENTRY_P     BIT(0)
#define ENTRY_PS    BIT(7)
#define ENTRY_FRAME BITS(51, 12)
#define TOP_LEVEL   4u

/* One entry, with where it lies; false if the walk ends there. */
static bool crash_step(struct space *s, uint64_t table, uint64_t gva, unsigned level,
                       uint64_t *entry)
{
	uint64_t gpa = table + 8 * ((gva >> (12 + 9 * (level - 1))) & 511);
	struct p2m_view view = p2m_lookup(s, gfn_of_addr(gpa));

	if (mm_read(s, gpa, entry, sizeof(*entry)) != MM_OK) {
		log_error("  level %u at %lx: no memory", level, (unsigned long)gpa);
		return false;
	}
	log_error("  level %u at %lx: %016lx (type %u, frame %lx, access %u%s)", level,
	          (unsigned long)gpa, (unsigned long)*entry, (unsigned)view.type,
	          (unsigned long)view.mfn.n, view.access,
	          view.guest_table ? ", a guest table" : "");
	return *entry & ENTRY_P;
}

void crash_walk(struct vcpu *v)
{
	struct guest_state state;
	uint64_t table, entry = 0, rip = v->hv.regs.rip;

	hvm->vcpu_get_state(&v->hv, &state);
	if (!(state.efer & EFER_LMA) || state.cr4 & CR4_LA57)
		return;
	table = state.cr3 & ENTRY_FRAME;
	log_error("  the walk for its instruction at %016lx, as memory is now:",
	          (unsigned long)rip);
	for (unsigned level = TOP_LEVEL; level; level--) {
		if (!crash_step(&v->domain->space, table, rip, level, &entry))
			return;
		if (level < TOP_LEVEL && entry & ENTRY_PS)
			return;
		table = entry & ENTRY_FRAME;
	}
}
