/* SPDX-License-Identifier: MIT */
/* The monitor's verbs for memory: sharing, and the map for the oracle. */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/string.h"
#include "mm/scan.h"

/* ---- sharing ---- */

/* One instant of the whole machine, taken while every other CPU stands still. */
static struct {
	struct mm_stats mm;
	struct share_split split;
	struct space_stats domain[MAX_DOMAINS];
	uint64_t part[MAX_DOMAINS]; /* 1/2^32 pages */
	bool used[MAX_DOMAINS];
	uint64_t parts; /* their sum */
	uint64_t ns;    /* when */
} instant;

static void take_domain(struct domain *d, void *arg)
{
	(void)arg;
	if (d->dying)
		return;
	instant.used[d->id] = true;
	instant.domain[d->id] = space_stats(&d->space);
	instant.part[d->id] = share_part(&d->space);
	instant.parts += instant.part[d->id];
}

void monitor_instant(void *arg)
{
	(void)arg;
	memset(&instant, 0, sizeof(instant));
	instant.ns = machine_ns();
	instant.mm = mm_stats();
	instant.split = share_split();
	domain_each(take_domain, NULL);
}

struct figure {
	const char *name;
	uint64_t value;
};

/* KSM's names where KSM has the thing (Documentation/admin-guide/mm/ksm.rst). */
#define FIGURES 27
static unsigned figures(struct figure f[FIGURES])
{
	const struct mm_stats *m = &instant.mm;
	const struct figure all[] = {
	    {"pages_shared",        m->pages_shared                        },
	    {"pages_sharing",       m->pages_sharing                       },
	    {"pages_unshared",      m->pages_unshared                      },
	    {"pages_volatile",      m->pages_volatile                      },
	    {"full_scans",          m->full_scans                          },
	    {"pages_scanned",       m->pages_scanned                       },
	    {"pages_passed",        m->pages_passed                        },
	    {"pages_logged",        m->pages_logged                        },
	    {"pages_zero",          m->pages_zero                          },
	    {"pages_ones",          m->pages_ones                          },
	    {"pages_untouched",     m->pages_untouched                     },
	    {"pages_saved",         m->pages_saved                         },
	    {"zero",                instant.split.zero                     },
	    {"ones",                instant.split.ones                     },
	    {"self",                instant.split.self                     },
	    {"inter",               instant.split.inter                    },
	    {"pages_fingerprinted", m->pages_fingerprinted                 },
	    {"pages_compared",      m->pages_compared                      },
	    {"merges",              m->merges                              },
	    {"merges_given_up",     m->merges_given_up                     },
	    {"breaks",              m->breaks                              },
	    {"take_overs",          m->take_overs                          },
	    {"flushes",             m->flushes                             },
	    {"hints_dropped",       m->hints_dropped                       },
	    {"waits",               m->waits	                       },
	    {"frames_free",         m->frames_free                         },
 /* what dividing shared frames among their users left over, in 1/2^32 pages */
	    {"part_remainder",      (m->pages_shared << 32) - instant.parts},
	};

	memcpy(f, all, sizeof(all));
	return ARRAY_SIZE(all);
}

void monitor_sharing_total_json(void)
{
	struct figure f[FIGURES];
	unsigned n = figures(f);
	struct json j;

	json_begin(&j);
	json_number(&j, "time_ns", instant.ns);
	for (unsigned i = 0; i < n; i++)
		json_number(&j, f[i].name, f[i].value);
	json_bool(&j, "scan", sched_scan_on());
	monitor_json(&j);
}

static void sharing_total(void)
{
	struct figure f[FIGURES];
	unsigned n = figures(f);

	for (unsigned i = 0; i + 1 < n; i += 2)
		log_print("%-20s %12lu   %-20s %12lu\n", f[i].name, f[i].value, f[i + 1].name,
		          f[i + 1].value);
	log_print(
	    "saved %lu pages = zero %lu + ones %lu + self %lu + inter %lu; the scanner is %s\n",
	    instant.mm.pages_saved, instant.split.zero, instant.split.ones, instant.split.self,
	    instant.split.inter, sched_scan_on() ? "on" : "off");
}

void monitor_sharing_json(const struct domain *d)
{
	const struct space_stats *s = &instant.domain[d->id];
	uint64_t part = instant.part[d->id];
	struct json j;

	json_begin(&j);
	json_number(&j, "domain", d->id);
	json_string(&j, "name", d->name);
	json_number(&j, "share_group", d->space.share_group);
	json_number(&j, "private", s->private_pages);
	json_number(&j, "shared_mappings", s->shared_mappings);
	json_milli(&j, "shared_part", (part >> 32) * 1000 + ((part & UINT32_MAX) * 1000 >> 32));
	json_number(&j, "zero_mappings", s->zero_mappings);
	json_number(&j, "ones_mappings", s->ones_mappings);
	json_number(&j, "untouched", s->untouched);
	json_number(&j, "ballooned", s->ballooned);
	json_number(&j, "foreign", s->foreign);
	json_number(&j, "pinned", s->pinned);
	json_number(&j, "table_frames", s->table_frames);
	json_number(&j, "large_leaves", s->large_leaves);
	json_number(&j, "splits", s->splits);
	json_number(&j, "splits_sharing", s->splits_sharing);
	json_number(&j, "split_gain", s->split_gain);
	json_number(&j, "splits_written", s->splits_written);
	json_number(&j, "coalesces", s->coalesces);
	json_number(&j, "coalesce_copies", s->coalesce_copies);
	json_number(&j, "large_shared", s->large_shared);
	json_number(&j, "large_merges", s->large_merges);
	json_number(&j, "populates", s->populates);
	json_number(&j, "breaks", s->breaks);
	json_number(&j, "take_overs", s->take_overs);
	json_number(&j, "unprotects", s->unprotects);
	json_number(&j, "table_breaks", s->table_breaks);
	json_number(&j, "merges", s->merges);
	json_number(&j, "waits", s->waits);
	monitor_json(&j);
}

static void sharing_line(const struct domain *d)
{
	const struct space_stats *s = &instant.domain[d->id];
	uint64_t part = instant.part[d->id];

	log_print("%-20s %4u %5u %8lu %8lu %8lu.%lu %7lu %7lu %9lu %8lu %8lu\n", d->name, d->id,
	          d->space.share_group, s->private_pages, s->shared_mappings, part >> 32,
	          (part & UINT32_MAX) * 10 >> 32, s->zero_mappings, s->ones_mappings, s->untouched,
	          s->merges, s->breaks);
}

/* at[0]: the last id that was shown */
bool monitor_sharing(struct run *r)
{
	if (r->calls == 0) {
		sched_stopped(monitor_instant, NULL);
		if (r->json)
			monitor_sharing_total_json();
		else
			sharing_total();
		if (!r->json)
			log_print("%-20s %4s %5s %8s %8s %10s %7s %7s %9s %8s %8s\n", "Name", "ID",
			          "Group", "Own", "Shared", "Its part", "Zero", "Ones", "Untouched",
			          "Merges", "Breaks");
	}
	for (unsigned i = 0; i < MONITOR_SLICE && !monitor_turn_over(); i++) {
		struct domain *d = monitor_after((domid_t)r->at[0]);

		if (!d)
			return true;
		r->at[0] = d->id;
		if (!instant.used[d->id])
			continue;
		if (r->json)
			monitor_sharing_json(d);
		else
			sharing_line(d);
	}
	return false;
}

/* ---- map ---- */

#define MAP_LOOKUPS 2048u /* guest frames looked at in one turn */
#define MAP_LINE    200u

/* Guest frames in a row, in machine frames in a row or all in one constant frame. */
struct stretch {
	uint64_t gfn, count;
	struct p2m_view view;
};

static const char *type_name(enum p2m_type type)
{
	static const char *const name[] = {[P2M_NONE] = "none",
	                                   [P2M_UNTOUCHED] = "untouched",
	                                   [P2M_PRIVATE] = "private",
	                                   [P2M_SHARED] = "shared",
	                                   [P2M_ZERO] = "zero",
	                                   [P2M_ONES] = "ones",
	                                   [P2M_BALLOONED] = "ballooned",
	                                   [P2M_FOREIGN] = "foreign",
	                                   [P2M_COMPRESSED] = "compressed"};

	return (size_t)type < ARRAY_SIZE(name) ? name[type] : "unknown";
}

static bool one_frame(enum p2m_type type)
{
	return type != P2M_PRIVATE && type != P2M_SHARED && type != P2M_FOREIGN;
}

/* Whether the guest frame goes on where the stretch ends. */
static bool goes_on(const struct stretch *s, uint64_t gfn, const struct p2m_view *v)
{
	uint64_t mfn = s->view.mfn.n + (one_frame(v->type) ? 0 : s->count);

	return s->count && gfn == s->gfn + s->count && v->type == s->view.type && v->mfn.n == mfn &&
	       v->pinned == s->view.pinned && v->guest_table == s->view.guest_table;
}

/* Lines with as many stretches as fit: a guest's memory can be in thousands of pieces. */
struct map_line {
	domid_t id;
	unsigned lines;
	size_t length;
	char text[MAP_LINE];
};

static void map_flush(struct map_line *l)
{
	if (l->length)
		log_tag("map domain=%u%s", l->id, l->text);
	l->lines += l->length != 0;
	l->length = 0;
}

static void map_print(struct map_line *l, const struct stretch *s)
{
	char text[64];
	size_t n;

	if (!s->count)
		return;
	n = (size_t)text_format(text, sizeof(text), " %lx+%lu=%lx:%s%s%s", s->gfn, s->count,
	                        s->view.mfn.n, type_name(s->view.type),
	                        s->view.pinned ? ":pinned" : "",
	                        s->view.guest_table ? ":table" : "");
	if (l->length + n >= sizeof(l->text))
		map_flush(l);
	memcpy(l->text + l->length, text, n + 1);
	l->length += n;
}

uint64_t monitor_map_slice(struct domain *d, uint64_t gfn, uint64_t end)
{
	struct stretch s = {.count = 0};
	struct map_line l = {.id = d->id};

	for (unsigned i = 0; i < MAP_LOOKUPS && l.lines < MONITOR_SLICE && !monitor_turn_over();
	     i++) {
		struct p2m_view v;

		gfn = p2m_next(&d->space, GFN(gfn)).n;
		if (gfn >= end)
			break;
		v = p2m_lookup(&d->space, GFN(gfn));
		if (goes_on(&s, gfn, &v)) {
			s.count++;
		} else if (v.type != P2M_NONE) {
			map_print(&l, &s);
			s = (struct stretch){.gfn = gfn, .count = 1, .view = v};
		}
		gfn++;
	}
	map_print(&l, &s);
	map_flush(&l);
	return gfn;
}

/* at[0]: the next guest frame; at[1]: the domain's id */
bool monitor_map(struct run *r)
{
	struct domain *d =
	    r->calls ? domain_find((domid_t)r->at[1]) : monitor_domain(r, r->word[1]);

	if (!d)
		return r->calls ? monitor_fail(r, "the domain is gone") : true;
	r->at[1] = d->id;
	r->at[0] = monitor_map_slice(d, r->at[0], GFN_LIMIT);
	return r->at[0] >= GFN_LIMIT;
}

/* ---- settling ---- */

#define SETTLE_PAGES 128u

/* What the settling under way has cost, of the scanner's time only. */
static struct {
	struct mm_stats before;
	uint64_t cycles;
} settling;

static void settle_print(void)
{
	struct mm_stats m = mm_stats();
	const struct mm_stats *b = &settling.before;

	log_tag("scan settled pages_saved=%lu pages_shared=%lu full_scans=%lu freed=%lu "
	        "scanned=%lu passed=%lu fingerprinted=%lu compared=%lu cycles=%lu",
	        m.pages_saved, m.pages_shared, m.full_scans, m.merges - b->merges,
	        m.pages_scanned - b->pages_scanned, m.pages_passed - b->pages_passed,
	        m.pages_fingerprinted - b->pages_fingerprinted,
	        m.pages_compared - b->pages_compared, settling.cycles);
}

bool monitor_settle(struct run *r)
{
	bool settled = false;

	if (r->calls == 0) {
		settling.before = mm_stats();
		settling.cycles = 0;
		scan_settle_begin();
	}
	while (!settled) {
		uint64_t began = machine_tsc();

		settled = scan_settle_step(SETTLE_PAGES);
		settling.cycles += machine_tsc() - began;
		if (!settled && monitor_turn_over())
			return false;
	}
	settle_print();
	return true;
}
