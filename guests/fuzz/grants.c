/* SPDX-License-Identifier: MIT */
/*
 * Grants between this domain and those made about the same time: the table's
 * entries change at any moment, pages are mapped, copied and given back with numbers that
 * are right, stale, or never were. Nothing reads a mapped page but the hypervisor.
 */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/tap.h"
#include <xen/grant_table.h>

#define MAPS 32u /* remembered, of each vCPU */
#define REFS 512u
#define BUSY 24u /* references that the others try, too */

static struct grant_entry_v1 *table;

static struct {
	uint32_t handle;
	uint64_t at;
} maps[VCPUS][MAPS];

long grants_place(void)
{
	struct xen_add_to_physmap x = {.domid = DOMID_SELF,
	                               .space = XENMAPSPACE_grant_table,
	                               .gpfn = (uint64_t)table / PAGE_SIZE};

	return hypercall_memory(XENMEM_add_to_physmap, &x);
}

void grants_init(void)
{
	table = memory_take(1);
	tap_is(grants_place(), 0, "the grant table has a place");
}

static domid_t a_peer(struct fuzzer *f)
{
	static const int8_t near[] = {-2, -1, 1, 2};

	if (chance(f, 16))
		return (domid_t)odd_number(f);
	return (domid_t)(hypercall_domid() + near[below(f, sizeof(near))]);
}

static uint32_t a_ref(struct fuzzer *f)
{
	return (uint32_t)(chance(f, 16) ? odd_number(f) : 8 + below(f, BUSY));
}

/* Lend, take back, or write nonsense. */
static void change_table(struct fuzzer *f)
{
	struct grant_entry_v1 *e = &table[below(f, chance(f, 8) ? REFS : 8 + BUSY)];

	if (chance(f, 8)) {
		bend(f, e, sizeof(*e));
		return;
	}
	e->domid = a_peer(f);
	e->frame = (uint32_t)(chance(f, 8) ? odd_gfn(f) : arena_gfn(f));
	__atomic_store_n(&e->flags,
	                 (uint16_t)(chance(f, 4)
	                                ? below(f, 0x10000)
	                                : GTF_permit_access | (chance(f, 2) ? GTF_readonly : 0)),
	                 __ATOMIC_SEQ_CST);
}

static bool grant_op(struct fuzzer *f, unsigned op, void *list, size_t bytes, uint64_t n)
{
	const struct call c = {
	    __HYPERVISOR_grant_table_op, {op, 0, n},
             1
        };

	return fuzz_call(f, c, list, bytes) == 0;
}

static bool map_some(struct fuzzer *f)
{
	struct gnttab_map_grant_ref op[2];
	bool ok = false;

	for (unsigned i = 0; i < 2; i++)
		op[i] = (struct gnttab_map_grant_ref){
		    .host_addr = (chance(f, 8) ? odd_gfn(f) : arena_gfn(f)) * PAGE_SIZE,
		    .flags = chance(f, 8) ? (uint32_t)odd_number(f)
		                          : GNTMAP_host_map | (chance(f, 2) ? GNTMAP_readonly : 0),
		    .ref = a_ref(f),
		    .dom = a_peer(f),
		    .status = -99};
	grant_op(f, GNTTABOP_map_grant_ref, op, sizeof(op), chance(f, 16) ? odd_count(f) : 2);
	for (unsigned i = 0; i < 2; i++)
		if (op[i].status == GNTST_okay) {
			unsigned at = (unsigned)below(f, MAPS);

			ok = true;
			maps[f->id][at].handle = op[i].handle;
			maps[f->id][at].at = op[i].host_addr;
		}
	return ok;
}

static bool unmap_some(struct fuzzer *f)
{
	unsigned at = (unsigned)below(f, MAPS);
	struct gnttab_unmap_grant_ref op = {
	    .host_addr = maps[f->id][at].at, .handle = maps[f->id][at].handle, .status = -99};

	if (chance(f, 8))
		op.handle = (uint32_t)(chance(f, 2) ? below(f, 80) : odd_number(f));
	grant_op(f, GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1);
	return op.status == GNTST_okay;
}

static struct gnttab_copy_ptr a_side(struct fuzzer *f, bool by_ref)
{
	struct gnttab_copy_ptr p = {.domid = by_ref ? a_peer(f) : DOMID_SELF,
	                            .offset = (uint16_t)(chance(f, 4) ? odd_number(f) : 0)};

	if (by_ref)
		p.u.ref = a_ref(f);
	else
		p.u.gmfn = arena_gfn(f);
	return p;
}

static bool copy_some(struct fuzzer *f)
{
	bool from = chance(f, 2), to = !from || chance(f, 8);
	struct gnttab_copy op = {
	    .source = a_side(f, from),
	    .dest = a_side(f, to),
	    .len = (uint16_t)(chance(f, 4) ? odd_number(f) : below(f, 4097)),
	    .flags = (uint16_t)((from ? GNTCOPY_source_gref : 0) | (to ? GNTCOPY_dest_gref : 0)),
	    .status = -99,
	};

	grant_op(f, GNTTABOP_copy, &op, sizeof(op), 1);
	return op.status == GNTST_okay;
}

static bool about_table(struct fuzzer *f)
{
	uint64_t word[4] = {chance(f, 2) ? DOMID_SELF : odd_number(f), odd_number(f)};

	/* setup_table writes where its list points: into the arguments, or nowhere. */
	word[2] = chance(f, 2) ? (uint64_t)f->args : odd_pointer(f);
	return grant_op(f, (unsigned)below(f, 14), word, sizeof(word),
	                chance(f, 4) ? odd_count(f) : 1);
}

bool grant_call(struct fuzzer *f)
{
	if (chance(f, 2))
		change_table(f);
	switch (below(f, 8)) {
	case 0:
	case 1:
	case 2:
		return map_some(f);
	case 3:
	case 4:
		return unmap_some(f);
	case 5:
	case 6:
		return copy_some(f);
	default:
		return about_table(f);
	}
}
