/* SPDX-License-Identifier: MIT */
/*
 * The world that test_monitor.c makes up around the monitor: machine, domains
 * and memory. Definitions, as only that test includes it.
 */
#ifndef TESTS_UNIT_MONITOR_WORLD_H
#define TESTS_UNIT_MONITOR_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/abi/quire.h"
#include "kernel/bundle.h"
#include "kernel/create.h"
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/quota.h"
#include "kernel/overcommit.h"
#include "kernel/reclaim.h"
#include "kernel/squeeze.h"
#include "kernel/waiters.h"
#include "mm/fund.h"
#include "mm/guest_table.h"
#include "mm/scan.h"
#include "tests/unit/monitor_machine.h"
#include "tests/unit/monitor_trace_world.h"

/* ---- domains ---- */

static struct domain domains[MAX_DOMAINS];
static const char *refused, *create_fails;
static struct domain_config created;
static bool compression_held;

struct domain *domain_find(domid_t id)
{
	return id < MAX_DOMAINS && domains[id].used ? &domains[id] : NULL;
}

struct domain *domain_find_name(const char *name)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		if (domains[i].used &&
		    (!strcmp(domains[i].name, name) || (unsigned)atoi(name) == i))
			return &domains[i];
	return NULL;
}

void domain_each(void (*f)(struct domain *d, void *arg), void *arg)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++)
		if (domains[i].used)
			f(&domains[i], arg);
}

void quota_look(struct domain *d, struct quota q[QUOTAS])
{
	for (unsigned i = 0; i < QUOTAS; i++)
		q[i] = (struct quota){"what", "What", d->id * 10u + i, 99};
}

static struct domain *new_domain(unsigned id, const char *name)
{
	struct domain *d = &domains[id];

	memset(d, 0, sizeof(*d));
	d->used = true;
	d->id = (domid_t)id;
	strcpy(d->name, name);
	d->shutdown = SHUTDOWN_NONE;
	d->space.memory_pages = 64 * 256;
	d->space.max_pages = 128 * 256;
	d->space.min_pages = 16 * 256;
	d->config.maxmem_mib = 128;
	d->control_port = 5;
	return d;
}

static __attribute__((unused)) struct vcpu *new_vcpu(struct domain *d)
{
	static struct vcpu v;

	memset(&v, 0, sizeof(v));
	v.domain = d;
	v.initialised = true;
	v.hv.regs.rip = 0x1234;
	return &v;
}

static unsigned create_steps = 1, create_cancelled;

void create_begin(struct creation *c, const struct domain_config *config)
{
	memset(c, 0, sizeof(*c));
	c->config = created = *config;
}

enum create_state create_step(struct creation *c)
{
	if (++c->steps < create_steps)
		return CREATE_MORE;
	if (!create_fails)
		c->domain = new_domain(9, c->config.name);
	else
		snprintf(c->why, sizeof(c->why), "%s", create_fails);
	return create_fails ? CREATE_FAILED : CREATE_DONE;
}

void create_cancel(struct creation *c)
{
	create_cancelled += c->steps;
}

void domain_destroy(struct domain *d)
{
	d->used = false;
}

void domain_pause(struct domain *d)
{
	d->paused = true;
}

void domain_unpause(struct domain *d)
{
	d->paused = false;
}

void domain_set_target(struct domain *d, uint64_t pages)
{
	d->target_pages = pages;
}

void domain_set_limit(struct domain *d, uint64_t pages)
{
	d->limit_pages = pages;
	domain_set_target(d, pages);
}

void domain_request_shutdown(struct domain *d, uint32_t request)
{
	d->shutdown_request = request;
}

static char sysrq_pressed;

void domain_sysrq(struct domain *d, char letter)
{
	(void)d;
	sysrq_pressed = letter;
}

bool domain_listens(struct domain *d, enum domain_wish wish)
{
	(void)wish;
	return d->control_port;
}

bool domain_lags(struct domain *d, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s", d->target_pages ? "is on its way" : "");
	return d->target_pages;
}

static char typed_to_guest[64]; /* by `console` */

size_t console_ring_type(struct domain *d, const char *bytes, size_t n)
{
	(void)d;
	strncat(typed_to_guest, bytes, n);
	return n;
}

size_t console_partial(struct domain *d, char *text, size_t bytes)
{
	return (size_t)snprintf(text, bytes, "(d%u %s) login: ", d->id, d->name);
}

const char *domain_shutdown_name(enum shutdown_code code)
{
	return code == SHUTDOWN_CRASH_ ? "crash" : "poweroff";
}

const char *startup_refused(void)
{
	return refused;
}

const char *bundle_name(unsigned i)
{
	return i == 0 ? "hello.elf" : NULL;
}

bool bundle_find(const char *name, const void **data, uint64_t *bytes)
{
	*data = name;
	*bytes = 0;
	return !strcmp(name, "hello.elf");
}

/* ---- memory ---- */

static struct audit_report audit;
static uint64_t audit_saves; /* more at each audit */
static unsigned stopped, settle_left;
static bool scan_is_on = true;
/* Guest frames 0x10 .. 0x17 and 0x100: a private stretch, a gap, two of one constant, a pinned one.
 */
static struct p2m_view view_of(uint64_t gfn)
{
	struct p2m_view v = {.type = P2M_NONE};

	if (gfn >= 0x10 && gfn < 0x13)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x500 + gfn)};
	else if (gfn == 0x13)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x700)};
	else if (gfn >= 0x15 && gfn < 0x17)
		v = (struct p2m_view){.type = P2M_ZERO, .mfn = MFN(2)};
	else if (gfn == 0x17)
		v = (struct p2m_view){.type = P2M_PRIVATE, .mfn = MFN(0x17), .pinned = true};
	else if (gfn == 0x100)
		v = (struct p2m_view){.type = P2M_SHARED, .mfn = MFN(0x18), .guest_table = true};
	return v;
}

struct p2m_view p2m_lookup(struct space *s, gfn_t gfn)
{
	(void)s;
	return view_of(gfn.n);
}

gfn_t p2m_next(struct space *s, gfn_t from)
{
	(void)s;
	for (uint64_t g = from.n; g <= 0x100; g++)
		if (view_of(g).type != P2M_NONE)
			return GFN(g);
	return GFN(GFN_LIMIT);
}

struct mm_stats mm_stats(void)
{
	return (struct mm_stats){.frames_free = 100 * 256, .pages_saved = 7, .pages_shared = 3};
}

static struct space_stats fake_space = {.private_pages = 384};

struct space_stats space_stats(struct space *s)
{
	(void)s;
	return fake_space;
}

/* ---- compression: 10 frames a call while there are some; then the hand has come round ---- */

static uint64_t to_compress;

struct compress_result compress_some(struct space *s, uint64_t frames, uint64_t looks)
{
	struct compress_result r = {.freed = min_u64(10, to_compress), .looked = looks};

	(void)s;
	to_compress -= r.freed;
	r.round = !to_compress;
	return frames ? r : (struct compress_result){0};
}

uint64_t fund_above_min(struct space *s)
{
	return s->held - min_u64(s->held, s->min_pages);
}

/* ---- more memory promised than there is ---- */

static enum overcommit_state overcommitted;

struct mm_account mm_account(struct space *s)
{
	(void)s;
	return (struct mm_account){
	    .memory = 2048, .max = 4096, .min = 512, .own = 384, .tables = 20};
}

enum overcommit_state overcommit_state(void)
{
	return overcommitted;
}

uint64_t overcommit_longest_ns(const struct domain *d, unsigned *waiting)
{
	*waiting = overcommitted == OVERCOMMIT_FLOWS ? 0 : d->id;
	return UINT64_C(1234000000);
}

bool overcommit_advice(struct domain *d, char *text, size_t bytes)
{
	text_format(text, bytes, "%s is in the way", d->name);
	return d->id == 1;
}

/* ---- reclaim; its knobs are the real ones ---- */

static struct reclaim_settings reclaiming;

struct reclaim_settings reclaim_settings(void)
{
	return reclaiming;
}

const char *reclaim_use(const struct reclaim_settings *s)
{
	reclaiming = *s;
	return NULL;
}

const char *reclaim_set_knob(struct reclaim_settings *s, const char *name, const char *value)
{
	if (strcmp(name, "tau"))
		return "there is only tau here";
	s->knobs.tau = (unsigned)atoi(value);
	return NULL;
}

struct reclaim_machine_view reclaim_machine_view(void)
{
	return (struct reclaim_machine_view){
	    .state = RECLAIM_HARD, .frames = 25600, .free = 640, .goal = 1792, .rounds = 3};
}

struct reclaim_view reclaim_view(struct domain *d)
{
	return (struct reclaim_view){.min = 512,
	                             .max = 4096,
	                             .memory = 3072,
	                             .wish = 2560,
	                             .charged = 2048,
	                             .target = 1536,
	                             .active = 96,
	                             .shares = d->shares,
	                             .follows = d->id == 1 ? "yes" : "does not follow"};
}

bool sample_sees_writes_only(void)
{
	return false;
}

struct waiters_view waiters_view(void)
{
	return (struct waiters_view){.waiting = 3, .longest_ns = UINT64_C(5678000000), .served = 9};
}

struct share_split share_split(void)
{
	return (struct share_split){.zero = 1, .ones = 2, .self = 3, .inter = 1};
}

uint64_t share_part(struct space *s)
{
	(void)s;
	return UINT64_C(3) << 31; /* one and a half */
}

/* Events 5 to 24 are kept. */
bool guest_table_next(uint64_t *n, struct guest_table_event *e)
{
	assert_int_equal(stopped, 1);
	if (*n < 5)
		*n = 5;
	if (*n == 25)
		return false;
	*e = (struct guest_table_event){
	    .domid = 2, .gfn = GFN(0x10 + *n), .what = *n % 4, .age = 3, .pass = 7};
	++*n;
	return true;
}

struct audit_report mm_audit(void)
{
	assert_int_equal(stopped, 1);
	audit.saved += audit_saves;
	return audit;
}

enum dirty_source mm_dirty_source(void)
{
	return DIRTY_LOG;
}

const char *dirty_name(enum dirty_source source)
{
	return source == DIRTY_LOG ? "pml" : "?";
}

void scan_settle_begin(void)
{
	settle_left = 3;
}

bool scan_settle_step(uint64_t pages)
{
	(void)pages;
	now_ns += 5000000;
	return --settle_left == 0;
}

void squeeze_hold(bool on)
{
	compression_held = on;
}

void sched_set_scan(bool on)
{
	scan_is_on = on;
}

static uint32_t scan_is_share = 1000;

void sched_set_scan_share(uint32_t share)
{
	scan_is_share = share;
}

struct sched_scan_stats sched_scan_stats(void)
{
	return (struct sched_scan_stats){scan_is_share, 5000000, 40000, 9000, 700000};
}

/* Two policies; the second keeps something for each frame, and may find no memory for it. */
static _Atomic uint64_t fake_speed;
static const struct scan_knob fake_knobs[] = {
    {"speed", 100, 1, 400, &fake_speed, "how fast"},
    {NULL,    0,   0, 0,   NULL,        NULL      },
};
static const struct scan_policy fake_calm = {.name = "calm", .help = "does little"};
static const struct scan_policy fake_keen = {
    .name = "keen", .help = "does much", .knobs = fake_knobs, .state_bytes = 4};
const struct scan_policy *const scan_policies[] = {&fake_calm, &fake_keen, NULL};
static const struct scan_policy *fake_policy = &fake_calm;
static bool fake_no_memory;

const struct scan_policy *scan_policy(void)
{
	return fake_policy;
}

const struct scan_policy *scan_find_policy(const char *name)
{
	for (unsigned i = 0; scan_policies[i]; i++)
		if (!strcmp(scan_policies[i]->name, name))
			return scan_policies[i];
	return NULL;
}

enum mm_status scan_use(const struct scan_policy *p)
{
	if (p->state_bytes && fake_no_memory)
		return MM_NOMEM;
	fake_policy = p;
	return MM_OK;
}

uint64_t scan_policy_bytes(const struct scan_policy *p)
{
	return p->state_bytes * UINT64_C(65536);
}

struct scan_counts scan_counts(const struct scan_policy *p)
{
	(void)p;
	return (struct scan_counts){.passes = 2, .scanned = 30, .merged = 4};
}

static _Atomic uint64_t fake_width = 3;
static const struct scan_knob fake_common[] = {
    {"width", 3, 1, 9, &fake_width, "how wide"},
    {NULL,    0, 0, 0, NULL,        NULL      },
};

const struct scan_knob *scan_common_knobs(void)
{
	return fake_common;
}

const struct scan_knob *scan_find_knob(const struct scan_policy *p, const char *name)
{
	if (!strcmp(name, "width"))
		return fake_common;
	return p->knobs && !strcmp(name, "speed") ? p->knobs : NULL;
}

bool scan_set_knob(const struct scan_knob *k, uint64_t value)
{
	if (value < k->least || value > k->most)
		return false;
	atomic_store(k->value, value);
	return true;
}

struct sched_cpu_stats sched_cpu_stats(unsigned cpu)
{
	return (struct sched_cpu_stats){.guest_ns = (cpu + 1) * UINT64_C(5000000)};
}

bool sched_scan_on(void)
{
	return scan_is_on;
}

void sched_stopped(void (*work)(void *arg), void *arg)
{
	stopped++;
	work(arg);
	stopped--;
}

#endif
