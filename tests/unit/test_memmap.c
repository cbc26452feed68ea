/* SPDX-License-Identifier: MIT */
/* Sets of physical ranges, against an array of flags, one a page. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/memmap.h"

#define PAGES 64u

static struct memmap map;
static bool model[PAGES];

static void check(void)
{
	bool got[PAGES] = {false};

	for (unsigned i = 0; i < map.n; i++) {
		assert_true(map.r[i].base < map.r[i].end);
		if (i)
			assert_true(map.r[i - 1].end < map.r[i].base); /* sorted, not touching */
		for (uint64_t p = map.r[i].base; p < map.r[i].end; p++)
			got[p] = true;
	}
	assert_memory_equal(got, model, sizeof(model));
}

/* Any sequence of additions and removals is the union and difference of sets. */
static void test_model(void **state)
{
	(void)state;
	srand(1);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned a = (unsigned)rand() % PAGES, b = (unsigned)rand() % (PAGES + 1);
		bool add = rand() & 1;

		if (add)
			memmap_add(&map, a, b);
		else
			memmap_remove(&map, a, b);
		for (unsigned p = a; p < b; p++)
			model[p] = add;
		check();
	}
	assert_int_equal(map.dropped, 0);
}

/* Taking gives aligned ranges below the limit, from the top, and each only once. */
static void test_take(void **state)
{
	struct memmap m = {0};

	(void)state;
	memmap_add(&m, 0x1000, 0x9000);
	memmap_add(&m, 0x10000, 0x20000);
	assert_int_equal(memmap_take(&m, 0x1000, 0x1000, UINT64_MAX), 0x1f000);
	assert_int_equal(memmap_take(&m, 0x8000, 0x8000, UINT64_MAX), 0x10000);
	assert_int_equal(memmap_take(&m, 0x1000, 0x1000, 0x10000), 0x8000);
	assert_int_equal(memmap_take(&m, 0x10000, 0x1000, UINT64_MAX), 0);
	assert_int_equal(memmap_bytes(&m), 0x7000 + 0x7000);
}

/* More pieces than fit: dropped, counted, never written outside. */
static void test_overflow(void **state)
{
	struct memmap m = {0};

	(void)state;
	for (uint64_t i = 0; i < MEMMAP_MAX + 10; i++)
		memmap_add(&m, 2 * i, 2 * i + 1);
	assert_int_equal(m.n, MEMMAP_MAX);
	assert_int_equal(m.dropped, 10);
}

/*
 * RAM is what some range calls RAM and none calls something else, in whole
 * pages; what lies at or above the limit is cut and told; a range near the
 * end of the address space wraps nothing.
 */
static void test_ram(void **state)
{
	struct boot_info bi = {
	    .nr_ranges = 5,
	    .ranges = {{0x0, 0x9fc00, 1},
	               {0x100000, 0x700000, 1},
	               {0x200800, 0x100, 2},
	               {0x4000000000, 0x1000000, 1},
	               {UINT64_MAX - 0x1800, 0x1000, 1}}
        };
	uint64_t cut;

	(void)state;
	memmap_ram(&map, &bi, 0x4000800000, &cut);
	assert_int_equal(map.n, 4);
	assert_int_equal(map.r[0].end, 0x9f000);
	assert_int_equal(map.r[1].end, 0x200000);
	assert_int_equal(map.r[2].base, 0x201000);
	assert_int_equal(map.r[3].end, 0x4000800000);
	assert_int_equal(cut, 0x800000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_overflow),
	    cmocka_unit_test(test_ram),
	};

	return cmocka_run_group_tests_name("memmap", tests, NULL, NULL);
}
