/* SPDX-License-Identifier: MIT */
/*
 * Which records of the frame table have memory behind them (arch/x86_64/frames.c), for maps
 * of RAM as firmware makes them and worse: all that mm/mm.h promises to the memory core.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/frames.h"
#include "arch/x86_64/paging.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "mm/mm.h"

#define MIB (BIT(20) >> PAGE_SHIFT) /* in frames */

/* ---- the machine ---- */

struct memmap boot_ram, boot_free;
static struct memmap backed; /* virtual addresses */
static struct mm_config given;

bool paging_back(uint64_t va, uint64_t bytes)
{
	assert_int_equal((va | bytes) % PAGE_SIZE, 0);
	if (va >= BUCKETS_BASE) /* the index */
		return true;
	assert_true(va >= FRAMES_BASE && va + bytes <= BUCKETS_BASE);
	memmap_add(&backed, va, va + bytes);
	return true;
}

void bootmem_close(void)
{
}

void mm_init(const struct mm_config *c)
{
	given = *c;
}

uint64_t cmdline_share(const char *key, uint64_t whole, uint64_t otherwise)
{
	(void)key;
	(void)whole;
	return otherwise;
}

unsigned machine_cpus(void)
{
	return 1;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

void env_panic(const char *fmt, ...)
{
	fail_msg("%s", fmt);
	__builtin_unreachable();
}

static int setup(void **state)
{
	(void)state;
	memset(&boot_ram, 0, sizeof(boot_ram));
	memset(&boot_free, 0, sizeof(boot_free));
	memset(&backed, 0, sizeof(backed));
	memset(&given, 0, sizeof(given));
	return 0;
}

/* ---- what is asked of it ---- */

static void ram(uint64_t first, uint64_t pages)
{
	memmap_add(&boot_ram, first << PAGE_SHIFT, (first + pages) << PAGE_SHIFT);
	memmap_add(&boot_free, first << PAGE_SHIFT, (first + pages) << PAGE_SHIFT);
}

static bool has_record(uint64_t frame)
{
	uint64_t at = FRAMES_BASE + frame * sizeof(struct frame);

	for (unsigned i = 0; i < backed.n; i++)
		if (backed.r[i].base <= at && at + sizeof(struct frame) <= backed.r[i].end)
			return true;
	return false;
}

/* Each frame of each 2 MiB that have RAM in them has a record, wherever the table ends. */
static void blocks_are_whole(void)
{
	uint64_t end = 0;

	frames_init();
	assert_true(has_record(0));
	for (unsigned i = 0; i < boot_ram.n; i++) {
		uint64_t first = align_down(boot_ram.r[i].base >> PAGE_SHIFT, LARGE_PAGES);

		end = boot_ram.r[i].end >> PAGE_SHIFT;
		for (uint64_t n = first; n < align_up(end, LARGE_PAGES); n++)
			assert_true(has_record(n));
	}
	assert_int_equal(given.nr_frames, end);
	assert_ptr_equal(given.frames, (void *)FRAMES_BASE);
}

/* ---- maps ---- */

static void as_a_pc_has_it(void **state)
{
	(void)state;
	ram(0, 0x9f);
	ram(256, 64 * MIB - 256 - 32);
	blocks_are_whole();
	assert_false(has_record(64 * MIB));
}

/* Of this block only the upper MiB is RAM: a hole's records lie in a page of their own. */
static void a_hole_in_the_lower_mib(void **state)
{
	(void)state;
	ram(0, 16 * MIB);
	ram(33 * MIB, 3 * MIB);
	blocks_are_whole();
	assert_true(has_record(32 * MIB));
	assert_false(has_record(32 * MIB - 1));
	assert_false(has_record(36 * MIB));
}

static void a_hole_in_the_upper_mib(void **state)
{
	(void)state;
	ram(0, 15 * MIB);
	ram(32 * MIB, MIB);
	ram(64 * MIB, 2 * MIB);
	blocks_are_whole();
	assert_true(has_record(34 * MIB - 1));
	assert_false(has_record(34 * MIB));
}

/* Behind the last frame, too: a reader goes by blocks, and is not stopped by nr_frames. */
static void an_odd_mib_at_the_end(void **state)
{
	(void)state;
	ram(0, 16 * MIB + 1);
	blocks_are_whole();
	assert_true(has_record(18 * MIB - 1));
	assert_false(has_record(18 * MIB));
}

static void two_ranges_in_one_block(void **state)
{
	(void)state;
	ram(0, 16 * MIB);
	ram(32 * MIB + 3, 1);
	ram(33 * MIB + 200, 1);
	blocks_are_whole();
}

/* The last record of all is the last before the buckets. */
static void as_high_as_it_goes(void **state)
{
	(void)state;
	ram(0, 16 * MIB);
	ram(MFN_LIMIT - 1, 1);
	blocks_are_whole();
	assert_true(has_record(MFN_LIMIT - 1));
	assert_true(has_record(MFN_LIMIT - LARGE_PAGES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(as_a_pc_has_it, setup),
	    cmocka_unit_test_setup(a_hole_in_the_lower_mib, setup),
	    cmocka_unit_test_setup(a_hole_in_the_upper_mib, setup),
	    cmocka_unit_test_setup(an_odd_mib_at_the_end, setup),
	    cmocka_unit_test_setup(two_ranges_in_one_block, setup),
	    cmocka_unit_test_setup(as_high_as_it_goes, setup),
	};

	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
