/* SPDX-License-Identifier: MIT */
/* The table of guest MSRs: each row is expected here once more, by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86_64/guest/msr.h"

#define NON_CANONICAL UINT64_C(0x0000800000000000)

/* What a guest may do: a value that it may write, one that it may not. */
struct expected {
	uint32_t msr;
	enum msr_read read;
	uint64_t value; /* of a constant */
	enum msr_write write;
	bool has_good, has_bad;
	uint64_t good, bad;
};

static const struct expected expected[] = {
    {0x10,       MSR_READ_TSC,       0,       MSR_WRITE_DENY,           false, false, 0,                  0            },
    {0x17,       MSR_READ_VALUE,     0,       MSR_WRITE_DENY,           false, false, 0,                  0            },
    {0x1b,       MSR_READ_APIC_BASE, 0,       MSR_WRITE_APIC_BASE,      true,  false, 0xfee00900,         0            },
    {0x3a,       MSR_READ_VALUE,     1,       MSR_WRITE_DENY,           false, false, 0,                  0            },
    {0x8b,       MSR_READ_VALUE,     0,       MSR_WRITE_IGNORE,         true,  false, 0,                  0            },
    {0x174,      MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x8,                BIT(32)      },
    {0x175,      MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  ~BIT(0),            NON_CANONICAL},
    {0x176,      MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0x1a0,      MSR_READ_VALUE,     0x1801,  MSR_WRITE_SAME,           true,  false, 0x1801,             0            },
    {0x1d9,      MSR_READ_VALUE,     0,       MSR_WRITE_SAME,           true,  false, 0,                  0            },
    {0x277,      MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x0007040600070406, 2            },
    {0x40000000, MSR_READ_VALUE,     0,       MSR_WRITE_HYPERCALL_PAGE, true,  false, 0x1000,             0            },
    {0xc0000080, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x901,              BIT(32)      },
    {0xc0000081, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  false, ~BIT(0),            0            },
    {0xc0000082, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0xc0000083, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0xc0000084, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x47700,            BIT(32)      },
    {0xc0000100, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0xc0000101, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0xc0000102, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  0x1000,             NON_CANONICAL},
    {0xc0000103, MSR_READ_BACKEND,   0,       MSR_WRITE_BACKEND,        true,  true,  3,                  BIT(32)      },
    {0xc0010015, MSR_READ_VALUE,     BIT(24), MSR_WRITE_IGNORE,         true,  false, 0,                  0            },
    {0xc001001f, MSR_READ_VALUE,     0,       MSR_WRITE_IGNORE,         true,  false, 0,                  0            },
    {0xc0010055, MSR_READ_VALUE,     0,       MSR_WRITE_DENY,           false, false, 0,                  0            },
    {0xc0011029, MSR_READ_VALUE,     BIT(1),  MSR_WRITE_IGNORE,         true,  false, 2,                  0            },
};

static void test_rows(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_SIZE(expected), msr_rows);
	for (unsigned i = 0; i < msr_rows; i++) {
		const struct expected *e = &expected[i];
		const struct msr_row *row = msr_find(e->msr);

		assert_non_null(row);
		assert_int_equal(row->msr, e->msr);
		assert_int_equal(row->read, e->read);
		assert_int_equal(row->value, e->value);
		assert_int_equal(row->write, e->write);
		if (e->has_good)
			assert_true(msr_value_allowed(row, e->good));
		if (e->has_bad)
			assert_false(msr_value_allowed(row, e->bad));
	}
}

/* The search needs ascending order, each number once. */
static void test_order(void **state)
{
	(void)state;
	for (unsigned i = 1; i < msr_rows; i++)
		assert_true(msr_table[i - 1].msr < msr_table[i].msr);
}

/* What must not exist: x2APIC, TSC deadline and adjust, MTRRs, machine check, VMX, SVM, PMU. */
static void test_denied(void **state)
{
	static const uint32_t none[] = {
	    0,     0x3b,  0x48,  0x49,       0x79,       0xc1,       0xfe,       0x10a,
	    0x179, 0x186, 0x200, 0x2ff,      0x38f,      0x400,      0x480,      0x6e0,
	    0x802, 0xda0, 0xe1,  0xc0010010, 0xc0010114, 0xc0010117, 0x40000001, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
		assert_null(msr_find(none[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_denied),
	};

	return cmocka_run_group_tests_name("msr", tests, NULL, NULL);
}
