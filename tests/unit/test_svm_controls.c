/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/svm/svm_controls.h"

/* Every bit of the six intercept words is in exactly one row, and every row says why. */
static void each_bit_is_set_or_excused(void **state)
{
	uint8_t seen[INTERCEPT_WORDS][32] = {0};

	(void)state;
	for (unsigned i = 0; i < svm_nr_intercept_rows; i++) {
		const struct intercept_row *r = &svm_intercept_rows[i];

		assert_true(r->word < INTERCEPT_WORDS && r->first <= r->last && r->last < 32);
		assert_true(strlen(r->reason) > 3);
		for (unsigned b = r->first; b <= r->last; b++)
			seen[r->word][b]++;
	}
	for (unsigned w = 0; w < INTERCEPT_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (seen[w][b] != 1)
				fail_msg("word %u bit %u is in %u rows", w, b, seen[w][b]);
}

/* What a guest must never do by itself (bit numbers: APM vol. 2, table B-1). */
static void what_must_exit(void **state)
{
	static const struct {
		unsigned word, bit;
	} must[] = {
	    {WORD_CR,        16},
            {WORD_CR,        20},
            {WORD_CR,        24},
            {WORD_EXCEPTION, 1 },
	    {WORD_EXCEPTION, 17},
            {WORD_EXCEPTION, 18},
            {WORD_MISC1,     0 },
            {WORD_MISC1,     1 },
	    {WORD_MISC1,     2 },
            {WORD_MISC1,     3 },
            {WORD_MISC1,     15},
            {WORD_MISC1,     18},
	    {WORD_MISC1,     22},
            {WORD_MISC1,     24},
            {WORD_MISC1,     26},
            {WORD_MISC1,     27},
	    {WORD_MISC1,     28},
            {WORD_MISC1,     29},
            {WORD_MISC1,     31},
            {WORD_MISC2,     0 },
	    {WORD_MISC2,     1 },
            {WORD_MISC2,     2 },
            {WORD_MISC2,     3 },
            {WORD_MISC2,     4 },
	    {WORD_MISC2,     5 },
            {WORD_MISC2,     6 },
            {WORD_MISC2,     8 },
            {WORD_MISC2,     9 },
	    {WORD_MISC2,     10},
            {WORD_MISC2,     11},
            {WORD_MISC2,     12},
            {WORD_MISC2,     13},
	    {WORD_MISC2,     14},
            {WORD_MISC3,     0 },
            {WORD_MISC3,     1 },
            {WORD_MISC3,     3 },
	};
	uint32_t words[INTERCEPT_WORDS];

	(void)state;
	svm_intercepts(words);
	for (unsigned i = 0; i < ARRAY_SIZE(must); i++)
		if (!(words[must[i].word] & BIT(must[i].bit)))
			fail_msg("word %u bit %u is clear", must[i].word, must[i].bit);
	/* QEMU 7.2 mistakes one for the other when RDTSC exits. */
	assert_false(words[WORD_MISC1] & BIT(14));
	assert_false(words[WORD_MISC2] & BIT(7));
}

static bool exits(const uint8_t *map, uint32_t msr, bool write)
{
	int bit = svm_msrpm_bit(msr);

	if (bit < 0)
		return true;
	bit += write;
	return map[bit / 8] & (1u << bit % 8);
}

/* The three ranges of the map lie 2 KiB apart (APM vol. 2, 15.11); everything else exits. */
static void map_layout(void **state)
{
	(void)state;
	assert_int_equal(svm_msrpm_bit(0), 0);
	assert_int_equal(svm_msrpm_bit(0x1fff), 2 * 0x1fff);
	assert_int_equal(svm_msrpm_bit(0xc0000000), 0x800 * 8);
	assert_int_equal(svm_msrpm_bit(0xc0011fff), 0x1800 * 8 - 2);
	assert_int_equal(svm_msrpm_bit(0x2000), -1);
	assert_int_equal(svm_msrpm_bit(0xbfffffff), -1);
	assert_int_equal(svm_msrpm_bit(0xc0002000), -1);
	assert_int_equal(svm_msrpm_bit(0xc0012000), -1);
	assert_int_equal(svm_msrpm_bit(0x40000000), -1);
}

/* Each row opens what it says; all other bits of the map are set. */
static void map_is_the_table(void **state)
{
	static uint8_t map[MSRPM_BYTES];
	unsigned open = 0, want = 0;

	(void)state;
	svm_msrpm_build(map, true);
	for (unsigned i = 0; i < svm_nr_msr_rows; i++) {
		const struct msr_row *r = &svm_msr_rows[i];

		assert_int_equal(exits(map, r->msr, false), !r->read);
		assert_int_equal(exits(map, r->msr, true), !r->write);
		want += (unsigned)r->read + r->write;
	}
	for (unsigned i = 0; i < MSRPM_BYTES * 8; i++)
		open += !(map[i / 8] & (1u << i % 8));
	assert_int_equal(open, want);
}

/* EFER, PAT, APIC_BASE, DEBUGCTL, VM_CR, HSAVE_PA, PRED_CMD and a write of the TSC exit. */
static void dangerous_msrs_exit(void **state)
{
	static const uint32_t msrs[] = {0xc0000080, 0x277, 0x1b, 0x1d9,      0xc0010114,
	                                0xc0010117, 0x49,  0x48, 0xc001011f, 0xda0};
	static uint8_t map[MSRPM_BYTES];

	(void)state;
	svm_msrpm_build(map, true);
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		assert_true(exits(map, msrs[i], false));
		assert_true(exits(map, msrs[i], true));
	}
	assert_true(exits(map, 0x10, true));
	svm_msrpm_build(map, false);
	assert_true(exits(map, 0xc0000103, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_bit_is_set_or_excused),
	    cmocka_unit_test(what_must_exit),
	    cmocka_unit_test(map_layout),
	    cmocka_unit_test(map_is_the_table),
	    cmocka_unit_test(dangerous_msrs_exit),
	};

	return cmocka_run_group_tests_name("svm_controls", tests, NULL, NULL);
}
