/* SPDX-License-Identifier: MIT */
/*
 * A CPU walks the tables of a space at any moment, without a lock. So after every single write
 * to an entry, each page must be as before the operation, or as after it, or in between with
 * fewer rights, and its bytes must be those of one of the two. This program has its own
 * p2m_entry.c, which looks after each write as a CPU does, for every operation that changes
 * entries.
 *
 * Each operation is made twice in copies of one world: once to learn what it comes to, and
 * once more to look at every step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mm/scan.h"
#include "tests/unit/failing_world.h"

/* What a CPU finds at a guest frame. */
struct seen {
	bool present, write, exec;
	mfn_t mfn;
	uint64_t bytes; /* the page's, as a sum */
};

struct place {
	struct space *s;
	uint64_t gfn;
};

#define PLACES 80u

static struct place places[PLACES];
static unsigned nr_places;

static struct shared {
	struct seen after[PLACES];
	unsigned writes, failed;
	char what[200];
} * shared;

static struct seen before[PLACES];
static bool watching;
static uint64_t sum_of_zero;

/* ---- a CPU's walk ---- */

static void wrong(const struct place *p, const char *what)
{
	if (!shared->failed++)
		snprintf(shared->what, sizeof(shared->what),
		         "domain %u, guest frame %llu, after write %u: %s", p->s->domid,
		         (unsigned long long)p->gfn, shared->writes, what);
}

static bool in_pool(struct space *s, mfn_t table)
{
	for (mfn_t m = s->table_pool; mfn_valid(m); m = MFN(frame_at(m)->link))
		if (mfn_eq(m, table))
			return true;
	return false;
}

static uint64_t sum_of(mfn_t mfn)
{
	struct hash_sum sum = hash_page(env_frame(mfn));

	return hash_sum_fold(sum);
}

static struct seen walk(const struct place *p)
{
	const struct pte_format *f = mm.format;
	mfn_t table = p->s->root;

	for (unsigned level = f->levels;; level--) {
		uint64_t v;
		mfn_t mfn;

		if (frame_kind(frame_at(table)) != FRAME_TABLE || in_pool(p->s, table)) {
			wrong(p, "the walk goes through a frame that is no table now");
			return (struct seen){0};
		}
		v = ((uint64_t *)env_frame(table))[p->gfn >> 9 * (level - 1) & 511];
		if (f->kind(v, level) == PTE_TABLE) {
			table = f->frame(v, level);
			continue;
		}
		if (f->kind(v, level) != PTE_LEAF)
			return (struct seen){.bytes = sum_of_zero};
		mfn = pte_frame(v, level, GFN(p->gfn));
		return (struct seen){.present = true,
		                     .write = f->access(v) & PTE_W,
		                     .exec = f->access(v) & PTE_X,
		                     .mfn = mfn,
		                     .bytes = sum_of(mfn)};
	}
}

/* ---- after each write ---- */

static void look(unsigned i)
{
	const struct seen *old = &before[i], *new = &shared->after[i];
	const struct place *p = &places[i];
	struct seen now = walk(p);
	enum frame_kind kind;

	if (!now.present) {
		if (old->present && new->present)
			wrong(p, "it is not there, but was before and is after");
		return;
	}
	kind = frame_kind(frame_at(now.mfn));
	if (!(old->present && mfn_eq(now.mfn, old->mfn)) &&
	    !(new->present &&mfn_eq(now.mfn, new->mfn)))
		wrong(p, "its frame is neither the old nor the new one");
	if (now.bytes != old->bytes && now.bytes != new->bytes)
		wrong(p, "its bytes are neither the old nor the new ones");
	if ((now.write && !old->write && !new->write) || (now.exec && !old->exec && !new->exec))
		wrong(p, "it has a right that it had neither before nor has after");
	if (now.write && (kind == FRAME_SHARED || kind == FRAME_CONSTANT))
		wrong(p, "a shared frame can be written");
	if (kind != FRAME_PRIVATE && kind != FRAME_SHARED && kind != FRAME_CONSTANT &&
	    kind != FRAME_SERVICE)
		wrong(p, "its frame is no guest page");
	if (kind == FRAME_PRIVATE && (frame_owner(frame_at(now.mfn)) != p->s->domid ||
	                              frame_slot(frame_at(now.mfn)) != p->gfn))
		wrong(p, "its frame belongs to another page");
}

static void after_a_write(void)
{
	if (!watching)
		return;
	shared->writes++;
	for (unsigned i = 0; i < nr_places; i++)
		if (mfn_valid(places[i].s->root))
			look(i);
}

/* ---- p2m_entry.c ---- */

void p2m_entry_set(uint64_t *e, uint64_t value)
{
	*e = value;
	after_a_write();
}

uint64_t p2m_entry_exchange(uint64_t *e, uint64_t value)
{
	uint64_t old = *e;

	*e = value;
	after_a_write();
	return old;
}

bool p2m_entry_cas(uint64_t *e, uint64_t *expected, uint64_t value)
{
	if (*e != *expected) {
		*expected = *e;
		return false;
	}
	*e = value;
	after_a_write();
	return true;
}

/* ---- the operations ---- */

static bool fault(uint64_t page, unsigned access)
{
	return mm_fault(&a, GFN(page), access) == VERDICT_RESUME;
}

static bool op_read(void)
{
	return fault(AT_UNTOUCHED, FAULT_READ) && fault(AT_NOTHING, FAULT_READ);
}

static bool op_touch(void)
{
	return fault(AT_UNTOUCHED, FAULT_WRITE) && fault(AT_READ, FAULT_WRITE) &&
	       fault(AT_NOTHING + 3, FAULT_WRITE) && fault(AT_NOTHING + 511, FAULT_WRITE);
}

static bool op_break(void)
{
	return fault(AT_SHARED, FAULT_WRITE) && fault(AT_ZERO, FAULT_WRITE) &&
	       fault(AT_ONES, FAULT_WRITE);
}

static bool op_take_over(void)
{
	return fault(AT_LAST, FAULT_WRITE) && p2m_lookup(&a, GFN(AT_LAST)).type == P2M_PRIVATE;
}

static bool op_protect(void)
{
	bool ok;

	p2m_lock(&a);
	ok = p2m_protect(&a, GFN(AT_PRIVATE));
	flush_space(&a);
	p2m_unlock(&a);
	return ok && fault(AT_PRIVATE, FAULT_WRITE);
}

static bool op_split(void)
{
	bool ok;

	p2m_lock(&a);
	ok = p2m_split(&a, GFN(AT_LARGE + 5));
	flush_space(&a);
	p2m_unlock(&a);
	return ok;
}

/* A fetch takes nobody's rights: the page gets one more. */
static bool op_fetch(void)
{
	return fault(AT_LARGE + 5, FAULT_EXEC) && !p2m_lookup(&a, GFN(AT_LARGE)).large;
}

static bool op_coalesce_in_place(void)
{
	return mm_coalesce(&a, GFN(AT_LARGE)) == MM_OK;
}

static bool op_coalesce_by_copy(void)
{
	return mm_coalesce(&a, GFN(AT_SCATTERED)) == MM_OK;
}

static bool op_populate_large(void)
{
	return mm_populate_large(&a, GFN(AT_NOTHING)) == MM_OK;
}

static bool op_balloon_out(void)
{
	const gfn_t g[] = {GFN(AT_PRIVATE),   GFN(AT_SHARED),       GFN(AT_ZERO), GFN(AT_ONES),
	                   GFN(AT_READ),      GFN(AT_UNTOUCHED),    GFN(AT_LAST), GFN(AT_SCATTERED),
	                   GFN(AT_LARGE + 1), GFN(AT_NOTHING + 511)};

	return balloon_out(&a, g, ARRAY_SIZE(g), 0) == ARRAY_SIZE(g);
}

static bool op_balloon_out_large(void)
{
	const gfn_t g[] = {GFN(AT_SCATTERED), GFN(AT_LARGE), GFN(AT_NOTHING)};

	return balloon_out(&a, g, ARRAY_SIZE(g), LARGE_ORDER) == ARRAY_SIZE(g);
}

static bool op_balloon_in(void)
{
	const gfn_t g[] = {GFN(AT_HOLE), GFN(AT_HOLES + 1), GFN(AT_HOLES + 511)};

	return balloon_in(&a, g, ARRAY_SIZE(g), 0) == ARRAY_SIZE(g);
}

static bool op_balloon_in_large(void)
{
	return balloon_in(&a, &(gfn_t){AT_HOLES}, 1, LARGE_ORDER) == 1;
}

static bool op_service(void)
{
	return mm_map_service(&a, GFN(AT_PRIVATE), service) == MM_OK &&
	       mm_map_service(&a, GFN(AT_SHARED), service) == MM_OK &&
	       mm_map_service(&a, GFN(AT_LARGE + 5), service) == MM_OK &&
	       mm_unmap_service(&a, GFN(AT_SERVICE)) == MM_OK;
}

static bool op_write(void)
{
	static const uint8_t bytes[6 * PAGE_SIZE];

	return mm_write(&a, 0, bytes, sizeof(bytes)) == MM_OK;
}

static bool op_merge(void)
{
	scan_settle();
	return p2m_lookup(&a, GFN(AT_LARGE + 5)).type == P2M_ZERO;
}

/* Two regions that are alike in all 512 pages. */
static void make_alike(void)
{
	assert_int_equal(mm_populate_large(&a, GFN(AT_NOTHING)), MM_OK);
	for (uint64_t i = 0; i < LARGE_PAGES; i++) {
		guest_puts(&a, PAGE(AT_LARGE + i), 5000000 + i);
		guest_puts(&a, PAGE(AT_NOTHING + i), 5000000 + i);
	}
	guest_leave_all();
}

static bool op_merge_whole(void)
{
	for (unsigned i = 0; i < 4; i++)
		scan_slice(1000000);
	return space_stats(&a).large_shared == 2;
}

static bool op_break_whole(void)
{
	return fault(AT_LARGE + 5, FAULT_WRITE) && space_stats(&a).large_shared == 1;
}

static bool op_holes_whole(void)
{
	const gfn_t g = GFN(AT_LARGE), page = GFN(AT_NOTHING + 5);

	return balloon_out(&a, &g, 1, LARGE_ORDER) == 1 && balloon_out(&a, &page, 1, 0) == 1;
}

/* Nobody else has them any more. */
static bool op_take_back_whole(void)
{
	for (unsigned i = 0; i < 2; i++)
		scan_slice(1000000);
	return p2m_lookup(&a, GFN(AT_NOTHING)).large && !space_stats(&a).large_shared;
}

static bool op_join_whole(void)
{
	return mm_coalesce(&a, GFN(AT_LARGE)) == MM_OK && space_stats(&a).large_shared == 2;
}

static bool op_compress(void)
{
	pack_from(AT_SCATTERED, LARGE_PAGES); /* takes the accessed flags */
	pack_from(AT_SCATTERED, LARGE_PAGES);
	return p2m_lookup(&a, GFN(AT_SCATTERED)).type == P2M_COMPRESSED;
}

static bool op_expand(void)
{
	return fault(AT_PACKED, FAULT_READ) && fault(AT_PACKED + 1, FAULT_WRITE) &&
	       fault(AT_FILLED, FAULT_EXEC);
}

static bool op_destroy(void)
{
	while (!space_destroy_step(&a, 100))
		;
	return true;
}

static const struct row {
	const char *what;
	bool (*run)(void);
} rows[] = {
    {"a first read",                     op_read             },
    {"a first write",                    op_touch            },
    {"a break",                          op_break            },
    {"a take-over",                      op_take_over        },
    {"a page is protected, and written", op_protect          },
    {"a split",                          op_split            },
    {"a fetch",                          op_fetch            },
    {"large again, in place",            op_coalesce_in_place},
    {"large again, by copy",             op_coalesce_by_copy },
    {"large from nothing",               op_populate_large   },
    {"balloon out",                      op_balloon_out      },
    {"balloon out, large",               op_balloon_out_large},
    {"balloon in",                       op_balloon_in       },
    {"balloon in, large",                op_balloon_in_large },
    {"a service page",                   op_service          },
    {"a write by the hypervisor",        op_write            },
    {"merges",                           op_merge            },
    {"2 MiB are merged",                 op_merge_whole      },
    {"shared 2 MiB are written",         op_break_whole      },
    {"shared 2 MiB are given back",      op_holes_whole      },
    {"shared 2 MiB are taken back",      op_take_back_whole  },
    {"shared 2 MiB are joined",          op_join_whole       },
    {"compression",                      op_compress         },
    {"first touches",                    op_expand           },
    {"the end",                          op_destroy          },
};

/* ---- twice, in children ---- */

static void prepare(const struct row *row)
{
	if (row->run == op_fetch) { /* a large leaf that may not be executed */
		mm_set_large_nx(true);
		*p2m_find(&a, GFN(AT_LARGE)).entry =
		    mm.format->leaf(p2m_lookup(&a, GFN(AT_LARGE)).mfn, 2, PTE_R | PTE_W, 0);
	}
	if (row->run == op_coalesce_in_place)
		(void)op_split();
	if (row->run == op_merge)
		guest_puts(&a, PAGE(AT_PRIVATE), 1000); /* as a scattered page */
	if (row->run == op_merge_whole || row->run == op_break_whole ||
	    row->run == op_holes_whole || row->run == op_take_back_whole ||
	    row->run == op_join_whole)
		make_alike();
	if (row->run == op_break_whole || row->run == op_holes_whole ||
	    row->run == op_take_back_whole || row->run == op_join_whole)
		(void)op_merge_whole();
	if (row->run == op_take_back_whole)
		(void)balloon_out(&a, &(gfn_t){AT_LARGE}, 1, LARGE_ORDER);
	if (row->run == op_join_whole)
		(void)op_split();
	guest_leave_all();
}

static void in_child(const struct row *row, bool look_on)
{
	bool ok;

	prepare(row);
	for (unsigned i = 0; i < nr_places; i++)
		before[i] = walk(&places[i]);
	watching = look_on;
	ok = row->run();
	watching = false;
	for (unsigned i = 0; !look_on && i < nr_places; i++)
		if (mfn_valid(places[i].s->root))
			shared->after[i] = walk(&places[i]);
	_exit(ok && mm_audit().failures == 0 ? 0 : 1);
}

static void twice(const struct row *row)
{
	memset(shared, 0, sizeof(*shared));
	for (unsigned look_on = 0; look_on < 2; look_on++) {
		int status = 0;
		pid_t child = fork();

		if (child == 0)
			in_child(row, look_on);
		assert_true(child > 0 && waitpid(child, &status, 0) == child);
		if (status)
			fail_msg("%s: it fails", row->what);
	}
	if (shared->failed)
		fail_msg("%s: %s", row->what, shared->what);
	assert_true(shared->writes > 0);
	printf("# %s: %u writes\n", row->what, shared->writes);
}

static void add_place(struct space *s, uint64_t gfn)
{
	assert_true(nr_places < PLACES);
	places[nr_places++] = (struct place){s, gfn};
}

static void every_write_is_old_or_new(void **state)
{
	static const unsigned in_region[] = {0, 1, 3, 5, 19, 511};

	(void)state;
	build_world();
	sum_of_zero = sum_of(zero_frame());
	nr_places = 0;
	for (unsigned i = 0; i < 12; i++) {
		add_place(&a, i);
		add_place(&b, i);
	}
	for (unsigned r = 1; r < 5; r++)
		for (unsigned i = 0; i < ARRAY_SIZE(in_region); i++)
			add_place(&a, r * LARGE_PAGES + in_region[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		twice(&rows[i]);
	host_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_write_is_old_or_new),
	};

	shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
