/* SPDX-License-Identifier: MIT */
/*
 * A trace once more (docs/trace.md): the same mm/ as in the hypervisor, the policy that one
 * asks for, and guests that write what they wrote then. No clock of this machine is read, so
 * two replays print the same bytes.
 *
 * Time is the trace's. At a tick all that was written since the last one is written; between
 * two ticks the scanner has the memory for itself, and so much of one CPU:
 *
 *	a slice costs c instructions (replay_cost.h)	it takes c / MIPS microseconds,
 *	a share of s per cent				and the next begins 100 / s times later
 *	it had nothing to do				the next begins 10 ms later
 *
 * A share that is not used is lost: nobody saves up for the next tick.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/svm/svm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "mm/deferred.h"
#include "mm/p2m.h"
#include "mm/scan.h"
#include "tests/bench/measure.h"
#include "tests/bench/replay_cost.h"
#include "tests/bench/replay_guests.h"
#include "tests/bench/replay_truth.h"
#include "tests/bench/world.h"

#define IDLE_NS      UINT64_C(10000000) /* as kernel/sched.c looks again */
#define MAX_KNOBS    16u
#define SPARE_FRAMES 8192u

static struct options {
	const struct pte_format *format;
	const char *policy, *series, *passes, *knob[MAX_KNOBS];
	unsigned nr_knobs;
	bool progress;                         /* tell it */
	uint64_t cpu_milli, mips, slice, seed; /* cpu: thousandths of a per cent */
} options = {.format = &ept_format, .cpu_milli = 1000, .mips = 2000, .slice = 512, .seed = 1};

static struct trace_file trace;
const struct scan_policy *cost_policy;

/* The scanner's time. */
static struct {
	uint64_t tick_ns;       /* the next tick */
	uint64_t now_ns;        /* of the trace */
	uint64_t next_ns;       /* its next slice */
	uint64_t slices, spent; /* instructions */
	struct cost at;         /* when the slice under way began */
	uint64_t cycles;        /* the highest that env_cycles has told */
} run;

static struct {
	uint64_t last_ns, saved, savable, breaks, faults, end_saved;
	unsigned __int128 saved_integral, savable_integral; /* pages * ns */
} sum;

static FILE *series, *passes;

/* ---- time and cost ---- */

static uint64_t spent_in_slice(void)
{
	struct cost c = cost_less(cost_now(), run.at);

	return cost_instructions(&c);
}

/* mm/'s clock: an instruction is a cycle. */
static uint64_t replay_clock(void)
{
	uint64_t cycles = run.now_ns * options.mips / 1000 + spent_in_slice();

	run.cycles = max_u64(run.cycles, cycles);
	return run.cycles;
}

static uint64_t instructions_ns(uint64_t n)
{
	return n * 1000 / options.mips;
}

/* ---- what is saved ---- */

static uint64_t saved_now(void)
{
	uint64_t saved = counter_read(&mm.count.shared_mappings) -
	                 atomic_load_explicit(&mm.kinds[FRAME_SHARED], memory_order_relaxed);

	for (domid_t d = 1; d < MM_MAX_SPACES; d++)
		if (space_find(d))
			saved +=
			    space_find(d)->stats.zero_mappings + space_find(d)->stats.ones_mappings;
	return saved;
}

/* Add up what was saved until now, and could have been. */
static void integrate(uint64_t now_ns)
{
	now_ns = min_u64(now_ns, run.tick_ns); /* a slice may end behind the tick */
	if (now_ns > sum.last_ns) {
		sum.saved_integral += (unsigned __int128)sum.saved * (now_ns - sum.last_ns);
		sum.savable_integral += (unsigned __int128)sum.savable * (now_ns - sum.last_ns);
		sum.last_ns = now_ns;
	}
	sum.saved = saved_now();
	sum.savable = truth_savable;
}

/* ---- what mm/ shares: the linker puts these in the places of the two ---- */

bool __real_p2m_share(struct space *s, gfn_t gfn, mfn_t mfn);
bool __wrap_p2m_share(struct space *s, gfn_t gfn, mfn_t mfn);
void __real_p2m_switch(struct space *s, gfn_t gfn, mfn_t survivor, struct deferred *d);
void __wrap_p2m_switch(struct space *s, gfn_t gfn, mfn_t survivor, struct deferred *d);

static uint64_t slice_ns(void)
{
	return run.now_ns + instructions_ns(spent_in_slice());
}

bool __wrap_p2m_share(struct space *s, gfn_t gfn, mfn_t mfn)
{
	bool shared = __real_p2m_share(s, gfn, mfn);

	if (shared)
		truth_shared((uint8_t)s->domid, gfn.n, slice_ns());
	return shared;
}

void __wrap_p2m_switch(struct space *s, gfn_t gfn, mfn_t survivor, struct deferred *d)
{
	__real_p2m_switch(s, gfn, survivor, d);
	truth_shared((uint8_t)s->domid, gfn.n, slice_ns());
}

/* ---- the scanner ---- */

/* Where the scanner was when a pass ended. */
struct pass {
	uint64_t full, end_ns, spent;
	struct cost cost;
};

/* One pass that read something, or many in a row that did not; `told` is brought up to `now`. */
static void pass_row(struct pass *told, const struct pass *now)
{
	struct cost c = cost_less(now->cost, told->cost);

	if (passes && now->full != told->full)
		fprintf(passes, "%llu,%.6f,%llu,%llu,%llu,%llu,%llu,%llu,%llu\n",
		        (unsigned long long)(now->full - told->full), (double)now->end_ns / 1e9,
		        (unsigned long long)c.leaves, (unsigned long long)c.passed,
		        (unsigned long long)c.fingerprinted, (unsigned long long)c.bytes_read,
		        (unsigned long long)cost_compared(&c), (unsigned long long)c.merges,
		        (unsigned long long)(now->spent - told->spent));
	*told = *now;
}

/* Whether passes have ended, up to now; `all`: tell of those that read nothing as well. */
static void pass_look(uint64_t now_ns, bool all)
{
	static struct pass told, last;
	struct pass now = {counter_read(&mm.count.full_scans), now_ns, run.spent, cost_now()};

	if (now.full != last.full) {
		bool read = now.cost.bytes_read != last.cost.bytes_read;

		if (read)
			pass_row(&told, &last);
		last = now;
		if (read)
			pass_row(&told, &last);
	}
	if (all)
		pass_row(&told, &last);
}

/* One slice; sets when the next one begins. */
static void replay_slice(void)
{
	uint64_t used, cost;

	run.now_ns = run.next_ns;
	run.at = cost_now();
	used = scan_slice(options.slice);
	cost = spent_in_slice() + COST_SLICE;
	run.spent += cost;
	run.slices++;
	if (counter_read(&mm.count.merges) != run.at.merges)
		integrate(run.now_ns + instructions_ns(cost));
	pass_look(run.now_ns + instructions_ns(cost), false);
	run.at = cost_now();
	run.next_ns +=
	    used ? max_u64(instructions_ns(cost) * 100000 / options.cpu_milli, 1) : IDLE_NS;
}

/* ---- a tick ---- */

static void series_row(void)
{
	struct cost c = cost_now();

	if (series)
		fprintf(series, "%.6f,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu\n",
		        (double)run.now_ns / 1e9, (unsigned long long)truth_savable,
		        (unsigned long long)saved_now(), (unsigned long long)run.spent,
		        (unsigned long long)c.fingerprinted, (unsigned long long)c.bytes_read,
		        (unsigned long long)cost_compared(&c), (unsigned long long)c.merges,
		        (unsigned long long)counter_read(&mm.count.full_scans));
}

static void replay_progress(void)
{
	static uint64_t ticks, told;

	if (options.progress && ++ticks * 100 / max_u64(trace.ticks, 1) > told) {
		told = ticks * 100 / max_u64(trace.ticks, 1);
		fprintf(stderr, "progress %llu\n", (unsigned long long)told);
	}
}

static void replay_tick(uint64_t at_ns)
{
	run.tick_ns = at_ns;
	while (run.next_ns < at_ns)
		replay_slice();
	run.now_ns = at_ns;
	run.at = cost_now();
}

/* All operations up to the tick that ends them. They happen at the tick's time. */
static void replay(void)
{
	uint64_t ops = 0, at_ns = 0, begin = trace.at;
	uint32_t next_content = trace.next_content;

	for (;;) {
		struct trace_op op = trace_file_next(&trace);
		struct trace_file mark;

		ops++;
		if (op.kind == OP_END)
			break;
		if (op.kind != OP_TICK)
			continue;
		/* Now the time of these is known: go back and do them. */
		at_ns += op.n;
		replay_tick(at_ns);
		mark = trace;
		trace.at = begin;
		trace.next_content = next_content;
		while (--ops) {
			op = trace_file_next(&trace);
			guests_do(&op, run.now_ns);
		}
		trace = mark;
		begin = trace.at;
		next_content = trace.next_content;
		integrate(at_ns);
		series_row();
		pass_look(at_ns, true);
		replay_progress();
	}
	sum.end_saved = saved_now();
	truth_end(at_ns);
}

/* ---- checks ---- */

static bool check(void)
{
	struct audit_report audit = mm_audit();
	uint64_t wrong = guests_wrong();

	emit_count("mismatches", wrong);
	emit_count("audit_failures", audit.failures);
	emit_count("outside", guests_outside);
	if (wrong)
		fprintf(stderr, "replay: %llu pages of another content\n",
		        (unsigned long long)wrong);
	if (audit.failures)
		fprintf(stderr, "replay: audit: %s\n", audit.first);
	if (mm_stats().pages_saved != saved_now() || saved_now() > truth_savable)
		fprintf(stderr, "replay: saved %llu, by mm's count %llu, of %llu\n",
		        (unsigned long long)saved_now(), (unsigned long long)mm_stats().pages_saved,
		        (unsigned long long)truth_savable);
	return !wrong && !audit.failures && mm_stats().pages_saved == saved_now() &&
	       saved_now() <= truth_savable;
}

/* ---- telling ---- */

static uint64_t page_seconds(unsigned __int128 integral)
{
	return (uint64_t)(integral / 1000000000u);
}

static void tell(void)
{
	struct cost c = cost_now();
	struct mm_stats st = mm_stats();

	emit_count("nanoseconds", sum.last_ns);
	emit_count("tick_ns", trace.tick_ns);
	emit_count("ticks", trace.ticks);
	emit_count("writes", trace.writes);
	emit_count("savable_page_seconds", page_seconds(sum.savable_integral));
	emit_count("saved_page_seconds", page_seconds(sum.saved_integral));
	emit_count("savable_at_end", sum.savable);
	emit_count("saved_at_end", sum.end_saved);
	emit_count("instructions", run.spent);
	emit_count("slices", run.slices);
	emit_count("full_scans", st.full_scans);
	emit_count("leaves", c.leaves);
	emit_count("passed", c.passed);
	emit_count("fingerprinted", c.fingerprinted);
	emit_count("compared", st.pages_compared);
	emit_count("bytes_read", c.bytes_read);
	emit_count("bytes_compared", cost_compared(&c));
	emit_count("merges", c.merges);
	emit_count("merges_given_up", c.given_up);
	emit_count("levels", c.levels);
	emit_count("flushes", c.flushes);
	emit_count("breaks", st.breaks);
	emit_count("take_overs", st.take_overs);
	emit_count("waits", truth_waits.n);
	emit_count("waits_from_start", truth_waits.cold);
	emit_count("wait_median_ns", truth_quantile(0.5));
	emit_count("wait_p99_ns", truth_quantile(0.99));
	emit_count("in_vain_short", truth_waits.vain_short);
	emit_count("in_vain_long", truth_waits.vain_long);
}

/* ---- the program ---- */

/* Frames for all domains that are there at once, as if nothing were shared. */
static uint64_t frames_needed(void)
{
	uint64_t now = 0, most = 0, of[MM_MAX_SPACES] = {0};
	struct trace_op op;

	do {
		op = trace_file_next(&trace);
		if (op.kind == OP_CREATE) {
			of[op.domid] = max_u64(op.gfn, op.n);
			now += of[op.domid] + of[op.domid] / LARGE_PAGES + 64;
		}
		if (op.kind == OP_DESTROY)
			now -= of[op.domid] + of[op.domid] / LARGE_PAGES + 64;
		most = max_u64(most, now);
	} while (op.kind != OP_END);
	trace_file_rewind(&trace);
	return align_up(most + SPARE_FRAMES + LARGE_PAGES, LARGE_PAGES);
}

static void usage(void)
{
	fputs(
	    "usage: replay [--policy NAME] [--cpu PERCENT] [--mips N] [--slice PAGES] [--seed N]\n"
	    "              [--format ept|npt] [--series CSV] [--passes CSV] [--progress]\n"
	    "              [--knob NAME=VALUE] ... TRACE\n"
	    "       replay --list\n",
	    stderr);
	exit(1);
}

static uint64_t positive(const char *text, double scale, const char *what)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v * scale >= 1) || v * scale > 1e12) {
		fprintf(stderr, "replay: --%s %s: a number above 0 is wanted\n", what, text);
		exit(1);
	}
	return (uint64_t)(v * scale + 0.5);
}

static void list(void)
{
	for (unsigned i = 0; scan_policies[i]; i++)
		puts(scan_policies[i]->name);
	exit(0);
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"policy",           required_argument, NULL, 'p'},
            {"cpu",              required_argument, NULL, 'c'},
	    {"mips",                  required_argument, NULL, 'm'},
            {"slice",required_argument, NULL, 's'},
	    {"seed",               required_argument, NULL, 'r'},
            {"format",             required_argument, NULL, 'f'},
	    {"series",              required_argument, NULL, 't'},
            {"passes",                  required_argument, NULL, 'a'},
	    {"knob",              required_argument, NULL, 'k'},
            {"progress",               no_argument, NULL, 'g'},
	    {"list",             no_argument, NULL, 'l'},
            {0             },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'p')
			options.policy = optarg;
		else if (c == 'c')
			options.cpu_milli = positive(optarg, 1000, "cpu");
		else if (c == 'm')
			options.mips = positive(optarg, 1, "mips");
		else if (c == 's')
			options.slice = positive(optarg, 1, "slice");
		else if (c == 'r')
			options.seed = positive(optarg, 1, "seed");
		else if (c == 'f')
			options.format = strcmp(optarg, "npt") ? &ept_format : &npt_format;
		else if (c == 't')
			options.series = optarg;
		else if (c == 'a')
			options.passes = optarg;
		else if (c == 'k' && options.nr_knobs < MAX_KNOBS)
			options.knob[options.nr_knobs++] = optarg;
		else if (c == 'g')
			options.progress = true;
		else if (c == 'l')
			list();
		else
			usage();
	}
	if (optind + 1 != argc)
		usage();
	trace_file_open(&trace, argv[optind]);
}

static FILE *csv(const char *path, const char *columns)
{
	FILE *f = path ? fopen(path, "w") : NULL;

	if (path && !f) {
		perror(path);
		exit(1);
	}
	if (f)
		fprintf(f, "%s\n", columns);
	return f;
}

static bool csv_end(FILE *f, const char *path)
{
	if (!f || (!ferror(f) && !fclose(f)))
		return true;
	perror(path);
	return false;
}

/* NAME=VALUE for a knob of the policy. */
static void turn(const char *text)
{
	const char *eq = strchr(text, '=');
	const struct scan_knob *knob;
	char name[64], *end;
	uint64_t value;

	snprintf(name, sizeof(name), "%.*s", eq ? (int)(eq - text) : 63, text);
	knob = scan_find_knob(scan_policy(), name);
	if (!eq || !knob) {
		fprintf(stderr, "replay: --knob %s: %s has no such knob\n", text,
		        scan_policy_name());
		exit(1);
	}
	value = strtoull(eq + 1, &end, 10);
	if (end == eq + 1 || *end || !scan_set_knob(knob, value)) {
		fprintf(stderr, "replay: --knob %s: a number from %llu to %llu is wanted\n", text,
		        (unsigned long long)knob->least, (unsigned long long)knob->most);
		exit(1);
	}
}

static void choose(void)
{
	scan_set_clock(options.mips * 1000);
	if (options.policy && !scan_set_policy(options.policy)) {
		fprintf(stderr, "replay: there is no policy %s; --list names them\n",
		        options.policy);
		exit(1);
	}
	cost_policy = scan_policy();
	for (unsigned i = 0; i < options.nr_knobs; i++)
		turn(options.knob[i]);
}

int main(int argc, char **argv)
{
	bool good;

	parse(argc, argv);
	world_seed(options.seed);
	world_clock = replay_clock;
	world_start(&(struct world_config){.frames = frames_needed(), .format = options.format});
	cost_policy = scan_policies[0];
	choose();
	series = csv(options.series, "seconds,savable,saved,instructions,fingerprinted,bytes_read,"
	                             "bytes_compared,merges,full_scans");
	passes = csv(options.passes, "passes,seconds,leaves,passed,fingerprinted,bytes_read,"
	                             "bytes_compared,merges,instructions");
	truth_is_shared = guests_shared;
	truth_patience_ns = 4 * trace.tick_ns;
	replay();
	tell();
	good = check();
	good &= csv_end(series, options.series) && csv_end(passes, options.passes);
	world_stop();
	trace_file_close(&trace);
	return !good;
}
