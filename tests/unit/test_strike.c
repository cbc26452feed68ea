/* SPDX-License-Identifier: MIT */
/*
 * Somebody strikes between the steps of a merge, a break or a large copy: at every point that
 * mm/env.h names, on the page itself, on its partner, on a page that shares the frame already,
 * on one beside it; at its first word or its last; the first time that the point comes by,
 * and the second; by a guest's write or read, by the hypervisor's write, by a pin, or by giving the
 * page back. Where a p2m lock is held at the point, only what a CPU can do without a fault.
 *
 * Afterwards each page holds what was last written to it, on every CPU; the audit
 * passes; and all that is equal in the end is shared in the end.
 */
#include <stdio.h>
#include "arch/x86_64/vmx/vmx.h"
#include "mm/merge_large.h"
#include "mm/sample.h"
#include "mm/scan.h"
#include "tests/host/oracle.h"
#include "tests/unit/mm_test.h"

#define GUESTS 2u
#define PAGES  (2 * LARGE_PAGES)
#define USED   6u /* pages of each guest: see build() */
#define WORDS  (PAGE_SIZE / 8)
#define STRUCK UINT64_C(0xbeef)

/* What the pages of a guest are for. */
enum { PAIR, TRIPLE, ZERO, ONES, BESIDE, BROKEN };

static struct space guest[GUESTS];
static uint64_t word_of[GUESTS][USED]; /* each page: this word all over ... */
static struct {
	unsigned s, page, word; /* ... but for one */
	uint64_t value;
	bool hole;
} struck;

static struct {
	enum env_point point;
	unsigned nth, seen;
	unsigned s, page, word;
	enum how { CACHED, WRITE, READ, HYPERVISOR, PIN, BALLOON, HOWS } how;
	bool done, pinned;
} plan;

static const char *const how_names[] = {"cached write", "write", "read",
                                        "hypervisor",   "pin",   "balloon"};

static uint64_t expected(unsigned s, unsigned page, unsigned word)
{
	if (struck.s == s && struck.page == page && struck.word == word)
		return struck.value;
	return word_of[s][page];
}

static void note(uint64_t value)
{
	struck.s = plan.s;
	struck.page = plan.page;
	struck.word = plan.word;
	struck.value = value;
}

static bool unlocked(enum env_point p)
{
	return p == POINT_MERGE_PROTECTED || p == POINT_MERGE_FLUSHED ||
	       p == POINT_MERGE_SWITCHED || p == POINT_SCAN_READ;
}

/* Returns whether it could be done. */
static bool strike_now(enum env_point p)
{
	struct space *s = &guest[plan.s];
	uint64_t gpa = PAGE(plan.page) + plan.word * 8, value = STRUCK + p, seen = 0;
	void *at;

	if (plan.how != CACHED && !unlocked(p))
		return false;
	switch (plan.how) {
	case CACHED:
		if (!guest_write_cached(plan.s, s, gpa, value))
			return false;
		note(value);
		return true;
	case WRITE:
		assert_int_equal(guest_write(plan.s, s, gpa, value), VERDICT_RESUME);
		note(value);
		return true;
	case READ:
		assert_int_equal(guest_read(plan.s, s, gpa, &seen), VERDICT_RESUME);
		assert_int_equal(seen, expected(plan.s, plan.page, plan.word));
		return true;
	case HYPERVISOR:
		assert_int_equal(mm_write(s, gpa, &value, sizeof(value)), MM_OK);
		note(value);
		return true;
	case PIN:
		assert_int_equal(mm_pin(s, GFN(plan.page), &at), MM_OK);
		plan.pinned = true;
		((uint64_t *)at)[plan.word] = value;
		note(value);
		return true;
	default:
		assert_int_equal(balloon_out(s, &(gfn_t){plan.page}, 1, 0), 1);
		note(0);
		struck.hole = true;
		return true;
	}
}

static void on_point(enum env_point p)
{
	if (p == plan.point && ++plan.seen == plan.nth)
		plan.done = strike_now(p);
}

/* ---- the world ---- */

static void fill(unsigned s, unsigned page, uint64_t word)
{
	uint64_t words[WORDS];

	for (unsigned i = 0; i < WORDS; i++)
		words[i] = word;
	assert_int_equal(mm_write(&guest[s], PAGE(page), words, PAGE_SIZE), MM_OK);
	word_of[s][page] = word;
}

/*
 * By which page tables, and whether dirty flags were lost: then CPUs may write without a sign until
 * they are flushed, which must cost savings at most (mm/dirty.c). By a log, as with flags
 * the accessed bits are flushed before the merge.
 */
static const struct way {
	const struct pte_format *format;
	bool lost_flags;
} ways[] = {
    {&toy_format,          false},
    {&toy_format_no_dirty, false},
    {&toy_format,          true }
};

/* A pair that will merge, a third page for a frame that is shared already, constants, a page
 * on its own, and one that is shared and will be broken. */
static void build(const struct way *way, uint64_t frames)
{
	host_start(&(struct host_config){.frames = frames,
	                                 .cpus = GUESTS,
	                                 .reserve = 4,
	                                 .format = way->format,
	                                 .log = way->lost_flags});
	host_seed(plan.nth + plan.page);
	for (unsigned s = 0; s < GUESTS; s++)
		make_space(&guest[s], (domid_t)(s + 1), PAGES);
	struck.s = GUESTS;
	struck.hole = false;
	for (unsigned s = 0; s < GUESTS; s++) {
		fill(s, BROKEN, 44);
		fill(s, TRIPLE, 33);
		fill(s, BESIDE, 100 + s);
	}
	scan_settle();
	for (unsigned s = 0; s < GUESTS; s++) {
		fill(s, PAIR, 22);
		fill(s, ZERO, 0);
		fill(s, ONES, ~UINT64_C(0));
	}
	fill(0, TRIPLE, 34); /* leaves the frame to guest 1, and comes back to it */
	fill(0, TRIPLE, 33);
	guest_loses_flags = way->lost_flags;
	for (unsigned s = 0; s < GUESTS; s++) /* each CPU has translations of its guest's pages */
		for (unsigned page = 0; page < USED; page++) {
			uint64_t v = 0;

			assert_int_equal(guest_read(s, &guest[s], PAGE(page), &v), VERDICT_RESUME);
		}
	guest_loses_flags = false;
}

static void merge(void)
{
	scan_settle();
}

static void break_one(void)
{
	fill(0, BROKEN, 45);
}

/* All small again, and each frame of guest 0 somewhere else. */
static void make_large(void)
{
	for (unsigned i = LARGE_PAGES; i-- > USED;)
		guest_puts(&guest[0], PAGE(i), 5000 + i);
	for (unsigned i = 0; i < USED; i++) {
		uint64_t v = word_of[0][i];

		assert_int_equal(mm_write(&guest[0], PAGE(i), &v, sizeof(v)), MM_OK);
	}
	for (unsigned i = 0; i < USED; i++) /* in the TLB, writable */
		guest_puts(&guest[0], PAGE(i), word_of[0][i]);
	assert_int_equal(mm_coalesce(&guest[0], GFN(0)), MM_OK);
}

static void check_page(unsigned s, unsigned page)
{
	bool hole = struck.hole && struck.s == s && struck.page == page;

	for (unsigned cpu = 0; cpu < GUESTS; cpu++)
		for (unsigned i = 0; i < WORDS; i += i == 1 || i == WORDS - 2 ? 1 : 102) {
			uint64_t v = 0;
			enum mm_verdict r = guest_read(cpu, &guest[s], PAGE(page) + i * 8, &v);

			assert_int_equal(r, hole ? VERDICT_DEVICE : VERDICT_RESUME);
			if (!hole)
				assert_int_equal(v, expected(s, page, i));
		}
}

static void check_all(uint64_t frames)
{
	audit_passes();
	for (unsigned s = 0; s < GUESTS; s++)
		for (unsigned page = 0; page < USED; page++)
			check_page(s, page);
	oracle_check_settled();
	for (unsigned s = 0; s < GUESTS; s++)
		for (unsigned page = 0; page < USED; page++)
			check_page(s, page);
	if (plan.pinned)
		mm_unpin(&guest[plan.s], GFN(plan.page));
	for (unsigned s = 0; s < GUESTS; s++)
		destroy_space(&guest[s]);
	audit_passes();
	assert_int_equal(host_free_frames(), frames - 3);
	host_stop();
}

/* ---- the table ---- */

static const struct {
	enum env_point point;
	const char *name;
	void (*work)(void);
} points[] = {
    {POINT_MERGE_PROTECTED, "merge, protected", merge     },
    {POINT_MERGE_FLUSHED,   "merge, flushed",   merge     },
    {POINT_MERGE_COMPARED,  "merge, compared",  merge     },
    {POINT_MERGE_SWITCHED,  "merge, switched",  merge     },
    {POINT_SCAN_READ,       "scan, read",       merge     },
    {POINT_BREAK_COPIED,    "break, copied",    break_one },
    {POINT_BREAK_SWITCHED,  "break, switched",  break_one },
    {POINT_LARGE_PROTECTED, "large, protected", make_large},
    {POINT_LARGE_COPIED,    "large, copied",    make_large},
    {POINT_LARGE_SWITCHED,  "large, switched",  make_large},
};

static unsigned tried[ARRAY_SIZE(points)][HOWS], made[ARRAY_SIZE(points)][HOWS];

static void one(unsigned row, const struct way *way)
{
	uint64_t frames = points[row].work == make_large ? 1400 : 200;

	build(way, frames);
	plan.point = points[row].point;
	plan.seen = 0;
	plan.done = plan.pinned = false;
	host_on_point = on_point;
	points[row].work();
	host_on_point = NULL;
	tried[row][plan.how]++;
	made[row][plan.how] += plan.done && (plan.how != CACHED || plan.s == 0);
	check_all(frames);
}

static void all_of(unsigned row, const struct way *way)
{
	for (unsigned i = 0; i < HOWS * 2 * USED * GUESTS * 2; i++) {
		unsigned rest = i;

		plan.how = (enum how)(rest % HOWS);
		rest /= HOWS;
		plan.word = rest % 2 ? WORDS - 1 : 0;
		rest /= 2;
		plan.page = rest % USED;
		rest /= USED;
		plan.s = rest % GUESTS;
		plan.nth = 1 + rest / GUESTS;
		if (plan.how != CACHED && !unlocked(points[row].point))
			continue;
		one(row, way);
	}
}

static void everybody_strikes_everywhere(void **state)
{
	(void)state;
	for (unsigned row = 0; row < ARRAY_SIZE(points); row++) {
		for (unsigned w = 0; w < ARRAY_SIZE(ways); w++)
			all_of(row, &ways[w]);
		for (unsigned h = 0; h < HOWS; h++)
			if (tried[row][h])
				printf("# %s, %s: %u of %u could\n", points[row].name, how_names[h],
				       made[row][h], tried[row][h]);
		for (unsigned h = WRITE; h < HOWS; h++)
			assert_true(!unlocked(points[row].point) || made[row][h]);
	}
	/* A CPU of guest 0 that still has a writable translation can write before the first flush
	 * only. */
	assert_true(made[0][CACHED] > 0 && !made[1][CACHED] && !made[2][CACHED] &&
	            !made[3][CACHED]);
	assert_true(made[7][CACHED] > 0 && !made[8][CACHED] && !made[9][CACHED]);
}

/* ---- the sampler ---- */

/*
 * Without dirty flags the sampler (mm/sample.c) protects pages, too, without the scan lock, and for
 * a blind policy "protected" is all that says that nobody has written since the first flush. Behind
 * that flush the guest writes, which makes its page writable again, and stays in guest mode; then
 * another CPU samples the page, and gets no further than to its own flush until the merge is
 * over. If it holds the p2m lock there, the merge waits for it, so the kick is served; if not, the
 * guest may go on writing without a fault.
 */
static struct sampler sampler;
static bool sampled, raced, written;
static jmp_buf stopped; /* the sampler's CPU comes no further for now */

#define GUEST_CPU   0u
#define SAMPLER_CPU 2u
#define TEST_CPU    3u
#define SAMPLED     5u /* the page */

static void kick_or_stop(unsigned cpu)
{
	if (lock_held(LOCK_P2M + guest[0].domid))
		guest_kicked(cpu);
	else
		longjmp(stopped, 1);
}

static void sample_now(void)
{
	host_set_cpu(SAMPLER_CPU);
	host_on_kick = kick_or_stop;
	if (!setjmp(stopped))
		sample_period(&sampler, &guest[0], SAMPLE_MOST);
	host_on_kick = guest_kicked;
	host_set_cpu(TEST_CPU);
	sampled = sampler.n > 0;
}

static void sampler_strikes(enum env_point p)
{
	if (p == plan.point && !written) {
		written = true;
		guest_write(GUEST_CPU, &guest[0], PAGE(SAMPLED), 77);
		sample_now();
	} else if ((p == POINT_MERGE_COMPARED || p == POINT_WHOLE_COMPARED) && written && !raced) {
		raced = guest_write_cached(GUEST_CPU, &guest[0], PAGE(SAMPLED), STRUCK);
	}
}

/* Two guests with one page in common, or, on large leaves, all. */
static void build_equal(uint64_t pages, bool large)
{
	host_start(&(struct host_config){
	    .frames = 8192, .cpus = TEST_CPU, .format = &toy_format_no_dirty});
	host_seed(UINT64_C(0x9e3779b97f4a7c15));
	for (unsigned s = 0; s < GUESTS; s++) {
		make_space(&guest[s], (domid_t)(s + 1), pages);
		if (large)
			assert_int_equal(mm_populate_large(&guest[s], GFN(0)), MM_OK);
		for (uint64_t i = 0; i < pages; i++)
			guest_puts(&guest[s], PAGE(i),
			           i == SAMPLED ? 77 : 1000 + i + (large ? 0 : 100 * s));
		guest_leave_all();
	}
}

static void slices(void)
{
	for (unsigned i = 0; i < 8; i++)
		scan_slice(1000000);
}

/* What the end of a slice comes to, if all fingerprints are known. */
static void whole(void)
{
	mfn_t frames[GUESTS];

	for (unsigned s = 0; s < GUESTS; s++) {
		frames[s] = p2m_lookup(&guest[s], GFN(0)).mfn;
		for (uint64_t i = 0; i < LARGE_PAGES; i++) {
			mfn_t mfn = MFN(frames[s].n + i);

			frame_at(mfn)->fingerprint =
			    hash_fingerprint(env_frame(mfn), guest[s].share_group);
		}
	}
	lock_take(&mm.scan_lock, LOCK_SCAN);
	mm.blind = true;
	(void)!merge_large(&guest[0], GFN(0), frames[0],
	                   (struct merge_run){.frames = frames[1], .owner = 2, .first = GFN(0)});
	mm.blind = false;
	lock_drop(&mm.scan_lock, LOCK_SCAN);
}

static void sampled_behind_the_flush(enum env_point p, void (*work)(void))
{
	memset(&sampler, 0, sizeof(sampler));
	sampled = raced = written = false;
	plan.point = p;
	host_on_point = sampler_strikes;
	work();
	host_on_point = NULL;
	flush_space(&guest[0]); /* a sampler that was stopped would come to it now */
	guest_leave_all();
	assert_true(written && sampled);
	assert_int_equal(guest_sees(&guest[0], PAGE(SAMPLED)), raced ? STRUCK : 77);
	assert_int_equal(guest_sees(&guest[1], PAGE(SAMPLED)), 77);
	assert_false(raced); /* it was not in guest mode any more */
	assert_int_equal(mm_stats().pages_saved, p == POINT_WHOLE_FLUSHED ? LARGE_PAGES : 1);
	audit_passes();
	guest_leave_all();
	host_stop();
}

static void the_sampler_strikes(void **state)
{
	static const char *const blind[] = {"ksm", "esx", "xlh"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(blind); i++) {
		build_equal(32, false);
		assert_true(scan_set_policy(blind[i]));
		sampled_behind_the_flush(POINT_MERGE_FLUSHED, slices);
	}
	build_equal(LARGE_PAGES, true);
	sampled_behind_the_flush(POINT_WHOLE_FLUSHED, whole);
}

/* And whoever forgets it is told: a merge asks for the flush of what it finds protected. */
static void harvest_without_flush(enum env_point p)
{
	if (p != plan.point || written)
		return;
	written = true;
	guest_write(GUEST_CPU, &guest[0], PAGE(SAMPLED), 77);
	host_set_cpu(SAMPLER_CPU);
	p2m_lock(&guest[0]);
	(void)p2m_harvest(&guest[0], GFN(0), LARGE_PAGES);
	p2m_unlock(&guest[0]);
	host_set_cpu(TEST_CPU);
}

static void not_flushed(enum env_point p, void (*work)(void))
{
	written = false;
	plan.point = p;
	host_on_point = harvest_without_flush;
	assert_true(HOST_PANICS(work()));
	assert_true(written);
	guest_leave_all();
	host_stop();
}

static void a_harvest_that_is_not_flushed(void **state)
{
	(void)state;
	build_equal(32, false);
	assert_true(scan_set_policy("ksm"));
	not_flushed(POINT_MERGE_FLUSHED, slices);
	build_equal(LARGE_PAGES, true);
	not_flushed(POINT_WHOLE_FLUSHED, whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everybody_strikes_everywhere),
	    cmocka_unit_test(the_sampler_strikes),
	    cmocka_unit_test(a_harvest_that_is_not_flushed),
	};

	return cmocka_run_group_tests_name("strike", tests, NULL, NULL);
}
