/* SPDX-License-Identifier: MIT */
/* The walk of guest page tables, over tables that are honest and tables that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/guest/gva.h"

#define RAM_BYTES 0x20000u

static uint8_t ram[RAM_BYTES];
static unsigned reads, exchanges, lose_exchanges;
static enum mm_status ram_status;

#define P     BIT(0)
#define W     BIT(1)
#define U     BIT(2)
#define A     BIT(5)
#define D     BIT(6)
#define LARGE BIT(7)
#define NX    BIT(63)

static enum mm_status ram_read(void *arg, uint64_t gpa, void *dst, unsigned bytes)
{
	(void)arg;
	reads++;
	assert_true(bytes == 4 || bytes == 8);
	assert_int_equal(gpa % bytes, 0);
	if (ram_status != MM_OK)
		return ram_status;
	if (gpa + bytes > RAM_BYTES)
		return MM_NORAM;
	memcpy(dst, ram + gpa, bytes);
	return MM_OK;
}

static enum mm_status ram_exchange(void *arg, uint64_t gpa, uint64_t old, uint64_t new_value,
                                   unsigned bytes, bool *done)
{
	uint64_t now = 0;

	(void)arg;
	exchanges++;
	memcpy(&now, ram + gpa, bytes);
	*done = now == old && !lose_exchanges;
	if (lose_exchanges)
		lose_exchanges--;
	if (*done)
		memcpy(ram + gpa, &new_value, bytes);
	return MM_OK;
}

static const struct gva_memory memory = {ram_read, ram_exchange, NULL, 40};
static struct guest_state s;
static struct gva_walk w;

static void put64(uint64_t gpa, uint64_t value)
{
	memcpy(ram + gpa, &value, 8);
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, ram + gpa, 8);
	return value;
}

static void put32(uint64_t gpa, uint32_t value)
{
	memcpy(ram + gpa, &value, 4);
}

static void clean(void)
{
	memset(ram, 0, sizeof(ram));
	memset(&s, 0, sizeof(s));
	reads = exchanges = lose_exchanges = 0;
	ram_status = MM_OK;
}

/* Four levels at 0x1000..0x4000; address 0x5123 maps to 0xabc123 with the rights given. */
static void long_mode(uint64_t rights)
{
	clean();
	s.cr0 = CR0_PE | CR0_PG | CR0_WP;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA | EFER_NXE;
	s.cr3 = 0x1000;
	put64(0x1000, 0x2000 | P | W | U);
	put64(0x2000, 0x3000 | P | W | U);
	put64(0x3000, 0x4000 | P | W | U);
	put64(0x4000 + 5 * 8, 0xabc000 | P | rights);
}

static enum gva_status walk(uint64_t gva, unsigned access)
{
	return gva_walk(&memory, &s, gva, access, &w);
}

static void test_unpaged(void **state)
{
	(void)state;
	clean();
	assert_int_equal(walk(0x123456789abc, 0), GVA_OK);
	assert_int_equal(w.gpa, 0x56789abc); /* linear addresses are 32 bits wide there */
	assert_int_equal(reads, 0);
}

static void test_four_levels(void **state)
{
	(void)state;
	long_mode(W);
	assert_int_equal(walk(0x5123, GVA_WRITE), GVA_OK);
	assert_int_equal(w.gpa, 0xabc123);
	assert_int_equal(reads, 4);
	/* A on the whole path, D in the leaf of a write only. */
	assert_true(get64(0x1000) & A && get64(0x2000) & A && get64(0x3000) & A);
	assert_false(get64(0x3000) & D);
	assert_int_equal(get64(0x4028) & (A | D), A | D);
	/* Second time: nothing to set. */
	exchanges = 0;
	assert_int_equal(walk(0x5123, GVA_WRITE), GVA_OK);
	assert_int_equal(exchanges, 0);
}

static void test_read_sets_no_dirty(void **state)
{
	(void)state;
	long_mode(W);
	assert_int_equal(walk(0x5000, 0), GVA_OK);
	assert_int_equal(get64(0x4028) & (A | D), A);
}

/* Rights and error codes (SDM vol. 3, 4.6.1 and 4.7); a fault changes no table. */
static void test_rights(void **state)
{
	(void)state;
	long_mode(0);
	assert_int_equal(walk(0x5000, GVA_WRITE), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_WRITE);
	assert_false(get64(0x4028) & A);
	s.cr0 &= ~CR0_WP;
	assert_int_equal(walk(0x5000, GVA_WRITE), GVA_OK);
	assert_int_equal(walk(0x5000, GVA_USER), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_USER);

	long_mode(NX);
	assert_int_equal(walk(0x5000, GVA_FETCH), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_FETCH);
	assert_int_equal(walk(0x5000, 0), GVA_OK);

	long_mode(0);
	assert_int_equal(walk(0x6000, GVA_WRITE), GVA_FAULT);
	assert_int_equal(w.error, PF_WRITE);

	/* One level that forbids is enough. */
	long_mode(W | U);
	put64(0x2000, 0x3000 | P | U);
	assert_int_equal(walk(0x5000, GVA_WRITE), GVA_FAULT);
}

static void test_smep_smap(void **state)
{
	(void)state;
	long_mode(W | U);
	s.cr4 |= CR4_SMEP | CR4_SMAP;
	assert_int_equal(walk(0x5000, GVA_FETCH), GVA_FAULT);
	assert_int_equal(walk(0x5000, 0), GVA_FAULT);
	assert_int_equal(walk(0x5000, GVA_AC), GVA_OK);
	assert_int_equal(walk(0x5000, GVA_USER), GVA_OK);
}

/* Reserved bits fault with RSVD at every level; NX is one while EFER.NXE is clear. */
static void test_reserved(void **state)
{
	static const uint64_t at[] = {0x1000, 0x2000, 0x3000, 0x4028};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		long_mode(W);
		put64(at[i], get64(at[i]) | BIT(45));
		assert_int_equal(walk(0x5000, 0), GVA_FAULT);
		assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
		long_mode(W);
		put64(at[i], get64(at[i]) | NX);
		s.efer &= ~EFER_NXE;
		assert_int_equal(walk(0x5000, 0), GVA_FAULT);
		assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
	}
	long_mode(W);
	put64(0x1000, get64(0x1000) | LARGE); /* no pages of 512 GiB */
	assert_int_equal(walk(0x5000, 0), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
}

static void test_large(void **state)
{
	(void)state;
	long_mode(W);
	put64(0x3000, 0x40000000 | P | W | LARGE);
	assert_int_equal(walk(0x1fffff, 0), GVA_OK);
	assert_int_equal(w.gpa, 0x401fffff);
	put64(0x3000, 0x40002000 | P | W | LARGE); /* not aligned: bit 13 is reserved */
	assert_int_equal(walk(0x1fffff, 0), GVA_FAULT);
	long_mode(W);
	put64(0x2000, 0x80000000 | P | W | LARGE);
	assert_int_equal(walk(0x3fffffff, 0), GVA_OK);
	assert_int_equal(w.gpa, 0xbfffffff);
}

static void test_not_canonical(void **state)
{
	(void)state;
	long_mode(W);
	assert_int_equal(walk(0x800000005000, 0), GVA_REFUSED);
	assert_int_equal(walk(0xffff700000005000, 0), GVA_REFUSED);
	assert_int_equal(reads, 0);
	s.cr4 |= CR4_LA57;
	assert_int_equal(walk(0x5000, 0), GVA_REFUSED);
}

/* Tables outside of memory; tables that point at themselves end after four reads. */
static void test_lies(void **state)
{
	(void)state;
	long_mode(W);
	put64(0x2000, 0xff00000000 | P | W);
	assert_int_equal(walk(0x5000, 0), GVA_NO_RAM);
	long_mode(W);
	s.cr3 = 0xffffffffff000;
	assert_int_equal(walk(0x5000, 0), GVA_NO_RAM);

	long_mode(W);
	for (unsigned i = 0; i < 512; i++)
		put64(0x1000 + i * 8, 0x1000 | P | W | U);
	reads = 0;
	assert_int_equal(walk(0x5678, GVA_WRITE), GVA_OK);
	assert_int_equal(w.gpa, 0x1678);
	assert_true(reads <= 4 * 8);
}

/* Another vCPU changes an entry meanwhile: walk again, but not for ever. */
static void test_race(void **state)
{
	(void)state;
	long_mode(W);
	lose_exchanges = 1;
	assert_int_equal(walk(0x5000, 0), GVA_OK);
	assert_int_equal(reads, 8);
	long_mode(W);
	lose_exchanges = 1000;
	assert_int_equal(walk(0x5000, 0), GVA_FAULT);
	assert_true(reads <= 64);
}

static void test_no_memory(void **state)
{
	(void)state;
	long_mode(W);
	ram_status = MM_NOMEM;
	assert_int_equal(walk(0x5000, 0), GVA_NOMEM);
}

static void test_legacy(void **state)
{
	(void)state;
	clean();
	s.cr0 = CR0_PE | CR0_PG;
	s.cr3 = 0x1000;
	put32(0x1000, 0x2000 | P | W);
	put32(0x2000 + 5 * 4, 0x7000 | P | W);
	assert_int_equal(walk(0xffffffff00005010, GVA_WRITE), GVA_OK);
	assert_int_equal(w.gpa, 0x7010);
	/* PSE-36: bits 20..13 are address bits 39..32. */
	put32(0x1000 + 4, 0x00802000 | P | W | LARGE);
	s.cr4 = 0;
	assert_int_equal(walk(0x00400000, 0), GVA_NO_RAM); /* no PSE: a table at 0x802000 */
	s.cr4 = CR4_PSE;
	assert_int_equal(walk(0x00412345, 0), GVA_OK);
	assert_int_equal(w.gpa, 0x100812345);
	put32(0x1000 + 4, 0x00a00000 | P | W | LARGE); /* bit 21 is reserved */
	assert_int_equal(walk(0x00412345, 0), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
}

static void test_pae(void **state)
{
	(void)state;
	clean();
	s.cr0 = CR0_PE | CR0_PG;
	s.cr4 = CR4_PAE;
	s.cr3 = 0x1020; /* 32-byte aligned */
	put64(0x1020 + 3 * 8, 0x2000 | P);
	put64(0x2000, 0x3000 | P | W);
	put64(0x3000, 0x9000 | P | W);
	assert_int_equal(walk(0xc0000044, GVA_WRITE), GVA_OK);
	assert_int_equal(w.gpa, 0x9044);
	assert_false(get64(0x1020 + 3 * 8) & A); /* a PDPTE has no such flag: the bit is reserved */
	put64(0x1020 + 3 * 8, 0x2000 | P | W);
	assert_int_equal(walk(0xc0000044, 0), GVA_FAULT);
	assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unpaged),
	    cmocka_unit_test(test_four_levels),
	    cmocka_unit_test(test_read_sets_no_dirty),
	    cmocka_unit_test(test_rights),
	    cmocka_unit_test(test_smep_smap),
	    cmocka_unit_test(test_reserved),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_not_canonical),
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_race),
	    cmocka_unit_test(test_no_memory),
	    cmocka_unit_test(test_legacy),
	    cmocka_unit_test(test_pae),
	};

	return cmocka_run_group_tests_name("gva", tests, NULL, NULL);
}
