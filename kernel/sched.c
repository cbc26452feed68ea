/* SPDX-License-Identifier: MIT */
/*
 * The scheduler and the loop of each CPU.
 *
 * Problem: more vCPUs than CPUs, guests that never give up a CPU by
 * themselves, and a prompt that must answer meanwhile.
 *
 * One run queue for all CPUs, first come, first served: who has had its slice
 * goes to the end, so with n busy vCPUs on m CPUs nobody waits longer than
 * (n - m) / m slices. What each has run is its virtual runtime; who is ahead of the
 * least gets a slice that is shorter by so much, down to three quarters, so equal
 * busy vCPUs never drift apart. One that slept comes back with the runtime of the
 * others less half a slice at most: no credit for a long sleep. It goes before all
 * who have had more than it, and takes an idle CPU if there is one, else makes the CPU whose vCPU
 * has run most look at the queue at once. Who had to make room keeps the rest of its slice and
 * stands right behind those that woke: so nobody is pushed back by others who sleep and wake all
 * the time, and nobody gains by having itself pushed.
 *
 * The loop of a CPU: timers and other soft work -> pick -> load -> (deliver
 * events, flush if owed, enter, handle the exit) until the slice ends or
 * someone asks for the CPU -> unload. The inner loop looks at one flag only,
 * `poll`; it is set by our own interrupt exits and by other CPUs before they
 * kick. Interrupts are off, so a kick that comes after the look ends the next
 * entry at once and none is lost.
 *
 * Stopping the world: one CPU asks, the others stand still at the top of their
 * loop, with no vCPU loaded and no lock held.
 */
#include "kernel/sched.h"
#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/overcommit.h"
#include "kernel/squeeze.h"
#include "kernel/reclaim.h"
#include "kernel/pace.h"
#include "kernel/tracer.h"
#include "kernel/xen_abi.h"
#include "mm/mm.h"

#define TICK_NS         UINT64_C(10000000)  /* console and timers are looked at this often */
#define OUTPUT_NS       UINT64_C(1000000)   /* a serial line's FIFO is empty in 1.4 ms */
#define IDLE_TICK_NS    UINT64_C(200000000) /* of the other CPUs when nothing is to do */
#define SCAN_BUSY_SHARE (PACE_WHOLE / 100)  /* of a CPU, while guests want it */
#define SCAN_BUSY_CHUNK 32u
#define SCAN_PAGES      512u /* in an idle slice; 64 of them can be read */
#define SCAN_BUSY_PART  4u   /* a slice of busy time is so much less */
#define REAP_NS         UINT64_C(2000000)
#define SLICE_REST_NS   UINT64_C(200000) /* less is not worth coming back for */

struct cpu_sched {
	_Atomic bool poll;    /* leave the inner loop and look around */
	_Atomic bool resched; /* give the CPU back */
	_Atomic bool parked;
	bool online;
	bool monitor; /* the operator's command has more to print (CPU 0) */
	bool output;  /* and the serial line more to send (CPU 0) */
	struct vcpu *current;
	uint64_t armed_ns; /* what machine_timer was told */
	uint64_t tick_ns;  /* next look at the slow things */
	struct sched_cpu_stats stats;
};

static struct spinlock lock, stop_lock;
static struct vcpu *queue;
static uint64_t least_vruntime; /* of those that run or could; never falls */
static struct cpu_sched cpus[MAX_CPUS];
static _Atomic uint64_t idle_cpus;
static unsigned first_cpu; /* those before it run no guest */
static _Atomic bool scan_on = true;
static _Atomic unsigned scan_pages = SCAN_PAGES;
/* What the scanner takes, since its share was set last. All but idle_ns: of CPU 0 alone. */
static struct {
	struct pace pace;
	uint64_t since_ns, busy_ns, longest_ns;
	_Atomic uint64_t idle_ns;
} scan_share = {.pace.share = SCAN_BUSY_SHARE};
static _Atomic uint32_t stop_asked; /* CPU + 1 of who stops the world; 0 nobody */

static struct cpu_sched *sched_this(void)
{
	return &cpus[machine_cpu()];
}

void sched_lock(void)
{
	spin_lock(&lock);
}

void sched_unlock(void)
{
	spin_unlock(&lock);
}

void sched_resched(void)
{
	sched_this()->poll = true;
}

void sched_interrupted(void)
{
	sched_this()->poll = true;
}

void sched_resched_cpu(unsigned cpu)
{
	cpus[cpu].resched = true;
	cpus[cpu].poll = true;
	if (cpu != machine_cpu())
		machine_kick(cpu);
}

/* Half a slice behind a virtual runtime. */
static uint64_t sched_behind(uint64_t vruntime_ns)
{
	return vruntime_ns > SCHED_SLICE_NS / 2 ? vruntime_ns - SCHED_SLICE_NS / 2 : 0;
}

/* The least virtual runtime of all that wait for a CPU; 0 if there is none. Lock held. */
static uint64_t sched_least_queued(void)
{
	uint64_t least = UINT64_MAX;

	for (const struct vcpu *v = queue; v; v = v->next)
		least = min_u64(least, v->vruntime_ns);
	return queue ? least : 0;
}

/* It waits for others: what they have had less than it is no reason to prefer it again. */
void sched_yield(struct vcpu *v)
{
	if (!__atomic_load_n(&queue, __ATOMIC_RELAXED))
		return;
	sched_lock();
	v->vruntime_ns = max_u64(v->vruntime_ns, sched_behind(sched_least_queued()));
	v->yielded = true;
	sched_unlock();
	sched_resched_cpu(machine_cpu());
}

void sched_arm(uint64_t ns)
{
	struct cpu_sched *c = sched_this();

	if (ns < c->armed_ns) {
		c->armed_ns = ns;
		machine_timer(ns);
	}
}

/* ---- the queue; lock held ---- */

/*
 * Where v goes: one that wakes up before all who have had more than it; one with a slice
 * begun before all who must begin one; and any other at the end.
 */
static bool queue_stands_behind(const struct vcpu *v, const struct vcpu *other)
{
	if (v->boosted)
		return other->vruntime_ns <= v->vruntime_ns;
	return !v->slice_left_ns || other->boosted || other->slice_left_ns;
}

static void queue_insert(struct vcpu *v, bool boosted)
{
	struct vcpu **at = &queue;

	v->boosted = boosted;
	while (*at && queue_stands_behind(v, *at))
		at = &(*at)->next;
	v->next = *at;
	*at = v;
	v->in_queue = true;
}

/* Of one that runs, with what it has run since it was put on account. */
static uint64_t sched_vruntime_now(const struct vcpu *v, uint64_t now)
{
	return v->vruntime_ns + (now > v->started_ns ? now - v->started_ns : 0);
}

/* The least virtual runtime of all that run or could; UINT64_MAX if there is none. */
static uint64_t sched_least(void)
{
	uint64_t least = UINT64_MAX, now = machine_ns();

	for (const struct vcpu *v = queue; v; v = v->next)
		least = min_u64(least, v->vruntime_ns);
	for (unsigned i = 0; i < machine_cpus(); i++)
		if (cpus[i].current)
			least = min_u64(least, sched_vruntime_now(cpus[i].current, now));
	return least;
}

/* Who should make room for v: an idle CPU, else the one whose vCPU has run most. */
static int sched_victim(const struct vcpu *v)
{
	uint64_t idle = idle_cpus, most = v->vruntime_ns + SCHED_SLICE_NS / 4, now = machine_ns();
	int victim = -1;

	if (idle)
		return 63 - __builtin_clzll(idle); /* CPU 0 last: it may be at the monitor's work */
	for (unsigned i = 0; i < machine_cpus(); i++) {
		const struct vcpu *r = cpus[i].current;

		if (r && sched_vruntime_now(r, now) > most) {
			most = sched_vruntime_now(r, now);
			victim = (int)i;
		}
	}
	return victim;
}

void sched_enqueue(struct vcpu *v)
{
	int victim;

	if (v->running || v->in_queue || !vcpu_may_run(v))
		return;
	/* No credit for a long sleep. */
	v->vruntime_ns = max_u64(v->vruntime_ns, sched_behind(least_vruntime));
	v->queued_ns = machine_ns();
	v->slice_left_ns = 0;
	queue_insert(v, true);
	victim = sched_victim(v);
	if (victim >= 0) {
		idle_cpus &= ~BIT(victim);
		sched_resched_cpu((unsigned)victim);
	}
}

void sched_dequeue(struct vcpu *v)
{
	if (!v->in_queue)
		return;
	for (struct vcpu **at = &queue; *at; at = &(*at)->next)
		if (*at == v) {
			*at = v->next;
			break;
		}
	v->in_queue = false;
}

/*
 * From three quarters to seven eighths of SCHED_SLICE_NS, the shorter the further
 * ahead. The last eighth is room for the work between two slices: the promise of
 * two slices at most counts all of the time.
 */
static uint64_t sched_slice_ns(const struct vcpu *v)
{
	uint64_t least = sched_least();
	uint64_t ahead = v->vruntime_ns > least ? v->vruntime_ns - least : 0;

	return SCHED_SLICE_NS * 7 / 8 - min_u64(ahead, SCHED_SLICE_NS / 8);
}

/*
 * The first in line, but for one that is far ahead: its time was not all its own
 * (an emulator or firmware may take a CPU away for long), and it stands back.
 */
static struct vcpu *sched_next(void)
{
	uint64_t least = sched_least();
	struct vcpu *v = queue;

	while (v && v->vruntime_ns > least + 2 * SCHED_SLICE_NS)
		v = v->next;
	return v ? v : queue;
}

struct vcpu *sched_pick(unsigned cpu, uint64_t now)
{
	struct vcpu *v = cpu < first_cpu ? NULL : sched_next();
	uint64_t waited;

	if (!v)
		return NULL;
	sched_dequeue(v);
	v->running = true;
	v->cpu = cpu;
	v->started_ns = now;
	v->slice_end_ns = now + (v->slice_left_ns ? v->slice_left_ns : sched_slice_ns(v));
	v->slice_left_ns = 0;
	v->yielded = false;
	waited = now > v->queued_ns ? now - v->queued_ns : 0;
	v->longest_wait_ns = max_u64(v->longest_wait_ns, waited);
	cpus[cpu].current = v;
	cpus[cpu].resched = false;
	least_vruntime = max_u64(least_vruntime, sched_least());
	runstate_change(v, RUNSTATE_running);
	return v;
}

/* What a vCPU that gave up its CPU does now, as the guest may know it. */
static unsigned sched_runstate(const struct vcpu *v)
{
	if (v->state == VCPU_DOWN)
		return RUNSTATE_offline;
	return v->state == VCPU_BLOCKED ? RUNSTATE_blocked : RUNSTATE_runnable;
}

/* Put on account what it ran up to now. */
static void sched_account(struct vcpu *v, uint64_t now)
{
	uint64_t ran = now - v->started_ns;

	v->ran_ns += ran;
	v->vruntime_ns += ran;
	v->started_ns = now;
	cpus[v->cpu].stats.guest_ns += ran;
}

void sched_put(struct vcpu *v, uint64_t now)
{
	sched_account(v, now);
	v->running = false;
	cpus[v->cpu].current = NULL;
	cpus[v->cpu].stats.switches++;
	runstate_change(v, sched_runstate(v));
	if (vcpu_may_run(v)) {
		v->queued_ns = now;
		v->slice_left_ns = !v->yielded && now + SLICE_REST_NS < v->slice_end_ns
		                       ? v->slice_end_ns - now
		                       : 0;
		queue_insert(v, false);
	}
}

/* ---- the world stands still ---- */

void sched_park_if_asked(void)
{
	struct cpu_sched *c = sched_this();

	while (stop_asked && stop_asked != machine_cpu() + 1) {
		c->parked = true;
		machine_relax();
	}
	c->parked = false;
}

void sched_stopped(void (*work)(void *arg), void *arg)
{
	unsigned me = machine_cpu();

	while (!spin_trylock(&stop_lock))
		sched_park_if_asked();
	stop_asked = me + 1;
	for (unsigned i = 0; i < machine_cpus(); i++)
		if (i != me && cpus[i].online)
			sched_resched_cpu(i);
	for (unsigned i = 0; i < machine_cpus(); i++)
		while (i != me && cpus[i].online && !cpus[i].parked)
			machine_relax();
	work(arg);
	stop_asked = 0;
	/* Or the next who asks would count them as parked while they walk off. */
	for (unsigned i = 0; i < machine_cpus(); i++)
		while (i != me && cpus[i].parked)
			machine_relax();
	spin_unlock(&stop_lock);
}

/* ---- the loop ---- */

void sched_set_scan(bool on)
{
	scan_on = on;
}

void sched_set_scan_share(uint32_t share)
{
	scan_share.since_ns = machine_ns();
	scan_share.busy_ns = scan_share.longest_ns = 0;
	scan_share.idle_ns = 0;
	pace_set(&scan_share.pace, share, scan_share.since_ns);
}

struct sched_scan_stats sched_scan_stats(void)
{
	return (struct sched_scan_stats){
	    .share = scan_share.pace.share,
	    .since_ns = machine_ns() - scan_share.since_ns,
	    .busy_ns = scan_share.busy_ns,
	    .longest_ns = scan_share.longest_ns,
	    .idle_ns = scan_share.idle_ns,
	};
}

void sched_set_scan_pages(unsigned pages)
{
	scan_pages = (unsigned)min_u64(max_u64(pages, 1), SCHED_SCAN_PAGES_MAX);
}

bool sched_scan_on(void)
{
	return scan_on;
}

struct sched_cpu_stats sched_cpu_stats(unsigned cpu)
{
	return cpus[cpu].stats;
}

static void sched_rearm(struct cpu_sched *c, uint64_t deadline)
{
	deadline = min_u64(deadline, timer_next_ns());
	if (c->output)
		deadline = min_u64(deadline, machine_ns() + OUTPUT_NS);
	c->armed_ns = deadline;
	machine_timer(deadline);
}

/* Returns how long it took; *looked: 0 if there was nothing to do. */
static uint64_t sched_scan(struct cpu_sched *c, uint64_t pages, uint64_t *looked)
{
	uint64_t begin = machine_ns(), took;

	*looked = scan_on ? scan_slice(pages) : 0;
	took = machine_ns() - begin;
	c->stats.scan_ns += took;
	return took;
}

static bool sched_scan_idle(struct cpu_sched *c)
{
	uint64_t looked;

	scan_share.idle_ns += sched_scan(c, scan_pages, &looked);
	return looked;
}

/* A little of the busy time, too: guests that never sleep are scanned as well. */
static void sched_scan_busy(struct cpu_sched *c)
{
	uint64_t pages = max_u64(scan_pages / SCAN_BUSY_PART, 1);

	while (pages && pace_may(&scan_share.pace, machine_ns())) {
		uint64_t n = min_u64(pages, SCAN_BUSY_CHUNK), looked;
		uint64_t took = sched_scan(c, n, &looked);

		pace_spent(&scan_share.pace, took);
		scan_share.busy_ns += took;
		scan_share.longest_ns = max_u64(scan_share.longest_ns, took);
		if (!looked)
			return;
		pages -= n;
	}
}

/* What cannot wait for an idle moment. */
static void sched_softwork(struct cpu_sched *c)
{
	uint64_t now;

	sched_park_if_asked();
	c->output = log_pump() && machine_cpu() == 0; /* which comes back for it */
	timer_tick();
	now = machine_ns();
	if (now < c->tick_ns)
		return;
	c->tick_ns = now + (machine_cpu() == 0 ? TICK_NS : IDLE_TICK_NS);
	vcpu_wake_memory_waiters();
	if (machine_cpu() != 0)
		return;
	c->monitor = monitor_poll();
	overcommit_poll();
	squeeze_poll();
	reclaim_poll();
	while (domain_reap() && machine_ns() - now < REAP_NS)
		;
	(void)tracer_poll();
	sched_scan_busy(c);
}

/* The slice is over: another one at once, if nobody else wants the CPU. */
static bool sched_extend(struct vcpu *v, uint64_t now)
{
	bool alone;

	sched_lock();
	alone = !queue;
	if (alone) {
		sched_account(v, now);
		v->slice_end_ns = now + sched_slice_ns(v);
		least_vruntime = max_u64(least_vruntime, sched_least());
	}
	sched_unlock();
	return alone;
}

/* Still this vCPU, now that something asked us to look? */
static bool sched_stay(struct cpu_sched *c, struct vcpu *v)
{
	uint64_t now = machine_ns();

	c->poll = false;
	if (c->output)
		c->output = log_pump();
	timer_tick();
	if (c->resched || stop_asked || !vcpu_may_run(v))
		return false;
	if (now >= v->slice_end_ns && (now >= c->tick_ns || !sched_extend(v, now)))
		return false;
	sched_rearm(c, v->slice_end_ns);
	return true;
}

static void sched_run_vcpu(struct cpu_sched *c, struct vcpu *v)
{
	struct vmexit x;
	bool flush;

	hvm->vcpu_load(&v->hv);
	pvclock_update(v, v->waited);
	runstate_publish(v);
	sched_rearm(c, v->slice_end_ns);
	while (!c->poll || sched_stay(c, v)) {
		if (interrupt_wants_look(v) && !interrupt_deliver(v))
			continue;
		flush = flush_enter(&v->domain->space, v->cpu);
		hvm->vcpu_run(&v->hv, flush, &x);
		exit_dispatch(v, &x);
	}
	hvm->vcpu_unload(&v->hv);
	sched_lock();
	sched_put(v, machine_ns());
	runstate_publish(v);
	sched_unlock();
}

static void sched_idle(struct cpu_sched *c, unsigned cpu)
{
	uint64_t begin = machine_ns(), deadline;

	if (c->monitor && !c->poll) {
		c->monitor = monitor_poll();
		machine_irq_window();
		return;
	}
	if (!c->poll && ((cpu == 0 && (domain_reap() || tracer_poll())) || sched_scan_idle(c))) {
		machine_irq_window();
		return;
	}
	deadline = begin + (cpu == 0 ? TICK_NS : IDLE_TICK_NS);
	sched_rearm(c, min_u64(deadline, c->tick_ns));
	if (!c->poll)
		machine_idle();
	c->poll = false;
	c->stats.idle_ns += machine_ns() - begin;
}

void sched_turn(void)
{
	unsigned cpu = machine_cpu();
	struct cpu_sched *c = &cpus[cpu];
	struct vcpu *v;

	c->online = true;
	sched_softwork(c);
	sched_lock();
	v = sched_pick(cpu, machine_ns());
	if (v)
		idle_cpus &= ~BIT(cpu);
	else if (cpu >= first_cpu)
		idle_cpus |= BIT(cpu);
	c->poll = false;
	sched_unlock();
	if (v)
		sched_run_vcpu(c, v);
	else
		sched_idle(c, cpu);
}

bool sched_set_first_cpu(unsigned cpu)
{
	if (cpu >= machine_cpus())
		return false;
	first_cpu = cpu;
	return true;
}

void sched_init(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		cpus[i] = (struct cpu_sched){.armed_ns = UINT64_MAX};
	queue = NULL;
	least_vruntime = 0;
	idle_cpus = 0;
	first_cpu = 0;
	stop_asked = 0;
	timer_init();
	exit_init();
}

void sched_run(void)
{
	for (;;)
		sched_turn();
}
