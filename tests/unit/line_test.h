/* SPDX-License-Identifier: MIT */
/*
 * The world of tests of the line for memory: a machine that is full. `full` holds every frame that it
 * may, and gives back as many as a test says; d[0] to d[GUESTS - 1] ask.
 */
#ifndef TESTS_UNIT_LINE_TEST_H
#define TESTS_UNIT_LINE_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/exit.h"
#include "kernel/sched.h"
#include "kernel/waiters.h"
#include "mm/fund.h"
#include "mm/repay.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include "tests/host/machine.h"

#define GUESTS  4u
#define RESERVE 3u
#define SECOND  UINT64_C(1000000000)
#define PAGES   20000u /* more than there is */

static struct domain *d[GUESTS], *full;
static uint64_t filled;

static inline struct vcpu *vcpu(unsigned i)
{
	return d[i]->vcpus[0];
}

static inline uint64_t never(unsigned page)
{
	return (uint64_t)(10 + page) << PAGE_SHIFT;
}

/* The guest writes to a page that it never touched. */
static inline void write_to(struct vcpu *v, unsigned page)
{
	const struct vmexit x = {
	    .kind = EXIT_MEMORY, .memory = {.gpa = never(page), .access = FAULT_WRITE}
        };

	exit_dispatch(v, &x);
}

/* Each has run up to now and asks for a page: it waits, or has it. */
static inline enum vcpu_state asks(unsigned i, unsigned page)
{
	write_to(vcpu(i), page);
	return vcpu(i)->state;
}

static inline void release(unsigned frames)
{
	while (frames--) {
		gfn_t g = GFN(--filled);

		assert_int_equal(balloon_out(&full->space, &g, 1, 0), 1);
	}
	vcpu_wake_memory_waiters();
}

static inline int start(void **state)
{
	(void)state;
	fake_start(1);
	for (unsigned i = 0; i < GUESTS; i++) {
		d[i] = fake_domain((domid_t)(i + 1), 1000, 1);
		vcpu(i)->initialised = true;
		vcpu_start(vcpu(i));
	}
	full = fake_domain(GUESTS + 1, PAGES, 1);
	fund_set_reserve(RESERVE);
	filled = 0;
	while (filled < PAGES && mm_fault(&full->space, GFN(filled), FAULT_WRITE) == VERDICT_RESUME)
		filled++;
	assert_true(filled < PAGES);
	return 0;
}

static inline int stop(void **state)
{
	struct audit_report r = mm_audit();

	(void)state;
	assert_string_equal(r.first, "");
	for (unsigned i = 0; i < GUESTS; i++) {
		vcpu_stop(vcpu(i));
		fake_domain_free(d[i]);
	}
	fake_domain_free(full);
	assert_int_equal(waiters_view().waiting, 0);
	assert_int_equal(fund_look().debt, 0);
	fake_stop();
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

#endif
