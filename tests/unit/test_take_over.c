/* SPDX-License-Identifier: MIT */
/*
 * A shared page whose last sharer writes to it is taken over in place, without a flush of its own. If a merge
 * has just put it there, and has not flushed yet, no CPU may go on reading the frame that was there before.
 */
#include "mm/flush.h"
#include "mm/scan.h"
#include "tests/host/oracle.h"
#include "tests/unit/mm_test.h"

#define OLD UINT64_C(0xabcd)
#define NEW UINT64_C(0x7777)

static struct space a, b;
static mfn_t was; /* the frame of a's page 5 before the merge */
static bool struck;
static uint64_t heard; /* by CPU 1 after CPU 0 wrote */
static const uint64_t *remembered;
static uint64_t generation;
static bool memo_held;

static void read_before(void)
{
	uint64_t v;

	was = p2m_lookup(&a, GFN(5)).mfn;
	assert_int_equal(guest_read(1, &a, PAGE(5), &v), VERDICT_RESUME);
	assert_int_equal(v, OLD);
	generation = atomic_load(&a.generation);
	assert_int_equal(mm_read_where(&a, PAGE(5), &v, sizeof(v), (const void **)&remembered),
	                 MM_OK);
}

/* b leaves the shared frame, so a's write takes it over; and CPU 1 reads by the translation that it has. */
static void strike(void)
{
	struck = true;
	assert_int_equal(guest_write(0, &b, PAGE(9), 1), VERDICT_RESUME);
	assert_int_equal(guest_write(0, &a, PAGE(5), NEW), VERDICT_RESUME);
	if (!guest_read_cached(1, &a, PAGE(5), &heard))
		assert_int_equal(guest_read(1, &a, PAGE(5), &heard), VERDICT_RESUME);
	memo_held = atomic_load(&a.generation) == generation;
}

static void on_point(enum env_point p)
{
	if (p == POINT_MERGE_FLUSHED)
		read_before();
	if (p == POINT_MERGE_SWITCHED && !struck && !mfn_eq(was, p2m_lookup(&a, GFN(5)).mfn))
		strike();
}

/* Which of two private frames survives is drawn: until it is b's. */
static void a_merge_owes_its_flush(void **state)
{
	uint64_t words[PAGE_SIZE / 8];

	(void)state;
	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		words[i] = OLD;
	struck = false;
	for (uint64_t seed = 1; seed < 40 && !struck; seed++) {
		host_start(&(struct host_config){.frames = 4096, .cpus = 2});
		host_seed(seed * UINT64_C(0x9e3779b97f4a7c15));
		was = MFN_NONE;
		make_space(&a, 1, 64);
		make_space(&b, 2, 64);
		assert_int_equal(mm_write(&a, PAGE(5), words, PAGE_SIZE), MM_OK);
		assert_int_equal(mm_write(&b, PAGE(9), words, PAGE_SIZE), MM_OK);
		host_on_point = on_point;
		for (unsigned i = 0; i < 4; i++)
			scan_slice(4096);
		host_on_point = NULL;
		if (struck) {
			assert_int_equal(heard, NEW);
			assert_true(!memo_held || *remembered == NEW);
			assert_int_equal(space_stats(&a).take_overs, 1);
		}
		audit_passes();
		destroy_space(&a);
		destroy_space(&b);
		host_stop();
	}
	assert_true(struck);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_merge_owes_its_flush),
	};

	return cmocka_run_group_tests_name("take_over", tests, NULL, NULL);
}
