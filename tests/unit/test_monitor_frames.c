/* SPDX-License-Identifier: MIT */
/* The monitor on a machine on which more memory is promised than there is: frames, list, refuse. */
#include "kernel/inject.h"
#include "tests/unit/monitor_session.h"

/* Where memory is and who waits for it; in a stall, what would help. */
static void memory_and_who_waits(void **state)
{
	(void)state;
	overcommitted = OVERCOMMIT_WAITS;
	type("frames\r");
	assert_heard("3 vCPUs wait for memory; the longest wait was 5678 ms; 9 turns were given\n");
	assert_heard("web                 1      8.0     16.0      2.0");
	assert_not_heard("STALLED");
	type("list\r");
	assert_heard("    web waits for memory: 1 of 0 vCPUs, the longest wait 1234 ms\n");
	overcommitted = OVERCOMMIT_STALLED;
	type("frames\r");
	assert_heard("    STALLED: web is in the way\n");
	type("frames --json\r");
	assert_heard("{\"schema\":1,\"state\":\"STALLED\",");
	assert_heard("\"waiting\":3,");
	assert_heard("\"min\":512,");
	overcommitted = OVERCOMMIT_FLOWS;
	type("list\r");
	assert_not_heard("waits for memory");
}

/* The walk is for who asks for it. */
static void parts_on_request(void **state)
{
	(void)state;
	type("frames --json\r");
	assert_not_heard("shared_part");
	type("frames exact --json\r");
	assert_heard("\"shared_part\":1.500,");
	type("frames exact\r");
	assert_heard("     Part ");
	type("frames\r");
	assert_heard("   Shared ");
	assert_not_heard("Part");
	type("frames exactly\r");
	assert_heard("frames: `exact` or nothing\n");
}

/* Refusals are for whoever asks in the right words. */
static void refusals_on_request(void **state)
{
	(void)state;
	type("refuse every 2\r");
	assert_heard("@quire refuse refused=0\n");
	assert_int_equal(inject_refuses() + inject_refuses(), 1);
	type("refuse\r");
	assert_heard("1 requests were refused so far\n@quire refuse refused=1\n");
	type("refuse off\r");
	assert_heard("@quire refuse refused=1\n");
	assert_false(inject_refuses());
	type("refuse every\r");
	assert_heard("refuse: `every K`, `all MS` or `off`\n");
	type("refuse all soon\r");
	assert_heard("refuse: the milliseconds must be a number, not `soon`\n");
	assert_false(inject_refuses());
}

/* As much as was asked for, or all that is cold; who is asked is named in the right words. */
static void compression_on_request(void **state)
{
	(void)state;
	to_compress = 1000;
	domains[1].space.held = 513;
	domains[1].space.min_pages = 512;
	type("compress web 1\r");
	assert_heard("@quire compressed domain=1 freed=260 pages=0 ");
	assert_heard("web: 260 frames freed;");
	assert_not_heard("guaranteed");
	to_compress = 25;
	type("compress web\r");
	assert_heard("@quire compressed domain=1 freed=25 ");
	assert_not_heard("nothing");
	type("compress web\r");
	assert_heard("web has nothing that could be packed now: its pages are shared, in use, or "
	             "do not get smaller\n");
	domains[1].space.held = 512;
	type("compress web\r");
	assert_heard("web holds no more for itself than its guaranteed `min` of 2.0 MiB, and of "
	             "that nothing may be packed\n");
	assert_not_heard("get smaller");
	type("compress nobody\r");
	assert_heard("compress: there is no domain `nobody`");
	type("compress web much\r");
	assert_heard("compress: the memory in MiB must be a number, not `much`\n");
}

/* How much each should have; words that make no sense change nothing. */
static void reclaim(void **state)
{
	(void)state;
	reclaiming = (struct reclaim_settings){.on = true, .knobs = reclaim_defaults};
	domains[1].shares = 640;
	domains[1].space.held = 384;
	type("reclaim\r");
	assert_heard("reclaim is on; the state is hard: 2.5 MiB of 100.0 can be had");
	assert_heard("tau 75 %; levels 6,4,2,1 %;");
	assert_heard("web                 1        640      2.0     16.0     12.0     10.0      "
	             "8.0      6.0     25%      0.0  yes\n");
	assert_heard("does not follow\n");
	type("reclaim --json\r");
	assert_heard("\"state\":\"hard\",");
	assert_heard("\"target\":1536,\"active\":96,");
	type("reclaim set tau 50\r");
	assert_int_equal(reclaiming.knobs.tau, 50);
	type("reclaim set tua 50\r");
	assert_heard("reclaim: `50`: there is only tau here\n");
	type("reclaim off\r");
	assert_false(reclaiming.on);
	type("reclaim on\r");
	assert_true(reclaiming.on);
	type("reclaim shares web 7\r");
	assert_int_equal(domains[1].shares, 7);
	type("reclaim shares web 0\r");
	assert_heard("reclaim: a domain has 1 to 1000000000 shares, not 0\n");
	type("reclaim shares nobody 5\r");
	assert_heard("there is no domain `nobody`");
	type("reclaim perhaps\r");
	assert_heard("reclaim: `on`, `off`, `set KNOB VALUE` or `shares DOMAIN N`\n");
	assert_int_equal(domains[1].shares, 7);
}

/* What became of leaves of 2 MiB. */
static void scan_leaves(void **state)
{
	struct space_stats before = fake_space;

	(void)state;
	fake_space = (struct space_stats){.large_leaves = 4,
	                                  .splits = 9,
	                                  .splits_sharing = 3,
	                                  .split_gain = 40,
	                                  .splits_written = 2,
	                                  .coalesces = 5,
	                                  .coalesce_copies = 1,
	                                  .large_shared = 6,
	                                  .large_merges = 7};
	type("scan\r");
	assert_heard("@quire leaves domain=web large=4 splits=9 sharing=3 gain=40 written=2 "
	             "coalesces=5 copies=1 shared=6 merged=7\n");
	fake_space = before;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(memory_and_who_waits, fresh),
	    cmocka_unit_test_setup(parts_on_request, fresh),
	    cmocka_unit_test_setup(refusals_on_request, fresh),
	    cmocka_unit_test_setup(compression_on_request, fresh),
	    cmocka_unit_test_setup(reclaim, fresh),
	    cmocka_unit_test_setup(scan_leaves, fresh),
	};

	return cmocka_run_group_tests_name("monitor_frames", tests, NULL, NULL);
}
