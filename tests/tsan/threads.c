/* SPDX-License-Identifier: MIT */
/*
 * Threads as CPUs, under ThreadSanitizer. Two guests of two vCPUs each run through
 * their modelled TLBs, a third one is made, used and destroyed again and again, and a
 * sixth CPU scans; memory is short. Meanwhile each vCPU writes, reads, balloons, pins
 * and copies pages, and now and then scans, or compresses what is cold.
 *
 * Every page has one vCPU that writes it. For the first half of a guest's pages only
 * that one looks as well, and must find what it last wrote. The second half is written in
 * pairs, first the one page, then the other, with growing numbers, and the guest's
 * other vCPU reads them the other way round: it must never see a number shrink, nor the
 * second page newer than the first (SDM vol. 3, 8.2: stores are seen in order).
 *
 * ThreadSanitizer sees each race that the locks and the flush protocol leave open; the order
 * of locks is asserted by mm/lock_order.c. When all have stopped, the audit passes.
 *
 * `threads SEED` repeats the random choices, though not how the threads interleave.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "mm/scan.h"
#include "tests/unit/mm_test.h"

#define FRAMES   220u /* less than all guests could ask for */
#define GUESTS   3u
#define VCPUS    5u /* of the guests; CPU 5 scans */
#define PAGES    600u
#define WINDOW   96u /* pages used; the upper half is written in pairs */
#define ROUNDS   3u
#define ROUND_MS 2500u
#define MOST     24u /* rounds, where a busy host lets little happen in one */
#define WORDS    (PAGE_SIZE / 8)

/* What a page should hold: its first and last word, and all that is between. */
struct content {
	uint64_t first, last, between;
	bool hole;
	uint64_t *pin;
};

struct vcpu {
	pthread_t thread;
	unsigned cpu;
	struct space *s;
	unsigned first, step; /* its own pages: first, first + step, ... */
	struct content page[WINDOW / 2];
	uint64_t told[WINDOW]; /* numbers written to, or seen in, the upper half */
	uint64_t number, seed, steps, waits;
	const char *doing;
};

static struct space spaces[GUESTS];
static struct vcpu vcpus[VCPUS + 1];
static _Atomic bool stop;
static _Atomic(const char *) first_failure;
static _Atomic(const char *) first_doing;
static uint64_t seed;

static void failed(const struct vcpu *v, const char *what)
{
	const char *none = NULL;

	if (atomic_compare_exchange_strong(&first_failure, &none, what))
		atomic_store(&first_doing, v->doing);
	atomic_store(&stop, true);
}

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			failed(v, #cond);                                                          \
	} while (0)

static uint64_t rnd(struct vcpu *v, uint64_t n)
{
	v->seed = v->seed * 6364136223846793005u + 1442695040888963407u;
	return (v->seed >> 33) % n;
}

/* Few values, so that pages become equal; zero often. */
static uint64_t any_value(struct vcpu *v)
{
	return rnd(v, 3) ? 0 : rnd(v, 3);
}

/* One of n things; some neighbours are used for a while, so that the others are quiet. */
static unsigned nearby(struct vcpu *v, unsigned n)
{
	if (!rnd(v, 32))
		return (unsigned)rnd(v, n);
	return (unsigned)(v->steps / 1024 * 3 + rnd(v, 5)) % n;
}

static unsigned own_page(struct vcpu *v)
{
	return v->first + v->step * nearby(v, WINDOW / 2 / v->step);
}

/* ---- what one vCPU does to a page of its own ---- */

static void op_write(struct vcpu *v, struct content *c, unsigned page)
{
	uint64_t value = any_value(v);
	bool last = rnd(v, 2);
	uint64_t gpa = PAGE(page) + (last ? PAGE_SIZE - 8 : 0);
	enum mm_verdict r = rnd(v, 12) ? guest_write(v->cpu, v->s, gpa, value)
	                               : guest_walk_write(v->cpu, v->s, gpa, value);

	MUST(c->hole ? r == VERDICT_DEVICE : r == VERDICT_RESUME || r == VERDICT_WAIT);
	v->waits += r == VERDICT_WAIT;
	if (r == VERDICT_RESUME)
		*(last ? &c->last : &c->first) = value;
}

static void op_read(struct vcpu *v, struct content *c, unsigned page)
{
	static const unsigned at[] = {0, WORDS / 2, WORDS - 1};
	unsigned i = (unsigned)rnd(v, ARRAY_SIZE(at));
	uint64_t want[] = {c->first, c->between, c->last}, got = 0;
	enum mm_verdict r = guest_read(v->cpu, v->s, PAGE(page) + at[i] * 8, &got);

	MUST(c->hole ? r == VERDICT_DEVICE : r == VERDICT_RESUME || r == VERDICT_WAIT);
	MUST(r != VERDICT_RESUME || got == want[i]);
	v->waits += r == VERDICT_WAIT;
}

static void op_fill(struct vcpu *v, struct content *c, unsigned page)
{
	uint64_t words[WORDS], value = rnd(v, 4) ? any_value(v) : ~UINT64_C(0);
	enum mm_status st;

	for (unsigned i = 0; i < WORDS; i++)
		words[i] = value;
	guest_leave(v->cpu);
	st = mm_write(v->s, PAGE(page), words, PAGE_SIZE);
	MUST(c->hole ? st == MM_NORAM : st == MM_OK || st == MM_NOMEM);
	if (st == MM_OK)
		c->first = c->last = c->between = value;
}

static void op_check(struct vcpu *v, struct content *c, unsigned page)
{
	uint64_t words[WORDS];
	enum mm_status st;

	guest_leave(v->cpu);
	st = mm_read(v->s, PAGE(page), words, PAGE_SIZE);
	MUST(st == (c->hole ? MM_NORAM : MM_OK));
	if (st != MM_OK)
		return;
	MUST(words[0] == c->first && words[WORDS - 1] == c->last);
	for (unsigned i = 1; i < WORDS - 1; i++)
		MUST(words[i] == c->between);
}

static void op_balloon(struct vcpu *v, struct content *c, unsigned page)
{
	gfn_t gfn = GFN(page);

	guest_leave(v->cpu);
	if (!c->hole) {
		c->hole = balloon_out(v->s, &gfn, 1, 0) == 1;
		MUST(c->hole == !c->pin);
	} else if (balloon_in(v->s, &gfn, 1, 0)) {
		*c = (struct content){0};
	}
}

/* Pin it, or write through the pin and let it go. The scanner may read the page just then. */
static void op_pin(struct vcpu *v, struct content *c, unsigned page)
{
	enum mm_status st;
	void *at;

	guest_leave(v->cpu);
	if (c->pin) {
		c->first = c->last = any_value(v);
		__atomic_store_n(&c->pin[0], c->first, __ATOMIC_RELAXED);
		__atomic_store_n(&c->pin[WORDS - 1], c->last, __ATOMIC_RELAXED);
		c->pin = NULL;
		mm_unpin(v->s, GFN(page));
		return;
	}
	st = mm_pin(v->s, GFN(page), &at);
	MUST(c->hole ? st == MM_NORAM : st == MM_OK || st == MM_NOMEM);
	if (st == MM_OK)
		c->pin = at;
}

static void op_scan(struct vcpu *v)
{
	guest_leave(v->cpu);
	if (rnd(v, 2))
		scan_slice(1 + rnd(v, 200));
	else
		compress_some(v->s, 1 + rnd(v, 32), 1 + rnd(v, 2 * WINDOW));
}

/* ---- pages written by one vCPU and read by the other ---- */

/* The pairs of vCPU n of a guest are pages WINDOW / 2 + 4 i + 2 n, and the page after. */
static unsigned pair_of(struct vcpu *v, unsigned n)
{
	return WINDOW / 2 + 4 * nearby(v, WINDOW / 8) + 2 * n;
}

static void op_tell(struct vcpu *v)
{
	unsigned page = pair_of(v, v->first);

	for (unsigned i = page; i < page + 2; i++) {
		uint64_t number = i == page ? v->told[i] + 1 : v->told[page];
		enum mm_verdict r = guest_write(v->cpu, v->s, PAGE(i), number);

		MUST(r == VERDICT_RESUME || r == VERDICT_WAIT);
		if (r != VERDICT_RESUME) {
			v->waits++;
			return;
		}
		v->told[i] = number;
	}
}

/* It may wait for a frame to expand the page into. */
static bool may_read(struct vcpu *v, enum mm_verdict r)
{
	MUST(r == VERDICT_RESUME || r == VERDICT_WAIT);
	v->waits += r == VERDICT_WAIT;
	return r == VERDICT_RESUME;
}

static void op_hear(struct vcpu *v)
{
	unsigned page = pair_of(v, !v->first);
	uint64_t second = 0, first = 0;

	if (!may_read(v, guest_read(v->cpu, v->s, PAGE(page + 1), &second)) ||
	    !may_read(v, guest_read(v->cpu, v->s, PAGE(page), &first)))
		return;
	MUST(second >= v->told[page + 1] && first >= v->told[page] && first >= second);
	v->told[page] = first;
	v->told[page + 1] = second;
}

/* ---- threads ---- */

static void one_step(struct vcpu *v)
{
	static const struct {
		const char *name;
		void (*op)(struct vcpu *v, struct content *c, unsigned page);
		unsigned weight;
	} ops[] = {
	    {"write",   op_write,   6},
            {"read",    op_read,    8},
            {"fill",    op_fill,    3},
	    {"check",   op_check,   2},
            {"balloon", op_balloon, 2},
            {"pin",     op_pin,     1}
        };
	unsigned pick = (unsigned)rnd(v, 22), i = 0, page = own_page(v);

	for (; i < ARRAY_SIZE(ops) - 1 && pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	v->doing = ops[i].name;
	ops[i].op(v, &v->page[page], page);
	v->steps++;
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;

	host_set_cpu(v->cpu);
	while (!atomic_load(&stop)) {
		one_step(v);
		v->doing = "tell";
		if (!rnd(v, 4))
			op_tell(v);
		v->doing = "hear";
		for (unsigned i = 0; i < 4; i++)
			op_hear(v);
		v->doing = "scan";
		if (!rnd(v, 8))
			op_scan(v);
	}
	guest_leave(v->cpu);
	return NULL;
}

/* A guest that lives for a while; false if there is no memory for it now. */
static bool one_life(struct vcpu *v)
{
	struct space_config c = {.domid = 3,
	                         .share_group = 7,
	                         .memory_pages = PAGES,
	                         .max_pages = PAGES,
	                         .min_pages = 10};

	if (space_create(v->s, &c) != MM_OK)
		return false;
	memset(v->page, 0, sizeof(v->page));
	for (unsigned i = 0; i < 300 && !atomic_load(&stop); i++)
		one_step(v);
	v->doing = "destroy";
	guest_leave(v->cpu);
	while (!space_destroy_step(v->s, 1 + rnd(v, 30)))
		sched_yield();
	return true;
}

static void *run_lives(void *arg)
{
	struct vcpu *v = arg;

	host_set_cpu(v->cpu);
	while (!atomic_load(&stop))
		if (one_life(v))
			v->number++;
		else
			sched_yield();
	return NULL;
}

/* Another policy of the scanner now and then; there may be no memory for what it keeps. */
static void op_policy(struct vcpu *v)
{
	unsigned n = 0;

	while (scan_policies[n])
		n++;
	(void)!scan_use(scan_policies[rnd(v, n)]);
}

static void *run_scanner(void *arg)
{
	struct vcpu *v = arg;

	host_set_cpu(v->cpu);
	for (v->doing = "scanner"; !atomic_load(&stop); v->steps++) {
		struct mm_stats st;

		if (v->steps % 16 == 0)
			op_policy(v);
		scan_slice(1 + rnd(v, 300));
		compress_some(&spaces[v->steps % 2], 1 + rnd(v, 32), 1 + rnd(v, 300));
		st = mm_stats();
		MUST(st.frames_total == FRAMES && st.frames_free <= FRAMES);
		MUST(space_stats(&spaces[0]).private_pages <= PAGES);
		(void)p2m_lookup(&spaces[1], GFN(rnd(v, WINDOW)));
		sched_yield();
	}
	return NULL;
}

/* Let others run between the steps of a protocol; longer within a merge, which is rarer. */
static void yield_here(enum env_point p)
{
	if (p == POINT_MERGE_PROTECTED || p == POINT_MERGE_FLUSHED || p == POINT_MERGE_SWITCHED)
		usleep(200);
	else if (p != POINT_ALLOC) /* called with the free-list lock held, too */
		sched_yield();
}

static void one_round(void)
{
	struct timespec t = {ROUND_MS / 1000, (long)(ROUND_MS % 1000) * 1000000};

	atomic_store(&stop, false);
	for (unsigned i = 0; i <= VCPUS; i++) {
		void *(*run)(void *) = i == VCPUS ? run_scanner : i == 4 ? run_lives : run_vcpu;

		assert_int_equal(pthread_create(&vcpus[i].thread, NULL, run, &vcpus[i]), 0);
	}
	for (unsigned i = 0; i < 10 && !atomic_load(&stop); i++)
		nanosleep(&(struct timespec){0, (t.tv_sec * 1000000000 + t.tv_nsec) / 10}, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i <= VCPUS; i++)
		pthread_join(vcpus[i].thread, NULL);
	if (atomic_load(&first_failure))
		fail_msg("seed %llu: %s: %s", (unsigned long long)seed, atomic_load(&first_doing),
		         atomic_load(&first_failure));
}

static void start(const struct pte_format *format)
{
	host_start(&(struct host_config){
	    .frames = FRAMES, .cpus = VCPUS + 1, .reserve = 8, .format = format});
	host_on_kick = guest_kicked_flag;
	host_on_point = yield_here;
	make_space_of(&spaces[0], 1, PAGES, 30);
	make_space_of(&spaces[1], 2, PAGES, 0);
	memset(vcpus, 0, sizeof(vcpus));
	for (unsigned i = 0; i <= VCPUS; i++) {
		vcpus[i].cpu = i;
		vcpus[i].s = &spaces[i / 2 % GUESTS];
		vcpus[i].first = i < 4 ? i % 2 : 0;
		vcpus[i].step = i < 4 ? 2 : 1;
		vcpus[i].seed = seed + i;
	}
}

/* What each vCPU believes of its own pages holds still when all have stopped. */
static void check_all(void)
{
	for (unsigned i = 0; i < 4; i++)
		for (unsigned p = vcpus[i].first; p < WINDOW / 2; p += 2)
			op_check(&vcpus[i], &vcpus[i].page[p], p);
	assert_null(atomic_load(&first_failure));
}

/* A run in which nothing met proves nothing. */
static bool enough_met(void)
{
	struct mm_stats st = mm_stats();

	return st.merges > 10 && st.breaks > 10 && st.expansions > 10 && host_kicks() > 10;
}

static void rounds(unsigned least)
{
	for (unsigned i = 0; i < least || (i < MOST && !enough_met()); i++) {
		one_round();
		audit_passes();
		check_all();
	}
}

static void finish(void)
{
	struct mm_stats st = mm_stats();
	uint64_t steps = 0, waits = 0;

	for (unsigned i = 0; i < VCPUS; i++) {
		steps += vcpus[i].steps;
		waits += vcpus[i].waits;
	}
	printf("# seed %llu: %llu steps, %llu lives, %llu merges, %llu given up, %llu breaks, "
	       "%llu taken over, %llu waits, %llu flushes, %llu kicks\n",
	       (unsigned long long)seed, (unsigned long long)steps,
	       (unsigned long long)vcpus[4].number, (unsigned long long)st.merges,
	       (unsigned long long)st.merges_given_up, (unsigned long long)st.breaks,
	       (unsigned long long)st.take_overs, (unsigned long long)waits,
	       (unsigned long long)st.flushes, (unsigned long long)host_kicks());
	assert_true(enough_met());
	destroy_space(&spaces[0]);
	destroy_space(&spaces[1]);
	assert_int_equal(scan_use(scan_policies[0]), MM_OK);
	audit_passes();
	assert_int_equal(host_free_frames(), FRAMES - 3); /* frame 0, the two constant ones */
	host_stop();
}

/* With dirty bits, as on AMD and on Intel since Haswell. */
static void threads_with_dirty_bits(void **state)
{
	(void)state;
	start(&toy_format);
	rounds(ROUNDS);
	finish();
}

/* Without them: each pass reads every page, and a leaf that was protected once faults. */
static void threads_without_dirty_bits(void **state)
{
	(void)state;
	start(&toy_format_no_dirty);
	rounds(1);
	finish();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads_with_dirty_bits),
	    cmocka_unit_test(threads_without_dirty_bits),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	alarm(240); /* a deadlock ends here */
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
