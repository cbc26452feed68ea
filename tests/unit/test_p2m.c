/* SPDX-License-Identifier: MIT */
/*
 * The p2m tree (mm/p2m.c, p2m_table.c, p2m_share.c). This program has its own
 * p2m_entry.c, which records every write to an entry.
 */
#include "tests/unit/mm_test.h"

/* ---- the recorder ---- */

#define RECORD_MAX 2048

static struct {
	uint64_t *entry, old, value;
} record[RECORD_MAX];
static unsigned recorded;
static bool recording;
static uint64_t set_by_cpu; /* bits that "the CPU" sets just before the next exchange */

static void record_write(uint64_t *e, uint64_t old, uint64_t value)
{
	if (!recording)
		return;
	assert_true(recorded < RECORD_MAX);
	record[recorded].entry = e;
	record[recorded].old = old;
	record[recorded++].value = value;
}

void p2m_entry_set(uint64_t *e, uint64_t value)
{
	record_write(e, *e, value);
	*e = value;
}

uint64_t p2m_entry_exchange(uint64_t *e, uint64_t value)
{
	uint64_t old = *e;

	record_write(e, old, value);
	*e = value;
	return old;
}

bool p2m_entry_cas(uint64_t *e, uint64_t *expected, uint64_t value)
{
	*e |= set_by_cpu;
	set_by_cpu = 0;
	if (*e != *expected) {
		*expected = *e;
		return false;
	}
	record_write(e, *e, value);
	*e = value;
	return true;
}

static struct space s;

static int setup(void **state)
{
	(void)state;
	host_start(&(struct host_config){.frames = 8192, .cpus = 1});
	make_space(&s, 1, 3 * LARGE_PAGES);
	recorded = 0;
	recording = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	recording = false;
	audit_passes();
	destroy_space(&s);
	assert_int_equal(host_free_frames(), 8192 - 3);
	host_stop();
	return 0;
}

static uint64_t *entry_of(gfn_t g)
{
	struct p2m_slot p;

	p2m_lock(&s);
	p = p2m_find(&s, g);
	p2m_unlock(&s);
	return p.entry;
}

/* Looking changes nothing: no table appears, no entry is written. */
static void looking_changes_nothing(void **state)
{
	uint64_t pool = s.table_pool_pages;

	(void)state;
	recording = true;
	assert_int_equal(p2m_lookup(&s, GFN(0)).type, P2M_UNTOUCHED);
	assert_int_equal(p2m_lookup(&s, GFN(3 * LARGE_PAGES)).type, P2M_NONE);
	assert_int_equal(p2m_lookup(&s, GFN(GFN_LIMIT)).type, P2M_NONE);
	assert_int_equal(p2m_lookup(&s, GFN(GFN_LIMIT - 1)).type, P2M_NONE);
	assert_int_equal(p2m_next(&s, GFN(0)).n, GFN_LIMIT);
	assert_int_equal(recorded, 0);
	assert_int_equal(s.table_pool_pages, pool);
}

/* p2m_next finds exactly the entries that are there. */
static void next_finds_all(void **state)
{
	static const uint64_t at[] = {0, 1, 511, 512, 1024, 1535};
	gfn_t g = GFN(0);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		guest_puts(&s, PAGE(at[i]), 1);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		g = p2m_next(&s, g);
		assert_int_equal(g.n, at[i]);
		g.n++;
	}
	assert_int_equal(p2m_next(&s, g).n, GFN_LIMIT);
}

/* A large leaf gives 512 zeroed pages; a read and a write anywhere in it go to one frame each. */
static void large_leaf(void **state)
{
	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(LARGE_PAGES)), MM_OK);
	assert_int_equal(mm_populate_large(&s, GFN(LARGE_PAGES)), MM_INVAL);
	assert_int_equal(mm_populate_large(&s, GFN(5)), MM_INVAL);
	assert_true(p2m_lookup(&s, GFN(700)).large);
	assert_int_equal(guest_sees(&s, PAGE(700)), 0);
	guest_puts(&s, PAGE(700), 9);
	assert_int_equal(guest_sees(&s, PAGE(700)), 9);
	assert_int_equal(s.stats.large_leaves, 1);
	assert_int_equal(s.stats.private_pages, LARGE_PAGES);
}

/* A split is one write to the tree; accessed and dirty bits go to all 512 children, also
 * those that the CPU sets at the last moment; every dirty child is stale; rights and
 * frames stay. */
static void split_carries_dirty_bits(void **state)
{
	mfn_t first;
	uint64_t *e;

	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(0)), MM_OK);
	first = p2m_lookup(&s, GFN(0)).mfn;
	for (unsigned i = 0; i < LARGE_PAGES; i++)
		frame_clear_flag(frame_at(MFN(first.n + i)), FRAME_STALE);
	recording = true;
	set_by_cpu = toy_format.dirty_mask | toy_format.accessed_mask;
	p2m_lock(&s);
	assert_true(p2m_split(&s, GFN(17)));
	assert_false(p2m_split(&s, GFN(17)));
	flush_space(&s);
	p2m_unlock(&s);
	recording = false;
	assert_int_equal(recorded, 1);
	e = entry_of(GFN(0));
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		assert_true(e[i] & toy_format.dirty_mask);
		assert_true(e[i] & toy_format.accessed_mask);
		assert_true(toy_format.access(e[i]) == (PTE_R | PTE_W | PTE_X));
		assert_int_equal(toy_format.frame(e[i], 1).n, first.n + i);
		assert_true(frame_flag(frame_at(MFN(first.n + i)), FRAME_STALE));
	}
	assert_int_equal(s.stats.large_leaves, 0);
}

/* Harvest: clears D, marks stale, counts; once more finds nothing; small and large. */
static void harvest(void **state)
{
	mfn_t small, large;

	(void)state;
	assert_int_equal(mm_populate_large(&s, GFN(LARGE_PAGES)), MM_OK);
	guest_puts(&s, PAGE(3), 1);
	guest_puts(&s, PAGE(600), 1);
	small = p2m_lookup(&s, GFN(3)).mfn;
	large = p2m_lookup(&s, GFN(LARGE_PAGES)).mfn;
	frame_clear_flag(frame_at(small), FRAME_STALE);
	frame_clear_flag(frame_at(large), FRAME_STALE);
	p2m_lock(&s);
	assert_int_equal(p2m_harvest(&s, GFN(4), 100), 0);
	assert_int_equal(p2m_harvest(&s, GFN(0), GFN_LIMIT), 2);
	flush_space(&s);
	assert_true(frame_flag(frame_at(small), FRAME_STALE));
	assert_true(frame_flag(frame_at(large), FRAME_STALE));
	assert_int_equal(p2m_harvest(&s, GFN(0), GFN_LIMIT), 0);
	p2m_unlock(&s);
	guest_puts(&s, PAGE(3), 2); /* flushed, so the CPU sets D again */
	p2m_lock(&s);
	assert_int_equal(p2m_harvest(&s, GFN(0), 600), 1);
	flush_space(&s);
	p2m_unlock(&s);
}

/* Protecting harvests too: a page that was dirty is stale, even if D comes at the last moment. */
static void protect_keeps_dirt(void **state)
{
	mfn_t m;

	(void)state;
	assert_int_equal(mm_write(&s, PAGE(3), "x", 1), MM_OK);
	m = p2m_lookup(&s, GFN(3)).mfn;
	frame_clear_flag(frame_at(m), FRAME_STALE);
	p2m_lock(&s);
	set_by_cpu = toy_format.dirty_mask;
	assert_true(p2m_protect(&s, GFN(3)));
	assert_true(frame_flag(frame_at(m), FRAME_STALE));
	assert_true(p2m_protect(&s, GFN(3)));
	flush_space(&s);
	p2m_unlock(&s);
	assert_false(p2m_lookup(&s, GFN(3)).access & PTE_W);
}

/* What a walk from the root says about gfn when only the first `upto` recorded writes are made. */
static uint64_t *seen_at_prefix(gfn_t g, unsigned upto, uint64_t *leaf)
{
	struct p2m_slot p;

	for (unsigned i = recorded; i-- > upto;)
		*record[i].entry = record[i].old;
	p2m_lock(&s);
	p = p2m_find(&s, g);
	p2m_unlock(&s);
	*leaf = p.entry ? *p.entry : 0;
	for (unsigned i = upto; i < recorded; i++)
		*record[i].entry = record[i].value;
	return p.entry;
}

/* After every prefix of the writes, each of these guest frames is mapped as before or as after. */
static void check_prefixes(const gfn_t *g, unsigned n)
{
	assert_true(recorded > 0);
	for (unsigned k = 0; k < n; k++) {
		uint64_t before, after, now;

		(void)seen_at_prefix(g[k], 0, &before);
		(void)seen_at_prefix(g[k], recorded, &after);
		for (unsigned i = 0; i <= recorded; i++) {
			(void)seen_at_prefix(g[k], i, &now);
			if (now != before && now != after) /* a large leaf and its child agree */
				assert_int_equal(toy_format.frame(now, 1).n,
				                 toy_format.frame(after, 1).n);
		}
	}
}

static void every_prefix_is_old_or_new(void **state)
{
	const gfn_t g[] = {GFN(0), GFN(1), GFN(511), GFN(512), GFN(513), GFN(1023), GFN(1024)};
	gfn_t one = GFN(513);

	(void)state;
	recording = true;
	guest_puts(&s, PAGE(1), 5); /* makes three tables and a leaf */
	assert_int_equal(recorded, 4);
	check_prefixes(g, ARRAY_SIZE(g));

	recorded = 0;
	recording = false;
	assert_int_equal(mm_populate_large(&s, GFN(512)), MM_OK);
	recording = true;
	assert_int_equal(balloon_out(&s, &one, 1, 0), 1); /* splits, then makes a hole */
	assert_int_equal(recorded, 2);
	recording = false;
	{
		/* All but gfn 513 keep their frame at every prefix. */
		const gfn_t rest[] = {GFN(512), GFN(514), GFN(1023)};

		for (unsigned k = 0; k < ARRAY_SIZE(rest); k++)
			for (unsigned i = 1; i <= recorded; i++) {
				uint64_t leaf;

				(void)seen_at_prefix(rest[k], i, &leaf);
				assert_int_equal(toy_format.frame(leaf, 1).n,
				                 p2m_lookup(&s, rest[k]).mfn.n);
			}
	}
}

/* Mappings outside of promised RAM cannot use up the tables that it may need. */
static void tables_of_promised_ram_are_set_aside(void **state)
{
	mfn_t m = frame_alloc(0, FRAME_SERVICE, 1);
	unsigned mapped = 0;

	(void)state;
	for (uint64_t g = GFN(1 << 22).n; mapped < 100; g += 1 << 20, mapped++) {
		enum mm_status st = mm_map_service(&s, GFN(g), m);

		if (st == MM_LIMIT)
			break;
		assert_int_equal(st, MM_OK);
	}
	assert_true(mapped > 0 && mapped < 100);
	audit_passes();
	for (unsigned i = 0; i < 3; i++)
		guest_puts(&s, PAGE(i * LARGE_PAGES), 1);
	assert_int_equal(s.table_promised, 0);
	audit_passes();
	while (p2m_next(&s, GFN(1 << 22)).n < GFN_LIMIT) {
		gfn_t g = p2m_next(&s, GFN(1 << 22));

		if (p2m_lookup(&s, g).type != P2M_FOREIGN)
			break;
		assert_int_equal(mm_unmap_service(&s, g), MM_OK);
	}
	destroy_space(&s);
	frame_free(m, 0);
	make_space(&s, 1, 10);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(looking_changes_nothing),
	    T(next_finds_all),
	    T(large_leaf),
	    T(split_carries_dirty_bits),
	    T(harvest),
	    T(protect_keeps_dirt),
	    T(every_prefix_is_old_or_new),
	    T(tables_of_promised_ram_are_set_aside),
	};

	return cmocka_run_group_tests_name("p2m", tests, NULL, NULL);
}
