/* SPDX-License-Identifier: MIT */
/* Dirty sources (mm/dirty.h): what is particular to a modification log and to write protection. */
#include "tests/unit/quiet_test.h"

/* Where the sign in the entry above is of writes only, reading wakes nobody, and one walk that
 * finds nothing is enough. */
static void reading_wakes_nobody(void **state)
{
	(void)state;
	fill();
	calm_down();
	assert_int_equal(guest_sees(&s, PAGE(HERE)), BIT(40) | HERE);
	guest_leave_all();
	assert_int_equal(one_pass().scanned, 0);
	put_unique(1, HERE);
	guest_leave_all();
	assert_int_equal(one_pass().read, 0); /* dirty no longer, to be read */
	assert_int_equal(one_pass().read, 1);
	assert_int_equal(mark(HERE), QUIET_CALM);
	assert_int_equal(one_pass().scanned, 0);
}

/* ---- a modification log ---- */

/* What a CPU has in its log is not known before it has left guest mode; whoever stays in for
 * longer than a pass is asked to come out. */
static void log_of_who_stays(void **state)
{
	uint64_t kicks;

	(void)state;
	fill();
	guest_leave_all();
	calm_down();
	put_unique(1, HERE);
	assert_true(guest_inside(1, &s));
	kicks = host_kicks();
	assert_int_equal(scan_slice(ALL), REGIONS); /* all is passed over; seen inside */
	assert_true(guest_inside(1, &s));
	assert_int_equal(host_kicks(), kicks);
	assert_int_equal(scan_slice(ALL), REGIONS); /* and asked out */
	assert_false(guest_inside(1, &s));
	assert_int_equal(host_kicks(), kicks + 1);
	assert_int_equal(one_pass().passed, (REGIONS - 1) * LARGE_PAGES);
	assert_int_equal(one_pass().read, 1);
}

/* A log entry may name anything: no memory, no table, a large leaf. */
static void log_of_anything(void **state)
{
	(void)state;
	fill();
	make_space(&other, 2, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&other, GFN(0)), MM_OK);
	for (unsigned g = 0; g < LARGE_PAGES; g++)
		assert_int_equal(guest_write(1, &other, PAGE(g), BIT(40) | g), VERDICT_RESUME);
	guest_leave_all();
	calm_down();
	dirty_logged(&s, GFN(GFN_LIMIT));
	dirty_logged(&s, GFN(UINT64_MAX >> PAGE_SHIFT));
	dirty_logged(&s, GFN(GFN_LIMIT - 1));
	dirty_logged(&other, GFN(3));
	audit_passes();
	assert_int_equal(mark(HERE), QUIET_CALM);
	dirty_logged(&s, GFN(HERE)); /* though nothing was written: a walk, and no more */
	assert_int_equal(one_pass().read, 0);
	assert_int_equal(mark(HERE), QUIET_CALM);
}

/* A flush waits for the log as well: what was written before it is signed after it. */
static void log_is_flushed(void **state)
{
	(void)state;
	fill();
	guest_leave_all();
	calm_down();
	put_unique(1, HERE);
	assert_true(guest_inside(1, &s));
	flush_space(&s);
	assert_true(*over(HERE) & mm.format->sign_mask);
	assert_int_equal(mm_stats().pages_logged > 0, 1);
}

/* ---- write protection ---- */

/* What was looked at is read-only; a write takes one fault, and no second one before the next look.
 * A pinned page is never protected. */
static void protected_once(void **state)
{
	uint64_t faults, page = LARGE_PAGES + 1;
	void *at;

	(void)state;
	fill();
	calm_down();
	assert_false(p2m_lookup(&s, GFN(HERE)).access & PTE_W);
	faults = space_stats(&s).unprotects;
	put_unique(1, HERE);
	put_unique(2, HERE);
	assert_int_equal(space_stats(&s).unprotects, faults + 1);
	assert_true(p2m_lookup(&s, GFN(HERE)).access & PTE_W);
	one_pass();
	assert_false(p2m_lookup(&s, GFN(HERE)).access & PTE_W);
	assert_int_equal(mm_pin(&s, GFN(page), &at), MM_OK);
	for (unsigned i = 0; i < 4; i++) {
		one_pass();
		assert_true(p2m_lookup(&s, GFN(page)).access & PTE_W);
	}
	mm_unpin(&s, GFN(page));
	one_pass();
	assert_false(p2m_lookup(&s, GFN(page)).access & PTE_W);
}

/* A large leaf is protected as a whole, and one write makes all of it writable. */
static void protected_large(void **state)
{
	(void)state;
	make_space(&other, 2, LARGE_PAGES);
	assert_int_equal(mm_populate_large(&other, GFN(0)), MM_OK);
	for (unsigned g = 0; g < LARGE_PAGES; g++)
		assert_int_equal(guest_write(1, &other, PAGE(g), BIT(40) | g), VERDICT_RESUME);
	calm_down();
	assert_false(p2m_lookup(&other, GFN(9)).access & PTE_W);
	assert_int_equal(guest_write(1, &other, PAGE(3), 1), VERDICT_RESUME);
	assert_int_equal(guest_write(1, &other, PAGE(4), 2), VERDICT_RESUME);
	assert_int_equal(space_stats(&other).unprotects, 1);
	assert_int_equal(space_stats(&other).large_leaves, 1);
	audit_passes();
	assert_int_equal(one_pass().scanned, LARGE_PAGES);
	assert_int_equal(one_pass().read, LARGE_PAGES);
	p2m_lock(&other);
	assert_true(p2m_split(&other, GFN(0))); /* the small leaves are protected, too */
	p2m_unlock(&other);
	flush_space(&other);
	assert_int_equal(guest_write(1, &other, PAGE(5), 3), VERDICT_RESUME);
	assert_false(p2m_lookup(&other, GFN(6)).access & PTE_W);
	assert_int_equal(mm_coalesce(&other, GFN(0)), MM_OK);
	assert_true(p2m_lookup(&other, GFN(6)).access & PTE_W);
	audit_passes();
}

/* Of what a machine has, the log before flags, and write protection where there is neither; each by its name. */
static void the_best_there_is(void **state)
{
	(void)state;
	assert_int_equal(dirty_best(0), DIRTY_PROTECT);
	assert_int_equal(dirty_best(BIT(DIRTY_PROTECT)), DIRTY_PROTECT);
	assert_int_equal(dirty_best(BIT(DIRTY_FLAGS) | BIT(DIRTY_PROTECT)), DIRTY_FLAGS);
	assert_int_equal(dirty_best(BIT(DIRTY_LOG) | BIT(DIRTY_PROTECT)), DIRTY_LOG);
	assert_int_equal(dirty_best(BIT(DIRTY_LOG) | BIT(DIRTY_FLAGS) | BIT(DIRTY_PROTECT)),
	                 DIRTY_LOG);
	assert_string_equal(dirty_name(DIRTY_FLAGS), "flags");
	assert_string_equal(dirty_name(DIRTY_LOG), "pml");
	assert_string_equal(dirty_name(DIRTY_PROTECT), "wp");
	assert_string_equal(dirty_name(DIRTY_SOURCES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(reading_wakes_nobody, setup_protect, teardown),
	    cmocka_unit_test_setup_teardown(reading_wakes_nobody, setup_log, teardown),
	    cmocka_unit_test_setup_teardown(log_of_who_stays, setup_log, teardown),
	    cmocka_unit_test_setup_teardown(log_of_anything, setup_log, teardown),
	    cmocka_unit_test_setup_teardown(log_is_flushed, setup_log, teardown),
	    cmocka_unit_test_setup_teardown(protected_once, setup_protect, teardown),
	    cmocka_unit_test_setup_teardown(protected_large, setup_protect, teardown),
	    cmocka_unit_test(the_best_there_is),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
