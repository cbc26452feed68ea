/* SPDX-License-Identifier: MIT */
/*
 * The audit: walks every p2m and every frame record and checks the invariants
 * of docs/invariants.md. It trusts no running counter: it counts again.
 * Nobody else is in mm/ meanwhile, so it may use the counts of shared frames as
 * its scratch memory: each leaf takes one off, what is left over is wrong, and a
 * second walk puts them back exactly (also when they were wrong: the
 * arithmetic wraps both ways).
 *
 * Invariant 9 (each guest reads what it last wrote) is not visible in any state;
 * the model test and the guests check it.
 */
#include "mm/buddy.h"
#include "mm/charge.h"
#include "mm/compress.h"
#include "mm/fund.h"
#include "mm/hash.h"
#include "mm/quiet.h"
#include "mm/ranges.h"
#include "mm/sentence.h"
#include "mm/store.h"

struct audit {
	struct audit_report r;
	uint64_t kinds[FRAME_KINDS];
	uint64_t shared_mappings; /* over all spaces */
	uint64_t constant;        /* mappings merged with a constant frame, over all spaces */
	uint64_t constant_counts; /* by their counters */
	uint64_t debt;            /* with shared frames of count one as held alone */
	uint64_t owed;            /* without, as the running debt has it; and the credits */
	uint64_t loans;           /* what may still be borrowed */
	uint64_t private_pages;   /* over all spaces */
	uint64_t table_frames;    /* likewise, pools included */
	uint64_t entries_shared;  /* in the index */
	struct space *s;          /* the space that is walked */
	struct space_stats seen;  /* its counters, counted again */
	uint64_t alone;           /* its shared mappings with a count of one */
	uint64_t touched;         /* its pages of promised RAM that are not untouched */
	uint64_t tables;          /* its page tables in the tree */
	uint64_t handles;         /* frames with handles of compressed pages, over all spaces */
	uint64_t stores;          /* frames of the store, as the spaces count them */
	bool marks;               /* what mm/quiet.c knows can be checked: no hint got lost */
};

/* ---- sentences ---- */

static void audit_check_numbers(struct audit *a, bool ok, const char *text, const uint64_t *numbers)
{
	a->r.checks++;
	if (ok)
		return;
	if (a->r.failures++ == 0)
		sentence_fill(a->r.first, sizeof(a->r.first), text, numbers);
}

/* What each domain is charged for, by the records of the frames. */
static struct charge audit_charges[MM_MAX_SPACES];

#define CHECK(a, ok, text, ...) audit_check_numbers(a, ok, text, (const uint64_t[]){__VA_ARGS__})

/* ---- one leaf ---- */

static void audit_private(struct audit *a, gfn_t gfn, mfn_t mfn, bool large)
{
	struct frame *f = frame_at(mfn);

	CHECK(a, frame_kind(f) == FRAME_PRIVATE,
	      "invariant 8: domain #, guest frame # maps frame #, which is no guest page (kind #)",
	      a->s->domid, gfn.n, mfn.n, frame_kind(f));
	/* One owner and one guest frame in the record: so at most one leaf can be right. */
	CHECK(a, frame_flag(f, FRAME_LARGE) == large,
	      "invariant 4: domain #, guest frame # maps frame #, whose record is mistaken about "
	      "the size of its leaf",
	      a->s->domid, gfn.n, mfn.n);
	CHECK(a, frame_owner(f) == a->s->domid && frame_slot(f) == gfn.n,
	      "invariant 4: domain #, guest frame # maps frame #, which belongs to domain #, "
	      "guest frame #",
	      a->s->domid, gfn.n, mfn.n, frame_owner(f), frame_slot(f));
	a->seen.private_pages++;
}

static void audit_shared(struct audit *a, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	CHECK(a, frame_kind(f) == FRAME_SHARED,
	      "invariant 8: domain #, guest frame # shares frame #, which is not shared (kind #)",
	      a->s->domid, gfn.n, mfn.n, frame_kind(f));
	CHECK(a, frame_owner(f) == a->s->share_group,
	      "invariant 4: domain #, guest frame # shares frame # of group #, not its own",
	      a->s->domid, gfn.n, mfn.n, frame_owner(f));
	CHECK(a, !frame_flag(f, FRAME_LARGE),
	      "invariant 4: domain #, guest frame # shares frame #, whose record tells of a leaf",
	      a->s->domid, gfn.n, mfn.n);
	if (frame_kind(f) == FRAME_SHARED)
		atomic_fetch_sub_explicit(&f->slot, 1, memory_order_relaxed);
	a->seen.shared_mappings++;
}

/* Another domain's page: private there and pinned, as its own leaf is checked to be. */
static void audit_granted(struct audit *a, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	CHECK(a, frame_flag(f, FRAME_PINNED),
	      "invariant 4: domain #, guest frame # maps frame # of domain #, which is not granted",
	      a->s->domid, gfn.n, mfn.n, frame_owner(f));
	a->seen.granted++;
}

static void audit_foreign(struct audit *a, gfn_t gfn, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);

	if (frame_kind(f) == FRAME_PRIVATE && frame_owner(f) != a->s->domid) {
		audit_granted(a, gfn, mfn);
		return;
	}
	CHECK(a, frame_kind(f) == FRAME_SERVICE && frame_owner(f) == a->s->domid,
	      "invariant 8: domain #, guest frame # maps frame #, no service frame of its own "
	      "(kind #)",
	      a->s->domid, gfn.n, mfn.n, frame_kind(f));
	a->seen.foreign++;
}

/* A read-only leaf by its type; private ones may be writable. */
static void audit_leaf(struct audit *a, gfn_t gfn, const struct p2m_view *v)
{
	bool private = v->type == P2M_PRIVATE || v->type == P2M_FOREIGN;

	CHECK(a, private || !(v->access & PTE_W),
	      "invariant 3: domain #, guest frame # can write frame #, which is shared",
	      a->s->domid, gfn.n, v->mfn.n);
	switch (v->type) {
	case P2M_PRIVATE:
		audit_private(a, gfn, v->mfn, v->large);
		break;
	case P2M_SHARED:
		audit_shared(a, gfn, v->mfn);
		break;
	case P2M_FOREIGN:
		audit_foreign(a, gfn, v->mfn);
		break;
	case P2M_ZERO:
		a->seen.zero_mappings++;
		break;
	case P2M_ONES:
		a->seen.ones_mappings++;
		break;
	default:
		CHECK(a, mfn_eq(v->mfn, zero_frame()),
		      "invariant 8: domain #, guest frame # was never written, but maps frame #",
		      a->s->domid, gfn.n, v->mfn.n);
		a->seen.untouched_mapped++;
	}
}

/* A page that is kept packed: one object, which no other page names, and which is a page. */
static void audit_compressed(struct audit *a, gfn_t gfn)
{
	uint64_t e = p2m_entry_get(p2m_find(a->s, gfn).entry);
	bool filled = mm.format->soft_state(e) == P2M_SOFT_FILLED;
	const char *wrong = filled ? NULL : store_see(a->s, gfn);

	CHECK(a, !wrong, wrong ? wrong : "", a->s->domid, gfn.n);
	a->seen.compressed++;
	a->seen.compressed_filled += filled;
}

static void audit_entry(struct audit *a, gfn_t gfn)
{
	struct p2m_view v = p2m_lookup_locked(a->s, gfn);

	a->touched += v.type != P2M_UNTOUCHED && p2m_is_ram(a->s, gfn);
	if (v.type == P2M_BALLOONED) {
		CHECK(a, !mfn_valid(v.mfn),
		      "invariant 6: domain #, guest frame # is ballooned but maps frame #",
		      a->s->domid, gfn.n, v.mfn.n);
		a->seen.ballooned++;
		return;
	}
	if (v.type == P2M_COMPRESSED)
		audit_compressed(a, gfn);
	if (!mfn_valid(v.mfn))
		return;
	if (v.mfn.n >= mm.nr_frames) {
		CHECK(a, false, "invariant 8: domain #, guest frame # maps frame #, beyond memory",
		      a->s->domid, gfn.n, v.mfn.n);
		return;
	}
	if (v.large && gfn.n % LARGE_PAGES == 0) {
		a->seen.large_leaves++;
		a->seen.large_shared += v.type == P2M_SHARED;
	}
	audit_leaf(a, gfn, &v);
}

/* ---- one space ---- */

static void audit_each(struct space *s, void (*f)(struct audit *a, gfn_t gfn), struct audit *a)
{
	a->s = s;
	p2m_lock(s);
	for (gfn_t g = p2m_next_locked(s, GFN(0)); g.n < GFN_LIMIT;
	     g = p2m_next_locked(s, GFN(g.n + 1)))
		f(a, g);
	p2m_unlock(s);
}

static void audit_count_alone(struct audit *a, gfn_t gfn)
{
	struct p2m_view v = p2m_lookup_locked(a->s, gfn);

	if (v.type == P2M_SHARED && v.mfn.n < mm.nr_frames)
		a->alone += frame_slot(frame_at(v.mfn)) == 1;
}

static void audit_restore(struct audit *a, gfn_t gfn)
{
	struct p2m_view v = p2m_lookup_locked(a->s, gfn);

	if (v.type == P2M_COMPRESSED)
		store_unsee(a->s, gfn);
	if (v.type == P2M_SHARED && v.mfn.n < mm.nr_frames &&
	    frame_kind(frame_at(v.mfn)) == FRAME_SHARED)
		atomic_fetch_add_explicit(&frame_at(v.mfn)->slot, 1, memory_order_relaxed);
}

static void audit_counter(struct audit *a, const char *text, uint64_t running, uint64_t counted)
{
	CHECK(a, running == counted, text, a->s->domid, running, counted);
}

static void audit_counters(struct audit *a)
{
	const struct space_stats *run = &a->s->stats, *seen = &a->seen;
	uint64_t alive =
	    seen->private_pages + seen->shared_mappings + seen->zero_mappings + seen->ones_mappings;

	audit_counter(a, "invariant 7: domain # counts # private pages, a walk finds #",
	              run->private_pages, seen->private_pages);
	audit_counter(a, "invariant 7: domain # counts # shared mappings, a walk finds #",
	              run->shared_mappings, seen->shared_mappings);
	audit_counter(a, "invariant 7: domain # counts # mappings merged with zero, a walk finds #",
	              run->zero_mappings, seen->zero_mappings);
	audit_counter(a, "invariant 7: domain # counts # mappings merged with ones, a walk finds #",
	              run->ones_mappings, seen->ones_mappings);
	audit_counter(a, "invariant 7: domain # counts # untouched mapped pages, a walk finds #",
	              run->untouched_mapped, seen->untouched_mapped);
	audit_counter(a, "invariant 7: domain # counts # ballooned pages, a walk finds #",
	              run->ballooned, seen->ballooned);
	audit_counter(a, "invariant 7: domain # counts # foreign pages, a walk finds #",
	              run->foreign, seen->foreign);
	audit_counter(a, "invariant 7: domain # counts # granted pages, a walk finds #",
	              run->granted, seen->granted);
	audit_counter(a, "invariant 7: domain # counts # large leaves, a walk finds #",
	              run->large_leaves, seen->large_leaves);
	audit_counter(a, "invariant 7: domain # counts # shared large leaves, a walk finds #",
	              run->large_shared, seen->large_shared);
	audit_counter(a, "invariant 7: domain # counts # untouched pages, a walk finds #",
	              run->untouched, a->s->low_pages + a->s->high_pages - a->touched);
	audit_counter(a, "invariant 7: domain # counts # compressed pages, a walk finds #",
	              run->compressed, seen->compressed);
	audit_counter(a, "invariant 7: domain # counts # filled pages, a walk finds #",
	              run->compressed_filled, seen->compressed_filled);
	audit_counter(a, "invariant 7: domain # has # pages, a walk finds #", a->s->memory_pages,
	              alive + run->untouched + seen->compressed);
	audit_counter(a, "invariant 7: domain # is funded for # private pages, a walk finds #",
	              a->s->held, seen->private_pages);
}

/* ---- what is known of a region as a whole (mm/quiet.c) ---- */

/* A private page under a large leaf that is not in the index, but known (mm/shape.c). */
static bool audit_kept(struct audit *a, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	return frame_flag(f, FRAME_LARGE) && !frame_flag(f, FRAME_INDEXED) &&
	       f->fingerprint == hash_fingerprint(env_frame(mfn), a->s->share_group);
}

/* A private page whose leaf does not call for a look. */
static void audit_known(struct audit *a, gfn_t gfn, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);
	bool known =
	    !frame_flag(f, FRAME_STALE) && (frame_flag(f, FRAME_INDEXED) || audit_kept(a, mfn));

	CHECK(a, known || frame_flag(f, FRAME_PINNED),
	      "invariant 12: domain #, guest frame # is to be read, but its region is passed over",
	      a->s->domid, gfn.n);
}

static void audit_region(struct audit *a, uint64_t over, gfn_t first)
{
	const struct pte_format *f = mm.format;
	bool large = f->kind(over, 2) == PTE_LEAF;
	const uint64_t *e = large ? NULL : env_frame(f->frame(over, 2));
	uint64_t calls = f->dirty_mask | (large ? 0 : f->look_mask);

	if (quiet_mark_of(over) < QUIET_KNOWN || (large && over & f->dirty_mask))
		return;
	for (unsigned i = 0; i < LARGE_PAGES; i++) {
		uint64_t v = large ? over : p2m_entry_get(&e[i]);
		gfn_t gfn = GFN(first.n + i);

		if (p2m_type_of(a->s, gfn, v, large ? 2 : 1) != P2M_PRIVATE)
			continue;
		if (!(v & calls))
			audit_known(a, gfn, pte_frame(v, large ? 2 : 1, gfn));
		else
			CHECK(a, !quiet_as_a_whole(over),
			      "invariant 12: domain #, guest frame # calls for a look, but its "
			      "region is "
			      "passed over",
			      a->s->domid, gfn.n);
	}
}

/* What a table of leaves has beside it for its compressed pages (mm/store.c). */
static void audit_handles(struct audit *a, mfn_t leaves)
{
	unsigned counted, found;
	mfn_t handles;

	if (!store_handles_of(leaves, &handles, &counted, &found))
		return;
	a->handles++;
	CHECK(a, frame_kind(frame_at(handles)) == FRAME_STORE,
	      "invariant 13: domain # has its handles in frame #, which is none of the store (kind "
	      "#)",
	      a->s->domid, handles.n, frame_kind(frame_at(handles)));
	CHECK(a, counted == found && found > 0,
	      "invariant 13: domain # counts # handles in a frame, a walk finds #", a->s->domid,
	      counted, found);
}

/* The tree's own tables, from the root down; this one's first entry is that of gfn. */
static void audit_tables(struct audit *a, mfn_t table, unsigned level, gfn_t gfn)
{
	const uint64_t *e = env_frame(table);
	struct frame *f = frame_at(table);

	CHECK(a, frame_kind(f) == FRAME_TABLE && frame_owner(f) == a->s->domid,
	      "invariant 8: domain # walks frame # as a page table, which is none of its (kind #)",
	      a->s->domid, table.n, frame_kind(f));
	a->tables++;
	if (level == 1)
		audit_handles(a, table);
	for (unsigned i = 0; level > 1 && i < LARGE_PAGES; i++) {
		uint64_t v = p2m_entry_get(&e[i]);
		enum pte_kind kind = pte_kind(v, level);
		gfn_t first = GFN(gfn.n + ((uint64_t)i << 9 * (level - 1)));

		if (kind == PTE_TABLE)
			audit_tables(a, mm.format->frame(v, level), level - 1, first);
		if (level == 2 && a->marks && (kind == PTE_TABLE || kind == PTE_LEAF))
			audit_region(a, v, first);
	}
}

static void audit_space(struct audit *a, struct space *s)
{
	uint64_t held;

	a->debt += mfn_valid(s->root) ? 0 : s->min_pages;
	a->table_frames += s->stats.table_frames; /* its pool may outlive its root */
	a->stores += s->stats.store_frames;
	a->constant_counts += s->stats.zero_mappings + s->stats.ones_mappings;
	a->owed += s->credits + (mfn_valid(s->root) ? 0 : s->min_pages);
	CHECK(a, s->borrowed <= s->loan, "invariant 11: domain # has borrowed # frames of #",
	      s->domid, s->borrowed, s->loan);
	a->loans += s->loan - s->borrowed;
	if (!mfn_valid(s->root))
		return;
	a->seen = (struct space_stats){0};
	a->alone = a->touched = a->tables = 0;
	audit_each(s, audit_count_alone, a);
	audit_each(s, audit_entry, a);
	if (!s->dying) /* one that is being taken down has no RAM any more, but its config */
		audit_counters(a);
	audit_tables(a, s->root, mm.format->levels, GFN(0));
	audit_counter(a, "invariant 7: domain # counts # table frames, a walk finds #",
	              s->stats.table_frames, a->tables + s->table_pool_pages);
	a->shared_mappings += a->seen.shared_mappings;
	a->constant += a->seen.zero_mappings + a->seen.ones_mappings;
	held = a->seen.private_pages + a->alone;
	a->debt += s->min_pages > held ? s->min_pages - held : 0;
	held = a->seen.private_pages;
	a->owed += s->min_pages > held ? s->min_pages - held : 0;
	a->private_pages += held;
}

/* ---- frames ---- */

static void audit_charge(enum frame_kind kind, domid_t owner)
{
	struct charge *c = &audit_charges[owner];

	c->tables += kind == FRAME_TABLE;
	c->service += kind == FRAME_SERVICE;
	c->hypervisor += kind == FRAME_HYPERVISOR;
	c->store += kind == FRAME_STORE;
}

static void audit_store(struct audit *a, mfn_t mfn)
{
	const struct frame *f = frame_at(mfn);

	if (store_holds_handles(f)) {
		a->handles--;
		return;
	}
	CHECK(a, store_unseen(f) == 0,
	      "invariant 13: frame # of the store has # objects that no page names", mfn.n,
	      store_unseen(f));
}

static void audit_frame(struct audit *a, mfn_t mfn)
{
	struct frame *f = frame_at(mfn);
	enum frame_kind kind = frame_kind(f);

	CHECK(a, kind < FRAME_KINDS, "invariant 1: frame # is of no kind (#)", mfn.n, kind);
	if (kind >= FRAME_KINDS)
		return;
	a->kinds[kind]++;
	audit_charge(kind, charge_owner(frame_owner(f)));
	if (kind == FRAME_STORE) {
		audit_store(a, mfn);
		return;
	}
	if (kind != FRAME_SHARED)
		return;
	CHECK(a, frame_slot(f) == 0,
	      "invariant 2: shared frame # counts more or fewer mappings than there are leaves "
	      "(off by # modulo 2^32)",
	      mfn.n, frame_slot(f));
	CHECK(a, frame_flag(f, FRAME_INDEXED), "invariant 5: shared frame # is not in the index",
	      mfn.n);
}

static void audit_frames(struct audit *a)
{
	static const char *const text =
	    "invariant 1: # frames of kind # are counted, a walk finds #";
	uint64_t ours = 0;

	for (mfn_t m = ranges_next(MFN(0)); mfn_valid(m); m = ranges_next(MFN(m.n + 1))) {
		audit_frame(a, m);
		ours++;
	}
	/* Frames without a record of ours are reserved by definition. */
	a->kinds[FRAME_RESERVED] += mm.nr_frames - ours;
	for (unsigned k = 0; k < FRAME_KINDS; k++)
		CHECK(a, counter_read(&mm.kinds[k]) == a->kinds[k], text,
		      counter_read(&mm.kinds[k]), k, a->kinds[k]);
}

static void audit_free(struct audit *a)
{
	struct fund_view v = fund_look();
	uint64_t listed;

	lock_take(&mm.free_lock, LOCK_FREE);
	listed = buddy_walk();
	lock_drop(&mm.free_lock, LOCK_FREE);
	CHECK(
	    a, listed == v.free && listed == a->kinds[FRAME_FREE],
	    "invariant 1: # frames are counted free, # are in the lists, # say that they are free",
	    v.free, listed, a->kinds[FRAME_FREE]);
	CHECK(a, v.debt == a->owed, "invariant 11: the running debt is #, a walk finds #", v.debt,
	      a->owed);
	CHECK(a, v.loans == a->loans, "invariant 11: # frames are kept for loans, a walk finds #",
	      v.loans, a->loans);
	CHECK(a, v.free >= v.debt + v.loans,
	      "invariant 11: # frames are free, the running debt is #, the loans are #", v.free,
	      v.debt, v.loans);
	CHECK(a, v.free >= a->debt, "invariant 11: # frames are free, but # are guaranteed", v.free,
	      a->debt);
}

/*
 * All frames have somebody who answers for them: the sums over the domains, and over what the
 * hypervisor has for itself, are the frames of each kind, and these are the machine.
 */
static void audit_sums(struct audit *a)
{
	uint64_t machine = 0, tables = 0, others = 0, store = 0;

	for (unsigned k = 0; k < FRAME_KINDS; k++)
		machine += a->kinds[k];
	for (domid_t d = 0; d < MM_MAX_SPACES; d++) {
		struct charge run = charge_of(d), *seen = &audit_charges[d];

		CHECK(a,
		      run.tables == seen->tables && run.store == seen->store &&
		          run.service + run.hypervisor == seen->service + seen->hypervisor,
		      "invariant 7: domain # is charged # tables and # other frames, a walk finds "
		      "# and #",
		      d, run.tables, run.service + run.hypervisor, seen->tables,
		      seen->service + seen->hypervisor);
		tables += run.tables;
		others += run.service + run.hypervisor;
		store += run.store;
	}
	CHECK(a, machine == mm.nr_frames, "invariant 1: # frames of all kinds, the machine has #",
	      machine, mm.nr_frames);
	CHECK(a, a->private_pages == a->kinds[FRAME_PRIVATE],
	      "invariant 1: # frames are private, the domains hold #", a->kinds[FRAME_PRIVATE],
	      a->private_pages);
	CHECK(a, a->table_frames == a->kinds[FRAME_TABLE] && tables == a->table_frames,
	      "invariant 1: # frames are page tables, the domains have #, charged are #",
	      a->kinds[FRAME_TABLE], a->table_frames, tables);
	CHECK(a, store == a->kinds[FRAME_STORE] && a->stores == store,
	      "invariant 1: # frames are the store's, charged are #, the domains count #",
	      a->kinds[FRAME_STORE], store, a->stores);
	CHECK(a, a->handles == 0,
	      "invariant 13: frames with handles and tables of leaves differ by # modulo 2^64",
	      a->handles);
	CHECK(a, others == a->kinds[FRAME_SERVICE] + a->kinds[FRAME_HYPERVISOR],
	      "invariant 1: # frames are the hypervisor's, charged are #",
	      a->kinds[FRAME_SERVICE] + a->kinds[FRAME_HYPERVISOR], others);
}

/* ---- sharing as a whole ---- */

static void audit_index_entry(mfn_t mfn, void *arg)
{
	struct audit *a = arg;
	struct frame *f = frame_at(mfn);

	CHECK(a, frame_kind(f) == FRAME_SHARED || frame_kind(f) == FRAME_PRIVATE,
	      "invariant 5: frame # of kind # is in the index", mfn.n, frame_kind(f));
	if (frame_kind(f) != FRAME_SHARED)
		return;
	a->entries_shared++;
	CHECK(a, hash_fingerprint(env_frame(mfn), frame_owner(f)) == f->fingerprint,
	      "invariant 5: shared frame # has a content that its fingerprint # does not fit",
	      mfn.n, f->fingerprint);
}

static void audit_sharing(struct audit *a)
{
	uint64_t frames = a->kinds[FRAME_SHARED];
	uint64_t running = counter_read(&mm.count.shared_mappings) -
	                   counter_read(&mm.kinds[FRAME_SHARED]) + a->constant_counts;

	index_each(audit_index_entry, a);
	CHECK(a, a->entries_shared == frames,
	      "invariant 5: # shared frames, but # shared entries in the index", frames,
	      a->entries_shared);
	CHECK(a, counter_read(&mm.count.shared_mappings) == a->shared_mappings,
	      "invariant 10: # mappings of shared frames are counted, a walk finds #",
	      counter_read(&mm.count.shared_mappings), a->shared_mappings);
	CHECK(a, a->shared_mappings >= frames,
	      "invariant 10: # mappings of # shared frames save less than nothing",
	      a->shared_mappings, frames);
	a->r.saved = a->shared_mappings + a->constant - frames;
	CHECK(a, running == a->r.saved,
	      "invariant 10: # pages are counted as saved, a walk finds #", running, a->r.saved);
}

struct audit_report mm_audit(void)
{
	struct audit a = {.marks = index_stats().hints_dropped == 0};

	__builtin_memset(audit_charges, 0, sizeof(audit_charges));
	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		if (space_find(d))
			audit_space(&a, space_find(d));
	audit_frames(&a);
	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		if (space_find(d) && mfn_valid(space_find(d)->root))
			audit_each(space_find(d), audit_restore, &a);
	audit_free(&a);
	audit_sums(&a);
	audit_sharing(&a);
	return a.r;
}
