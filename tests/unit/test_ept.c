/* SPDX-License-Identifier: MIT */
/* EPT entries: SDM vol. 3, 28.2.2 and tables 28-1 to 28-6. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/vmx/vmx.h"

static const struct pte_format *const formats[] = {&ept_format, &ept_format_no_ad};

/* Every leaf says WB (type 6 in bits 5..3) and ignore-PAT (bit 6), and is readable. */
static void test_leaf_memory_type(void **state)
{
	(void)state;
	for (unsigned f = 0; f < 2; f++)
		for (unsigned level = 1; level <= 2; level++)
			for (unsigned access = 0; access < 8; access++) {
				uint64_t e = formats[f]->leaf(MFN(0x12345600), level, access, 15);

				assert_int_equal((e >> 3) & 7, 6);
				assert_true(e & BIT(6));
				assert_true(e & BIT(0));
			}
}

/* Rights, software bits and frame come back as they were put in; writable implies readable. */
static void test_leaf_round_trip(void **state)
{
	(void)state;
	for (unsigned level = 1; level <= 2; level++)
		for (unsigned access = 0; access < 8; access++)
			for (unsigned sw = 0; sw < 16; sw++) {
				mfn_t m = MFN(level == 2 ? 0xfffffe00 : 0xffffffff);
				uint64_t e = ept_format.leaf(m, level, access, sw);

				assert_int_equal(ept_format.kind(e, level), PTE_LEAF);
				assert_int_equal(ept_format.access(e), access | PTE_R);
				assert_int_equal(ept_format.sw(e), sw);
				assert_true(mfn_eq(ept_format.frame(e, level), m));
			}
}

/* Software bits are 52..55 only; the CPU's bits 56..63 and 10, 11 stay clear. */
static void test_software_bits(void **state)
{
	uint64_t with = ept_format.leaf(MFN(1), 1, 7, 15),
	         without = ept_format.leaf(MFN(1), 1, 7, 0);

	(void)state;
	assert_true((with ^ without) == BITS(55, 52));
	assert_false(with & (BITS(63, 56) | BITS(11, 10)));
}

/* A large leaf has bit 7; a small one has not (it is reserved to software there). */
static void test_large(void **state)
{
	(void)state;
	assert_true(ept_format.leaf(MFN(512), 2, 7, 0) & BIT(7));
	assert_false(ept_format.leaf(MFN(512), 1, 7, 0) & BIT(7));
	assert_false(ept_format.table(MFN(7)) & BITS(7, 3)); /* reserved in a table entry */
}

/* A table entry gives all rights, at every level at which there are tables. */
static void test_table(void **state)
{
	uint64_t e = ept_format.table(MFN(0xabcdef));

	(void)state;
	for (unsigned level = 2; level <= 4; level++) {
		assert_int_equal(ept_format.kind(e, level), PTE_TABLE);
		assert_int_equal(ept_format.frame(e, level).n, 0xabcdef);
	}
	assert_int_equal(e & 7, 7);
}

/* A soft entry is not present (R W X = 0), and its address bits are zero (L1TF). */
static void test_soft(void **state)
{
	(void)state;
	for (unsigned s = 1; s < 16; s++) {
		uint64_t e = ept_format.soft(s);

		assert_false(e & 7);
		assert_false(e & BITS(51, 12));
		assert_int_equal(ept_format.soft_state(e), s);
		for (unsigned level = 1; level <= 4; level++)
			assert_int_equal(ept_format.kind(e, level), PTE_SOFT);
		/* A byte beside the state changes none of it. */
		e |= UINT64_C(0xff) << ept_format.fill_shift;
		assert_true(!(e & 7) && !(e & BITS(51, 12)));
		assert_int_equal(ept_format.kind(e, 1), PTE_SOFT);
		assert_int_equal(ept_format.soft_state(e), s);
	}
	assert_int_equal(ept_format.kind(0, 1), PTE_EMPTY);
}

/* Accessed and dirty are bits 8 and 9, and no other part of a leaf; off in the other format. */
static void test_accessed_dirty(void **state)
{
	uint64_t e = ept_format.leaf(MFN(5), 1, 7, 15);

	(void)state;
	assert_true(ept_format.accessed_mask == BIT(8) && ept_format.dirty_mask == BIT(9));
	assert_false(e & (BIT(8) | BIT(9)));
	assert_int_equal(ept_format.kind(e | BIT(8) | BIT(9), 1), PTE_LEAF);
	assert_int_equal(ept_format.sw(e | BIT(8) | BIT(9)), 15);
	assert_true(ept_format_no_ad.accessed_mask == 0 && ept_format_no_ad.dirty_mask == 0);
}

/* EPTP: WB, four levels, and bit 6 exactly where there are accessed and dirty flags (24.6.11). */
static void test_root(void **state)
{
	(void)state;
	assert_true(ept_format.root(MFN(0x1000)) == (0x1000000 | 6 | 3 << 3 | BIT(6)));
	assert_true(ept_format_no_ad.root(MFN(0x1000)) == (0x1000000 | 6 | 3 << 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_leaf_memory_type),
	    cmocka_unit_test(test_leaf_round_trip),
	    cmocka_unit_test(test_software_bits),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_soft),
	    cmocka_unit_test(test_accessed_dirty),
	    cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests_name("ept", tests, NULL, NULL);
}
