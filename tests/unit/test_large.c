/* SPDX-License-Identifier: MIT */
/*
 * Large leaves made anew (mm/large.c:mm_coalesce): in place and by copy, with every format of
 * page tables. What guests read stays, no write is overlooked, nothing is given back
 * before the flush, and no table is lost.
 */
#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "tests/unit/mm_test.h"

#define FRAMES 4096u
#define FIRST  LARGE_PAGES /* the region that is coalesced */
#define LAST   (2 * LARGE_PAGES - 1)

static struct space s;

static void start(const struct pte_format *format, uint64_t frames, uint64_t reserve)
{
	host_start(&(struct host_config){
	    .frames = frames, .cpus = 3, .reserve = reserve, .format = format});
	make_space(&s, 1, 3 * LARGE_PAGES);
}

static void stop(uint64_t frames)
{
	host_on_point = NULL;
	host_on_kick = guest_kicked;
	audit_passes();
	destroy_space(&s);
	assert_int_equal(host_free_frames(), frames - 3);
	host_stop();
}

static uint64_t *entry_of(uint64_t gfn)
{
	struct p2m_slot p;

	p2m_lock(&s);
	p = p2m_find(&s, GFN(gfn));
	p2m_unlock(&s);
	return p.entry;
}

static void split(uint64_t gfn)
{
	p2m_lock(&s);
	assert_true(p2m_split(&s, GFN(gfn)));
	flush_space(&s);
	p2m_unlock(&s);
}

static uint64_t harvest(void)
{
	uint64_t n;

	p2m_lock(&s);
	n = p2m_harvest(&s, GFN(0), GFN_LIMIT);
	flush_space(&s);
	p2m_unlock(&s);
	return n;
}

/* Page FIRST + i holds i + 1, in small leaves whose frames lie in one large frame. */
static void fill_in_place(void)
{
	assert_int_equal(mm_populate_large(&s, GFN(FIRST)), MM_OK);
	split(FIRST);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		guest_puts(&s, PAGE(FIRST + i), i + 1);
}

/* The same in frames of any order. */
static void fill_scattered(void)
{
	for (uint64_t i = LARGE_PAGES; i-- > 0;)
		guest_puts(&s, PAGE(FIRST + i), i + 1);
}

static void check_contents(void)
{
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		assert_int_equal(guest_sees(&s, PAGE(FIRST + i)), i + 1);
}

static mfn_t mfn_of(uint64_t gfn)
{
	return p2m_lookup(&s, GFN(gfn)).mfn;
}

static const struct pte_format *const formats[] = {
    &toy_format, &toy_format_no_dirty, &ept_format, &ept_format_no_ad, &npt_format,
};

/*
 * In place: the frames stay, the leaf is large and may do what the small ones might; one flush; the
 * table is back in the pool, and a later split finds it there.
 */
static void in_place(void **state)
{
	(void)state;
	for (unsigned f = 0; f < ARRAY_SIZE(formats); f++) {
		uint64_t generation, pool, free, allocs;
		struct p2m_view v;
		mfn_t first;

		start(formats[f], FRAMES, 0);
		fill_in_place();
		first = mfn_of(FIRST);
		pool = s.table_pool_pages;
		free = host_free_frames();
		generation = s.generation;
		allocs = host_allocs();
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		assert_int_equal(host_allocs(), allocs);
		assert_int_equal(s.generation, generation + 1);
		assert_int_equal(s.table_pool_pages, pool + 1);
		assert_int_equal(s.table_promised, 3); /* for all 512-page regions */
		assert_int_equal(host_free_frames(), free);
		assert_int_equal(s.stats.large_leaves, 1);
		assert_int_equal(s.stats.private_pages, LARGE_PAGES);
		v = p2m_lookup(&s, GFN(LAST));
		assert_true(v.large && v.access == (PTE_R | PTE_W | PTE_X));
		assert_int_equal(v.mfn.n, first.n + LARGE_PAGES - 1);
		check_contents();
		audit_passes();
		split(LAST);
		check_contents();
		stop(FRAMES);
	}
}

/* One page of the 512 has moved: its bytes are those of its new frame, not of the one in line. */
static void one_is_out_of_line(void **state)
{
	static const uint64_t moved[] = {0, 1, 2, 255, LARGE_PAGES - 1};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(moved); i++) {
		const gfn_t gfn = GFN(FIRST + moved[i]);
		mfn_t old;

		start(&toy_format, FRAMES, 0);
		fill_in_place();
		old = mfn_of(gfn.n);
		assert_int_equal(balloon_out(&s, &gfn, 1, 0), 1);
		for (uint64_t g = 0; frame_kind(frame_at(old)) == FRAME_FREE; g++)
			guest_puts(&s, PAGE(g), 1); /* until somebody else has its frame */
		assert_int_equal(balloon_in(&s, &gfn, 1, 0), 1);
		assert_true(mfn_of(gfn.n).n != old.n);
		guest_puts(&s, PAGE(gfn.n), moved[i] + 1);
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		check_contents();
		stop(FRAMES);
	}
}

/*
 * By copy: another frame, aligned; two flushes; as many frames are free as before, the
 * space holds as many, the old ones are scrubbed.
 */
static void by_copy(void **state)
{
	(void)state;
	for (unsigned f = 0; f < ARRAY_SIZE(formats); f++) {
		uint64_t generation, pool, free, flushes;
		mfn_t old;

		start(formats[f], FRAMES, 0);
		fill_scattered();
		old = mfn_of(FIRST + 7);
		pool = s.table_pool_pages;
		free = host_free_frames();
		generation = s.generation;
		flushes = mm_stats().flushes;
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		assert_int_equal(s.generation, generation + 2);
		assert_int_equal(mm_stats().flushes, flushes + 2);
		assert_int_equal(s.table_pool_pages, pool + 1);
		assert_int_equal(host_free_frames(), free);
		assert_int_equal(s.held, LARGE_PAGES);
		assert_int_equal(s.stats.private_pages, LARGE_PAGES);
		assert_int_equal(s.stats.large_leaves, 1);
		assert_true(p2m_lookup(&s, GFN(FIRST)).access == (PTE_R | PTE_W | PTE_X));
		assert_int_equal(mfn_of(FIRST).n % LARGE_PAGES, 0);
		assert_int_equal(frame_kind(frame_at(old)), FRAME_FREE);
		assert_int_equal(*(uint64_t *)env_frame(old), 0);
		check_contents();
		stop(FRAMES);
	}
}

/* Two frames in each other's place are not in order: that takes a copy. */
static void in_order_to_the_last(void **state)
{
	const gfn_t g[] = {GFN(LAST - 1), GFN(LAST)}, back[] = {GFN(LAST), GFN(LAST - 1)};
	mfn_t first;

	(void)state;
	start(&toy_format, FRAMES, 0);
	fill_in_place();
	first = mfn_of(FIRST);
	assert_int_equal(balloon_out(&s, g, 2, 0), 2);
	assert_int_equal(balloon_in(&s, back, 2, 0), 2);
	assert_int_not_equal(mfn_of(LAST).n, first.n + LARGE_PAGES - 1);
	guest_puts(&s, PAGE(LAST - 1), LARGE_PAGES - 1);
	guest_puts(&s, PAGE(LAST), LARGE_PAGES);
	assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
	assert_int_not_equal(mfn_of(FIRST).n, first.n);
	check_contents();
	stop(FRAMES);
}

/* A write to any of the 512 pages before is in the one D bit after; none is, if there was none. */
static void dirty_bits_survive(void **state)
{
	static const uint64_t at[] = {FIRST, FIRST + 300, LAST};

	(void)state;
	for (unsigned i = 0; i <= ARRAY_SIZE(at); i++) {
		uint64_t *e;

		start(&toy_format, FRAMES, 0);
		fill_in_place();
		assert_int_equal(harvest(), LARGE_PAGES);
		for (unsigned n = 0; n < LARGE_PAGES; n++)
			frame_clear_flag(frame_at(mfn_of(FIRST + n)), FRAME_STALE);
		if (i < ARRAY_SIZE(at))
			guest_puts(&s, PAGE(at[i]) + 8, 77);
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		e = entry_of(FIRST);
		assert_int_equal(!!(*e & toy_format.dirty_mask), i < ARRAY_SIZE(at));
		assert_true(*e & toy_format.accessed_mask);
		assert_int_equal(harvest(), i < ARRAY_SIZE(at));
		for (unsigned n = 0; n < LARGE_PAGES; n++)
			assert_int_equal(frame_flag(frame_at(mfn_of(FIRST + n)), FRAME_STALE),
			                 i < ARRAY_SIZE(at));
		stop(FRAMES);
	}
}

/* What CPUs never accessed is not accessed after. */
static void accessed_bits_survive(void **state)
{
	(void)state;
	for (unsigned touched = 0; touched < 2; touched++) {
		uint64_t *leaf;

		start(&toy_format, FRAMES, 0);
		fill_scattered();
		leaf = entry_of(FIRST);
		for (unsigned i = 0; i < LARGE_PAGES; i++)
			leaf[i] &= ~(toy_format.accessed_mask | toy_format.dirty_mask);
		*p2m_find_over(&s, GFN(FIRST)) &= ~toy_format.accessed_mask;
		leaf[200] |= touched ? toy_format.accessed_mask : 0;
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		assert_int_equal(!!(*entry_of(FIRST) & toy_format.accessed_mask), touched);
		stop(FRAMES);
	}
}

static struct {
	uint64_t *leaf, *e, pool, free;
	mfn_t old;
	unsigned kicks;
	bool copy;
} late;

/* A CPU is told to flush: until now it may have used what it remembered of the old table. */
static void on_kick(unsigned cpu)
{
	late.leaf[44] |= mm.format->dirty_mask;
	assert_int_equal(s.table_pool_pages, late.pool);
	assert_int_equal(host_free_frames(), late.free);
	assert_int_equal(frame_kind(frame_at(late.old)), FRAME_PRIVATE);
	assert_false(late.copy && mm.format->access(*late.e) & PTE_W && late.kicks);
	late.kicks++;
	guest_kicked(cpu);
}

/* Another CPU comes to read the old frames, so that the second flush has somebody to wait for. */
static void come_in(enum env_point p)
{
	uint64_t seen;

	if (p == POINT_LARGE_COPIED)
		assert_int_equal(guest_read(1, &s, PAGE(FIRST), &seen), VERDICT_RESUME);
}

static void watch_kicks(void)
{
	late.leaf = entry_of(FIRST);
	late.old = mfn_of(FIRST);
	late.pool = s.table_pool_pages;
	late.free = host_free_frames();
	late.kicks = 0;
	host_on_kick = on_kick;
}

/* A dirty bit that a CPU sets in the old leaf just before it flushes counts; and until then neither
 * the table nor a frame is given back. */
static void the_last_moment_counts(void **state)
{
	(void)state;
	for (unsigned copy = 0; copy < 2; copy++) {
		start(&toy_format, FRAMES, 0);
		copy ? fill_scattered() : fill_in_place();
		(void)harvest();
		(void)guest_sees(&s, PAGE(FIRST)); /* CPU 0 is in guest mode */
		watch_kicks();
		late.free -= copy ? LARGE_PAGES : 0;
		late.copy = copy;
		late.e = p2m_find_over(&s, GFN(FIRST));
		host_on_point = come_in;
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		host_on_kick = guest_kicked;
		assert_int_equal(late.kicks, copy ? 2 : 1);
		assert_false(guest_inside(0, &s));
		if (!copy)
			assert_true(*entry_of(FIRST) & toy_format.dirty_mask);
		stop(FRAMES);
	}
}

static unsigned struck;

/*
 * CPU 0 has the last page writable in its TLB, CPU 1 reads it at each step. The p2m
 * lock is held: nobody may fault.
 */
static void strike(enum env_point p)
{
	uint64_t seen = 0;

	if (p < POINT_LARGE_PROTECTED || p > POINT_LARGE_SWITCHED)
		return;
	if (guest_write_cached(0, &s, PAGE(LAST) + 8, 100 + p)) {
		struck++;
		assert_int_equal(p, POINT_LARGE_PROTECTED); /* not flushed yet */
	}
	assert_int_equal(guest_read(1, &s, PAGE(LAST) + 8, &seen), VERDICT_RESUME);
	assert_int_equal(seen, 100 + POINT_LARGE_PROTECTED);
	if (p == POINT_LARGE_SWITCHED) /* CPU 2 is new here, CPU 1 reads the old frame */
		assert_int_equal(guest_read(2, &s, PAGE(LAST) + 8, &seen), VERDICT_RESUME);
	assert_int_equal(seen, 100 + POINT_LARGE_PROTECTED);
	assert_false(mm.format->access(*p2m_find(&s, GFN(LAST)).entry) & PTE_W);
}

/* A write through a translation that a CPU still has comes before the copy, or not at all; and
 * while two frames hold the page, nobody can write to either. */
static void writers_strike(void **state)
{
	(void)state;
	for (unsigned f = 0; f < ARRAY_SIZE(formats); f++) {
		struck = 0;
		start(formats[f], FRAMES, 0);
		fill_scattered();
		guest_puts(&s, PAGE(LAST), LARGE_PAGES); /* the last one: it stays in the TLB */
		host_on_point = strike;
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		host_on_point = NULL;
		assert_int_equal(struck, 1);
		for (unsigned cpu = 0; cpu < 3; cpu++) {
			uint64_t seen = 0;

			assert_int_equal(guest_read(cpu, &s, PAGE(LAST) + 8, &seen),
			                 VERDICT_RESUME);
			assert_int_equal(seen, 100 + POINT_LARGE_PROTECTED);
		}
		check_contents();
		stop(FRAMES);
	}
}

static void settle_all_hints(void)
{
	scan_settle();
	assert_int_equal(mm_stats().pages_unshared, LARGE_PAGES);
}

/* What the scanner knows stays true: no page is read again, and each is found by its twin. */
static void hints_move_along(void **state)
{
	(void)state;
	for (unsigned copy = 0; copy < 2; copy++) {
		uint64_t read;

		start(&toy_format, FRAMES, 0);
		copy ? fill_scattered() : fill_in_place();
		settle_all_hints();
		read = mm_stats().bytes_read;
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		assert_int_equal(mm_stats().pages_unshared, LARGE_PAGES);
		scan_settle();
		assert_int_equal(mm_stats().bytes_read, read);
		audit_passes();
		guest_puts(&s, PAGE(0), 5); /* as page FIRST + 4 */
		scan_settle();
		assert_int_equal(mm_stats().pages_saved, 1);
		check_contents();
		stop(FRAMES);
	}
}

/* A page written since it was fingerprinted is no hint after, and is read again. */
static void a_stale_hint_stays_behind(void **state)
{
	(void)state;
	start(&toy_format, FRAMES, 0);
	fill_scattered();
	settle_all_hints();
	guest_puts(&s, PAGE(FIRST + 9), 4711);
	assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
	assert_int_equal(mm_stats().pages_unshared, LARGE_PAGES - 1);
	assert_true(frame_flag(frame_at(mfn_of(FIRST + 9)), FRAME_STALE));
	assert_false(frame_flag(frame_at(mfn_of(FIRST + 8)), FRAME_STALE));
	guest_puts(&s, PAGE(0), 4711);
	scan_settle();
	assert_int_equal(mm_stats().pages_saved, 1);
	stop(FRAMES);
}

/* A page of guest page tables stays one: the copy carries the flag and its age. */
static void guest_tables_move_along(void **state)
{
	struct frame *f;

	(void)state;
	start(&toy_format, FRAMES, 0);
	fill_scattered();
	f = frame_at(mfn_of(FIRST + 3));
	frame_set_flag(f, FRAME_GUEST_TABLE);
	frame_set_age(f, 6);
	assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
	f = frame_at(mfn_of(FIRST + 3));
	assert_true(frame_flag(f, FRAME_GUEST_TABLE));
	assert_int_equal(frame_age(f), 6);
	assert_false(frame_flag(frame_at(mfn_of(FIRST + 4)), FRAME_GUEST_TABLE));
	check_contents();
	stop(FRAMES);
}

static void refused(enum mm_status why, uint64_t first)
{
	uint64_t generation = s.generation, free = host_free_frames();
	struct space_stats before = s.stats;

	assert_int_equal(mm_coalesce(&s, GFN(first)), why);
	assert_int_equal(s.generation, generation);
	assert_int_equal(host_free_frames(), free);
	assert_memory_equal(&before, &s.stats, sizeof(before));
}

/* All 512 must be private pages that may be written, none pinned; a change of one forbids it. */
static void who_may_not(void **state)
{
	gfn_t one = GFN(FIRST + 5);
	void *page;

	(void)state;
	start(&toy_format, FRAMES, 0);
	refused(MM_INVAL, FIRST); /* no table yet */
	fill_scattered();
	refused(MM_INVAL, FIRST + 1);
	refused(MM_INVAL, GFN_LIMIT);
	refused(MM_INVAL, 2 * LARGE_PAGES);

	assert_int_equal(mm_pin(&s, one, &page), MM_OK);
	refused(MM_PINNED, FIRST);
	mm_unpin(&s, one);

	assert_int_equal(balloon_out(&s, &one, 1, 0), 1);
	refused(MM_INVAL, FIRST);
	assert_int_equal(balloon_in(&s, &one, 1, 0), 1);
	guest_puts(&s, PAGE(one.n), 6);

	p2m_lock(&s); /* as in the middle of a merge */
	assert_true(p2m_protect(&s, one));
	p2m_unlock(&s);
	refused(MM_INVAL, FIRST);
	p2m_lock(&s);
	p2m_unprotect(&s, one);
	p2m_unlock(&s);

	guest_puts(&s, PAGE(0), 20); /* as page FIRST + 19 */
	scan_settle();
	refused(MM_INVAL, FIRST); /* one is shared */
	guest_puts(&s, PAGE(FIRST + 19), 20);
	guest_puts(&s, PAGE(0), 0);
	assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
	refused(MM_INVAL, FIRST); /* it is large */
	assert_int_equal(guest_sees(&s, PAGE(FIRST + 19)), 20);
	stop(FRAMES);
}

/* Outside of promised RAM no table is set aside for a later split: no large leaf there. */
static void only_in_promised_ram(void **state)
{
	struct space_config c = {
	    .domid = 1, .share_group = 7, .memory_pages = 10, .max_pages = 3 * LARGE_PAGES};
	gfn_t g[LARGE_PAGES];

	(void)state;
	host_start(&(struct host_config){.frames = FRAMES, .cpus = 3});
	assert_int_equal(space_create(&s, &c), MM_OK);
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		g[i] = GFN(FIRST + i);
	assert_int_equal(balloon_in(&s, g, LARGE_PAGES, 0), LARGE_PAGES);
	refused(MM_INVAL, FIRST);
	stop(FRAMES);
}

/*
 * A copy takes from nobody: not what the reserve keeps for breaks, not what another
 * domain was promised, not even what this one was; in place it needs nothing.
 */
static void a_copy_takes_from_nobody(void **state)
{
	struct space other;
	uint64_t free;

	(void)state;
	start(&toy_format, 1500, 0);
	fill_scattered();
	free = host_free_frames();
	assert_true(free >= LARGE_PAGES && free < 2 * LARGE_PAGES);
	assert_int_equal(fund_set_min(&s, LARGE_PAGES + (free - LARGE_PAGES + 1)), MM_OK);
	refused(MM_NOMEM, FIRST); /* its own promise, of which it holds 512 */
	assert_int_equal(fund_set_min(&s, 0), MM_OK);
	make_space_of(&other, 2, LARGE_PAGES, free - LARGE_PAGES);
	refused(MM_NOMEM, FIRST); /* another's */
	destroy_space(&other);
	host_fail_alloc(1);
	refused(MM_NOMEM, FIRST);
	assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
	stop(1500);

	start(&toy_format, 2000, 1000); /* enough is free, but most of it reserved */
	fill_scattered();
	assert_true(host_free_frames() >= 1000 + 10 && host_free_frames() < 1000 + LARGE_PAGES);
	refused(MM_NOMEM, FIRST);
	assert_int_equal(balloon_out(&s, &(gfn_t){FIRST}, 1, 0), 1);
	stop(2000);
}

/* Where large leaves may not be executed, one that is made anew may not, and a fetch splits it. */
static void not_executable(void **state)
{
	(void)state;
	start(&ept_format, FRAMES, 0);
	mm_set_large_nx(true);
	for (unsigned copy = 0; copy < 2; copy++) {
		if (!copy)
			fill_in_place();
		else
			guest_puts(&s, PAGE(FIRST), 1);
		assert_int_equal(mm_coalesce(&s, GFN(FIRST)), MM_OK);
		assert_true(p2m_lookup(&s, GFN(FIRST)).access == (PTE_R | PTE_W));
		assert_int_equal(mm_fault(&s, GFN(FIRST + 1), FAULT_EXEC), VERDICT_RESUME);
		assert_false(p2m_lookup(&s, GFN(FIRST)).large);
		assert_true(p2m_lookup(&s, GFN(FIRST + 1)).access & PTE_X);
		check_contents();
	}
	stop(FRAMES);
}

#define T(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(in_place),
	    T(one_is_out_of_line),
	    T(by_copy),
	    T(in_order_to_the_last),
	    T(dirty_bits_survive),
	    T(accessed_bits_survive),
	    T(the_last_moment_counts),
	    T(writers_strike),
	    T(hints_move_along),
	    T(a_stale_hint_stays_behind),
	    T(guest_tables_move_along),
	    T(who_may_not),
	    T(only_in_promised_ram),
	    T(a_copy_takes_from_nobody),
	    T(not_executable),
	};

	return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
