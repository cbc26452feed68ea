/* SPDX-License-Identifier: MIT */
/*
 * A format of second-level page tables: EPT (arch/x86_64/vmx/ept.c), AMD's
 * nested page tables (arch/x86_64/svm/npt.c), or the toy of the native tests
 * (tests/host/toy_format.c). Pure functions of integers; p2m.c is the only walker.
 *
 * Levels: 1 is the table whose entries map 4 KiB, 2 maps 2 MiB, up to `levels`.
 *
 * An entry is one of
 *	empty	all bits zero: nothing was ever put here
 *	soft	not present to the hardware; carries one enum p2m_soft, and a byte of its own
 *	table	points at the next lower table
 *	leaf	maps a frame, with access rights and software bits
 *
 * Present entries keep software bits only where the hardware ignores them on
 * every CPU. A soft entry's address bits are zero, so that a CPU which
 * speculates through not-present entries (L1TF) finds nothing of use.
 */
#ifndef MM_PTE_FORMAT_H
#define MM_PTE_FORMAT_H

#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

enum pte_kind {
	PTE_EMPTY,
	PTE_SOFT,
	PTE_TABLE,
	PTE_LEAF,
};

/* Access rights of a leaf. Read is implied by being present. */
#define PTE_R 1u
#define PTE_W 2u
#define PTE_X 4u

/* Software bits of a leaf, at most four. */
#define PTE_SW_SHARED    1u /* maps a shared or constant frame; never writable */
#define PTE_SW_UNTOUCHED 2u /* maps the zero frame for a read of a page never written */
#define PTE_SW_PROTECTED 4u /* private, write-protected by us for a merge or for tracking */
#define PTE_SW_FOREIGN   8u /* maps a service, granted or device frame: not ordinary RAM */

struct pte_format {
	const char *name;
	unsigned levels; /* of tables, root included; 4 for EPT and NPT */

	/* Bits that the CPU sets, dirty in a leaf, accessed in every entry that a walk uses; 0
	 * where it has no such flags. */
	uint64_t accessed_mask;
	uint64_t dirty_mask;

	/* Of a present entry: the frame's address, and of a leaf, or soft: the software bits. */
	uint64_t address_mask, sw_mask;

	/* Bits that no CPU looks at, for the scanner's notes (mm/quiet.h): two of an entry at level
	 * 2, leaf or not, and one of a leaf at level 1, where calm_mask is a note of compress.c. */
	uint64_t known_mask, calm_mask, look_mask;

	/*
	 * What the dirty source makes of it (mm/dirty.h); a format as the back end gives it has
	 * none of this. Bits that a leaf gets as it loses those of dirty_mask; the bit of an entry
	 * over 512 leaves that says that one may have become dirty, and whether that is set
	 * only after the leaf says so.
	 */
	uint64_t clean_mask, sign_mask;
	bool sign_after;

	/* An entry that points at a table, giving all rights to what is below. */
	uint64_t (*table)(mfn_t table);

	/* A leaf at level 1 or 2. mfn is aligned for the level. */
	uint64_t (*leaf)(mfn_t mfn, unsigned level, unsigned access, unsigned sw);

	/* Of a soft entry: where a byte of ours begins, beside state and address. */
	unsigned fill_shift;

	/* A not-present entry that carries `state` (1 .. 15). */
	uint64_t (*soft)(unsigned state);

	enum pte_kind (*kind)(uint64_t entry, unsigned level);
	mfn_t (*frame)(uint64_t entry, unsigned level); /* of a table or leaf */
	unsigned (*access)(uint64_t entry);             /* of a leaf */
	unsigned (*sw)(uint64_t entry);                 /* of a leaf */
	unsigned (*soft_state)(uint64_t entry);         /* of a soft entry */

	/* What goes into the CPU's root register (EPTP or nCR3). */
	uint64_t (*root)(mfn_t root_table);
};

#endif
