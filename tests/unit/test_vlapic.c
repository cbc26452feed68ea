/* SPDX-License-Identifier: MIT */
/* The virtual local APIC, rule by rule (SDM vol. 3, the chapter of the APIC). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86_64/guest/vlapic.h"

#define PHYS_BITS 40u
#define BASE      (VLAPIC_BASE | APIC_BASE_ENABLE)
#define X2BASE    (BASE | APIC_BASE_X2APIC)

static struct vlapic a;
static struct vlapic_todo t;

static void to_x2apic(struct vlapic *v)
{
	struct vlapic_todo todo;

	assert_true(vlapic_base_write(v, X2BASE, PHYS_BITS, &todo));
}

static void enable(struct vlapic *v)
{
	v->svr = 0x1ff;
}

/* vCPU 1 in x2APIC mode, enabled. */
static void begin(void)
{
	vlapic_reset(&a, 1);
	to_x2apic(&a);
	enable(&a);
}

/* ---- MSRs: what may be read, what may be written ---- */

/* good: a value that may be written; bad: one that is #GP; 0 of bad: none. */
struct msr_rule {
	uint32_t msr;
	bool read, write;
	uint64_t good, bad;
	const char *why;
};

static const struct msr_rule rules[] = {
    {0x800, false, false, 0,                  0,       "reserved"                                    },
    {0x801, false, false, 0,                  0,       "reserved"                                    },
    {0x802, true,  false, 0,                  0,       "ID is read-only in x2APIC mode"              },
    {0x803, true,  false, 0,                  0,       "version"                                     },
    {0x804, false, false, 0,                  0,       "reserved"                                    },
    {0x807, false, false, 0,                  0,       "reserved"                                    },
    {0x808, true,  true,  0xff,               0x100,   "TPR: bits 31..8 are reserved"                },
    {0x809, false, false, 0,                  0,       "APR is not in x2APIC"                        },
    {0x80a, true,  false, 0,                  0,       "PPR"                                         },
    {0x80b, false, true,  0,                  1,       "EOI: write-only, zero only"                  },
    {0x80c, false, false, 0,                  0,       "RRD is not in x2APIC"                        },
    {0x80d, true,  false, 0,                  0,       "LDR is read-only in x2APIC mode"             },
    {0x80e, false, false, 0,                  0,       "DFR is not in x2APIC"                        },
    {0x80f, true,  true,  0x3ff,              0x1000,  "SVR: EOI-broadcast suppression not offered"  },
    {0x80f, true,  true,  0x1ff,              0x400,   "SVR: bit 10 is reserved"                     },
    {0x810, true,  false, 0,                  0,       "ISR"                                         },
    {0x817, true,  false, 0,                  0,       "ISR"                                         },
    {0x818, true,  false, 0,                  0,       "TMR"                                         },
    {0x81f, true,  false, 0,                  0,       "TMR"                                         },
    {0x820, true,  false, 0,                  0,       "IRR"                                         },
    {0x827, true,  false, 0,                  0,       "IRR"                                         },
    {0x828, true,  true,  0,                  1,       "ESR: only zero may be written"               },
    {0x829, false, false, 0,                  0,       "reserved"                                    },
    {0x82e, false, false, 0,                  0,       "reserved"                                    },
    {0x82f, false, false, 0,                  0,       "CMCI: the version tells of six LVT registers"},
    {0x830, true,  true,  0xfffffffe000c40ff, BIT(12), "ICR has no delivery status in x2APIC mode"   },
    {0x830, true,  true,  0x000c88ff,         BIT(13), "ICR: bit 13"                                 },
    {0x830, true,  true,  0x30,               BIT(16), "ICR: bit 16"                                 },
    {0x830, true,  true,  0x30,               BIT(20), "ICR: bit 20"                                 },
    {0x830, true,  true,  0x30,               BIT(31), "ICR: bit 31"                                 },
    {0x831, false, false, 0,                  0,       "ICR's upper half is not in x2APIC"           },
    {0x832, true,  true,  0x310ff,            BIT(18), "LVT timer: TSC-deadline is hidden"           },
    {0x832, true,  true,  0,                  BIT(8),  "LVT timer has no delivery mode"              },
    {0x833, true,  true,  0x117ff,            BIT(13), "LVT thermal"                                 },
    {0x834, true,  true,  0x117ff,            BIT(15), "LVT performance"                             },
    {0x835, true,  true,  0x1f7ff,            BIT(11), "LVT LINT0"                                   },
    {0x836, true,  true,  0x1f7ff,            BIT(17), "LVT LINT1"                                   },
    {0x837, true,  true,  0x110ff,            BIT(8),  "LVT error has no delivery mode"              },
    {0x838, true,  true,  0xffffffff,         BIT(32), "initial count"                               },
    {0x839, true,  false, 0,                  0,       "current count"                               },
    {0x83a, false, false, 0,                  0,       "reserved"                                    },
    {0x83d, false, false, 0,                  0,       "reserved"                                    },
    {0x83e, true,  true,  0xb,                4,       "divide: bit 2 is reserved"                   },
    {0x83f, false, true,  0x30,               0x100,   "SELF IPI: write-only, a vector"              },
    {0x840, false, false, 0,                  0,       "reserved"                                    },
    {0x8ff, false, false, 0,                  0,       "reserved"                                    },
    {0xbff, false, false, 0,                  0,       "reserved"                                    },
};

static void test_msr_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct msr_rule *r = &rules[i];
		uint64_t value = 0;

		begin();
		if (vlapic_msr_read(&a, r->msr, 0, &value) != r->read)
			fail_msg("read of %x: %s", r->msr, r->why);
		if (vlapic_msr_write(&a, r->msr, r->good, 0, &t) != r->write)
			fail_msg("write of %x: %s", r->msr, r->why);
		if (r->bad && vlapic_msr_write(&a, r->msr, r->bad, 0, &t))
			fail_msg("bad write of %x: %s", r->msr, r->why);
		if (!r->write && vlapic_msr_write(&a, r->msr, 1, 0, &t))
			fail_msg("write of %x: %s", r->msr, r->why);
		/* The upper half is reserved in all but ICR. */
		if (r->write && r->msr != 0x830 &&
		    vlapic_msr_write(&a, r->msr, r->good | BIT(40), 0, &t))
			fail_msg("upper half of %x", r->msr);
	}
}

/* Outside of x2APIC mode each of them is #GP. */
static void test_msrs_need_x2apic(void **state)
{
	uint64_t value;

	(void)state;
	vlapic_reset(&a, 0);
	for (uint32_t msr = VLAPIC_MSR_FIRST; msr <= VLAPIC_MSR_LAST; msr++) {
		assert_false(vlapic_msr_read(&a, msr, 0, &value));
		assert_false(vlapic_msr_write(&a, msr, 0, 0, &t));
	}
}

/* What is written to reserved bits changes nothing: it is refused as a whole. */
static void test_refused_write_changes_nothing(void **state)
{
	uint64_t value;

	(void)state;
	begin();
	assert_true(vlapic_msr_write(&a, 0x830, UINT64_C(7) << 32 | 0x4045, 0, &t));
	assert_false(vlapic_msr_write(&a, 0x830, UINT64_C(9) << 32 | BIT(12), 0, &t));
	assert_true(vlapic_msr_read(&a, 0x830, 0, &value));
	assert_int_equal(value, UINT64_C(7) << 32 | 0x4045);
	assert_false(vlapic_msr_write(&a, 0x808, 0x1ff, 0, &t));
	assert_int_equal(a.tpr, 0);
}

static void test_values_after_reset(void **state)
{
	static const struct {
		uint32_t offset, value;
	} after[] = {
	    {0x20,  2u << 24  },
            {0x30,  0x50014   },
            {0x80,  0         },
            {0xa0,  0         },
	    {0xd0,  0         },
            {0xe0,  0xffffffff},
            {0xf0,  0xff      },
            {0x280, 0         },
	    {0x300, 0         },
            {0x310, 0         },
            {0x320, 0x10000   },
            {0x330, 0x10000   },
	    {0x340, 0x10000   },
            {0x350, 0x10000   },
            {0x360, 0x10000   },
            {0x370, 0x10000   },
	    {0x380, 0         },
            {0x390, 0         },
            {0x3e0, 0         },
	};

	(void)state;
	vlapic_reset(&a, 1);
	for (size_t i = 0; i < ARRAY_SIZE(after); i++)
		assert_int_equal(vlapic_mmio_read(&a, after[i].offset, 0), after[i].value);
	assert_int_equal(vlapic_base_read(&a), BASE);
	vlapic_reset(&a, 0);
	assert_int_equal(vlapic_base_read(&a), BASE | APIC_BASE_BSP);
}

/* ---- IA32_APIC_BASE ---- */

static void test_base_moves(void **state)
{
	enum { OFF, XAPIC, X2APIC, INVALID };
	static const uint64_t word[] = {VLAPIC_BASE, BASE, X2BASE, VLAPIC_BASE | APIC_BASE_X2APIC};
	static const bool legal[3][4] = {
	    [OFF] = {true, true,  false, false},
	    [XAPIC] = {true, true,  true,  false},
	    [X2APIC] = {true, false, true,  false},
	};

	(void)state;
	for (unsigned from = OFF; from <= X2APIC; from++)
		for (unsigned to = OFF; to <= INVALID; to++) {
			vlapic_reset(&a, 1);
			if (from != XAPIC)
				assert_true(vlapic_base_write(&a, word[from], PHYS_BITS, &t));
			assert_int_equal(vlapic_base_write(&a, word[to], PHYS_BITS, &t),
			                 legal[from][to]);
			assert_int_equal(vlapic_base_read(&a), word[legal[from][to] ? to : from]);
		}
}

static void test_base_bits(void **state)
{
	static const uint64_t bad[] = {BASE | 1,       BASE | BIT(9),   BASE | BIT(40),
	                               BASE | BIT(63), BASE + 0x1000,   BASE | BIT(32),
	                               UINT64_MAX,     APIC_BASE_ENABLE};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		vlapic_reset(&a, 1);
		assert_false(vlapic_base_write(&a, bad[i], PHYS_BITS, &t));
		assert_int_equal(vlapic_base_read(&a), BASE);
	}
	/* Nobody becomes the boot CPU, or ceases to be. */
	vlapic_reset(&a, 1);
	assert_true(vlapic_base_write(&a, BASE | APIC_BASE_BSP, PHYS_BITS, &t));
	assert_int_equal(vlapic_base_read(&a), BASE);
	vlapic_reset(&a, 0);
	assert_true(vlapic_base_write(&a, X2BASE, PHYS_BITS, &t));
	assert_int_equal(vlapic_base_read(&a), X2BASE | APIC_BASE_BSP);
}

/* xAPIC -> x2APIC keeps what software set, but for ICR's upper half; "disabled" keeps the id only.
 */
static void test_what_a_move_preserves(void **state)
{
	uint64_t value;

	(void)state;
	vlapic_reset(&a, 3);
	vlapic_mmio_write(&a, 0xf0, 0x1fe, 0, &t);
	vlapic_mmio_write(&a, 0x80, 0x40, 0, &t);
	vlapic_mmio_write(&a, 0x310, 0x55000000, 0, &t);
	to_x2apic(&a);
	assert_int_equal(a.svr, 0x1fe);
	assert_int_equal(a.tpr, 0x40);
	assert_int_equal(a.icr_high, 0);
	assert_true(vlapic_msr_read(&a, 0x802, 0, &value) && value == 6);
	assert_true(vlapic_msr_read(&a, 0x80d, 0, &value) && value == 1u << 6);
	assert_true(vlapic_base_write(&a, VLAPIC_BASE, PHYS_BITS, &t));
	assert_int_equal(t.what, VLAPIC_DO_TPR | VLAPIC_DO_TIMER | VLAPIC_DO_LOOK);
	assert_true(vlapic_base_write(&a, BASE, PHYS_BITS, &t));
	assert_int_equal(a.svr, 0xff);
	assert_int_equal(a.tpr, 0);
	assert_int_equal(vlapic_mmio_read(&a, 0x20, 0), 6u << 24);
}

/* INIT: the mode and the id stay, all else is as after reset. */
static void test_init(void **state)
{
	(void)state;
	begin();
	a.tpr = 0x20;
	vlapic_post(&a, 0x40);
	(void)vlapic_collect(&a);
	vlapic_init(&a);
	assert_int_equal(vlapic_base_read(&a), X2BASE);
	assert_int_equal(a.id, 2);
	assert_int_equal(a.svr, 0xff);
	assert_int_equal(a.tpr, 0);
	enable(&a);
	assert_int_equal(vlapic_pending(&a), -1);
}

/* ---- errors ---- */

static void test_errors(void **state)
{
	uint64_t value;

	(void)state;
	begin();
	assert_true(vlapic_msr_write(&a, 0x837, 0xfe, 0, &t)); /* LVT error, unmasked */
	assert_true(vlapic_msr_write(&a, 0x830, 0x4000, 0, &t));
	assert_int_equal(t.what, VLAPIC_DO_LOOK); /* an illegal vector is not sent */
	assert_int_equal(vlapic_pending(&a), 0xfe);
	assert_true(vlapic_msr_read(&a, 0x828, 0, &value) && value == 0); /* a write shows it */
	assert_true(vlapic_msr_write(&a, 0x83f, 15, 0, &t));
	assert_int_equal(t.what, VLAPIC_DO_LOOK);
	assert_true(vlapic_msr_write(&a, 0x830, 0x4130, 0, &t)); /* lowest priority */
	assert_int_equal(t.what, VLAPIC_DO_LOOK);
	vlapic_post(&a, 3);
	(void)vlapic_collect(&a);
	assert_true(vlapic_msr_write(&a, 0x828, 0, 0, &t));
	assert_true(vlapic_msr_read(&a, 0x828, 0, &value));
	assert_int_equal(value, ESR_SEND_ILLEGAL | ESR_REDIRECTABLE | ESR_RECEIVE_ILLEGAL);
	assert_true(vlapic_msr_write(&a, 0x828, 0, 0, &t)); /* twice clears */
	assert_true(vlapic_msr_read(&a, 0x828, 0, &value) && value == 0);
}

/* By memory there is no #GP: an address that is not there is an error, a reserved bit is ignored.
 */
static void test_mmio(void **state)
{
	static const uint32_t nowhere[] = {0,     0x10,  0x40,  0x84,  0x28c, 0x290, 0x2f0,
	                                   0x3a0, 0x3d0, 0x3f0, 0x400, 0xfff, 0xffc};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		vlapic_reset(&a, 0);
		assert_int_equal(vlapic_mmio_read(&a, nowhere[i], 0), 0);
		assert_int_equal(a.esr_new, ESR_ILLEGAL_REG);
		vlapic_reset(&a, 0);
		vlapic_mmio_write(&a, nowhere[i], 1, 0, &t);
		assert_int_equal(a.esr_new, ESR_ILLEGAL_REG);
	}
	vlapic_reset(&a, 1);
	vlapic_mmio_write(&a, 0x20, 0xff000000, 0, &t); /* the id is ours */
	assert_int_equal(vlapic_mmio_read(&a, 0x20, 0), 2u << 24);
	vlapic_mmio_write(&a, 0xd0, UINT32_MAX, 0, &t);
	assert_int_equal(vlapic_mmio_read(&a, 0xd0, 0), 0xff000000);
	vlapic_mmio_write(&a, 0xe0, 0, 0, &t);
	assert_int_equal(vlapic_mmio_read(&a, 0xe0, 0), 0x0fffffff);
	vlapic_mmio_write(&a, 0xf0, UINT32_MAX, 0, &t);
	assert_int_equal(vlapic_mmio_read(&a, 0xf0, 0), 0x3ff);
	vlapic_mmio_write(&a, 0x350, UINT32_MAX, 0, &t);
	assert_int_equal(vlapic_mmio_read(&a, 0x350, 0), 0x1a7ff); /* status, remote IRR: 0 */
	vlapic_mmio_write(&a, 0xb0, UINT32_MAX, 0, &t);            /* EOI takes anything */
	vlapic_mmio_write(&a, 0xa0, 1, 0, &t);                     /* PPR: ignored */
	assert_int_equal(vlapic_mmio_read(&a, 0xb0, 0), 0);        /* write-only */
	assert_int_equal(a.esr_new, 0);
}

/* ---- the timer ---- */

static void test_timer_one_shot(void **state)
{
	(void)state;
	begin();
	assert_true(vlapic_msr_write(&a, 0x83e, 0xb, 0, &t)); /* by one */
	assert_true(vlapic_msr_write(&a, 0x832, 0x50, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x838, 1000, 5000, &t));
	assert_true(t.what & VLAPIC_DO_TIMER);
	assert_int_equal(vlapic_timer_due(&a), 6000);
	assert_int_equal(vlapic_timer_current(&a, 5000), 1000);
	assert_int_equal(vlapic_timer_current(&a, 5400), 600);
	vlapic_timer_expire(&a, 5999);
	assert_int_equal(vlapic_pending(&a), -1);
	vlapic_timer_expire(&a, 6000);
	assert_int_equal(vlapic_pending(&a), 0x50);
	assert_int_equal(vlapic_timer_due(&a), UINT64_MAX);
	assert_int_equal(vlapic_timer_current(&a, 7000), 0);
	assert_true(vlapic_msr_write(&a, 0x838, 1000, 8000, &t));
	assert_true(vlapic_msr_write(&a, 0x838, 0, 8001, &t)); /* zero stops it */
	assert_int_equal(vlapic_timer_due(&a), UINT64_MAX);
}

static void test_timer_divides(void **state)
{
	static const struct {
		uint32_t config, by;
	} rows[] = {
	    {0,   2  },
            {1,   4  },
            {2,   8  },
            {3,   16 },
            {8,   32 },
            {9,   64 },
            {0xa, 128},
            {0xb, 1  }
        };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		assert_true(vlapic_msr_write(&a, 0x83e, rows[i].config, 0, &t));
		assert_true(vlapic_msr_write(&a, 0x838, 10, 100, &t));
		assert_int_equal(vlapic_timer_due(&a), 100 + 10 * rows[i].by * VLAPIC_TICK_NS);
	}
	/* Changed on the way, the count goes on from where it is. */
	begin();
	assert_true(vlapic_msr_write(&a, 0x83e, 0xb, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x838, 1000, 10000, &t));
	assert_true(vlapic_msr_write(&a, 0x83e, 0, 10400, &t));
	assert_int_equal(vlapic_timer_current(&a, 10400), 600);
	assert_int_equal(vlapic_timer_due(&a), 10400 + 1200);
	/* Soon after the machine's start the slower count would have begun before it. */
	begin();
	assert_true(vlapic_msr_write(&a, 0x83e, 0xb, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x838, 1000, 100, &t));
	assert_true(vlapic_msr_write(&a, 0x83e, 0xa, 600, &t));
	assert_int_equal(vlapic_timer_current(&a, 600), 500);
	assert_int_equal(vlapic_timer_current(&a, 600 + 128), 499);
	assert_int_equal(vlapic_timer_due(&a), 600 + 500 * 128);
}

/* Periods that pass unseen are one interrupt; too short a period is made longer. */
static void test_timer_periodic(void **state)
{
	const uint32_t ticks = 2 * VLAPIC_PERIOD_MIN_NS;

	(void)state;
	begin();
	assert_true(vlapic_msr_write(&a, 0x83e, 0xb, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x832, 0x20050, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x838, ticks, 0, &t));
	vlapic_timer_expire(&a, UINT64_C(5) * ticks + 7);
	assert_int_equal(vlapic_pending(&a), 0x50);
	assert_int_equal(vlapic_timer_due(&a), UINT64_C(6) * ticks);
	assert_int_equal(vlapic_timer_current(&a, UINT64_C(5) * ticks + 7), ticks - 7);
	assert_true(vlapic_msr_write(&a, 0x838, 1, 0, &t));
	assert_int_equal(vlapic_timer_due(&a), VLAPIC_PERIOD_MIN_NS);
	/* Masked it counts, and interrupts nobody. */
	begin();
	assert_true(vlapic_msr_write(&a, 0x838, 1000, 0, &t));
	vlapic_timer_expire(&a, 100000);
	assert_int_equal(vlapic_pending(&a), -1);
	assert_int_equal(vlapic_timer_due(&a), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_msr_rules),
	    cmocka_unit_test(test_msrs_need_x2apic),
	    cmocka_unit_test(test_refused_write_changes_nothing),
	    cmocka_unit_test(test_values_after_reset),
	    cmocka_unit_test(test_base_moves),
	    cmocka_unit_test(test_base_bits),
	    cmocka_unit_test(test_what_a_move_preserves),
	    cmocka_unit_test(test_init),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_mmio),
	    cmocka_unit_test(test_timer_one_shot),
	    cmocka_unit_test(test_timer_divides),
	    cmocka_unit_test(test_timer_periodic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
