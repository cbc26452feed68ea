/* SPDX-License-Identifier: MIT */
/*
 * Control selection, on the capability MSRs of the emulator's CPU models and of
 * real CPUs. Each row says where its values come from: the Bochs rows were read
 * with RDMSR on Bochs 2.7 (where a register does not exist the word is 0), the
 * others are in VirtualBox's collection of register dumps of real machines.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/vmx/vmx.h"

#define VBOX "VirtualBox (github.com/VirtualBox/virtualbox), src/VBox/VMM/VMMR3/cpus/"

struct row {
	const char *cpu, *source;
	uint64_t msr[VMX_NR_CAPS]; /* 480h .. 491h */
	const char *refused;       /* part of the sentence, or NULL */
	bool ept_ad, pause_loop;
	uint32_t proc2;
};

/* clang-format off */
static const struct row rows[] = {
    {
        "Bochs core2_penryn_t9600",
        "read with RDMSR on Bochs 2.7, cpu: model=core2_penryn_t9600",
        {0xd810000000002b, 0x3f00000016, 0xf7f9fffe0401e172, 0x3ffff00036dff, 0x3fff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x467ff, 0x34, 0x4100000000, 0x0, 0x3f00000016, 0xf7f9fffe04006172, 0x3ffff00036dfb, 0x3fff000011fb, 0x0},
        "(EPT)",
        false, false, 0x0,
    },
    {
        "Bochs corei5_lynnfield_750",
        "read with RDMSR on Bochs 2.7, cpu: model=corei5_lynnfield_750",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x67ff, 0x34, 0x7f00000000, 0xf0106114141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        "unrestricted guest",
        false, false, 0x0,
    },
    {
        "Bochs corei5_arrandale_m520",
        "read with RDMSR on Bochs 2.7, cpu: model=corei5_arrandale_m520",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x67ff, 0x34, 0xff00000000, 0xf0106114141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, false, 0xea,
    },
    {
        "Bochs corei7_sandy_bridge_2600k",
        "read with RDMSR on Bochs 2.7, cpu: model=corei7_sandy_bridge_2600k",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x627ff, 0x34, 0xff00000000, 0xf0106114141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, false, 0xea,
    },
    {
        "Bochs corei7_ivy_bridge_3770k",
        "read with RDMSR on Bochs 2.7, cpu: model=corei7_ivy_bridge_3770k",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x1727ff, 0x34, 0x8ff00000000, 0xf0106114141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, false, 0xea,
    },
    {
        "Bochs corei7_haswell_4770",
        "read with RDMSR on Bochs 2.7, cpu: model=corei7_haswell_4770",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x200401e0, 0x80000021, 0xffffffff, 0x2000, 0x1727ff, 0x34, 0x47fff00000000, 0xf0106334141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x14ea,
    },
    {
        "Bochs broadwell_ult",
        "read with RDMSR on Bochs 2.7, cpu: model=broadwell_ult",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x200401e0, 0x80000021, 0xffffffff, 0x2000, 0x3727ff, 0x34, 0x57fff00000000, 0xf0106334141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x14ea,
    },
    {
        "Bochs corei7_skylake_x",
        "read with RDMSR on Bochs 2.7, cpu: model=corei7_skylake_x",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x600401e0, 0x80000021, 0xffffffff, 0x2000, 0x3727ff, 0x34, 0x2177fff00000000, 0xf0106334141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x1014ea,
    },
    {
        "Bochs corei3_cnl",
        "read with RDMSR on Bochs 2.7, cpu: model=corei3_cnl",
        {0xd810000000002b, 0x7f00000016, 0xf7f9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x600401e0, 0x80000021, 0xffffffff, 0x2000, 0x772fff, 0x34, 0x2157cff00000000, 0xf0106334141, 0x7f00000016, 0xf7f9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x1014ea,
    },
    {
        "Bochs corei7_icelake_u",
        "read with RDMSR on Bochs 2.7, cpu: model=corei7_icelake_u",
        {0xd8100000000004, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x600401e0, 0x80000021, 0xffffffff, 0x2000, 0x772fff, 0x34, 0x2977fff00000000, 0xf0106334141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x1014ea,
    },
    {
        "Bochs tigerlake",
        "read with RDMSR on Bochs 2.7, cpu: model=tigerlake",
        {0x1d8100000000004, 0x7f00000016, 0xfff9fffe0401e172, 0x107fffff00036dff, 0x10ffff000011ff, 0x600401e0, 0x80000021, 0xffffffff, 0x2000, 0xf72fff, 0x34, 0x2977fff00000000, 0xf0106b34141, 0x7f00000016, 0xfff9fffe04006172, 0x107fffff00036dfb, 0x10ffff000011fb, 0x1},
        NULL,
        true, true, 0x1014ea,
    },
    {
        "Bochs bx_generic",
        "read with RDMSR on Bochs 2.7, cpu: model=bx_generic",
        {0xd810000000002b, 0x3f00000016, 0xf7f9fffe0401e172, 0x3efff00036dff, 0x1fff000011ff, 0x401e0, 0x80000021, 0xffffffff, 0x2000, 0x27ff, 0x34, 0x4900000000, 0x0, 0x3f00000016, 0xf7f9fffe04006172, 0x3efff00036dfb, 0x1fff000011fb, 0x0},
        "(EPT)",
        false, false, 0x0,
    },
    {
        "Core 2 X6800",
        VBOX "Intel_Core2_X6800_2_93GHz.h",
        {0x1a040000000007, 0x1f00000016, 0x77b9fffe0401e172, 0x3efff00036dff, 0x1fff000011ff, 0x403c0, 0x80000021, 0xffffffff, 0x2000, 0x27ff, 0x2c, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0},
        "(EPT)",
        false, false, 0x0,
    },
    {
        "Xeon X5482",
        VBOX "Intel_Xeon_X5482_3_20GHz.h",
        {0x5a08000000000d, 0x3f00000016, 0xf7f9fffe0401e172, 0x3ffff00036dff, 0x3fff000011ff, 0x403c0, 0x80000021, 0xffffffff, 0x2000, 0x27ff, 0x2c, 0x4100000000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0},
        "(EPT)",
        false, false, 0x0,
    },
    {
        "Core i7-2635QM",
        VBOX "Intel_Core_i7_2635QM.h",
        {0xda040000000010, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x100401e5, 0x80000021, 0xffffffff, 0x2000, 0x627ff, 0x2a, 0xff00000000, 0xf0106114141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, false, 0xea,
    },
    {
        "Core i7-3960X",
        VBOX "Intel_Core_i7_3960X.h",
        {0xda040000000010, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x100401e5, 0x80000021, 0xffffffff, 0x2000, 0x627ff, 0x2a, 0x4ff00000000, 0xf0106134141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, true, 0x4ea,
    },
    {
        "Core i5-3570",
        VBOX "Intel_Core_i5_3570.h",
        {0xda040000000010, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x100401e5, 0x80000021, 0xffffffff, 0x2000, 0x1767ff, 0x2a, 0x8ff00000000, 0xf0106114141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x0},
        NULL,
        false, false, 0xea,
    },
    {
        "Pentium N3530",
        VBOX "Intel_Pentium_N3530_2_16GHz.h",
        {0xda040000000002, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x481e6, 0x80000021, 0xffffffff, 0x2000, 0x1027ff, 0x2e, 0x28ef00000000, 0xf0106114141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        false, false, 0xea,
    },
    {
        "Core i7-5600U",
        VBOX "Intel_Core_i7_5600U.h",
        {0xda040000000012, 0x7f00000016, 0xfff9fffe0401e172, 0x7fffff00036dff, 0xffff000011ff, 0x300481e5, 0x80000021, 0xffffffff, 0x2000, 0x3767ff, 0x2a, 0x57cff00000000, 0xf0106334141, 0x7f00000016, 0xfff9fffe04006172, 0x7fffff00036dfb, 0xffff000011fb, 0x1},
        NULL,
        true, true, 0x14ea,
    },
    {
        "Core i7-6700K",
        VBOX "Intel_Core_i7_6700K.h",
        {0xda040000000004, 0x7f00000016, 0xfff9fffe0401e172, 0x1ffffff00036dff, 0x3ffff000011ff, 0x7004c1e7, 0x80000021, 0xffffffff, 0x2000, 0x3727ff, 0x2e, 0x1ffcff00000000, 0xf0106334141, 0x7f00000016, 0xfff9fffe04006172, 0x1ffffff00036dfb, 0x3ffff000011fb, 0x1},
        NULL,
        true, true, 0x1094ea,
    },
};
/* clang-format on */

static struct vmx_caps caps_of(const struct row *r)
{
	struct vmx_caps c;

	memcpy(&c, r->msr, sizeof(c));
	return c;
}

/* Each CPU gets the controls that it has, or is refused in a sentence that names what it lacks. */
static void test_rows(void **state)
{
	unsigned logs = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmx_caps caps = caps_of(&rows[i]);
		struct vmx_controls c;
		const char *why = vmx_controls_choose(&caps, &c);

		if (rows[i].refused) {
			assert_non_null(why);
			assert_non_null(strstr(why, "CPU"));
			assert_non_null(strstr(why, rows[i].refused));
			continue;
		}
		assert_null(why);
		assert_int_equal(c.proc2, rows[i].proc2);
		assert_int_equal(c.ept_ad, rows[i].ept_ad);
		/* Asked for later, if it is the dirty source; with flags only. */
		assert_false(c.proc2 & PROC2_PML);
		assert_int_equal(c.pml, c.ept_ad && (caps.proc2 >> 32) & PROC2_PML);
		logs += c.pml;
		assert_int_equal(c.pause_loop, rows[i].pause_loop);
		assert_true(c.vpid && c.invept_single && c.invvpid_single);
		/* A PAUSE exits one way or the other, never both. */
		assert_int_equal(!!(c.proc & PROC_PAUSE_EXIT), !c.pause_loop);
	}
	print_message("# %zu CPUs, %u with a log\n", ARRAY_SIZE(rows), logs);
	assert_int_equal(logs, 4); /* skylake_x, icelake_u, tigerlake of Bochs, Core i7-6700K */
}

/* What is chosen is inside what the CPU allows, in every word (A.3 to A.5). */
static void test_within_capabilities(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmx_caps m = caps_of(&rows[i]);
		struct vmx_controls c;

		if (vmx_controls_choose(&m, &c))
			continue;
		const uint64_t caps[] = {m.true_pin, m.true_proc, m.proc2, m.true_exit,
		                         m.true_entry};
		const uint32_t words[] = {c.pin, c.proc, c.proc2, c.exit, c.entry};

		for (unsigned w = 0; w < VMX_WORDS; w++) {
			assert_int_equal(words[w] & (uint32_t)caps[w], (uint32_t)caps[w]);
			assert_int_equal(words[w] & ~(uint32_t)(caps[w] >> 32), 0);
		}
	}
}

/* Bits that the SDM defines, by word: chapter 24.6 to 24.8, tables 24-5 to 24-15. */
static const uint32_t defined[VMX_WORDS] = {
    [WORD_PIN] = 0xe9,        [WORD_PROC] = 0xfbfb9e8c,  [WORD_PROC2] = 0xffffffff,
    [WORD_EXIT] = 0xfffc9204, [WORD_ENTRY] = 0x007fee04,
};

/* Every control bit of the SDM stands in the table once, with a name and a reason. */
static void test_every_bit_has_a_reason(void **state)
{
	uint32_t seen[VMX_WORDS] = {0};

	(void)state;
	for (unsigned i = 0; i < vmx_nr_control_bits; i++) {
		const struct vmx_control_bit *b = &vmx_control_bits[i];

		assert_true(is_power_of_2(b->bit));
		assert_false(seen[b->word] & b->bit);
		assert_true(b->name[0] && b->why[0]);
		seen[b->word] |= b->bit;
	}
	for (unsigned w = 0; w < VMX_WORDS; w++)
		assert_int_equal(seen[w], defined[w]);
	print_message("# %u control bits\n", vmx_nr_control_bits);
}

/* What must exit for isolation is required, not merely wished. */
static void test_isolation_is_required(void **state)
{
	const struct {
		enum vmx_word word;
		uint32_t bit;
	} must[] = {
	    {WORD_PIN,   PIN_INTERRUPT_EXIT},
            {WORD_PIN,   PIN_NMI_EXIT      },
	    {WORD_PROC,  PROC_IO_EXIT      },
            {WORD_PROC,  PROC_MSR_BITMAPS  },
	    {WORD_PROC,  PROC_HLT_EXIT     },
            {WORD_PROC,  PROC_RDPMC_EXIT   },
	    {WORD_PROC,  PROC_MWAIT_EXIT   },
            {WORD_PROC,  PROC_MONITOR_EXIT },
	    {WORD_PROC,  PROC_CR8_LOAD_EXIT},
            {WORD_PROC2, PROC2_EPT         },
	    {WORD_PROC2, PROC2_WBINVD_EXIT },
            {WORD_EXIT,  EXIT_CTL_LOAD_EFER},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(must); i++) {
		bool found = false;

		for (unsigned n = 0; n < vmx_nr_control_bits; n++)
			if (vmx_control_bits[n].word == must[i].word &&
			    vmx_control_bits[n].bit == must[i].bit)
				found = vmx_control_bits[n].wish == WISH_ON;
		assert_true(found);
	}
}

static struct vmx_caps good(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].cpu, "Core i7-6700K"))
			return caps_of(&rows[i]);
	fail();
	return (struct vmx_caps){0};
}

/* Taking away any bit that is required, or forcing one that must be off, is refused. */
static void test_each_requirement(void **state)
{
	(void)state;
	for (unsigned i = 0; i < vmx_nr_control_bits; i++) {
		const struct vmx_control_bit *b = &vmx_control_bits[i];
		struct vmx_caps m = good();
		uint64_t *caps[] = {&m.true_pin, &m.true_proc, &m.proc2, &m.true_exit,
		                    &m.true_entry};
		struct vmx_controls c;

		if (b->word == WORD_PROC && b->bit == PROC_SECONDARY)
			m.proc &= ~((uint64_t)b->bit << 32);
		*caps[b->word] &= ~((uint64_t)b->bit << 32 | b->bit);
		const char *without = vmx_controls_choose(&m, &c);

		*caps[b->word] |= (uint64_t)b->bit << 32 | b->bit;
		if (b->word == WORD_PROC && b->bit == PROC_SECONDARY)
			m.proc |= (uint64_t)b->bit << 32;
		const char *forced = vmx_controls_choose(&m, &c);

		assert_int_equal(without != NULL, b->wish == WISH_ON || b->wish == WISH_SWITCHED);
		assert_int_equal(forced != NULL, b->wish == WISH_OFF || b->wish == WISH_SWITCHED);
	}
}

/* What EPT must offer (A.10), and the odd machines of A.1. */
static void test_ept_and_basic(void **state)
{
	const uint64_t needed[] = {EPT_CAP_WALK4, EPT_CAP_WB, EPT_CAP_2M, EPT_CAP_INVEPT};
	struct vmx_controls c;
	struct vmx_caps m;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
		m = good();
		m.ept_vpid &= ~needed[i];
		assert_non_null(vmx_controls_choose(&m, &c));
	}
	m = good();
	m.ept_vpid &= ~(EPT_CAP_INVEPT_SINGLE | EPT_CAP_AD);
	assert_null(vmx_controls_choose(&m, &c));
	assert_false(c.invept_single || c.ept_ad);
	/* A VPID that cannot be flushed is not used. */
	m = good();
	m.ept_vpid &= ~EPT_CAP_INVVPID;
	assert_null(vmx_controls_choose(&m, &c));
	assert_false(c.vpid || (c.proc2 & PROC2_VPID));
	m = good();
	m.basic |= VMX_BASIC_32BIT;
	assert_non_null(vmx_controls_choose(&m, &c));
	m = good();
	m.basic &= ~BITS(53, 50); /* uncached VMCS */
	assert_non_null(vmx_controls_choose(&m, &c));
	/* A reserved bit that must be 1 and that nobody knows. */
	m = good();
	m.true_pin |= BIT(9) | BIT(41);
	assert_non_null(vmx_controls_choose(&m, &c));
}

/* SDM vol. 3, 23.7: VMXON needs the lock bit with bit 2, or an unlocked register. */
static void test_feature_control(void **state)
{
	(void)state;
	assert_non_null(vmx_feature_refusal(false, 0));
	assert_null(vmx_feature_refusal(true, 0)); /* unlocked: we set it */
	assert_null(vmx_feature_refusal(true, 4));
	assert_null(vmx_feature_refusal(true, 5));
	assert_non_null(strstr(vmx_feature_refusal(true, 1), "firmware"));
	assert_non_null(vmx_feature_refusal(true, 3)); /* inside SMX only */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_within_capabilities),
	    cmocka_unit_test(test_every_bit_has_a_reason),
	    cmocka_unit_test(test_isolation_is_required),
	    cmocka_unit_test(test_each_requirement),
	    cmocka_unit_test(test_ept_and_basic),
	    cmocka_unit_test(test_feature_control),
	};

	return cmocka_run_group_tests_name("vmx_controls", tests, NULL, NULL);
}
