/* SPDX-License-Identifier: MIT */
/* What the tests of mm/ share: start and stop, a space, the audit, no leak. */
#ifndef TESTS_UNIT_MM_TEST_H
#define TESTS_UNIT_MM_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "mm/flush.h"
#include "mm/fund.h"
#include "mm/hash.h"
#include "mm/p2m.h"
#include "tests/host/env.h"
#include "tests/host/guest.h"
#include "tests/host/toy_format.h"

#define PAGE(n) ((uint64_t)(n) << PAGE_SHIFT)

static inline void audit_passes(void)
{
	struct audit_report r = mm_audit();

	assert_string_equal(r.first, "");
	assert_int_equal(r.failures, 0);
	assert_true(r.checks > 0);
}

static inline void make_space_of(struct space *s, domid_t domid, uint64_t pages, uint64_t min)
{
	struct space_config c = {.domid = domid,
	                         .share_group = 7,
	                         .memory_pages = pages,
	                         .max_pages = pages,
	                         .min_pages = min};

	assert_int_equal(space_create(s, &c), MM_OK);
}

static inline void make_space(struct space *s, domid_t domid, uint64_t pages)
{
	make_space_of(s, domid, pages, 0);
}

static inline void destroy_space(struct space *s)
{
	guest_leave_all();
	while (!space_destroy_step(s, 100))
		;
}

static inline uint64_t guest_sees(struct space *s, uint64_t gpa)
{
	uint64_t v = 0;

	assert_int_equal(guest_read(0, s, gpa, &v), VERDICT_RESUME);
	return v;
}

static inline void guest_puts(struct space *s, uint64_t gpa, uint64_t v)
{
	assert_int_equal(guest_write(0, s, gpa, v), VERDICT_RESUME);
}

/*
 * Merge page b of t with page a of s, of equal contents, by the steps of mm/merge.c but
 * without a scanner: for tests of what happens to shared pages.
 */
static inline void merge_pages(struct space *s, gfn_t a, struct space *t, gfn_t b)
{
	mfn_t keep = p2m_lookup(s, a).mfn, gone = p2m_lookup(t, b).mfn;
	uint32_t fp = hash_fingerprint(env_frame(keep), s->share_group);
	struct deferred d;
	uint64_t generation;

	deferred_init(&d, t);
	p2m_lock(s);
	if (frame_kind(frame_at(keep)) == FRAME_PRIVATE) {
		assert_true(p2m_protect(s, a));
		flush_space(s);
		assert_true(p2m_share(s, a, keep));
		index_insert_shared(keep, fp, s->share_group, 1);
	}
	p2m_unlock(s);
	p2m_lock(t);
	assert_true(p2m_protect(t, b));
	flush_space(t);
	assert_memory_equal(env_frame(keep), env_frame(gone), PAGE_SIZE);
	assert_true(index_get(keep, fp, s->share_group));
	p2m_switch(t, b, keep, &d);
	generation = deferred_seal(&d);
	p2m_unlock(t);
	deferred_finish(&d, generation);
}

/* Merge a page of zeroes or ones with its constant frame. */
static inline void merge_constant(struct space *s, gfn_t a, mfn_t constant)
{
	struct deferred d;
	uint64_t generation;

	deferred_init(&d, s);
	p2m_lock(s);
	assert_true(p2m_protect(s, a));
	flush_space(s);
	p2m_switch(s, a, constant, &d);
	generation = deferred_seal(&d);
	p2m_unlock(s);
	deferred_finish(&d, generation);
}

#endif
