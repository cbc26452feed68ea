/* SPDX-License-Identifier: MIT */
/*
 * The audit (mm/audit.c) finds each of these corruptions, and names the invariant; and
 * the statistics by walk (mm/stats.c). Each row breaks one thing in an otherwise right
 * state, looks, and puts it back: then the audit passes again, so that it repairs or breaks
 * nothing by itself.
 */
#include "mm/buddy.h"
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

static struct space a, b, c;
static mfn_t shared, private, service;

/* Pages 1 of a, 1 and 2 of b share a frame; page 3 of a is zero, page 4 ones, 5 a hole. */
static int setup(void **state)
{
	(void)state;
	host_start_small();
	make_space_of(&a, 1, 600, 20);
	make_space(&b, 2, 600);
	make_space(&c, 3, 600);
	guest_puts(&a, PAGE(1), 5);
	guest_puts(&b, PAGE(1), 5);
	guest_puts(&b, PAGE(2), 5);
	merge_pages(&a, GFN(1), &b, GFN(1));
	merge_pages(&a, GFN(1), &b, GFN(2));
	guest_puts(&a, PAGE(3), 0);
	merge_constant(&a, GFN(3), zero_frame());
	guest_puts(&a, PAGE(4), 1);
	for (unsigned i = 0; i < PAGE_SIZE; i += 8)
		guest_puts(&a, PAGE(4) + i, UINT64_MAX);
	merge_constant(&a, GFN(4), ones_frame());
	assert_int_equal(balloon_out(&a, &GFN(5), 1, 0), 1);
	guest_puts(&a, PAGE(6), 6);
	guest_puts(&b, PAGE(7), 7);
	guest_sees(&a, PAGE(8));
	service = frame_alloc(0, FRAME_SERVICE, 1);
	assert_int_equal(mm_map_service(&a, GFN(9), service), MM_OK);
	guest_leave_all();
	shared = p2m_lookup(&a, GFN(1)).mfn;
	private = p2m_lookup(&a, GFN(6)).mfn;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	destroy_space(&a);
	destroy_space(&b);
	destroy_space(&c);
	frame_free(service, 0);
	audit_passes();
	host_stop();
	return 0;
}

static void found(const char *invariant)
{
	struct audit_report r = mm_audit();

	assert_true(r.failures > 0);
	assert_memory_equal(r.first, invariant, strlen(invariant));
}

static uint64_t *entry(struct space *s, uint64_t g)
{
	uint64_t *e;

	p2m_lock(s);
	e = p2m_find(s, GFN(g)).entry;
	p2m_unlock(s);
	assert_non_null(e);
	return e;
}

/* Break `place` for the length of one audit. */
#define SEED(place, wrong, invariant)                                                              \
	do {                                                                                       \
		__typeof__(place) right_ = place;                                                  \
		audit_passes();                                                                    \
		place = (wrong);                                                                   \
		found(invariant);                                                                  \
		place = right_;                                                                    \
		audit_passes();                                                                    \
	} while (0)

static uint64_t leaf_of(mfn_t m, unsigned access, unsigned sw)
{
	return toy_format.leaf(m, 1, access, sw);
}

static void frame_kinds_and_counts(void **state)
{
	mfn_t f = buddy_alloc(0);

	(void)state;
	buddy_free(((void)frame_set_bits(frame_at(f), FRAME_TABLE, 0), f), 0, false);
	SEED(frame_at(f)->bits, FRAME_RESERVED, "invariant 1");
	SEED(frame_at(f)->bits, 15, "invariant 1");
	SEED(frame_at(private)->bits, FRAME_HYPERVISOR, "invariant 8");
	SEED(mm.kinds[FRAME_SERVICE], mm.kinds[FRAME_SERVICE] + 1, "invariant 1");
	SEED(frame_at(shared)->slot, 4, "invariant 2");
	SEED(frame_at(shared)->slot, 2, "invariant 2");
	SEED(frame_at(shared)->slot, 0, "invariant 2");
}

static void writable_where_it_must_not_be(void **state)
{
	const unsigned rwx = PTE_R | PTE_W | PTE_X;

	(void)state;
	SEED(*entry(&b, 1), leaf_of(shared, rwx, PTE_SW_SHARED), "invariant 3");
	SEED(*entry(&a, 3), leaf_of(zero_frame(), rwx, PTE_SW_SHARED), "invariant 3");
	SEED(*entry(&a, 8), leaf_of(zero_frame(), rwx, PTE_SW_UNTOUCHED), "invariant 3");
}

/* Pages 20 .. 59 of c are compressed. */
static void compressed_pages(void **state)
{
	uint64_t *handles, *one;
	struct frame *slab, *table;

	(void)state;
	for (unsigned n = 20; n < 60; n++) {
		uint64_t v = n;

		assert_int_equal(mm_write(&c, PAGE(n) + 8, &v, 8), MM_OK);
	}
	assert_true(compress_some(&c, UINT64_MAX, UINT64_MAX).freed > 30);
	p2m_lock(&c);
	table = frame_at(toy_format.frame(p2m_entry_get(p2m_find_over(&c, GFN(20))), 2));
	p2m_unlock(&c);
	handles = env_frame(MFN(frame_slot(table)));
	one = &handles[20];
	slab = frame_at(MFN(*one >> 32));
	SEED(*one, 0, "invariant 13");
	SEED(*one, handles[21], "invariant 13");              /* one object, two pages */
	SEED(*one, *one & ~UINT64_C(0xffff), "invariant 13"); /* no bytes */
	SEED(*one, *one | 255 << 16, "invariant 13");         /* no such slot */
	SEED(*one, private.n << 32 | (*one & UINT32_MAX), "invariant 13"); /* another's page */
	SEED(slab->slot, slab->slot & ~1u, "invariant 13");
	SEED(slab->owner, 2, "invariant 13");
	SEED(frame_at(MFN(frame_slot(table)))->slot, 3, "invariant 13");
	SEED(table->slot, 0, "invariant 13");
	SEED(*entry(&c, 20), toy_format.soft(P2M_SOFT_FILLED), "invariant 7");
	SEED(*entry(&c, 20), toy_format.soft(P2M_SOFT_BALLOONED), "invariant 7");
	SEED(*entry(&c, 61), toy_format.soft(P2M_SOFT_COMPRESSED), "invariant 13");
	SEED(c.stats.compressed, 7, "invariant 7");
	SEED(c.stats.compressed_filled, 7, "invariant 7");
	SEED(c.stats.store_frames, 7, "invariant 1");
	SEED(mm.kinds[FRAME_STORE], 0, "invariant 1");
}

static void leaves_of_wrong_frames(void **state)
{
	const unsigned rwx = PTE_R | PTE_W | PTE_X;

	(void)state;
	/* two leaves to one private frame: in one space, and in two */
	SEED(*entry(&a, 10), leaf_of(private, rwx, 0), "invariant 4");
	SEED(*entry(&b, 7), leaf_of(private, rwx, 0), "invariant 4");
	SEED(frame_at(private)->owner, 2, "invariant 4");
	SEED(frame_at(private)->slot, 7, "invariant 4");
	SEED(frame_at(private)->bits, FRAME_PRIVATE | FRAME_LARGE, "invariant 4");
	SEED(frame_at(shared)->owner, 9, "invariant 4");
	/* another domain's page that is not pinned there, so not granted */
	SEED(*entry(&b, 7), leaf_of(private, PTE_R, PTE_SW_FOREIGN), "invariant 4");
	SEED(a.stats.granted, 1, "invariant 7");
	/* what no guest may reach */
	SEED(*entry(&a, 6), leaf_of(a.root, rwx, 0), "invariant 8");
	SEED(*entry(&a, 6), leaf_of(zero_frame(), rwx, 0), "invariant 8");
	SEED(*entry(&a, 6), leaf_of(shared, rwx, 0), "invariant 8");
	SEED(*entry(&a, 6), leaf_of(MFN(mm.nr_frames + 5), rwx, 0), "invariant 8");
	SEED(*entry(&a, 9), leaf_of(private, PTE_R, PTE_SW_FOREIGN), "invariant 8");
	SEED(*entry(&a, 8), leaf_of(private, PTE_R, PTE_SW_UNTOUCHED), "invariant 8");
	SEED(*entry(&b, 1), leaf_of(private, PTE_R, PTE_SW_SHARED), "invariant 8");
	SEED(frame_at(service)->owner, 2, "invariant 8");
	SEED(frame_at(a.root)->owner, 2, "invariant 8");
	/* a leaf less than the count says */
	SEED(*entry(&b, 2), 0, "invariant 7");
}

static void index_and_contents(void **state)
{
	uint64_t *content = env_frame(shared);

	(void)state;
	SEED(content[100], 1, "invariant 5");
	SEED(frame_at(shared)->fingerprint, frame_at(shared)->fingerprint ^ 1, "invariant 5");
	SEED(frame_at(shared)->bits, FRAME_SHARED, "invariant 5");
}

static void space_counters(void **state)
{
	(void)state;
	SEED(a.stats.private_pages, 0, "invariant 7");
	SEED(b.stats.shared_mappings, 5, "invariant 7");
	SEED(a.stats.zero_mappings, 0, "invariant 7");
	SEED(a.stats.ones_mappings, 0, "invariant 7");
	SEED(a.stats.untouched_mapped, 0, "invariant 7");
	SEED(a.stats.untouched, 1, "invariant 7");
	SEED(a.stats.ballooned, 0, "invariant 7");
	SEED(a.stats.foreign, 0, "invariant 7");
	SEED(a.stats.large_leaves, 1, "invariant 7");
	SEED(a.stats.table_frames, 1, "invariant 7");
	SEED(a.memory_pages, 1, "invariant 7");
	SEED(a.held, 100, "invariant 7");
	SEED(mm.count.shared_mappings, 9, "invariant 10");
	SEED(a.min_pages, 100000, "invariant 11");
	SEED(*entry(&a, 5), leaf_of(private, PTE_R, 0), "invariant 4");
}

/* Nothing is free, and something is owed: by the running sum, and by a new one. */
static void guarantees(void **state)
{
	uint32_t taken = 0;
	mfn_t m;

	(void)state;
	while (mfn_valid(m = buddy_alloc(0))) {
		frame_set_bits(frame_at(m), FRAME_HYPERVISOR, 0);
		frame_count(FRAME_FREE, FRAME_HYPERVISOR, 1);
		frame_at(m)->link = taken;
		taken = (uint32_t)m.n;
	}
	found("invariant 11: 0 frames are free, the running debt is 1");
	assert_int_equal(mm_audit().failures,
	                 4); /* twice 11; and these frames are nobody's charge */
	while (taken) {
		m = MFN(taken);
		taken = frame_at(m)->link;
		buddy_free(m, 0, false);
		frame_count(FRAME_HYPERVISOR, FRAME_FREE, 1);
	}
	audit_passes();
}

/* Who saves what: three mappings of one frame, two of them inside one guest. */
static void split_and_parts(void **state)
{
	struct share_split s = share_split();
	struct mm_stats st = mm_stats();
	uint64_t whole = UINT64_C(1) << 32;

	(void)state;
	assert_int_equal(s.zero, 1);
	assert_int_equal(s.ones, 1);
	assert_int_equal(s.self, 1);
	assert_int_equal(s.inter, 1);
	assert_int_equal(st.pages_shared, 1);
	assert_int_equal(st.pages_sharing, 2);
	assert_int_equal(st.pages_saved, 4);
	assert_int_equal(share_part(&a), whole / 3);
	assert_int_equal(share_part(&b), 2 * (whole / 3));
	assert_int_equal(share_part(&c), 0);
	assert_int_equal(st.frames_free + st.frames_private + st.frames_shared + st.frames_table +
	                     st.frames_service + st.frames_constant + st.frames_reserved +
	                     st.frames_hypervisor,
	                 st.frames_total);
	audit_passes();
}

/*
 * Invariant 12 where one large leaf speaks for all its pages; a dirty one vouches for nothing.
 * (Small leaves: test_quiet.c.)
 */
static void large_leaf_passed_over(void **state)
{
	uint64_t *leaf;

	(void)state;
	assert_int_equal(mm_populate_large(&c, GFN(0)), MM_OK);
	for (unsigned g = 0; g < LARGE_PAGES; g++)
		guest_puts(&c, PAGE(g), BIT(40) | g);
	guest_leave_all();
	scan_settle();
	audit_passes();
	leaf = entry(&c, 3);
	index_remove(pte_frame(*leaf, 2, GFN(3)));
	audit_passes(); /* its fingerprint is kept in its record (mm/shape.c) */
	frame_at(pte_frame(*leaf, 2, GFN(3)))->fingerprint++;
	found("invariant 12: domain 3, guest frame 3 is to be read");
	*leaf |= mm.format->dirty_mask;
	audit_passes();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(frame_kinds_and_counts), T(writable_where_it_must_not_be),
	    T(compressed_pages),       T(index_and_contents),
	    T(leaves_of_wrong_frames), T(index_and_contents),
	    T(space_counters),         T(guarantees),
	    T(split_and_parts),        T(large_leaf_passed_over),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
