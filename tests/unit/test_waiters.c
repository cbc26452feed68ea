/* SPDX-License-Identifier: MIT */
/*
 * The line for memory (kernel/waiters.c): who waits, in which order, who is woken.
 */
#include "kernel/xen_abi.h"
#include "tests/unit/line_test.h"

/* First come, first served: each frame that comes back wakes one. */
static void first_come(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(asks(i, 0), VCPU_MEMORY);
	assert_int_equal(waiters_view().waiting, 3);
	release(1);
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE);
	assert_int_equal(vcpu(1)->state, VCPU_MEMORY);
	release(2);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
	assert_int_equal(vcpu(2)->state, VCPU_RUNNABLE);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(asks(i, 0), VCPU_RUNNABLE);
		assert_int_equal(vcpu(i)->wait_ticket, 0);
	}
	assert_int_equal(fund_look().debt, 0);
}

/* The frame that one was woken for cannot be taken by one that comes later and is faster. */
static void nobody_overtakes(void **state)
{
	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	release(1);
	assert_int_equal(asks(1, 0), VCPU_MEMORY); /* runs before the woken one does */
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
	assert_int_equal(vcpu(1)->state, VCPU_MEMORY);
	release(1);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
}

/* Memory that comes back unannounced is still not for who comes later. */
static void line_before_newcomers(void **state)
{
	gfn_t g = GFN(--filled);

	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(balloon_out(&full->space, &g, 1, 0), 1);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE); /* its coming served the line */
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
}

/* Who needs more than one frame keeps its place until it has all. */
static void keeps_its_place(void **state)
{
	uint64_t ticket;

	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	ticket = vcpu(0)->wait_ticket;
	release(1);
	host_fail_alloc(1);
	assert_int_equal(asks(0, 0),
	                 VCPU_RUNNABLE); /* refused once, and the frame is still its own */
	assert_int_equal(vcpu(0)->wait_ticket, ticket);
	assert_int_equal(vcpu(1)->state, VCPU_MEMORY);
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
	assert_int_equal(vcpu(0)->wait_ticket, 0);
}

/* But not for ever: its ticket is good for so many turns (the call that it makes may be another one each time). */
static void turns_are_counted(void **state)
{
	unsigned turns = 0;
	uint64_t ticket;

	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	ticket = vcpu(0)->wait_ticket;
	release(1);
	while (turns < 100 && vcpu(0)->state == VCPU_RUNNABLE) {
		assert_int_equal(vcpu(1)->state, VCPU_MEMORY);
		host_fail_alloc(1);
		asks(0, 0);
		turns++;
	}
	assert_in_range(turns, 16, 64);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
	assert_true(vcpu(0)->wait_ticket > ticket);
	assert_int_equal(asks(1, 0), VCPU_RUNNABLE);
}

static void makes_a_call(unsigned i)
{
	const struct vmexit call = {.kind = EXIT_HYPERCALL, .length = 3};

	vcpu(i)->hv.regs.gpr[RAX] = __HYPERVISOR_xen_version;
	exit_dispatch(vcpu(i), &call);
}

/*
 * Its turn came, and a timer's interrupt before it could try again: the handler makes a hypercall, and
 * touches a page that needs a frame. Neither is what it waited for; it keeps its place until it has that, or
 * until it is plain that it does not come back for it.
 */
static void a_handler_costs_no_place(void **state)
{
	uint64_t ticket;

	(void)state;
	vcpu(0)->hv.regs.rip = 0x1000;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	ticket = vcpu(0)->wait_ticket;
	release(1);
	vcpu(0)->hv.regs.rip = 0x2000;
	makes_a_call(0);
	assert_int_equal(vcpu(0)->wait_ticket, ticket);
	assert_true(vcpu(0)->granted);
	assert_int_equal(vcpu(1)->state, VCPU_MEMORY);
	assert_int_equal(asks(0, 1), VCPU_RUNNABLE); /* the frame goes there: that was its turn */
	assert_int_equal(vcpu(0)->wait_ticket, 0);
	vcpu(0)->hv.regs.rip = 0x1000;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	ticket = vcpu(0)->wait_ticket;
	assert_true(ticket > vcpu(1)->wait_ticket);
	release(1);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
	vcpu(1)->hv.regs.rip = 0x3000;
	makes_a_call(1);
	assert_true(vcpu(1)->wait_ticket);
	host_now_ns[0] += SECOND;
	makes_a_call(1);
	assert_int_equal(vcpu(1)->wait_ticket, 0);
	assert_false(vcpu(1)->granted);
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE); /* it has that frame now */
	vcpu(0)->hv.regs.rip = 0x4000;
	host_fail_alloc(1);
	assert_int_equal(asks(0, 2),
	                 VCPU_RUNNABLE); /* refused, and served at once: by a ticket of its own */
	assert_true(vcpu(0)->wait_ticket > ticket);
	assert_int_equal(asks(0, 2), VCPU_RUNNABLE);
	assert_int_equal(vcpu(0)->wait_ticket, 0);
}

/* Who has nothing to do any more wants nothing. */
static void who_sleeps_leaves(void **state)
{
	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	release(1);
	vcpu_block(vcpu(0));
	assert_int_equal(vcpu(0)->state, VCPU_BLOCKED);
	assert_int_equal(vcpu(0)->wait_ticket, 0);
	assert_int_equal(fund_look().debt, 0);
}

/* Whom the guarantee protects is served first, whenever it came. */
static void guarantee_first(void **state)
{
	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	release(RESERVE + 2);
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
	assert_int_equal(fund_set_min(&d[2]->space, d[2]->space.held + 1), MM_OK);
	host_fail_alloc_from(1); /* the only way to make it wait */
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	assert_int_equal(asks(2, 0), VCPU_MEMORY);
	assert_int_equal(waiters_view().within_min, 1);
	host_fail_alloc(0);
	while (mm_fault(&full->space, GFN(filled), FAULT_WRITE) == VERDICT_RESUME)
		filled++;
	vcpu_wake_memory_waiters();
	assert_int_equal(vcpu(2)->state, VCPU_RUNNABLE);
	assert_int_equal(asks(2, 0), VCPU_RUNNABLE);
	assert_int_equal(fund_set_min(&d[2]->space, 0), MM_OK);
}

/* The reserve is for copies; who waits for a new page longer than is decent may have of it, too. */
static void patience_ends(void **state)
{
	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	assert_true(fund_look().free >= RESERVE);
	vcpu_wake_memory_waiters();
	assert_int_equal(vcpu(0)->state, VCPU_MEMORY);
	vcpu(1)->wants_copy = true; /* this one wants a copy */
	vcpu_wake_memory_waiters();
	assert_int_equal(vcpu(0)->state, VCPU_MEMORY);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
	host_now_ns[0] += SECOND;
	vcpu_wake_memory_waiters();
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE);
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
	assert_int_equal(fund_look().free, fund_look().debt + RESERVE - 2);
	assert_true(vcpu(0)->longest_memory_ns >= SECOND);
	assert_true(waiters_view().longest_ns >= SECOND);
	assert_int_equal(vcpu(0)->waits, 1);
}

/* Who was asked to give memory back is served first, even if nothing is left but what is kept for
 * that. */
static void who_gives_back_goes_first(void **state)
{
	(void)state;
	release(2);
	assert_int_equal(fund_open(&d[3]->space, 0, 2), MM_OK);
	fund_set_reserve(0);
	filled += 2; /* they are in the balloon */
	while (mm_fault(&full->space, GFN(filled), FAULT_WRITE) == VERDICT_RESUME)
		filled++;
	assert_int_equal(fund_look().free, 2);
	assert_int_equal(asks(2, 0), VCPU_MEMORY);
	assert_int_equal(asks(3, 0), VCPU_MEMORY);
	domain_set_target(d[3], 500);
	assert_int_equal(vcpu(2)->state, VCPU_MEMORY);
	assert_int_equal(vcpu(3)->state, VCPU_RUNNABLE);
	assert_int_equal(asks(3, 0), VCPU_RUNNABLE);
}

/* One that cannot run is passed over, and has its place when it can. */
static void paused_is_passed_over(void **state)
{
	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	assert_int_equal(asks(1, 0), VCPU_MEMORY);
	domain_pause(d[0]);
	release(1);
	assert_int_equal(vcpu(0)->state, VCPU_MEMORY);
	assert_int_equal(vcpu(1)->state, VCPU_RUNNABLE);
	assert_int_equal(asks(1, 0), VCPU_RUNNABLE);
	release(1); /* nobody is in line whose turn may come: it is there for all */
	assert_int_equal(asks(2, 0), VCPU_RUNNABLE);
	domain_unpause(d[0]);
	release(1);
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE);
}

/* Who is stopped leaves the line, and what was set aside for it is the next one's. */
static void stopped_leaves(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(asks(i, 0), VCPU_MEMORY);
	vcpu_stop(vcpu(1));
	release(1);
	assert_int_equal(vcpu(0)->state, VCPU_RUNNABLE);
	vcpu_stop(vcpu(0));
	vcpu_wake_memory_waiters();
	assert_int_equal(vcpu(2)->state, VCPU_RUNNABLE);
	assert_int_equal(waiters_view().waiting, 0);
}

/* Who has ended stands in nobody's way, whether it waited still or had been given its frame; who is paused is not counted. */
static void ended_leaves(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(asks(i, 0), VCPU_MEMORY);
	domain_shutdown(d[0], SHUTDOWN_CRASH_);
	assert_int_equal(waiters_view().waiting, 3);
	release(1);
	assert_true(vcpu(1)->granted);
	domain_shutdown(d[1], SHUTDOWN_CRASH_); /* and the frame is the next one's */
	assert_false(vcpu(1)->granted);
	assert_true(vcpu(2)->granted);
	assert_int_equal(asks(2, 0), VCPU_RUNNABLE);
	assert_int_equal(fund_look().debt, 0);
	assert_true(waiters_press());
	domain_pause(d[3]);
	vcpu_wake_memory_waiters();
	assert_true(waiters_any());
	assert_false(waiters_press());
	assert_int_equal(waiters_view().waiting, 0);
	assert_int_equal(waiters_view().oldest_ns, 0);
}

/* Who halts for good wants nothing, either. */
static void who_halts_for_good_leaves(void **state)
{
	const struct vmexit halt = {.kind = EXIT_HLT, .length = 1};

	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	release(1);
	assert_true(vcpu(0)->granted);
	vcpu(0)->hv.regs.rflags = 0;
	exit_dispatch(vcpu(0), &halt);
	assert_int_equal(vcpu(0)->state, VCPU_DOWN);
	assert_false(vcpu(0)->granted);
	assert_int_equal(fund_look().debt, 0);
}

/* Many that write and one that gives back, for long: the longest line is never longer than the
 * others, and all get the same. */
static void nobody_starves(void **state)
{
	unsigned got[GUESTS] = {0}, least = ~0u, most = 0;
	unsigned page[GUESTS] = {0};

	(void)state;
	for (unsigned turn = 0; turn < 400; turn++) {
		host_now_ns[0] += SECOND / 100;
		for (unsigned i = 0; i < GUESTS; i++) {
			/* The first asks three times as often as the others. */
			if (vcpu(i)->state != VCPU_RUNNABLE || (i && turn % 3))
				continue;
			if (asks(i, page[i]) == VCPU_RUNNABLE && !vcpu(i)->wait_ticket) {
				got[i]++;
				page[i]++;
			}
		}
		if (turn % 2 && filled > 600)
			release(1);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		least = got[i] < least ? got[i] : least;
		most = got[i] > most ? got[i] : most;
	}
	assert_true(least > 20);
	assert_true(most <= 2 * least);
}

/*
 * A domain dies while there is a line. One exit gives back a little of it, waits, and the line is served
 * at once with what has come free: who was there first, and who has just come.
 */
static void a_dying_one_serves_the_line(void **state)
{
	uint64_t had = full->space.stats.private_pages;

	(void)state;
	assert_int_equal(asks(0, 0), VCPU_MEMORY);
	guest_leave_all();
	assert_false(space_destroy_step(&full->space, 0));
	assert_int_equal(asks(1, 0), VCPU_RUNNABLE);
	assert_true(vcpu(1)->granted && vcpu(0)->granted);
	assert_in_range(had - full->space.stats.private_pages, 1, 64 * REPAY_TURNS);
	assert_int_equal(waiters_view().waiting, 0);
	assert_int_equal(asks(0, 0), VCPU_RUNNABLE);
	assert_int_equal(asks(1, 0), VCPU_RUNNABLE);
	assert_int_equal(vcpu(0)->wait_ticket + vcpu(1)->wait_ticket, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(first_come),
	    T(nobody_overtakes),
	    T(line_before_newcomers),
	    T(keeps_its_place),
	    T(turns_are_counted),
	    T(a_handler_costs_no_place),
	    T(who_sleeps_leaves),
	    T(guarantee_first),
	    T(patience_ends),
	    T(paused_is_passed_over),
	    T(stopped_leaves),
	    T(ended_leaves),
	    T(who_halts_for_good_leaves),
	    T(nobody_starves),
	    T(a_dying_one_serves_the_line),
	    T(who_gives_back_goes_first),
	};

	return cmocka_run_group_tests_name("waiters", tests, NULL, NULL);
}
