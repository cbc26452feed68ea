/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/guest/cr.h"

#define CR0_LONG (CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG)

static struct cr_limits limits(void)
{
	struct cr_features f = {
	    .leaf1_edx = ~0u,
	    .leaf1_ecx = 1u << 26,
	    .leaf7_ebx = 1u << 7,
	    .ext1_edx = ~0u,
	    .phys_bits = 40,
	    .xcr0 = 7,
	};

	return cr_limits_of(&f);
}

static const struct guest_state long_mode = {
    .cr0 = CR0_LONG,
    .cr4 = CR4_PAE,
    .efer = EFER_LME | EFER_LMA | EFER_NXE,
    .cs = {.attributes = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_L | 0xb},
};
static const struct guest_state start_32 = {
    .cr0 = CR0_PE | CR0_ET,
    .cs = {.attributes = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_DB | 0xb},
};

static bool allowed(unsigned n, uint64_t value, const struct guest_state *s)
{
	struct cr_limits l = limits();

	return cr_write_allowed(n, value, s, &l);
}

/* CR0: #GP for PG without PE, NW without CD, and bits 63..32 (SDM vol. 2, MOV CR). */
static void cr0(void **state)
{
	(void)state;
	assert_true(allowed(0, CR0_PE | CR0_ET, &start_32));
	assert_true(allowed(0, CR0_PE | CR0_CD, &start_32));
	assert_true(allowed(0, CR0_PE | CR0_CD | CR0_NW, &start_32));
	assert_false(allowed(0, CR0_PE | CR0_NW, &start_32));
	assert_false(allowed(0, CR0_PG, &start_32));
	assert_false(allowed(0, CR0_PE | BIT(32), &start_32));
	assert_true(allowed(0, 0, &start_32));
}

/* Into long mode: LME needs PAE and a segment that is not 64-bit (SDM vol. 3, 9.8.5). */
static void entering_long_mode(void **state)
{
	struct guest_state s = start_32;

	(void)state;
	s.efer = EFER_LME;
	assert_false(allowed(0, CR0_LONG, &s));
	s.cr4 = CR4_PAE;
	assert_true(allowed(0, CR0_LONG, &s));
	s.cs.attributes |= SEG_ATTR_L;
	assert_false(allowed(0, CR0_LONG, &s));
}

/* Out of it: not from a 64-bit segment, and not with PCIDs on (SDM vol. 3, 4.1.2). */
static void leaving_long_mode(void **state)
{
	struct guest_state s = long_mode;

	(void)state;
	assert_false(allowed(0, CR0_PE | CR0_ET, &s));
	s.cs.attributes &= ~SEG_ATTR_L;
	assert_true(allowed(0, CR0_PE | CR0_ET, &s));
	s.cr4 |= CR4_PCIDE;
	assert_false(allowed(0, CR0_PE | CR0_ET, &s));
}

/* CR4: what CPUID hides faults, VMXE always, PAE stays on in long mode. */
static void cr4(void **state)
{
	(void)state;
	assert_true(allowed(4, CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXSAVE, &long_mode));
	assert_true(allowed(4, CR4_PAE | CR4_SMEP, &long_mode));
	assert_false(allowed(4, CR4_PAE | CR4_SMAP, &long_mode));
	assert_false(allowed(4, CR4_PAE | CR4_VMXE, &long_mode));
	assert_false(allowed(4, CR4_PAE | CR4_LA57, &long_mode));
	assert_false(allowed(4, CR4_PAE | CR4_CET, &long_mode));
	assert_false(allowed(4, CR4_PAE | BIT(14), &long_mode));
	assert_false(allowed(4, CR4_PAE | BIT(63), &long_mode));
	assert_false(allowed(4, CR4_PGE, &long_mode));
	assert_true(allowed(4, CR4_PGE, &start_32));
}

/* PCIDE rises only in long mode with the low 12 bits of CR3 zero (SDM vol. 3, 4.10.1). */
static void pcide(void **state)
{
	struct cr_features f = {.leaf1_edx = ~0u, .leaf1_ecx = 1u << 17, .phys_bits = 40};
	struct cr_limits l = cr_limits_of(&f);
	struct guest_state s = long_mode;

	(void)state;
	assert_true(cr_write_allowed(4, CR4_PAE | CR4_PCIDE, &s, &l));
	s.cr3 = 0x1008;
	assert_false(cr_write_allowed(4, CR4_PAE | CR4_PCIDE, &s, &l));
	s.cr4 |= CR4_PCIDE;
	assert_true(cr_write_allowed(4, CR4_PAE | CR4_PCIDE, &s, &l));
	assert_true(cr_write_allowed(3, BIT(63) | 0x1000, &s, &l));
	assert_false(cr_write_allowed(4, CR4_PAE | CR4_PCIDE, &start_32, &l));
}

/* CR3: bits above the guest's physical width are reserved; CR8: above 3. */
static void cr3_and_cr8(void **state)
{
	(void)state;
	assert_true(allowed(3, BITS(39, 12), &long_mode));
	assert_false(allowed(3, BIT(40), &long_mode));
	assert_false(allowed(3, BIT(63), &long_mode));
	assert_false(allowed(3, BIT(32), &start_32));
	assert_true(allowed(8, 15, &long_mode));
	assert_false(allowed(8, 16, &long_mode));
	assert_false(allowed(5, 0, &long_mode));
}

/* EFER: SVME and unknown bits fault; LME is fixed while paging; LMA is not the guest's to set. */
static void efer(void **state)
{
	struct cr_limits l = limits();

	(void)state;
	assert_true(cr_efer_allowed(EFER_LME | EFER_SCE | EFER_NXE, &start_32, &l));
	assert_true(cr_efer_allowed(EFER_LME | EFER_LMA | EFER_SCE, &long_mode, &l));
	assert_false(cr_efer_allowed(EFER_SCE, &long_mode, &l));
	assert_false(cr_efer_allowed(EFER_LME | EFER_SVME, &long_mode, &l));
	assert_false(cr_efer_allowed(EFER_LME | EFER_LMSLE, &long_mode, &l));
	assert_false(cr_efer_allowed(EFER_LME | BIT(1), &long_mode, &l));
	assert_int_equal(cr_efer_lma(EFER_LME, CR0_LONG), EFER_LME | EFER_LMA);
	assert_int_equal(cr_efer_lma(EFER_LME | EFER_LMA, CR0_PE), EFER_LME);
}

/* XCR0 (SDM vol. 1, 13.3): x87 always, AVX needs SSE, AVX-512 comes whole, the rest is hidden. */
static void xcr0(void **state)
{
	const uint64_t all = 0x2e7;

	(void)state;
	assert_true(cr_xcr0_allowed(1, all));
	assert_true(cr_xcr0_allowed(3, all));
	assert_true(cr_xcr0_allowed(7, all));
	assert_true(cr_xcr0_allowed(0xe7, all));
	assert_true(cr_xcr0_allowed(0x203, all));
	assert_false(cr_xcr0_allowed(0, all));
	assert_false(cr_xcr0_allowed(2, all));
	assert_false(cr_xcr0_allowed(5, all));
	assert_false(cr_xcr0_allowed(0x27, all));
	assert_false(cr_xcr0_allowed(0xe3, all));
	assert_false(cr_xcr0_allowed(0x1f, all));
	assert_false(cr_xcr0_allowed(0x60007, all));
	assert_false(cr_xcr0_allowed(7, 3));
}

/* States that vcpu_set_state must refuse. */
static void states(void **state)
{
	struct guest_state s = long_mode;

	(void)state;
	assert_true(cr_state_valid(&s));
	assert_true(cr_state_valid(&start_32));
	s.cr4 = 0;
	assert_false(cr_state_valid(&s));
	s = long_mode;
	s.cs.attributes |= SEG_ATTR_DB;
	assert_false(cr_state_valid(&s));
	s = long_mode;
	s.efer &= ~EFER_LMA;
	assert_false(cr_state_valid(&s));
	s = start_32;
	s.cr0 = CR0_PG;
	assert_false(cr_state_valid(&s));
	s.cr0 = CR0_PE | CR0_NW;
	assert_false(cr_state_valid(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cr0),
	    cmocka_unit_test(entering_long_mode),
	    cmocka_unit_test(leaving_long_mode),
	    cmocka_unit_test(cr4),
	    cmocka_unit_test(pcide),
	    cmocka_unit_test(cr3_and_cr8),
	    cmocka_unit_test(efer),
	    cmocka_unit_test(xcr0),
	    cmocka_unit_test(states),
	};

	return cmocka_run_group_tests_name("cr", tests, NULL, NULL);
}
