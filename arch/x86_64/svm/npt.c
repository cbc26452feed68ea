/* SPDX-License-Identifier: MIT */
/*
 * AMD's nested page tables as a struct pte_format: ordinary long-mode tables
 * (APM vol. 2, 5.3 and 15.25).
 *
 *	 0 P	 1 W	 2 U	 3 PWT	 4 PCD	 5 A	 6 D	 7 PS (level 2) 9, 10 ours
 *	12..51 frame	52..55 ours	59..62 protection keys	63 NX
 *
 * Every access of a guest is a user access to the nested walk, so U is always
 * set (15.25.5). PWT, PCD and PAT are zero: entry 0 of the host's PAT, which
 * is write-back. A and D are set by the CPU, always; there is no switch: A in each entry of
 * whatever level that a walk reads, D in the one that maps the page (5.4.2). What
 * its page-walk caches hold it need not read.
 *
 * Bits 9 to 11 and 52 to 58 of a present entry are free for software (5.4.1); we use 52 to
 * 55, and 9 and 10. A soft entry has P clear and its state in the same four bits, and a byte of
 * ours in 63..56, so all of its address bits are zero.
 */
#include "arch/x86_64/svm/svm.h"
#include "mm/pte_format.h"

#define NPT_P     BIT(0)
#define NPT_W     BIT(1)
#define NPT_U     BIT(2)
#define NPT_A     BIT(5)
#define NPT_D     BIT(6)
#define NPT_PS    BIT(7)
#define NPT_KNOWN BIT(9)
#define NPT_CALM  BIT(10)
#define NPT_NX    BIT(63)

#define NPT_FRAME      BITS(51, 12)
#define NPT_SW_SHIFT   52
#define NPT_FILL_SHIFT 56
#define NPT_SW         BITS(55, 52)

static uint64_t npt_table(mfn_t table)
{
	return mfn_to_addr(table) | NPT_P | NPT_W | NPT_U;
}

static uint64_t npt_leaf(mfn_t mfn, unsigned level, unsigned access, unsigned sw)
{
	uint64_t e = mfn_to_addr(mfn) | NPT_P | NPT_U | (uint64_t)sw << NPT_SW_SHIFT;

	ASSERT(mfn.n < MFN_LIMIT && sw < 16 && (level == 1 || level == 2));
	ASSERT(level == 1 || !(mfn.n % LARGE_PAGES));
	if (access & PTE_W)
		e |= NPT_W;
	if (!(access & PTE_X))
		e |= NPT_NX;
	return level == 2 ? e | NPT_PS : e;
}

static uint64_t npt_soft(unsigned state)
{
	ASSERT(state >= 1 && state <= 15);
	return (uint64_t)state << NPT_SW_SHIFT;
}

static enum pte_kind npt_kind(uint64_t entry, unsigned level)
{
	if (!entry)
		return PTE_EMPTY;
	if (!(entry & NPT_P))
		return PTE_SOFT;
	return level > 1 && !(entry & NPT_PS) ? PTE_TABLE : PTE_LEAF;
}

static mfn_t npt_frame(uint64_t entry, unsigned level)
{
	(void)level;
	return mfn_of_addr(entry & NPT_FRAME);
}

static unsigned npt_access(uint64_t entry)
{
	return PTE_R | (entry & NPT_W ? PTE_W : 0) | (entry & NPT_NX ? 0 : PTE_X);
}

static unsigned npt_software(uint64_t entry)
{
	return (unsigned)((entry & NPT_SW) >> NPT_SW_SHIFT);
}

static uint64_t npt_root(mfn_t root_table)
{
	return mfn_to_addr(root_table);
}

const struct pte_format npt_format = {
    .name = "NPT",
    .levels = 4,
    .accessed_mask = NPT_A,
    .dirty_mask = NPT_D,
    .address_mask = NPT_FRAME,
    .sw_mask = NPT_SW,
    .known_mask = NPT_KNOWN,
    .calm_mask = NPT_CALM,
    .look_mask = NPT_KNOWN,
    .fill_shift = NPT_FILL_SHIFT,
    .table = npt_table,
    .leaf = npt_leaf,
    .soft = npt_soft,
    .kind = npt_kind,
    .frame = npt_frame,
    .access = npt_access,
    .sw = npt_software,
    .soft_state = npt_software,
    .root = npt_root,
};
