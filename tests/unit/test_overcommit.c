/* SPDX-License-Identifier: MIT */
/*
 * Whether one more domain fits (kernel/overcommit.c): it is refused exactly when its min cannot be
 * backed beside all that is promised, and the sentence says which of the two reasons it is, with
 * figures that add up.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "kernel/cmdline.h"
#include "kernel/overcommit.h"
#include "mm/fund.h"
#include "mm/repay.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"

#define PAGES   12000u /* of the domain that is there: 46.8 MiB of 64 */
#define MIN     1024u
#define OTHER   256u /* frames for vCPUs and the like: 1 MiB */
#define RESERVE 128u

static struct domain *d;
static char why[400];

static int start(void **state)
{
	(void)state;
	fake_start(1);
	cmdline_set("");
	fund_set_reserve(RESERVE);
	d = fake_domain(1, PAGES, 1);
	assert_int_equal(fund_set_min(&d->space, MIN), MM_OK);
	why[0] = '\0';
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fake_domain_free(d);
	fake_stop();
	return 0;
}

static bool fits(uint64_t min)
{
	const struct space_config c = {
	    .domid = 2, .memory_pages = PAGES, .max_pages = PAGES, .min_pages = min};

	why[0] = '\0';
	return overcommit_fits(&c, OTHER, why, sizeof(why));
}

static uint64_t tables(void)
{
	return space_tables_needed(&(struct space_config){
	    .domid = 2, .memory_pages = PAGES, .max_pages = PAGES, .min_pages = 0});
}

/* The most that can be guaranteed to one more, as of now. */
static uint64_t most(void)
{
	struct fund_view f = fund_look();

	return f.free - f.debt - f.loans - f.reserve_level - OTHER - tables();
}

static void hold(uint64_t pages)
{
	for (uint64_t g = 0; g < pages; g++)
		assert_int_equal(mm_fault(&d->space, GFN(g), FAULT_WRITE), VERDICT_RESUME);
}

/* Pages, as the sentences show them. */
static const char *mib(uint64_t pages)
{
	static char text[8][24];
	static unsigned next;
	char *t = text[next++ % 8];

	snprintf(t, sizeof(text[0]), "%lu.%lu", (unsigned long)(pages / 256),
	         (unsigned long)(pages % 256 * 10 / 256));
	return t;
}

static void says(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!strstr(why, text))
		fail_msg("`%s` is not in: %s", text, why);
}

/* To the page: what is free beyond all promises, and not one more. */
static void fits_to_the_page(void **state)
{
	uint64_t n = most();

	(void)state;
	assert_true(fits(0));
	assert_true(fits(n));
	assert_string_equal(why, "");
	assert_false(fits(n + 1));
	hold(MIN); /* pays its own debt: nothing changes for others */
	assert_int_equal(most(), n);
	assert_true(fits(n));
	hold(MIN + 100);
	assert_int_equal(most(), n - 100);
	assert_false(fits(n));
	assert_true(fits(n - 100));
}

/* More is guaranteed than the machine has: no guest could help. */
static void more_than_the_machine(void **state)
{
	uint64_t n = most() + 1;
	struct mm_stats st = mm_stats();
	struct mm_account a = mm_account(&d->space);

	(void)state;
	assert_false(fits(n));
	says("its `min` of %s MiB and %s for its page tables and vCPUs are too much: ", mib(n),
	     mib(tables() + OTHER));
	says("of the machine's %s MiB, %s are guaranteed to others",
	     mib(st.frames_total - st.frames_reserved - st.frames_constant), mib(MIN));
	says("%s hold their tables, and %s are the reserve",
	     mib(a.tables + a.service + a.hypervisor), mib(RESERVE));
	says("a lower `min`, or less memory, would fit");
}

/* It would fit, but another has the memory, above its own min: somebody could give it back. */
static void others_hold_it_now(void **state)
{
	uint64_t n = most();
	struct fund_view f;

	(void)state;
	hold(PAGES);
	f = fund_look();
	assert_false(fits(n));
	says("its `min` of %s MiB and %s for its page tables and vCPUs cannot be backed now: ",
	     mib(n), mib(tables() + OTHER));
	says("%s MiB are free, %s of them guaranteed to others and %s the reserve", mib(f.free),
	     mib(f.debt), mib(f.reserve));
	says(
	    "other domains hold %s above their `min`, which `mem-set` or `destroy` gives back, and "
	    "share %s",
	    mib(PAGES - MIN), mib(mm_stats().frames_shared));
	for (uint64_t g = 0; g < PAGES - MIN; g++)
		assert_int_equal(balloon_out(&d->space, &(gfn_t){g}, 1, 0), 1);
	assert_true(fits(n));
}

/* What a dying domain still holds counts as soon as it is given back, which is asked for (create.c). */
static void the_dying_make_room(void **state)
{
	struct domain *gone = fake_domain(2, 3000, 1);
	uint64_t n = most();

	(void)state;
	for (uint64_t g = 0; g < 3000; g++)
		assert_int_equal(mm_fault(&gone->space, GFN(g), FAULT_WRITE), VERDICT_RESUME);
	assert_false(fits(n));
	assert_false(space_destroy_step(&gone->space, 1));
	assert_false(fits(n));
	while (!fits(n))
		assert_true(repay_some());
	fake_domain_free(gone);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
	    T(fits_to_the_page),
	    T(more_than_the_machine),
	    T(others_hold_it_now),
	    T(the_dying_make_room),
	};

	return cmocka_run_group_tests_name("overcommit", tests, NULL, NULL);
}
