/* SPDX-License-Identifier: MIT */
/*
 * A guest's time: one-shot timers, the pvclock page, the wall clock, runstate.
 *
 * All deadlines of all vCPUs stand in one list in order of time. Whichever CPU
 * comes by when one is due takes it off and sends its event; each CPU has its
 * own timer set to the first of the list at the latest. A deadline that is past
 * when it is set fires at once, as Xen's do.
 *
 * pvclock (xen.h, struct vcpu_time_info): system_time + ((tsc - timestamp)
 * shifted) * mul >> 32 nanoseconds, the same clock as machine_ns. The version
 * is odd while the rest changes. A vCPU updates its own each time it comes
 * onto a CPU, so there is one writer. XEN_PVCLOCK_GUEST_STOPPED after a wait for
 * memory tells the guest's watchdog that it was not its fault.
 */
#include "kernel/guest_copy.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"

#define NS_PER_S UINT64_C(1000000000)

static struct spinlock timer_lock;
static struct vcpu *timers;
static _Atomic uint64_t timer_first = UINT64_MAX;

static uint32_t clock_mul;
static int8_t clock_shift;
static bool clock_stable;

/*
 * tsc_to_system_mul and tsc_shift for a TSC frequency: the shift that brings
 * the multiplier, a 0.32 fraction, into its upper half.
 */
static void clock_scale(uint64_t hz)
{
	uint64_t ns = NS_PER_S;

	ASSERT(hz);
	clock_shift = 0;
	while (hz > ns << 1) {
		hz >>= 1;
		clock_shift--;
	}
	while (hz <= ns) {
		hz <<= 1;
		clock_shift++;
	}
	clock_mul = (uint32_t)((ns << 32) / hz);
}

void timer_init(void)
{
	timers = NULL;
	timer_first = UINT64_MAX;
	clock_scale(machine_tsc_hz());
	clock_stable = machine_tsc_stable();
}

/* ---- deadlines ---- */

static uint64_t timer_due(const struct vcpu *v)
{
	return min_u64(min_u64(v->timer_ns, v->poll_ns), v->apic_ns);
}

static void timer_unlist(struct vcpu *v)
{
	if (!v->timer_listed)
		return;
	for (struct vcpu **at = &timers; *at; at = &(*at)->timer_next)
		if (*at == v) {
			*at = v->timer_next;
			break;
		}
	v->timer_listed = false;
}

/* Put v where its deadlines say; lock held. */
static void timer_list(struct vcpu *v)
{
	struct vcpu **at = &timers;

	timer_unlist(v);
	if (timer_due(v) != UINT64_MAX) {
		while (*at && timer_due(*at) <= timer_due(v))
			at = &(*at)->timer_next;
		v->timer_next = *at;
		*at = v;
		v->timer_listed = true;
	}
	timer_first = timers ? timer_due(timers) : UINT64_MAX;
}

void timer_set(struct vcpu *v, uint64_t ns)
{
	spin_lock(&timer_lock);
	v->timer_ns = ns;
	timer_list(v);
	spin_unlock(&timer_lock);
	sched_arm(ns);
}

void timer_set_poll(struct vcpu *v, uint64_t ns)
{
	spin_lock(&timer_lock);
	v->poll_ns = ns;
	v->poll_over = false;
	timer_list(v);
	spin_unlock(&timer_lock);
	sched_arm(ns);
}

void timer_set_apic(struct vcpu *v, uint64_t ns)
{
	spin_lock(&timer_lock);
	v->apic_ns = ns;
	timer_list(v);
	spin_unlock(&timer_lock);
	sched_arm(ns);
}

void timer_forget(struct vcpu *v)
{
	spin_lock(&timer_lock);
	v->timer_ns = v->poll_ns = v->apic_ns = UINT64_MAX;
	timer_list(v);
	spin_unlock(&timer_lock);
}

uint64_t timer_next_ns(void)
{
	return timer_first;
}

/* Fire what is due on v, the first of the list; lock held. */
static void timer_fire(struct vcpu *v, uint64_t now)
{
	bool timer = v->timer_ns <= now, poll = v->poll_ns <= now, apic = v->apic_ns <= now;

	if (timer)
		v->timer_ns = UINT64_MAX;
	if (poll) {
		/* Before the wake: it may not have gone to sleep yet (vcpu_block). */
		v->poll_ns = UINT64_MAX;
		v->poll_over = true;
	}
	if (apic)
		v->apic_ns = UINT64_MAX;
	timer_list(v);
	if (apic) {
		vlapic_post_event(&v->apic, (uint32_t)VLAPIC_TIMER);
		vcpu_notify(v);
	}
	if (timer)
		evtchn_send_virq(v, VIRQ_TIMER);
	if (poll && v->polling)
		vcpu_wake(v);
}

/*
 * The lock is held while events are sent: CPU 0 frees a vCPU only after it has
 * taken it off the list, so what is on the list is alive (lock order: timers ->
 * events of a domain -> scheduler).
 */
void timer_tick(void)
{
	uint64_t now;

	if (timer_first == UINT64_MAX)
		return;
	now = machine_ns();
	if (timer_first > now)
		return;
	spin_lock(&timer_lock);
	while (timers && timer_due(timers) <= now)
		timer_fire(timers, now);
	spin_unlock(&timer_lock);
}

/* ---- clocks that the guest reads in its memory ---- */

static void store32(void *at, uint32_t value)
{
	__atomic_store_n((uint32_t *)at, value, __ATOMIC_RELEASE);
}

/* A second copy, which the guest maps into its programs: one version for both. */
static void pvclock_copy(const struct pinned_area *a, const struct vcpu_time_info *t)
{
	struct vcpu_time_info copy = *t;
	uint32_t changing = t->version - 1;

	if (!a->set)
		return;
	copy.version = changing;
	guest_area_write(a, 0, &changing, sizeof(changing));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	guest_area_write(a, 0, &copy, sizeof(copy));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	guest_area_write(a, 0, &t->version, sizeof(t->version));
}

void pvclock_update(struct vcpu *v, bool waited)
{
	struct vcpu_time_info *t = (struct vcpu_time_info *)(void *)(v->info + VCPU_INFO_TIME);
	/* "Stopped" stays until the guest has seen it and cleared it. */
	uint8_t stopped = waited ? XEN_PVCLOCK_GUEST_STOPPED : t->flags & XEN_PVCLOCK_GUEST_STOPPED;
	/* One instant: what comes between two reads, as an SMI, would shift this vCPU's clock against the others'. */
	uint64_t tsc = machine_tsc();
	struct vcpu_time_info now = {
	    .version = (__atomic_load_n(&t->version, __ATOMIC_RELAXED) | 1) + 1,
	    .tsc_timestamp = tsc,
	    .system_time = machine_ns_at(tsc),
	    .tsc_to_system_mul = clock_mul,
	    .tsc_shift = clock_shift,
	    .flags = (uint8_t)((clock_stable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0) | stopped),
	};

	store32(&t->version, now.version - 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	t->tsc_timestamp = now.tsc_timestamp;
	t->system_time = now.system_time;
	t->tsc_to_system_mul = now.tsc_to_system_mul;
	t->tsc_shift = now.tsc_shift;
	t->flags = now.flags;
	store32(&t->version, now.version);
	pvclock_copy(&v->time_area, &now);
	v->waited = false;
}

void timer_wallclock(struct domain *d)
{
	uint32_t *wc = (uint32_t *)(void *)(d->shared_info + SHARED_WALLCLOCK(d->wide_info));
	uint64_t now = machine_ns(), ns;
	uint64_t boot_s = machine_wallclock_s() - now / NS_PER_S - 1;

	ns = NS_PER_S - now % NS_PER_S;
	boot_s += ns / NS_PER_S;
	store32(&wc[0], wc[0] | 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wc[1] = (uint32_t)boot_s;
	wc[2] = (uint32_t)(ns % NS_PER_S);
	store32(&wc[0], (wc[0] | 1) + 1);
}

/* ---- runstate ---- */

void runstate_change(struct vcpu *v, unsigned to)
{
	uint64_t now = machine_ns();

	v->runstate_ns[v->runstate] += now - v->runstate_since_ns;
	v->runstate_since_ns = now;
	v->runstate = to;
}

void runstate_copy(struct vcpu *v, bool wide, void *dst)
{
	struct vcpu_runstate_info w;
	struct runstate_info_32 n = {.state = v->runstate,
	                             .state_entry_time = v->runstate_since_ns};

	memset(&w, 0, sizeof(w)); /* its padding goes to the guest as well */
	w.state = (int)v->runstate;
	w.state_entry_time = v->runstate_since_ns;
	memcpy(w.time, v->runstate_ns, sizeof(w.time));
	memcpy(n.time, v->runstate_ns, sizeof(n.time));
	if (wide)
		memcpy(dst, &w, sizeof(w));
	else
		memcpy(dst, &n, sizeof(n));
}

void runstate_publish(struct vcpu *v)
{
	const struct pinned_area *a = &v->runstate_area;
	uint8_t copy[sizeof(struct vcpu_runstate_info)];
	uint32_t entry_time = a->wide ? offsetof(struct vcpu_runstate_info, state_entry_time)
	                              : offsetof(struct runstate_info_32, state_entry_time);
	uint64_t marked = v->runstate_since_ns | XEN_RUNSTATE_UPDATE;

	if (!a->set)
		return;
	/* The reader's protocol of vcpu.h: the flag is up while the rest changes. */
	if (v->domain->runstate_flag) {
		guest_area_write(a, entry_time, &marked, sizeof(marked));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	runstate_copy(v, a->wide, copy);
	memcpy(copy + entry_time, &marked, v->domain->runstate_flag ? sizeof(marked) : 0);
	guest_area_write(a, 0, copy, a->bytes);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (v->domain->runstate_flag)
		guest_area_write(a, entry_time, &v->runstate_since_ns, sizeof(uint64_t));
}
