/* SPDX-License-Identifier: MIT */
/*
 * A domain that makes hypercalls, for tests of them. The memory under them watches: a byte
 * that is fetched twice in one hypercall fails the test, and with `spoil` every
 * fetch changes what it has read, so that a second one would differ.
 */
#ifndef TESTS_UNIT_HC_TEST_H
#define TESTS_UNIT_HC_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/abi/quire.h"
#include "kernel/evtchn.h"
#include "kernel/exit.h"
#include "kernel/hypercall.h"
#include "kernel/sched.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define PAGES     1024u
#define RAM_BYTES ((uint64_t)PAGES << PAGE_SHIFT)
#define ARGS      UINT64_C(0x8000) /* where a test puts its arguments */
#define LIST      (ARGS + 0x1000)  /* and a list */

static struct domain *d;
static struct vcpu *v;
static struct fake_vcpu *f;

/* ---- the memory that watches ---- */

static uint8_t fetched[RAM_BYTES]; /* in this hypercall */
static bool spoil;                 /* change what was read */

static inline enum mm_status watch_read(struct space *s, uint64_t gpa, void *dst, uint64_t bytes)
{
	enum mm_status st = mm_read(s, gpa, dst, bytes);

	for (uint64_t i = gpa; st == MM_OK && i < gpa + bytes; i++) {
		assert_int_equal(fetched[i], 0);
		fetched[i] = 1;
		if (spoil) {
			uint8_t other = 0xa5;

			assert_int_equal(mm_write(s, i, &other, 1), MM_OK);
		}
	}
	return st;
}

static const struct guest_memory_ops watching = {
    .read = watch_read, .write = mm_write, .pin = mm_pin, .unpin = mm_unpin};

static inline int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 2);
	v = d->vcpus[0];
	f = fake_of(&v->hv);
	v->initialised = true;
	guest_memory = &watching;
	spoil = false;
	vcpu_start(v);
	return 0;
}

static inline int stop(void **state)
{
	struct audit_report r = mm_audit();

	(void)state;
	assert_string_equal(r.first, "");
	fake_domain_free(d);
	assert_int_equal(timer_next_ns(), UINT64_MAX); /* no timer of a vCPU that is gone */
	fake_stop();
	return 0;
}

/* ---- calls ---- */

/* One entry: HC_AGAIN if it is not over. */
static inline int64_t enter(uint64_t nr)
{
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};

	memset(fetched, 0, sizeof(fetched));
	v->hv.regs.gpr[RAX] = nr;
	f->skips = 0;
	exit_dispatch(v, &x);
	assert_int_equal(f->injects, 0);
	return f->skips ? (int64_t)v->hv.regs.gpr[RAX] : HC_AGAIN;
}

static inline void set_args(uint64_t a, uint64_t b, uint64_t c)
{
	v->hv.regs.gpr[RDI] = a;
	v->hv.regs.gpr[RSI] = b;
	v->hv.regs.gpr[RDX] = c;
}

static inline int64_t call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	int64_t rc;

	set_args(a, b, c);
	do
		rc = enter(nr);
	while (rc == HC_AGAIN && v->state == VCPU_RUNNABLE);
	return rc;
}

static inline void put(uint64_t at, const void *src, uint64_t bytes)
{
	assert_int_equal(mm_write(&d->space, at, src, bytes), MM_OK);
}

static inline void get(uint64_t at, void *dst, uint64_t bytes)
{
	assert_int_equal(mm_read(&d->space, at, dst, bytes), MM_OK);
}

/* An operation whose arguments lie at ARGS. */
static inline int64_t op(uint64_t nr, uint64_t cmd, const void *args, uint64_t bytes)
{
	put(ARGS, args, bytes);
	return call(nr, cmd, ARGS, 0);
}

/* A line of a list of tests: each with a machine of its own, audited at its end. */
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
