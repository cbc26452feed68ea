/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out, everywhere. Each operation of mm/space.h, mm/mm.h and mm/frame.h is a
 * row of a table. Where it may allocate, its k-th allocation is refused, for k = 1, 2, ... until
 * it succeeds; once only, and then with all that follow (where there are hundreds: only so). After
 * each failure the audit passes, and the state is the one before: every counter, the meaning of
 * every entry of every map, the record of every frame in use, every byte of every guest. An
 * operation on several pages may have done the first ones: then the state is that after asking for
 * just those. And the operation can be made again, and succeeds. Where it may not allocate, it must
 * not even try.
 *
 * Every try is made in a copy of one world: a child process.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mm/scan.h"
#include "tests/unit/failing_world.h"

#define ALL ~0u

static struct space fresh;

/* ---- the operations ---- */

static unsigned done_before; /* of several pages: the caller goes on after these */

struct result {
	bool ok;
	unsigned done; /* of several pages, how many; else 0 */
};

static struct result one(bool ok)
{
	return (struct result){ok, 0};
}

static struct result st(enum mm_status s)
{
	return one(s == MM_OK);
}

static struct result op_create(unsigned limit)
{
	struct space_config c = {
	    .domid = 3, .share_group = 3, .memory_pages = 600, .max_pages = 2000, .min_pages = 30};

	(void)limit;
	return st(space_create(&fresh, &c));
}

static struct result op_create_steps(unsigned limit)
{
	struct space_config c = {
	    .domid = 3, .share_group = 3, .memory_pages = 600, .max_pages = 2000, .min_pages = 30};
	enum mm_status now = space_create_begin(&fresh, &c);

	(void)limit;
	for (now = now == MM_OK ? MM_MORE : now; now == MM_MORE;)
		now = space_create_step(&fresh, &c, 2);
	return st(now);
}

static struct result op_destroy(unsigned limit)
{
	(void)limit;
	while (!space_destroy_step(&b, 10))
		;
	return one(true);
}

static struct result fault(uint64_t page, unsigned access)
{
	enum mm_verdict v = mm_fault(&a, GFN(page), access);

	return one(v == VERDICT_RESUME);
}

#define FAULT_OP(name, page, access)                                                               \
	static struct result name(unsigned limit)                                                  \
	{                                                                                          \
		(void)limit;                                                                       \
		return fault(page, access);                                                        \
	}

FAULT_OP(op_fault_read, AT_UNTOUCHED, FAULT_READ)
FAULT_OP(op_fault_touch, AT_UNTOUCHED, FAULT_WRITE)
FAULT_OP(op_fault_touch_table, AT_NOTHING + 511, FAULT_WRITE)
FAULT_OP(op_fault_touch_read, AT_READ, FAULT_WRITE)
FAULT_OP(op_fault_shared, AT_SHARED, FAULT_WRITE)
FAULT_OP(op_fault_walk, AT_SHARED, FAULT_WRITE | FAULT_GUEST_WALK)
FAULT_OP(op_fault_zero, AT_ZERO, FAULT_WRITE)
FAULT_OP(op_fault_ones, AT_ONES, FAULT_WRITE)
FAULT_OP(op_fault_last, AT_LAST, FAULT_WRITE)
FAULT_OP(op_fault_private, AT_PRIVATE, FAULT_WRITE)

FAULT_OP(op_fault_packed, AT_PACKED, FAULT_READ)
FAULT_OP(op_fault_packed_write, AT_PACKED + 1, FAULT_WRITE)
FAULT_OP(op_fault_filled, AT_FILLED, FAULT_READ)

static struct result op_compress(unsigned limit)
{
	(void)limit;
	pack_from(AT_SCATTERED, LARGE_PAGES);
	pack_from(AT_SCATTERED, LARGE_PAGES);
	return one(p2m_lookup(&a, GFN(AT_SCATTERED)).type == P2M_COMPRESSED);
}

/* A fetch where large leaves may not be executed splits one. */
static struct result op_fault_fetch(unsigned limit)
{
	(void)limit;
	mm_set_large_nx(true);
	*p2m_find(&a, GFN(AT_LARGE)).entry =
	    toy_format.leaf(p2m_lookup(&a, GFN(AT_LARGE)).mfn, 2, PTE_R | PTE_W, 0);
	return fault(AT_LARGE, FAULT_EXEC);
}

static struct result op_read(unsigned limit)
{
	static uint8_t bytes[8 * PAGE_SIZE];

	(void)limit;
	return st(mm_read(&a, 0, bytes, sizeof(bytes)));
}

static struct result op_read_where(unsigned limit)
{
	const void *where;
	uint8_t bytes[8];
	enum mm_status status = MM_OK;

	(void)limit;
	for (unsigned i = 0; i < 8 && status == MM_OK; i++)
		status = mm_read_where(&a, PAGE(i) + 16, bytes, sizeof(bytes), &where);
	return st(status);
}

/* Six pages: private, shared, zero, ones, read, untouched. The caller does not learn how many
 * were written before it failed: look. */
static struct result op_write(unsigned limit)
{
	static uint8_t bytes[6 * PAGE_SIZE], seen[PAGE_SIZE];
	struct result r = {0};
	uint64_t pages = limit < 6 ? limit : 6;

	memset(bytes, 0x42, sizeof(bytes));
	r.ok = mm_write(&a, 0, bytes, pages * PAGE_SIZE) == MM_OK;
	for (; r.done < pages; r.done++)
		if (mm_read(&a, PAGE(r.done), seen, PAGE_SIZE) != MM_OK ||
		    memcmp(seen, bytes, PAGE_SIZE) != 0)
			break;
	return r;
}

#define PIN_OP(name, page)                                                                         \
	static struct result name(unsigned limit)                                                  \
	{                                                                                          \
		void *at;                                                                          \
		(void)limit;                                                                       \
		return st(mm_pin(&a, GFN(page), &at));                                             \
	}

PIN_OP(op_pin_touch, AT_UNTOUCHED)
PIN_OP(op_pin_break, AT_SHARED)
PIN_OP(op_pin_again, AT_PINNED)

static struct result op_unpin(unsigned limit)
{
	(void)limit;
	mm_unpin(&a, GFN(AT_PINNED));
	return one(true);
}

static struct result op_populate_large(unsigned limit)
{
	(void)limit;
	return st(mm_populate_large(&a, GFN(AT_NOTHING)));
}

static struct result op_coalesce(unsigned limit)
{
	(void)limit;
	return st(mm_coalesce(&a, GFN(AT_SCATTERED)));
}

static struct result op_map_service(unsigned limit)
{
	(void)limit;
	return one(mm_map_service(&a, GFN(AT_PRIVATE), service) == MM_OK &&
	           mm_map_service(&a, GFN(AT_LARGE + 5), service) == MM_OK &&
	           mm_map_service(&a, GFN(1 << 22), service) == MM_OK);
}

static struct result op_unmap_service(unsigned limit)
{
	(void)limit;
	return st(mm_unmap_service(&a, GFN(AT_SERVICE)));
}

/* A page of b's that a borrows, gives back, borrows again, and keeps a copy of. */
static struct result op_granted(unsigned limit)
{
	const gfn_t at = GFN(1 << 22), lent = GFN(AT_LAST);
	void *page;
	mfn_t mfn;

	(void)limit;
	if (mm_pin(&b, lent, &page) != MM_OK)
		return one(false);
	mfn = p2m_lookup(&b, lent).mfn;
	if (mm_map_granted(&a, at, mfn, true) != MM_OK)
		return one(false);
	mm_unmap_granted(&a, at, mfn);
	if (mm_map_granted(&a, at, mfn, false) != MM_OK)
		return one(false);
	mm_replace_granted(&a, at, mfn, service);
	mm_unpin(&b, lent);
	return st(mm_unmap_service(&a, at));
}

/* Whatever the page is, giving it back needs no memory. */
static struct result op_balloon_out(unsigned limit)
{
	const gfn_t g[] = {GFN(AT_PRIVATE),   GFN(AT_SHARED),    GFN(AT_ZERO),   GFN(AT_ONES),
	                   GFN(AT_READ),      GFN(AT_UNTOUCHED), GFN(AT_LAST),   GFN(AT_SCATTERED),
	                   GFN(AT_LARGE + 1), GFN(AT_NOTHING),   GFN(AT_PACKED), GFN(AT_FILLED)};

	(void)limit;
	return one(balloon_out(&a, g, ARRAY_SIZE(g), 0) == ARRAY_SIZE(g));
}

static struct result op_balloon_out_large(unsigned limit)
{
	const gfn_t g[] = {GFN(AT_SCATTERED), GFN(AT_LARGE), GFN(AT_NOTHING), GFN(AT_PACKED)};

	(void)limit;
	return one(balloon_out(&a, g, ARRAY_SIZE(g), LARGE_ORDER) == ARRAY_SIZE(g));
}

static struct result op_balloon_in(unsigned limit)
{
	uint64_t n = limit < ARRAY_SIZE(holes) ? limit : ARRAY_SIZE(holes);
	uint64_t done = balloon_in(&a, holes + done_before, n - done_before, 0);

	return (struct result){done == n - done_before, (unsigned)done};
}

static struct result op_balloon_in_large(unsigned limit)
{
	gfn_t g = GFN(AT_HOLES);

	(void)limit;
	return one(balloon_in(&a, &g, 1, LARGE_ORDER) == 1);
}

/* The same where plenty is free, but no large frame: see no_large_frame. */
static struct result op_balloon_in_small(unsigned limit)
{
	return op_balloon_in_large(limit);
}

/* Break up every free large frame. */
static void no_large_frame(void)
{
	mfn_t m;

	while (mfn_valid(m = frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)))
		for (unsigned i = 1; i < LARGE_PAGES; i++)
			frame_free(MFN(m.n + i), 0);
}

static struct result op_scan_slice(unsigned limit)
{
	(void)limit;
	guest_puts(&a, PAGE(AT_PRIVATE), 1000); /* as a scattered page */
	for (unsigned i = 0; i < 8; i++)
		scan_slice(1000000);
	return one(p2m_lookup(&a, GFN(AT_PRIVATE)).type == P2M_SHARED);
}

static struct result op_scan_settle(unsigned limit)
{
	(void)limit;
	scan_settle();
	return one(p2m_lookup(&a, GFN(AT_LARGE)).type == P2M_ZERO);
}

static struct result op_frame_alloc(unsigned limit)
{
	(void)limit;
	return one(mfn_valid(frame_alloc(0, FRAME_SERVICE, 1)));
}

static struct result op_frame_alloc_large(unsigned limit)
{
	(void)limit;
	return one(mfn_valid(frame_alloc(LARGE_ORDER, FRAME_HYPERVISOR, 0)));
}

static struct result op_frame_free(unsigned limit)
{
	(void)limit;
	if (mm_unmap_service(&a, GFN(AT_SERVICE)) != MM_OK)
		return one(false);
	frame_free(service, 0);
	return one(frame_kind(frame_of(service)) == FRAME_FREE);
}

/* All that only looks. */
static struct result op_look(unsigned limit)
{
	struct snap before = snap(), after;
	struct share_split split = share_split();

	(void)limit;
	(void)mm_stats();
	(void)space_stats(&a);
	(void)p2m_next(&a, GFN(AT_HOLE));
	(void)share_part(&a);
	(void)mm_account(&a);
	(void)space_tables_needed(&(struct space_config){.memory_pages = 1, .max_pages = 1});
	(void)mm_audit();
	host_set_cpu(0);
	if (flush_enter(&a, 0))
		flush_leave(0);
	host_set_cpu(2);
	after = snap();
	return one(split.zero >= 1 && memcmp(&before, &after, sizeof(before)) == 0);
}

#define NEVER false
#define MAY   true

static const struct row {
	const char *functions; /* of the headers */
	const char *what;
	bool allocates;
	struct result (*run)(unsigned limit); /* of several pages, the first `limit` only */
} rows[] = {
    {"space_create",                                             "tables, guarantee",            MAY,   op_create            },
    {"space_create_begin space_create_step space_create_cancel", "tables, guarantee, in steps",  MAY,
     op_create_steps                                                                                                         },
    {"space_destroy_step",                                       "a domain ends",                NEVER, op_destroy           },
    {"mm_fault",                                                 "a read of an untouched page",  NEVER, op_fault_read        },
    {"mm_fault",                                                 "a first write",                MAY,   op_fault_touch       },
    {"mm_fault",                                                 "a first write, no table",      MAY,   op_fault_touch_table },
    {"mm_fault",                                                 "a first write after a read",   MAY,   op_fault_touch_read  },
    {"mm_fault",                                                 "a break of a shared page",     MAY,   op_fault_shared      },
    {"mm_fault",                                                 "a break by a guest walk",      MAY,   op_fault_walk        },
    {"mm_fault",                                                 "a break of a page of zeroes",  MAY,   op_fault_zero        },
    {"mm_fault",                                                 "a break of a page of ones",    MAY,   op_fault_ones        },
    {"mm_fault",                                                 "a take-over",                  NEVER, op_fault_last        },
    {"mm_fault",                                                 "a write to a private page",    NEVER, op_fault_private     },
    {"mm_fault",                                                 "a fetch splits a large leaf",  NEVER, op_fault_fetch       },
    {"mm_fault",                                                 "a read of a compressed page",  MAY,   op_fault_packed      },
    {"mm_fault",                                                 "a write to a compressed page", MAY,   op_fault_packed_write},
    {"mm_fault",                                                 "a read of a filled page",      MAY,   op_fault_filled      },
    {"compress_some",                                            "512 cold pages",               NEVER, op_compress          },
    {"mm_read",                                                  "eight pages of all kinds",     NEVER, op_read              },
    {"mm_read_where",                                            "eight pages of all kinds",     NEVER, op_read_where        },
    {"mm_write",                                                 "six pages of all kinds",       MAY,   op_write             },
    {"mm_pin",                                                   "an untouched page",            MAY,   op_pin_touch         },
    {"mm_pin",                                                   "a shared page",                MAY,   op_pin_break         },
    {"mm_pin",                                                   "a pinned page",                NEVER, op_pin_again         },
    {"mm_unpin",                                                 "a pinned page",                NEVER, op_unpin             },
    {"mm_populate_large",                                        "where one page was read",      MAY,   op_populate_large    },
    {"mm_coalesce",                                              "by copy",                      MAY,   op_coalesce          },
    {"mm_map_service",                                           "over a page, a hole, nothing", NEVER, op_map_service       },
    {"mm_unmap_service",                                         "a service page",               NEVER, op_unmap_service     },
    {"mm_map_granted mm_unmap_granted mm_replace_granted",       "a page of another's",          NEVER,
     op_granted                                                                                                              },
    {"balloon_out_part",                                         "twelve pages of all kinds",    NEVER, op_balloon_out       },
    {"balloon_out_part",                                         "large extents",                NEVER, op_balloon_out_large },
    {"balloon_in_part",                                          "seventy pages",                MAY,   op_balloon_in        },
    {"balloon_in_part",                                          "a large extent",               MAY,   op_balloon_in_large  },
    {"balloon_in_part",                                          "a large extent, page by page", MAY,   op_balloon_in_small  },
    {"scan_slice",                                               "merges",                       NEVER, op_scan_slice        },
    {"scan_settle",                                              "merges all of a large leaf",   NEVER, op_scan_settle       },
    {"frame_alloc",                                              "one frame",                    MAY,   op_frame_alloc       },
    {"frame_alloc",                                              "a large frame",                MAY,   op_frame_alloc_large },
    {"frame_free frame_of",                                      "a service page",               NEVER, op_frame_free        },
    {"mm_stats space_stats p2m_lookup p2m_next space_find share_split share_part mm_account "
     "space_tables_needed mm_audit "
     "flush_enter flush_leave "
     "dirty_logged mm_dirty_source dirty_name",             "looking",                      NEVER, op_look              },
    {"mm_init mm_set_format mm_set_large_nx dirty_best",         "before the first space",       NEVER, NULL                 },
};

/* ---- one try, in a child ---- */

/* What a child tells. */
static struct told {
	struct snap before, snap;
	struct result r;
	uint64_t allocs; /* asked for */
	bool audit_passes, again;
} * told;

void __gcov_dump(void) __attribute__((weak)); /* children do not come to an ordinary end */

static void try_in_child(const struct row *row, unsigned limit, uint64_t k, bool for_good)
{
	uint64_t before;

	if (row->run == op_balloon_in_small)
		no_large_frame();
	told->before = snap();
	before = host_allocs();
	(for_good ? host_fail_alloc_from : host_fail_alloc)(k);
	told->r = row->run(limit);
	told->allocs = host_allocs() - before;
	host_fail_alloc(0);
	guest_leave_all();
	told->audit_passes = mm_audit().failures == 0;
	told->snap = snap();
	done_before = told->r.done;
	told->again = told->r.ok || row->run(limit).ok;
	told->again = told->again && mm_audit().failures == 0;
	if (__gcov_dump)
		__gcov_dump();
	_exit(0);
}

/* k 0: nothing fails. */
static struct told try(const struct row *row, unsigned limit, uint64_t k, bool for_good)
{
	int status = 0;
	pid_t child;

	memset(told, 0, sizeof(*told));
	fflush(NULL);
	child = fork();
	if (child == 0)
		try_in_child(row, limit, k, for_good);
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	if (status)
		fail_msg("%s (%s), k = %llu: the process died", row->functions, row->what,
		         (unsigned long long)k);
	return *told;
}

static void check(const struct row *row, uint64_t k, bool ok, const char *what)
{
	if (!ok)
		fail_msg("%s (%s), allocation %llu refused: %s", row->functions, row->what,
		         (unsigned long long)k, what);
}

static bool same(const struct snap *x, const struct snap *y)
{
	return memcmp(x, y, sizeof(*x)) == 0;
}

/* All k; returns how many tries failed. */
static unsigned refuse_each(const struct row *row, bool for_good)
{
	unsigned failed = 0, done = 0;
	struct snap part; /* after the first `done` pages */

	for (uint64_t k = 1;; k++) {
		struct told t = try(row, ALL, k, for_good);

		check(row, k, t.audit_passes, "the audit fails");
		check(row, k, t.again, "it cannot be made again");
		if (t.r.ok && t.allocs < k)
			return failed;
		if (t.r.ok) /* there was another way */
			continue;
		failed++;
		if (!t.r.done)
			part = t.before;
		else if (t.r.done != done)
			part = try(row, done = t.r.done, 0, false).snap;
		check(row, k, same(&t.snap, &part), "the state is not the one before");
	}
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	build_world();
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct told t;
		unsigned once, good;

		if (!row->run)
			continue;
		t = try(row, ALL, 0, false);
		check(row, 0, t.r.ok && t.audit_passes, "it fails without any reason");
		check(row, 0, (t.allocs > 0) == row->allocates, "it allocates, or does not");
		once = t.allocs > LARGE_PAGES ? 0 : refuse_each(row, false); /* slow enough */
		good = refuse_each(row, true);
		check(row, 0, (good > 0) == row->allocates && once <= good, "no try failed");
		printf("# %s (%s): %llu allocations, %u tries failed\n", row->functions, row->what,
		       (unsigned long long)t.allocs, once + good);
	}
	host_stop();
}

/* ---- none is missing ---- */

/* The name of the function that this line of a header declares, or false. */
static bool declared(const char *line, char *name, size_t bytes)
{
	const char *end = strchr(line, '('), *start = end;

	if (!end || !isalpha((unsigned char)line[0]) || strncmp(line, "static", 6) == 0 ||
	    strncmp(line, "_Static", 7) == 0)
		return false;
	while (start > line && (isalnum((unsigned char)start[-1]) || start[-1] == '_'))
		start--;
	if (start == line || (size_t)(end - start) >= bytes)
		return false;
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = '\0';
	return true;
}

static bool in_a_row(const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		for (const char *at = rows[i].functions; *at; at += strspn(at, " ")) {
			size_t word = strcspn(at, " ");

			if (word == n && strncmp(at, name, n) == 0)
				return true;
			at += word;
		}
	return false;
}

/* Every function that these headers declare is in a row of the table. */
static void no_operation_is_missing(void **state)
{
	static const char *const headers[] = {"mm/space.h", "mm/mm.h", "mm/frame.h"};
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(headers); i++) {
		FILE *f = fopen(headers[i], "r");
		char line[256], name[64];

		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			if (!declared(line, name, sizeof(name)))
				continue;
			if (!in_a_row(name))
				fail_msg("%s of %s is in no row of this test", name, headers[i]);
			found++;
		}
		fclose(f);
	}
	assert_true(found >= 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_allocation_may_fail),
	    cmocka_unit_test(no_operation_is_missing),
	};

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("failing", tests, NULL, NULL);
}
