/* SPDX-License-Identifier: MIT */
/* The MOVs that reach a device's registers: each form, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86_64/guest/mmio_mov.h"
#include "mm/leaf/bits.h"

#define TO   true
#define FROM false

struct row {
	unsigned mode, length;
	bool write;
	uint8_t gpr; /* GPRS: a constant, 0x12345678 */
	uint64_t linear;
	uint8_t bytes[16];
};

/* Registers: RAX is 0x1000, RCX 0x2000 and so on. RIP is 0x500000; bases below. */
#define REG(n)  (((n) + UINT64_C(1)) << 12)
#define RIP_    UINT64_C(0x500000)
#define FS_BASE UINT64_C(0x70000000)
#define GS_BASE UINT64_C(0xffff888000000000)
#define DS_BASE UINT64_C(0x10000000)
#define SS_BASE UINT64_C(0x20000000)
#define ES_BASE UINT64_C(0x30000000)
#define CS_BASE UINT64_C(0x40000000)

#define B(...)                                                                                     \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* clang-format off */
static const struct row good[] = {
    /* 64-bit: register, displacements, SIB, REX, RIP-relative, absolute */
    {64, 2, FROM, RAX, REG(RCX), B(0x8b, 0x01)},
    {64, 2, TO, RAX, REG(RCX), B(0x89, 0x01)},
    {64, 3, TO, RBX, REG(RDI) + 0x10, B(0x89, 0x5f, 0x10)},
    {64, 3, TO, RBX, REG(RDI) - 0x10, B(0x89, 0x5f, 0xf0)},
    {64, 6, FROM, RDX, REG(RSI) + 0x12345678, B(0x8b, 0x96, 0x78, 0x56, 0x34, 0x12)},
    {64, 3, FROM, RAX, REG(RSP), B(0x8b, 0x04, 0x24)},
    {64, 3, FROM, RAX, REG(RBX) + 4 * REG(RCX), B(0x8b, 0x04, 0x8b)},
    {64, 4, FROM, RAX, REG(RBP) + 8 * REG(RDX) + 1, B(0x8b, 0x44, 0xd5, 0x01)},
    {64, 7, FROM, RAX, UINT64_C(0xffffffffff5fd020), B(0x8b, 0x04, 0x25, 0x20, 0xd0, 0x5f, 0xff)},
    {64, 7, FROM, RAX, 2 * REG(RDI) + 0x20, B(0x8b, 0x04, 0x7d, 0x20, 0, 0, 0)},
    {64, 6, FROM, RCX, RIP_ + 6 + 0x100, B(0x8b, 0x0d, 0, 1, 0, 0)},
    {64, 3, FROM, R9, REG(RAX), B(0x44, 0x8b, 0x08)},
    {64, 3, FROM, RCX, REG(R8), B(0x41, 0x8b, 0x08)},
    {64, 4, TO, R15, REG(R13), B(0x45, 0x89, 0x7d, 0x00)},
    {64, 4, FROM, RAX, REG(R12), B(0x41, 0x8b, 0x04, 0x24)},
    {64, 4, FROM, RAX, REG(RBX) + REG(R12), B(0x42, 0x8b, 0x04, 0x23)},
    {64, 6, TO, GPRS, REG(RAX), B(0xc7, 0x00, 0x78, 0x56, 0x34, 0x12)},
    {64, 10, TO, GPRS, RIP_ + 10 + 0x40, B(0xc7, 0x05, 0x40, 0, 0, 0, 0x78, 0x56, 0x34, 0x12)},
    {64, 9, FROM, RAX, 0xfee00020, B(0xa1, 0x20, 0, 0xe0, 0xfe, 0, 0, 0, 0)},
    {64, 9, TO, RAX, 0xfee000b0, B(0xa3, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0)},
    {64, 6, TO, RAX, 0xfee000b0, B(0x67, 0xa3, 0xb0, 0, 0xe0, 0xfe)},
    {64, 3, FROM, RAX, FS_BASE + REG(RCX), B(0x64, 0x8b, 0x01)},
    {64, 3, FROM, RAX, GS_BASE + REG(RCX), B(0x65, 0x8b, 0x01)},
    {64, 3, FROM, RAX, REG(RCX), B(0x3e, 0x8b, 0x01)}, /* a base of DS does not count */
    {64, 4, FROM, RAX, REG(RAX), B(0x67, 0x8b, 0x40, 0x00)},
    /* 32-bit */
    {32, 2, FROM, RAX, DS_BASE + REG(RCX), B(0x8b, 0x01)},
    {32, 3, TO, RAX, SS_BASE + REG(RBP), B(0x89, 0x45, 0x00)},
    {32, 3, TO, RAX, SS_BASE + REG(RSP), B(0x89, 0x04, 0x24)},
    {32, 3, TO, RAX, ES_BASE + REG(RCX), B(0x26, 0x89, 0x01)},
    {32, 3, TO, RAX, CS_BASE + REG(RCX), B(0x2e, 0x89, 0x01)},
    {32, 6, FROM, RCX, DS_BASE + 0x100, B(0x8b, 0x0d, 0, 1, 0, 0)}, /* not RIP-relative */
    {32, 5, FROM, RAX, DS_BASE + 0x20, B(0xa1, 0x20, 0, 0, 0)},
    {32, 5, TO, RAX, (DS_BASE + 0xfffffff0) & 0xffffffff, B(0xa3, 0xf0, 0xff, 0xff, 0xff)}, /* wraps */
    {32, 6, TO, GPRS, DS_BASE + REG(RAX), B(0xc7, 0x00, 0x78, 0x56, 0x34, 0x12)},
};

static const struct { unsigned mode; const char *what; uint8_t bytes[16]; } refused[] = {
    {64, "8 bits", B(0x8a, 0x01)}, {64, "8 bits", B(0x88, 0x01)},
    {64, "16 bits", B(0x66, 0x8b, 0x01)}, {64, "64 bits", B(0x48, 0x8b, 0x01)},
    {64, "64 bits", B(0x4f, 0x89, 0x01)}, {64, "64-bit moffs", B(0x48, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0)},
    {64, "a register", B(0x8b, 0xc1)}, {64, "a register", B(0xc7, 0xc0, 1, 2, 3, 4)},
    {64, "C7 /7", B(0xc7, 0x38, 1, 2, 3, 4)}, {64, "C7 /1", B(0xc7, 0x08, 1, 2, 3, 4)},
    {64, "REX.R makes no /0 of /8", B(0x48, 0xc7, 0x00, 1, 2, 3, 4)},
    {64, "LOCK", B(0xf0, 0x89, 0x01)}, {64, "REP", B(0xf3, 0x89, 0x01)}, {64, "XRELEASE", B(0xf3, 0xc7, 0, 1, 2, 3, 4)},
    {64, "XCHG", B(0x87, 0x01)}, {64, "ADD", B(0x01, 0x01)}, {64, "PUSH", B(0xff, 0x31)},
    {64, "MOVNTI", B(0x0f, 0xc3, 0x01)}, {64, "MOVSD", B(0xa5)}, {64, "STOSD", B(0xab)},
    {64, "MOVZX", B(0x0f, 0xb6, 0x01)}, {64, "VEX", B(0xc5, 0xf8, 0x10, 0x01)}, {64, "CMP", B(0x3b, 0x01)},
    {64, "two REX", B(0x40, 0x41, 0x8b, 0x01)}, {64, "a prefix behind REX", B(0x41, 0x2e, 0x8b, 0x01)},
    {32, "16-bit addresses", B(0x67, 0x8b, 0x01)}, {32, "INC, no REX", B(0x44, 0x8b, 0x08)},
    {64, "16 bytes", B(0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x8b, 0x01)},
};
/* clang-format on */

static const struct guest_state state = {.ds = {.base = DS_BASE},
                                         .ss = {.base = SS_BASE},
                                         .es = {.base = ES_BASE},
                                         .cs = {.base = CS_BASE},
                                         .fs = {.base = FS_BASE},
                                         .gs = {.base = GS_BASE}};

static struct guest_regs registers(void)
{
	struct guest_regs r = {.rip = RIP_};

	for (unsigned i = 0; i < GPRS; i++)
		r.gpr[i] = REG(i);
	return r;
}

static void check_row(const struct row *row, unsigned number)
{
	struct guest_regs r = registers();
	struct mmio_mov m;
	uint64_t linear;

	/* One row's address needs all of a register: with 32-bit addresses the sum wraps. */
	if (row->bytes[0] == 0x67 && row->bytes[1] == 0x8b)
		r.gpr[RAX] |= UINT64_C(0xabcd00000000);
	if (mmio_mov_decode(row->bytes, 15, row->mode, &m) != MMIO_MOV_OK)
		fail_msg("row %u is not understood", number);
	linear = mmio_mov_linear(&m, &r, &state, row->mode);
	if (m.write != row->write || m.constant != (row->gpr == GPRS) ||
	    (m.constant ? m.value != 0x12345678 : m.gpr != row->gpr))
		fail_msg("row %u moves something else", number);
	if (linear != row->linear)
		fail_msg("row %u: %lx", number, (unsigned long)linear);
	for (unsigned n = 0; n < m.length; n++)
		assert_int_equal(mmio_mov_decode(row->bytes, n, row->mode, &m), MMIO_MOV_SHORT);
}

static void test_forms(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check_row(&good[i], i);
}

static void test_refused(void **unused)
{
	struct mmio_mov m;

	(void)unused;
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (mmio_mov_decode(refused[i].bytes, 16, refused[i].mode, &m) != MMIO_MOV_OTHER)
			fail_msg("%s (row %u) is not refused", refused[i].what, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("mmio_mov", tests, NULL, NULL);
}
