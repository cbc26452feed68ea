/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/svm/insn_len.h"
#include "mm/leaf/bits.h"

#define CODE(...)                                                                                  \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

struct row {
	unsigned mode, length;
	enum insn_kind kind;
	uint8_t bytes[16];
};

/* Each instruction that exits, bare and with the prefixes that it may carry. Encodings: APM
 * vol. 3, the pages of these instructions, and appendix A. */
/* clang-format off */
static const struct row good[] = {
    {64, 2, INSN_CPUID, CODE(0x0f, 0xa2)},
    {16, 2, INSN_CPUID, CODE(0x0f, 0xa2)},
    {64, 3, INSN_CPUID, CODE(0x66, 0x0f, 0xa2)},
    {64, 3, INSN_CPUID, CODE(0x48, 0x0f, 0xa2)},
    {64, 4, INSN_CPUID, CODE(0xf3, 0x41, 0x0f, 0xa2)},
    {64, 1, INSN_HLT, CODE(0xf4)},
    {64, 2, INSN_HLT, CODE(0x66, 0xf4)},
    {32, 2, INSN_HLT, CODE(0x2e, 0xf4)},
    {64, 2, INSN_PAUSE, CODE(0xf3, 0x90)},
    {64, 3, INSN_PAUSE, CODE(0xf3, 0x48, 0x90)},
    {64, 3, INSN_VMCALL, CODE(0x0f, 0x01, 0xc1)},
    {64, 3, INSN_VMMCALL, CODE(0x0f, 0x01, 0xd9)},
    {32, 3, INSN_VMMCALL, CODE(0x0f, 0x01, 0xd9)},
    {64, 5, INSN_VMMCALL, CODE(0x66, 0x48, 0x0f, 0x01, 0xd9)},
    {64, 2, INSN_RDMSR, CODE(0x0f, 0x32)},
    {64, 2, INSN_WRMSR, CODE(0x0f, 0x30)},
    {64, 2, INSN_RDPMC, CODE(0x0f, 0x33)},
    {64, 2, INSN_RDTSC, CODE(0x0f, 0x31)},
    {64, 3, INSN_RDTSCP, CODE(0x0f, 0x01, 0xf9)},
    {64, 3, INSN_RDPRU, CODE(0x0f, 0x01, 0xfd)},
    {64, 2, INSN_INVD, CODE(0x0f, 0x08)},
    {64, 2, INSN_WBINVD, CODE(0x0f, 0x09)},
    {64, 3, INSN_WBINVD, CODE(0xf3, 0x0f, 0x09)},
    {64, 2, INSN_CLTS, CODE(0x0f, 0x06)},
    {64, 3, INSN_XSETBV, CODE(0x0f, 0x01, 0xd1)},
    {64, 3, INSN_MONITOR, CODE(0x0f, 0x01, 0xc8)},
    {64, 3, INSN_MONITOR, CODE(0x0f, 0x01, 0xfa)},
    {64, 4, INSN_MCOMMIT, CODE(0xf3, 0x0f, 0x01, 0xfa)},
    {64, 3, INSN_MWAIT, CODE(0x0f, 0x01, 0xc9)},
    {64, 3, INSN_MWAIT, CODE(0x0f, 0x01, 0xfb)},
    {64, 3, INSN_VMRUN, CODE(0x0f, 0x01, 0xd8)},
    {64, 3, INSN_VMLOAD, CODE(0x0f, 0x01, 0xda)},
    {64, 3, INSN_VMSAVE, CODE(0x0f, 0x01, 0xdb)},
    {64, 3, INSN_STGI, CODE(0x0f, 0x01, 0xdc)},
    {64, 3, INSN_CLGI, CODE(0x0f, 0x01, 0xdd)},
    {64, 3, INSN_SKINIT, CODE(0x0f, 0x01, 0xde)},
    {64, 3, INSN_INVLPGA, CODE(0x0f, 0x01, 0xdf)},
    {64, 3, INSN_INVLPGB, CODE(0x0f, 0x01, 0xfe)},
    {64, 3, INSN_TLBSYNC, CODE(0x0f, 0x01, 0xff)},
    {64, 1, INSN_ICEBP, CODE(0xf1)},
    {64, 1, INSN_IRET, CODE(0xcf)},
    {64, 2, INSN_IRET, CODE(0x48, 0xcf)},
    {64, 2, INSN_IN, CODE(0xe4, 0x60)},
    {64, 3, INSN_IN, CODE(0x66, 0xe5, 0x60)},
    {64, 2, INSN_OUT, CODE(0xe6, 0x80)},
    {64, 1, INSN_IN, CODE(0xec)},
    {64, 1, INSN_IN, CODE(0xed)},
    {64, 1, INSN_OUT, CODE(0xee)},
    {16, 2, INSN_OUT, CODE(0x66, 0xef)},
    {64, 2, INSN_INS, CODE(0xf3, 0x6c)},
    {64, 3, INSN_OUTS, CODE(0xf3, 0x65, 0x6e)},
    {32, 4, INSN_OUTS, CODE(0x67, 0x66, 0xf3, 0x6f)},
    {64, 3, INSN_MOV_TO_CR, CODE(0x0f, 0x22, 0xc0)},
    {64, 3, INSN_MOV_FROM_CR, CODE(0x0f, 0x20, 0xe0)},
    {64, 3, INSN_MOV_TO_DR, CODE(0x0f, 0x23, 0xf8)},
    {64, 3, INSN_MOV_FROM_DR, CODE(0x0f, 0x21, 0xf0)},
    /* ModRM names registers here even where mod would say memory: no displacement follows */
    {64, 3, INSN_MOV_TO_CR, CODE(0x0f, 0x22, 0x05)},
    {64, 3, INSN_LMSW, CODE(0x0f, 0x01, 0xf0)},
    {64, 3, INSN_SMSW, CODE(0x0f, 0x01, 0xe3)},
    /* LMSW from memory, by each way of addressing */
    {64, 3, INSN_LMSW, CODE(0x0f, 0x01, 0x30)},
    {64, 4, INSN_LMSW, CODE(0x0f, 0x01, 0x70, 0x08)},
    {64, 7, INSN_LMSW, CODE(0x0f, 0x01, 0xb0, 1, 2, 3, 4)},
    {64, 7, INSN_LMSW, CODE(0x0f, 0x01, 0x35, 1, 2, 3, 4)},
    {64, 4, INSN_LMSW, CODE(0x0f, 0x01, 0x34, 0x24)},
    {64, 8, INSN_LMSW, CODE(0x0f, 0x01, 0x34, 0x25, 1, 2, 3, 4)},
    {64, 5, INSN_LMSW, CODE(0x0f, 0x01, 0x74, 0x24, 8)},
    {16, 3, INSN_LMSW, CODE(0x0f, 0x01, 0x30)},
    {16, 5, INSN_LMSW, CODE(0x0f, 0x01, 0x36, 0x34, 0x12)},
    {16, 4, INSN_LMSW, CODE(0x0f, 0x01, 0x76, 0x08)},
    {16, 5, INSN_LMSW, CODE(0x0f, 0x01, 0xb6, 0x34, 0x12)},
    {16, 4, INSN_LMSW, CODE(0x67, 0x0f, 0x01, 0x30)},
    {32, 7, INSN_LMSW, CODE(0x0f, 0x01, 0x35, 1, 2, 3, 4)},
    /* fifteen bytes, all but two of them prefixes */
    {64, 15, INSN_CPUID,
     CODE(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f,
          0xa2)},
};
/* clang-format on */

/* Length and kind of every instruction that we know. */
static void lengths(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		struct insn in;

		if (insn_decode(good[i].bytes, 15, good[i].mode, &in) != INSN_OK ||
		    in.kind != good[i].kind || in.length != good[i].length)
			fail_msg("row %u: kind %u length %u, want %u %u", i, in.kind, in.length,
			         good[i].kind, good[i].length);
	}
}

/* Where bytes are missing, as before an unmapped page, the answer is "more", and exactly the
 * instruction's own bytes are enough. */
static void every_prefix_is_short(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		struct insn in;

		for (unsigned n = 0; n < good[i].length; n++)
			assert_int_equal(insn_decode(good[i].bytes, n, good[i].mode, &in),
			                 INSN_SHORT);
		assert_int_equal(insn_decode(good[i].bytes, good[i].length, good[i].mode, &in),
		                 INSN_OK);
	}
}

/* clang-format off */
static const struct row bad[] = {
    {64, 0, INSN_NONE, CODE(0x90)},                   /* NOP */
    {64, 0, INSN_NONE, CODE(0xf3, 0x41, 0x90)},       /* XCHG r8, rax */
    {64, 0, INSN_NONE, CODE(0x0f, 0x0b)},             /* UD2 */
    {64, 0, INSN_NONE, CODE(0x0f, 0x05)},             /* SYSCALL */
    {64, 0, INSN_NONE, CODE(0x0f, 0x01, 0x10)},       /* LGDT */
    {64, 0, INSN_NONE, CODE(0x0f, 0x01, 0xf8)},       /* SWAPGS */
    {64, 0, INSN_NONE, CODE(0x0f, 0x01, 0xd0)},       /* XGETBV */
    {64, 0, INSN_NONE, CODE(0x0f, 0x01, 0x38)},       /* INVLPG */
    {32, 0, INSN_NONE, CODE(0x48, 0x0f, 0xa2)},       /* DEC EAX: no REX outside of 64-bit mode */
    {64, 0, INSN_NONE, CODE(0xcd, 0x80)},
};
/* clang-format on */

/* Anything else is refused: no guess is ever made. */
static void others_are_refused(void **state)
{
	struct insn in;
	uint8_t long_one[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		if (insn_decode(bad[i].bytes, 15, bad[i].mode, &in) != INSN_OTHER)
			fail_msg("row %u was accepted", i);
	/* Sixteen bytes: the CPU raises #GP at the fifteenth (APM vol. 3, 1.2.1). */
	memset(long_one, 0x66, sizeof(long_one));
	long_one[14] = 0x0f;
	long_one[15] = 0xa2;
	assert_int_equal(insn_decode(long_one, 15, 64, &in), INSN_OTHER);
}

/* LOCK before any of these is #UD; the decoder says that it is there. */
static void lock_is_told(void **state)
{
	const uint8_t locked[] = {0xf0, 0x0f, 0xa2}, cr3[] = {0xf0, 0x0f, 0x22, 0xd8};
	struct insn in;

	(void)state;
	assert_int_equal(insn_decode(locked, 3, 64, &in), INSN_OK);
	assert_true(in.lock);
	assert_int_equal(insn_decode(locked + 1, 2, 64, &in), INSN_OK);
	assert_false(in.lock);
	assert_int_equal(insn_decode(cr3, 4, 64, &in), INSN_OK);
	assert_true(in.lock);
}

/* A REX prefix that is not the last prefix does nothing (APM vol. 3, 1.2.7). */
static void rex_must_come_last(void **state)
{
	const uint8_t lost[] = {0x41, 0x66, 0x0f, 0x22, 0xc0};
	const uint8_t kept[] = {0x66, 0x41, 0x0f, 0x22, 0xc0};
	struct insn in;

	(void)state;
	assert_int_equal(insn_decode(lost, 5, 64, &in), INSN_OK);
	assert_int_equal(in.gpr, RAX);
	assert_int_equal(insn_decode(kept, 5, 64, &in), INSN_OK);
	assert_int_equal(in.gpr, R8);
}

/* MOV to and from control registers: REX.R and .B extend, operands are 64 bits in 64-bit mode
 * whatever 66h says, and LOCK MOV CR0 is CR8. */
static void control_register_operands(void **state)
{
	const uint8_t cr8[] = {0x45, 0x0f, 0x22, 0xc1}, alt[] = {0xf0, 0x0f, 0x22, 0xc3};
	const uint8_t cr4[] = {0x66, 0x0f, 0x22, 0xe7};
	struct insn in;

	(void)state;
	assert_int_equal(insn_decode(cr8, 4, 64, &in), INSN_OK);
	assert_int_equal(in.special, 8);
	assert_int_equal(in.gpr, R9);
	assert_int_equal(insn_decode(alt, 4, 32, &in), INSN_OK);
	assert_int_equal(in.special, 8);
	assert_false(in.lock);
	assert_int_equal(in.gpr, RBX);
	assert_int_equal(in.bits, 32);
	assert_int_equal(insn_decode(cr4, 4, 64, &in), INSN_OK);
	assert_int_equal(in.special, 4);
	assert_int_equal(in.gpr, RDI);
	assert_int_equal(in.bits, 64);
}

static uint64_t offset(unsigned mode, const char *bytes, unsigned n, struct insn *in)
{
	uint64_t gpr[GPRS];

	for (unsigned i = 0; i < GPRS; i++)
		gpr[i] = 0x10000 * (i + 1);
	assert_int_equal(insn_decode((const uint8_t *)bytes, n, mode, in), INSN_OK);
	return insn_offset(in, gpr, 0x5000);
}

/* The address of a memory operand (APM vol. 3, 1.4 and 1.5): gpr n holds 0x10000 * (n + 1). */
static void memory_operands(void **state)
{
	struct insn in;

	(void)state;
	assert_int_equal(offset(64, "\x0f\x01\x33", 3, &in), 0x10000 * (RBX + 1));
	assert_int_equal(in.segment, INSN_DS);
	assert_int_equal(offset(64, "\x0f\x01\x75\xf8", 4, &in), 0x10000 * (RBP + 1) - 8);
	assert_int_equal(in.segment, INSN_SS);
	assert_int_equal(offset(64, "\x0f\x01\x35\x10\x00\x00\x00", 7, &in), 0x5010);
	assert_int_equal(offset(32, "\x0f\x01\x35\x10\x00\x00\x00", 7, &in), 0x10);
	assert_int_equal(offset(64, "\x0f\x01\x34\x8b", 4, &in),
	                 0x10000 * (RBX + 1) + 4 * 0x10000 * (RCX + 1));
	assert_int_equal(offset(64, "\x64\x43\x0f\x01\x34\x08", 6, &in),
	                 0x10000 * (R8 + 1) + 0x10000 * (R9 + 1));
	assert_int_equal(in.segment, INSN_FS);
	assert_int_equal(offset(64, "\x0f\x01\x34\x25\x00\x00\x00\x80", 8, &in),
	                 0xffffffff80000000);
	assert_int_equal(offset(32, "\x0f\x01\x34\x25\x00\x00\x00\x80", 8, &in), 0x80000000);
	assert_int_equal(offset(16, "\x0f\x01\x72\x04", 4, &in), 4); /* bp + si + 4, 16 bits */
	assert_int_equal(in.segment, INSN_SS);
	assert_int_equal(offset(16, "\x0f\x01\x36\x34\x12", 5, &in), 0x1234);
	assert_int_equal(in.segment, INSN_DS);
}

/* No bytes, however chosen, make the decoder read past them or report a length past 15. */
static void random_bytes(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		unsigned n = i % 16, mode = 16u << (i / 16 % 3);
		uint8_t *bytes = test_malloc(n + 1);
		struct insn in;

		for (unsigned k = 0; k < n; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes[k] = k < 2 && (x & 0x100) ? 0x0f - (k & (x >> 9)) * 14 : (uint8_t)x;
		}
		if (insn_decode(bytes, n, mode, &in) == INSN_OK)
			assert_in_range(in.length, 1, n);
		test_free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(every_prefix_is_short),
	    cmocka_unit_test(others_are_refused),
	    cmocka_unit_test(lock_is_told),
	    cmocka_unit_test(rex_must_come_last),
	    cmocka_unit_test(control_register_operands),
	    cmocka_unit_test(memory_operands),
	    cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests_name("insn_len", tests, NULL, NULL);
}
