/* SPDX-License-Identifier: MIT */
/*
 * What each step answered. mm/ is one global state, so the same operations are made on
 * one format of page tables after the other. The first run's answers are kept, the
 * others' compared step by step, so that the first step that differs is named.
 *
 * Answers are verdicts, statuses, counts and bytes read. In addition, at the end of each
 * step: all counters, and what every used guest frame is mapped to. In a roomy world,
 * where dirty sources are compared, these must be left out as far as they
 * follow the scanner: it comes to a page at another time.
 */
#include <stdio.h>
#include "tests/model/model.h"

#define STEPS_MAX   4096u
#define ANSWERS_MAX 12u

struct record {
	const char *doing;
	unsigned n;
	uint64_t answer[ANSWERS_MAX]; /* the first ones; all are in the digest */
	uint64_t answers, counters, maps;
};

static struct record kept[STEPS_MAX], now;
static enum log_role role;

static uint64_t digest(uint64_t d, uint64_t value)
{
	return (d ^ value) * 0x100000001b3u + 0x9e3779b97f4a7c15u;
}

static uint64_t digest_words(uint64_t d, const void *words, size_t bytes)
{
	const uint64_t *w = words;

	for (size_t i = 0; i < bytes / 8; i++)
		d = digest(d, w[i]);
	return d;
}

void log_start(enum log_role r)
{
	role = r;
	memset(&now, 0, sizeof(now));
}

void log_answer(uint64_t value)
{
	if (now.n < ANSWERS_MAX)
		now.answer[now.n] = value;
	now.n++;
	now.answers = digest(now.answers, value);
}

/* What does not depend on when pages are merged. */
static uint64_t digest_promises(uint64_t d, struct twin *t)
{
	struct space_stats st = space_stats(&t->s);

	d = digest(d, st.untouched);
	d = digest(d, st.untouched_mapped);
	d = digest(d, st.ballooned);
	d = digest(d, st.foreign);
	d = digest(d, st.pinned);
	d = digest(d, st.table_frames);
	d = digest(d, t->s.memory_pages);
	return digest(d,
	              st.private_pages + st.shared_mappings + st.zero_mappings + st.ones_mappings);
}

static uint64_t digest_map(uint64_t d, struct twin *t)
{
	for (uint64_t g = 0; g < PAGES; g += g < WINDOW || g % LARGE_PAGES < WINDOW ? 1 : 29) {
		struct p2m_view v = p2m_lookup(&t->s, GFN(g));

		d = digest(d, (uint64_t)v.type << 8 | v.access << 4 | v.large << 2 | v.pinned << 1 |
		                  v.guest_table);
		d = digest(d, v.mfn.n);
	}
	return d;
}

static void take_state(void)
{
	struct mm_stats st = mm_stats();

	for (unsigned i = 0; i < SPACES; i++) {
		struct twin *t = &twins[i];
		struct space_stats one;

		now.counters = digest(now.counters, t->alive);
		if (!t->alive)
			continue;
		now.counters = digest_promises(now.counters, t);
		if (run.world.roomy)
			continue;
		one = space_stats(&t->s);
		now.counters = digest_words(now.counters, &one, sizeof(one));
		now.counters = digest(now.counters, t->s.generation);
		now.maps = digest_map(now.maps, t);
	}
	if (run.world.roomy)
		return;
	now.counters = digest_words(now.counters, &st, sizeof(st));
	now.counters = digest(now.counters, host_allocs());
}

static void differs(const char *what, const struct record *then, uint64_t here, uint64_t there)
{
	char text[200];

	snprintf(text, sizeof(text), "%s is %#llx, with the first format (there: %s) %#llx", what,
	         (unsigned long long)here, then->doing, (unsigned long long)there);
	model_failed(text);
}

static void compare(const struct record *then)
{
	if (strcmp(then->doing, now.doing))
		differs("the operation", then, 0, 0);
	for (unsigned i = 0; i < ANSWERS_MAX && i < now.n && i < then->n; i++)
		if (then->answer[i] != now.answer[i])
			differs("an answer", then, now.answer[i], then->answer[i]);
	if (then->n != now.n || then->answers != now.answers)
		differs("the number of answers, or a late one,", then, now.n, then->n);
	if (then->counters != now.counters)
		differs("the sum over all counters", then, now.counters, then->counters);
	if (then->maps != now.maps)
		differs("the sum over all mappings", then, now.maps, then->maps);
}

void log_step(void)
{
	MUST(run.step < STEPS_MAX);
	now.doing = run.doing;
	if (role != LOG_OFF)
		take_state();
	if (role == LOG_KEEP)
		kept[run.step] = now;
	else if (role == LOG_COMPARE)
		compare(&kept[run.step]);
	memset(&now, 0, sizeof(now));
}
