/* SPDX-License-Identifier: MIT */
/*
 * Extended page tables (SDM vol. 3, 28.2.2), as a format for mm/p2m.c.
 *
 *	table	R W X = 7, frame
 *	leaf	R, W, X as asked, memory type WB with "ignore PAT": whatever the guest
 *		writes to its PAT or page tables, RAM is cached, so that no uncached
 *		alias can slip past a page comparison
 *	soft	R W X = 0: not present to the CPU; the state is in bits 55..52 and every
 *		address bit is zero, so that speculation through it finds nothing (L1TF);
 *		63..56 are a byte of ours (63 would be looked at with "EPT-violation #VE" only,
 *		which is off: 25.5.6.1)
 *
 * Bits 11 and 52..56 of every entry are ignored by every CPU; 57 to 63 are not all (verify
 * guest paging, paging write, supervisor shadow stack, sub-page, suppress #VE),
 * nor is bit 10, which mode-based execute control takes. 52..55 are ours in leaves, 11 at
 * levels 1 and 2, 56 at level 2 (Tables 28-1 to 28-6).
 *
 * With bit 6 of the EPTP the CPU sets bit 8 of each entry that a walk reads, whatever its level,
 * and bit 9 of the leaf that it writes through (28.2.4; 28.3.5 in later editions); what its
 * paging-structure caches hold it need not read (28.3.1, 28.3.2).
 */
#include "arch/x86_64/vmx/vmx.h"

#define EPT_RIGHTS     BITS(2, 0) /* R 0, W 1, X 2: PTE_R, PTE_W, PTE_X */
#define EPT_WB         (UINT64_C(6) << 3)
#define EPT_IPAT       BIT(6)
#define EPT_LARGE      BIT(7)
#define EPT_ACCESSED   BIT(8)
#define EPT_DIRTY      BIT(9)
#define EPT_KNOWN      BIT(11)
#define EPT_CALM       BIT(56)
#define EPT_ADDRESS    BITS(51, 12)
#define EPT_SW_SHIFT   52
#define EPT_FILL_SHIFT 56
#define EPT_SW         BITS(55, 52)

#define EPTP_WB     UINT64_C(6)
#define EPTP_WALK_4 (UINT64_C(3) << 3) /* levels less one */
#define EPTP_AD     BIT(6)

_Static_assert((PTE_R | PTE_W | PTE_X) == 7, "PTE_ rights are EPT's");
_Static_assert((EPT_SW & (EPT_ADDRESS | BITS(63, 56) | BITS(11, 0))) == 0, "bits of our own");
_Static_assert(((EPT_KNOWN | EPT_CALM) & (EPT_SW | EPT_ADDRESS | BITS(63, 57) | BITS(10, 0))) == 0,
               "marks are bits that no CPU looks at");

static uint64_t ept_table(mfn_t table)
{
	return mfn_to_addr(table) | EPT_RIGHTS;
}

/* A leaf is always readable: writable without readable is a misconfiguration (28.2.3.1). */
static uint64_t ept_leaf(mfn_t mfn, unsigned level, unsigned access, unsigned sw)
{
	uint64_t e = mfn_to_addr(mfn) | PTE_R | (access & EPT_RIGHTS) | EPT_WB | EPT_IPAT;

	if (level > 1)
		e |= EPT_LARGE;
	return e | ((uint64_t)(sw & 15u) << EPT_SW_SHIFT);
}

static uint64_t ept_soft(unsigned state)
{
	return (uint64_t)(state & 15u) << EPT_SW_SHIFT;
}

static enum pte_kind ept_kind(uint64_t e, unsigned level)
{
	if (!(e & EPT_RIGHTS))
		return e ? PTE_SOFT : PTE_EMPTY;
	return level == 1 || (e & EPT_LARGE) ? PTE_LEAF : PTE_TABLE;
}

static mfn_t ept_frame(uint64_t e, unsigned level)
{
	(void)level; /* the low bits of a large leaf's address are zero */
	return mfn_of_addr(e & EPT_ADDRESS);
}

static unsigned ept_access(uint64_t e)
{
	return e & EPT_RIGHTS;
}

static unsigned ept_sw(uint64_t e)
{
	return (e & EPT_SW) >> EPT_SW_SHIFT;
}

static uint64_t ept_root(mfn_t root)
{
	return mfn_to_addr(root) | EPTP_WALK_4 | EPTP_WB;
}

static uint64_t ept_root_ad(mfn_t root)
{
	return ept_root(root) | EPTP_AD;
}

#define EPT_FORMAT(text, a, d, k, c, make_root)                                                    \
	{                                                                                          \
		.name = text, .levels = 4, .accessed_mask = a, .dirty_mask = d,                    \
		.address_mask = EPT_ADDRESS, .sw_mask = EPT_SW, .known_mask = k, .calm_mask = c,   \
		.look_mask = k, .fill_shift = EPT_FILL_SHIFT, .table = ept_table,                  \
		.leaf = ept_leaf, .soft = ept_soft, .kind = ept_kind, .frame = ept_frame,          \
		.access = ept_access, .sw = ept_sw, .soft_state = ept_sw, .root = make_root,       \
	}

const struct pte_format ept_format = EPT_FORMAT("EPT with accessed and dirty flags", EPT_ACCESSED,
                                                EPT_DIRTY, EPT_KNOWN, EPT_CALM, ept_root_ad);
const struct pte_format ept_format_no_ad = EPT_FORMAT("EPT", 0, 0, EPT_KNOWN, EPT_CALM, ept_root);
