/* SPDX-License-Identifier: MIT */
/*
 * The monitor's verb `audit`: the invariants, checked on the stopped machine. With a number, as many times, with the
 * guests running in between: a storm changes what the next one looks at. The first that finds something ends it.
 */
#include "kernel/log.h"
#include "kernel/monitor.h"

#define APART_NS UINT64_C(1000000) /* for the guests, between two of them */

/* What a run remembers: r->at */
enum { AT_LEFT, AT_DONE, AT_NEXT_NS };

/* Over all audits of this run; the monitor runs one command at a time. */
static struct {
	struct audit_report report; /* checks are summed up; the rest is of the last one */
	uint64_t changed;           /* audits that found another number of saved pages */
} sum;

static void take_audit(void *arg)
{
	*(struct audit_report *)arg = mm_audit();
}

static void audit_once(struct run *r)
{
	uint64_t checks = sum.report.checks, saved = sum.report.saved;

	sched_stopped(take_audit, &sum.report);
	sum.report.checks += checks;
	sum.changed += r->at[AT_DONE] && sum.report.saved != saved;
	r->at[AT_DONE]++;
	r->at[AT_LEFT] = sum.report.failures ? 0 : r->at[AT_LEFT] - 1;
	r->at[AT_NEXT_NS] = machine_ns() + APART_NS;
}

static void audit_json(const struct run *r)
{
	struct json j;

	json_begin(&j);
	json_number(&j, "checks", sum.report.checks);
	json_number(&j, "failures", sum.report.failures);
	json_string(&j, "first", sum.report.first);
	json_number(&j, "audits", r->at[AT_DONE]);
	json_number(&j, "saved", sum.report.saved);
	json_number(&j, "changed", sum.changed);
	monitor_json(&j);
}

static void audit_lines(const struct run *r)
{
	log_print("audit: %lu checks, %lu failures\n", sum.report.checks, sum.report.failures);
	if (r->at[AT_DONE] > 1)
		log_print("audit: that was %lu audits; at %lu of them another number of pages was "
		          "saved than at the one before\n",
		          r->at[AT_DONE], sum.changed);
	if (sum.report.failures)
		log_print("audit: the first: %s\n", sum.report.first);
}

static void audit_tell(struct run *r)
{
	if (r->json)
		audit_json(r);
	else
		audit_lines(r);
	log_tag("audit checks=%lu failures=%lu audits=%lu changed=%lu", sum.report.checks,
	        sum.report.failures, r->at[AT_DONE], sum.changed);
	r->status = sum.report.failures != 0;
}

static bool audit_begin(struct run *r)
{
	uint64_t n = 1;

	if (r->words > 1 && !monitor_number(r, r->word[1], "the number of audits", &n))
		return false;
	__builtin_memset(&sum, 0, sizeof(sum));
	r->at[AT_LEFT] = max_u64(n, 1);
	return true;
}

bool monitor_audit(struct run *r)
{
	if (r->calls == 0 && !audit_begin(r))
		return true;
	if (machine_ns() >= r->at[AT_NEXT_NS])
		audit_once(r);
	r->later = true;
	if (r->at[AT_LEFT])
		return false;
	audit_tell(r);
	return true;
}
