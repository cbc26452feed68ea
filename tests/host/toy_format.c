/* SPDX-License-Identifier: MIT */
/* bit 0 present, 1 table, 2 W, 3 X, 4 accessed, 5 dirty, 6 large, 7 known or look, 8 calm; sw or
 * state in 60..63. */
#include "tests/host/toy_format.h"
#include "mm/leaf/assert.h"

#define TOY_PRESENT    BIT(0)
#define TOY_TABLE      BIT(1)
#define TOY_W          BIT(2)
#define TOY_X          BIT(3)
#define TOY_ACCESSED   BIT(4)
#define TOY_DIRTY      BIT(5)
#define TOY_LARGE      BIT(6)
#define TOY_KNOWN      BIT(7)
#define TOY_CALM       BIT(8)
#define TOY_ADDRESS    BITS(51, 12)
#define TOY_SW_SHIFT   60
#define TOY_FILL_SHIFT 52
#define TOY_SW         BITS(63, 60)

static uint64_t toy_table(mfn_t table)
{
	return mfn_to_addr(table) | TOY_PRESENT | TOY_TABLE;
}

/* Real formats read an entry by its level: whoever asks at a wrong one is found out here. */
static void toy_check(uint64_t e, unsigned level)
{
	ASSERT(level >= 1 && level <= 4);
	if (!(e & TOY_PRESENT))
		return;
	if (e & TOY_TABLE)
		ASSERT(level > 1);
	else
		ASSERT(level == (e & TOY_LARGE ? 2 : 1));
}

static uint64_t toy_leaf(mfn_t mfn, unsigned level, unsigned access, unsigned sw)
{
	uint64_t e = mfn_to_addr(mfn) | TOY_PRESENT | (uint64_t)sw << TOY_SW_SHIFT;

	ASSERT(level == 1 || level == 2);
	e |= access & PTE_W ? TOY_W : 0;
	e |= access & PTE_X ? TOY_X : 0;
	return e | (level > 1 ? TOY_LARGE : 0);
}

static uint64_t toy_soft(unsigned state)
{
	return (uint64_t)state << TOY_SW_SHIFT;
}

static enum pte_kind toy_kind(uint64_t e, unsigned level)
{
	toy_check(e, level);
	if (!(e & TOY_PRESENT))
		return e ? PTE_SOFT : PTE_EMPTY;
	return e & TOY_TABLE ? PTE_TABLE : PTE_LEAF;
}

static mfn_t toy_frame(uint64_t e, unsigned level)
{
	toy_check(e, level);
	return mfn_of_addr(e & TOY_ADDRESS);
}

static unsigned toy_access(uint64_t e)
{
	return PTE_R | (e & TOY_W ? PTE_W : 0) | (e & TOY_X ? PTE_X : 0);
}

static unsigned toy_sw(uint64_t e)
{
	return (unsigned)(e >> TOY_SW_SHIFT);
}

static uint64_t toy_root(mfn_t root)
{
	return mfn_to_addr(root);
}

#define TOY_FORMAT(text, a, d, k, c)                                                               \
	{                                                                                          \
		.name = text, .levels = 4, .accessed_mask = a, .dirty_mask = d,                    \
		.address_mask = TOY_ADDRESS, .sw_mask = TOY_SW, .known_mask = k, .calm_mask = c,   \
		.look_mask = k, .fill_shift = TOY_FILL_SHIFT, .table = toy_table,                  \
		.leaf = toy_leaf, .soft = toy_soft, .kind = toy_kind, .frame = toy_frame,          \
		.access = toy_access, .sw = toy_sw, .soft_state = toy_sw, .root = toy_root         \
	}

const struct pte_format toy_format =
    TOY_FORMAT("toy", TOY_ACCESSED, TOY_DIRTY, TOY_KNOWN, TOY_CALM);
const struct pte_format toy_format_no_dirty =
    TOY_FORMAT("toy, no dirty flags", 0, 0, TOY_KNOWN, TOY_CALM);
