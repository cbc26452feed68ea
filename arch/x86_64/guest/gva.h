/* SPDX-License-Identifier: MIT */
/*
 * Guest virtual to guest physical: a walk of the guest's own page tables, as
 * its CPU would do it. Pure over a memory that is given as two callbacks.
 * The addresses are linear: the caller has added the segment base.
 */
#ifndef ARCH_GUEST_GVA_H
#define ARCH_GUEST_GVA_H

#include "arch/x86_64/regs.h"
#include "mm/status.h"

/* The guest-physical memory that the tables lie in. */
struct gva_memory {
	/* Read `bytes` (4 or 8, naturally aligned) at gpa. */
	enum mm_status (*read)(void *arg, uint64_t gpa, void *dst, unsigned bytes);
	/*
	 * If the entry at gpa is still `old`, make it `new_value`, atomically;
	 * *done says whether it was. NULL: accessed and dirty flags are left alone.
	 */
	enum mm_status (*exchange)(void *arg, uint64_t gpa, uint64_t old, uint64_t new_value,
	                           unsigned bytes, bool *done);
	void *arg;
	unsigned phys_bits; /* MAXPHYADDR that the guest was told */
};

/* What kind of access; a read unless said otherwise. */
#define GVA_WRITE 1u
#define GVA_FETCH 2u
#define GVA_USER  4u /* at CPL 3; supervisor otherwise */
#define GVA_AC    8u /* RFLAGS.AC is set: SMAP does not apply (SDM vol. 3, 4.6.1) */

enum gva_status {
	GVA_OK,
	GVA_FAULT,   /* a page fault with .error at this address */
	GVA_NO_RAM,  /* a table, or what should be one, is outside of guest RAM */
	GVA_NOMEM,   /* the machine is short of memory: wait and walk again */
	GVA_REFUSED, /* non-canonical, or a paging mode that this machine does not have */
};

struct gva_walk {
	uint64_t gpa;
	uint32_t error; /* page-fault error code, SDM vol. 3, 4.7 */
};

enum gva_status gva_walk(const struct gva_memory *m, const struct guest_state *s, uint64_t gva,
                         unsigned access, struct gva_walk *out) must_check;

#define PF_PRESENT  0x01u
#define PF_WRITE    0x02u
#define PF_USER     0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH    0x10u

#endif
