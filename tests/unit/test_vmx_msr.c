/* SPDX-License-Identifier: MIT */
/* The MSR bitmap denies everything but its table; a row of the table, a check here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/vmx/vmx.h"
#include "arch/x86_64/vmx/vmx_msr.h"

static uint8_t bitmap[4096];

/* SDM vol. 3, 24.6.9. */
static bool exits(uint32_t msr, bool write)
{
	unsigned n = msr & 0x1fff, base = (write ? 2048 : 0) + (msr >= 0xc0000000 ? 1024 : 0);

	return bitmap[base + n / 8] >> (n % 8) & 1;
}

struct row {
	uint32_t msr;
	bool read, write; /* without an exit */
};

static const struct row rows[] = {
    {0x010,      true,  false}, /* TSC: readable anyway, never written */
    {0x174,      true,  true }, /* SYSENTER_CS */
    {0x175,      true,  true }, /* SYSENTER_ESP */
    {0x176,      true,  true }, /* SYSENTER_EIP */
    {0x277,      false, false}, /* PAT: virtual */
    {0xc0000080, true,  false}, /* EFER: writes are checked */
    {0xc0000081, true,  true }, /* STAR */
    {0xc0000082, true,  true }, /* LSTAR */
    {0xc0000083, true,  true }, /* CSTAR */
    {0xc0000084, true,  true }, /* SFMASK */
    {0xc0000100, true,  true }, /* FS_BASE */
    {0xc0000101, true,  true }, /* GS_BASE */
    {0xc0000102, true,  true }, /* KERNEL_GS_BASE */
    {0xc0000103, true,  true }, /* TSC_AUX */
};

static const struct row *row_of(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].msr == msr)
			return &rows[i];
	return NULL;
}

/* All 16384 registers that the bitmap covers: exactly the rows pass. */
static void test_deny_by_default(void **state)
{
	(void)state;
	vmx_msr_bitmap_fill(bitmap, true);
	for (uint32_t i = 0; i < 0x4000; i++) {
		uint32_t msr = i < 0x2000 ? i : 0xc0000000 + i - 0x2000;
		const struct row *r = row_of(msr);

		assert_int_equal(exits(msr, false), !(r && r->read));
		assert_int_equal(exits(msr, true), !(r && r->write));
	}
}

/* Without RDTSCP there is no TSC_AUX to switch. */
static void test_no_tsc_aux(void **state)
{
	(void)state;
	vmx_msr_bitmap_fill(bitmap, false);
	assert_true(exits(0xc0000103, false) && exits(0xc0000103, true));
	assert_false(exits(0xc0000082, false));
}

/* Each row of the back end's table is a row here, and has a reason. */
static void test_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < vmx_nr_msrs; i++) {
		const struct row *r = row_of(vmx_msrs[i].msr);

		assert_non_null(r);
		assert_int_equal(r->read, vmx_msrs[i].read);
		assert_int_equal(r->write, vmx_msrs[i].write);
		assert_true(vmx_msrs[i].why[0]);
		assert_ptr_equal(vmx_msr_find(r->msr), &vmx_msrs[i]);
		assert_int_equal(vmx_msrs[i].field != 0, vmx_msrs[i].home == MSR_IN_VMCS);
	}
	assert_null(vmx_msr_find(0x1b));
	assert_null(vmx_msr_find(0x3a));
}

/* A value that the CPU would refuse is refused before it reaches the CPU. */
static void test_values(void **state)
{
	const uint64_t bad = BIT(47);

	(void)state;
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0xc0000082), bad));
	assert_true(vmx_msr_value_allowed(vmx_msr_find(0xc0000082), ~UINT64_C(0) << 47));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0xc0000100), bad));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0x176), bad));
	assert_true(vmx_msr_value_allowed(vmx_msr_find(0xc0000081), bad));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0xc0000084), BIT(32)));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0xc0000103), BIT(32)));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0x277), 2));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0x277), UINT64_C(8) << 56));
	assert_true(vmx_msr_value_allowed(vmx_msr_find(0x277), UINT64_C(0x0007040600070406)));
	assert_false(vmx_msr_value_allowed(vmx_msr_find(0xc0000080), BIT(12))); /* SVME */
	assert_true(vmx_msr_value_allowed(vmx_msr_find(0xc0000080), 0xd01));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_deny_by_default),
	    cmocka_unit_test(test_no_tsc_aux),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests_name("vmx_msr", tests, NULL, NULL);
}
