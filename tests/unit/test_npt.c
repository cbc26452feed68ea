/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/svm/svm.h"
#include "mm/pte_format.h"

static const struct pte_format *f = &npt_format;

/* What goes into a leaf comes out of it, for every access, software bits and level. */
static void leaf_round_trip(void **state)
{
	const uint64_t frames[] = {0, 1, 0x12345, MFN_LIMIT - 1};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(frames); i++)
		for (unsigned access = PTE_R; access < 8; access += 2)
			for (unsigned sw = 0; sw < 16; sw++)
				for (unsigned level = 1; level <= 2; level++) {
					uint64_t m =
					    level == 2 ? align_down(frames[i], 512) : frames[i];
					uint64_t e = f->leaf(MFN(m), level, access, sw);

					assert_int_equal(f->kind(e, level), PTE_LEAF);
					assert_int_equal(f->frame(e, level).n, m);
					assert_int_equal(f->access(e), access);
					assert_int_equal(f->sw(e), sw);
				}
}

/* A table entry is one, gives all rights and is a user page: every guest access is one
 * (APM vol. 2, 15.25.5). */
static void table_round_trip(void **state)
{
	uint64_t e = f->table(MFN(0xabcde));

	(void)state;
	for (unsigned level = 2; level <= 4; level++)
		assert_int_equal(f->kind(e, level), PTE_TABLE);
	assert_int_equal(f->frame(e, 2).n, 0xabcde);
	assert_int_equal(e & 0xfff, 7);
	assert_int_equal(f->root(MFN(0xabcde)), 0xabcde000);
}

/* A soft entry is not present and has no address bit set, so that nothing can be fetched
 * through it speculatively (L1TF). */
static void soft_has_no_address(void **state)
{
	(void)state;
	for (unsigned s = 1; s <= 15; s++) {
		uint64_t e = f->soft(s);

		assert_false(e & 1);
		assert_int_equal(e & BITS(51, 12), 0);
		for (unsigned level = 1; level <= 4; level++)
			assert_int_equal(f->kind(e, level), PTE_SOFT);
		assert_int_equal(f->soft_state(e), s);
		/* A byte beside the state changes none of it. */
		e |= UINT64_C(0xff) << f->fill_shift;
		assert_true(!(e & 1) && !(e & BITS(51, 12)));
		assert_int_equal(f->kind(e, 1), PTE_SOFT);
		assert_int_equal(f->soft_state(e), s);
	}
	assert_int_equal(f->kind(0, 1), PTE_EMPTY);
}

/* Software bits of a present entry lie where no CPU looks: bits 52..58 (APM vol. 2, 5.4.1). */
static void software_bits_are_ignored_by_hardware(void **state)
{
	uint64_t all = f->leaf(MFN(5), 1, PTE_R, 15), none = f->leaf(MFN(5), 1, PTE_R, 0);

	(void)state;
	assert_int_equal((all ^ none) & ~BITS(58, 52), 0);
	assert_int_equal((all ^ none) & (f->accessed_mask | f->dirty_mask), 0);
}

/* The memory type of a leaf is entry 0 of the host's PAT: PWT, PCD and PAT are clear, and so
 * are the reserved bits of a large leaf. */
static void memory_type_is_write_back(void **state)
{
	(void)state;
	assert_int_equal(f->leaf(MFN(512), 1, 7, 15) & (BIT(3) | BIT(4) | BIT(7)), 0);
	assert_int_equal(f->leaf(MFN(512), 2, 7, 15) & (BIT(3) | BIT(4) | BITS(20, 12)), 0);
}

/* Accessed and dirty are the CPU's own bits 5 and 6, clear in what we build. */
static void accessed_dirty(void **state)
{
	(void)state;
	assert_int_equal(f->accessed_mask, 0x20);
	assert_int_equal(f->dirty_mask, 0x40);
	assert_int_equal(f->leaf(MFN(3), 1, 7, 15) & 0x60, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(leaf_round_trip),
	    cmocka_unit_test(table_round_trip),
	    cmocka_unit_test(soft_has_no_address),
	    cmocka_unit_test(software_bits_are_ignored_by_hardware),
	    cmocka_unit_test(memory_type_is_write_back),
	    cmocka_unit_test(accessed_dirty),
	};

	return cmocka_run_group_tests_name("npt", tests, NULL, NULL);
}
