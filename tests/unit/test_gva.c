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

/* Each bit that a PDPTE must not have, and each that it may (SDM vol. 3, table 4-8). */
static void test_pdpte(void **state)
{
	const uint64_t may = P | BIT(3) | BIT(4) | BIT(9) | BIT(10) | BIT(11);

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		clean();
		s.cr0 = CR0_PE | CR0_PG;
		s.cr4 = CR4_PAE;
		s.efer = EFER_NXE;
		s.cr3 = 0x1000;
		put64(0x1000, 0x2000 | P | BIT(bit));
		put64(0x2000, 0x3000 | P);
		put64(0x3000, 0x9000 | P);
		if (may & BIT(bit)) {
			assert_int_equal(walk(0x44, 0), GVA_OK);
			continue;
		}
		/* An address bit leads elsewhere (phys_bits is 40); any other is reserved. */
		if (bit >= 12 && bit < 40)
			continue;
		assert_int_equal(walk(0x44, 0), GVA_FAULT);
		assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
	}
}

/* PAE entries below the root: bits 62..52 are reserved, in long mode they are free. */
static void test_high_bits(void **state)
{
	(void)state;
	for (unsigned bit = 52; bit < 63; bit++) {
		clean();
		s.cr0 = CR0_PE | CR0_PG;
		s.cr4 = CR4_PAE;
		s.cr3 = 0x1000;
		put64(0x1000, 0x2000 | P);
		put64(0x2000, 0x3000 | P | BIT(bit));
		put64(0x3000, 0x9000 | P);
		assert_int_equal(walk(0, 0), GVA_FAULT);
		assert_int_equal(w.error, PF_PRESENT | PF_RESERVED);
		long_mode(W);
		put64(0x3000, get64(0x3000) | BIT(bit));
		assert_int_equal(walk(0x5123, 0), GVA_OK);
		assert_int_equal(w.gpa, 0xabc123);
	}
}

/* A large leaf: PAT (bit 12) is no address, what lies above it up to the frame is reserved. */
static void test_large_bits(void **state)
{
	(void)state;
	for (unsigned bit = 12; bit < 21; bit++) {
		long_mode(W);
		put64(0x3000, 0x40000000 | P | W | LARGE | BIT(bit));
		assert_int_equal(walk(0x1234, 0), bit == 12 ? GVA_OK : GVA_FAULT);
		if (bit == 12)
			assert_int_equal(w.gpa, 0x40001234);
	}
	for (unsigned bit = 12; bit < 30; bit++) {
		long_mode(W);
		put64(0x2000, 0x40000000 | P | W | LARGE | BIT(bit));
		assert_int_equal(walk(0x1234, 0), bit == 12 ? GVA_OK : GVA_FAULT);
	}
	/* 4 MiB with PSE-36: bits 31..22, and 20..13 above them. */
	for (unsigned bit = 12; bit < 32; bit++) {
		uint64_t to = bit >= 22 ? BIT(bit) : BIT(bit) << 19;

		clean();
		s.cr0 = CR0_PE | CR0_PG;
		s.cr4 = CR4_PSE;
		s.cr3 = 0x1000;
		put32(0x1000, (uint32_t)(P | LARGE | BIT(bit)));
		assert_int_equal(walk(0x3456, 0), bit == 21 ? GVA_FAULT : GVA_OK);
		if (bit != 21)
			assert_true(w.gpa == ((bit == 12 ? 0 : to) | 0x3456));
	}
}

/* Where large leaves do not exist the bit is another: PAT in a leaf, nothing in legacy tables. */
static void test_no_large(void **state)
{
	(void)state;
	long_mode(W);
	put64(0x4028, get64(0x4028) | LARGE);
	assert_int_equal(walk(0x5123, 0), GVA_OK);
	assert_int_equal(w.gpa, 0xabc123);
	clean();
	s.cr0 = CR0_PE | CR0_PG;
	s.cr3 = 0x1000;
	put32(0x1000, 0x2000 | P | LARGE);
	put32(0x2000, 0x7000 | P);
	assert_int_equal(walk(0x10, 0), GVA_OK);
	assert_int_equal(w.gpa, 0x7010);
}

/* The root is CR3's address bits and nothing else; its 4 and its 63 are no address. */
static void test_root(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		long_mode(W);
		s.cr3 = 0x1000 | BIT(bit);
		if (bit >= 12 && BIT(bit) < RAM_BYTES)
			continue; /* other tables, or none */
		assert_int_equal(walk(0x5123, 0), bit > 12 && bit < 52 ? GVA_NO_RAM : GVA_OK);
	}
	clean();
	s.cr0 = CR0_PE | CR0_PG;
	s.cr3 = UINT64_C(0xff00001fff);
	put32(0x1000, 0x2000 | P);
	put32(0x2000, 0x7000 | P);
	assert_int_equal(walk(0, 0), GVA_OK);
	s.cr4 = CR4_PAE;
	s.cr3 = UINT64_C(0xff0000103f); /* the four PDPTEs begin at a multiple of 32 */
	put64(0x1020, 0x2000 | P);
	put64(0x2000, 0x3000 | P);
	put64(0x3000, 0x9000 | P);
	assert_int_equal(walk(0, 0), GVA_OK);
	assert_int_equal(w.gpa, 0x9000);
}

/* Every right of every level, for every kind of access (SDM vol. 3, 4.6.1). */
static void test_all_rights(void **state)
{
	static const uint64_t at[] = {0x1000, 0x2000, 0x3000, 0x4028};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		for (unsigned n = 0; n < 64; n++) {
			uint64_t entry = (n & 1 ? W : 0) | (n & 2 ? U : 0) | (n & 4 ? NX : 0);
			unsigned access = n & 8 ? GVA_WRITE : n & 16 ? GVA_FETCH : 0;
			bool user = n & 32, ok;

			access |= user ? GVA_USER : 0;
			long_mode(W | U);
			put64(at[i], (get64(at[i]) & ~(W | U)) | entry);
			ok = !(user && !(entry & U)) && !((access & GVA_WRITE) && !(entry & W)) &&
			     !((access & GVA_FETCH) && (entry & NX));
			assert_int_equal(walk(0x5000, access), ok ? GVA_OK : GVA_FAULT);
			if (ok)
				continue;
			assert_int_equal(w.error, PF_PRESENT | (access & GVA_WRITE ? PF_WRITE : 0) |
			                              (user ? PF_USER : 0) |
			                              (access & GVA_FETCH ? PF_FETCH : 0));
		}
}

/* Each level is marked, and what is marked already is not written again. */
static void test_marks(void **state)
{
	static const uint64_t at[] = {0x1000, 0x2000, 0x3000, 0x4028};

	(void)state;
	long_mode(W);
	assert_int_equal(walk(0x5000, GVA_WRITE), GVA_OK);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(get64(at[i]) & (A | D), i == 3 ? A | D : A);
	assert_int_equal(exchanges, 4);
	assert_int_equal(walk(0x5000, GVA_WRITE), GVA_OK);
	assert_int_equal(walk(0x5000, 0), GVA_OK);
	assert_int_equal(exchanges, 4);
	long_mode(W);
	lose_exchanges = 7; /* the eighth try comes through */
	assert_int_equal(walk(0x5000, 0), GVA_OK);
	long_mode(W);
	lose_exchanges = 8;
	assert_int_equal(walk(0x5000, 0), GVA_FAULT);
	assert_int_equal(w.error, 0);
}

/* The last address of each half is canonical, the next one is not. */
static void test_canonical_borders(void **state)
{
	(void)state;
	long_mode(W);
	assert_int_equal(walk(UINT64_C(0x00007fffffffffff), 0), GVA_FAULT);
	assert_int_equal(walk(UINT64_C(0x0000800000000000), 0), GVA_REFUSED);
	assert_int_equal(walk(UINT64_C(0xffff7fffffffffff), 0), GVA_REFUSED);
	assert_int_equal(walk(UINT64_C(0xffff800000000000), 0), GVA_FAULT);
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
	    cmocka_unit_test(test_pdpte),
	    cmocka_unit_test(test_high_bits),
	    cmocka_unit_test(test_large_bits),
	    cmocka_unit_test(test_no_large),
	    cmocka_unit_test(test_root),
	    cmocka_unit_test(test_all_rights),
	    cmocka_unit_test(test_marks),
	    cmocka_unit_test(test_canonical_borders),
	};

	return cmocka_run_group_tests_name("gva", tests, NULL, NULL);
}
