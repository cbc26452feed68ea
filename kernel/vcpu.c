/* SPDX-License-Identifier: MIT */
/*
 * The states of a vCPU and the moves between them, all under the scheduler's
 * lock:
 *
 *	DOWN --start--> RUNNABLE --block--> BLOCKED --wake--> RUNNABLE
 *	                RUNNABLE --wait_memory--> MEMORY --wake--> RUNNABLE
 *	any --stop--> DOWN --signal--> RUNNABLE, by INIT, start-up IPI or NMI
 *
 * Lost wake-ups: a sender first sets the event's bits and then takes the lock
 * to wake; a sleeper takes the lock, becomes BLOCKED and then looks at the
 * bits. Whichever comes second sees what the other did. The end of a poll by time
 * (poll_over) is such a bit, too.
 *
 * Who waits for memory is woken in turn (waiters.c): when somebody begins to wait, when
 * somebody has got his frame, when memory was given back, and every few milliseconds, which
 * makes up for frees that nobody announced.
 */
#include "kernel/guest_copy.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/waiters.h"
#include "kernel/xen_abi.h"
#include "mm/fund.h"

#define LOST_NS     UINT64_C(1000000000)
#define VCPU_FRAMES ((sizeof(struct vcpu) + PAGE_SIZE - 1) / PAGE_SIZE)

bool vcpu_may_run(const struct vcpu *v)
{
	const struct domain *d = v->domain;

	return v->state == VCPU_RUNNABLE && !v->held && !d->paused && !d->dying &&
	       d->shutdown == SHUTDOWN_NONE;
}

/* ---- life ---- */

static unsigned vcpu_order(void)
{
	unsigned order = 0;

	while ((1u << order) < VCPU_FRAMES)
		order++;
	return order;
}

bool vcpu_create(struct domain *d, unsigned id)
{
	mfn_t frame = frame_alloc(vcpu_order(), FRAME_HYPERVISOR, d->id);
	struct vcpu *v;

	ASSERT(id < MAX_VCPUS && !d->vcpus[id]);
	if (!mfn_valid(frame))
		return false;
	v = env_frame(frame);
	memset(v, 0, sizeof(*v));
	v->domain = d;
	v->frame = frame;
	v->id = id;
	v->state = VCPU_DOWN;
	v->info = d->shared_info + id * VCPU_INFO_BYTES;
	v->timer_ns = v->poll_ns = v->apic_ns = UINT64_MAX;
	vlapic_reset(&v->apic, id);
	v->waits_sipi = v->look = id != 0;
	v->runstate = RUNSTATE_offline;
	v->runstate_since_ns = machine_ns();
	if (!hvm->vcpu_init(&v->hv, &d->space, d->id, id)) {
		frame_free(frame, vcpu_order());
		return false;
	}
	d->vcpus[id] = v;
	return true;
}

void vcpu_destroy(struct vcpu *v)
{
	struct domain *d = v->domain;

	ASSERT(!v->running && !v->in_queue && v->state == VCPU_DOWN);
	timer_forget(v);
	guest_area_unpin(&d->space, &v->runstate_area);
	guest_area_unpin(&d->space, &v->time_area);
	if (v->info_registered)
		guest_memory->unpin(&d->space, v->info_gfn);
	hvm->vcpu_free(&v->hv);
	d->vcpus[v->id] = NULL;
	frame_free(v->frame, vcpu_order());
}

/* ---- moves ---- */

/* BLOCKED or MEMORY -> RUNNABLE; lock held. */
static void vcpu_ready(struct vcpu *v)
{
	v->state = VCPU_RUNNABLE;
	v->polling = false;
	if (v->runstate == RUNSTATE_blocked)
		runstate_change(v, RUNSTATE_runnable);
	sched_enqueue(v);
}

void vcpu_start(struct vcpu *v)
{
	sched_lock();
	if (v->state == VCPU_DOWN) {
		v->halted = false; /* `up` behind a HLT with interrupts off, as in Xen */
		runstate_change(v, RUNSTATE_runnable);
		vcpu_ready(v);
	}
	sched_unlock();
}

void vcpu_leave_line(struct vcpu *v)
{
	if (v->state == VCPU_MEMORY) {
		waiters_remove(v);
		v->state = VCPU_RUNNABLE;
	}
	waiters_done(v, machine_ns());
}

void vcpu_stop(struct vcpu *v)
{
	sched_lock();
	vcpu_leave_line(v);
	v->state = VCPU_DOWN;
	sched_dequeue(v);
	if (v->running)
		sched_resched_cpu(v->cpu);
	else if (v->runstate != RUNSTATE_offline)
		runstate_change(v, RUNSTATE_offline);
	sched_unlock();
}

void vcpu_stop_unless(struct vcpu *v, uint32_t events)
{
	bool stopped;

	sched_lock();
	stopped = !(v->apic.events & events);
	if (stopped) {
		vcpu_leave_line(v);
		v->state = VCPU_DOWN;
	}
	sched_unlock();
	sched_resched();
	if (stopped)
		vcpu_gone(v->domain);
}

/* Each goes down first and looks then: of two that go at once, one sees that it was the last. */
void vcpu_gone(struct domain *d)
{
	for (unsigned i = 0; i < d->nr_vcpus; i++)
		if (d->vcpus[i]->state != VCPU_DOWN)
			return;
	domain_shutdown(d, SHUTDOWN_POWEROFF_); /* as in Xen */
}

/* What brings a vCPU up that is DOWN: by VCPUOP_down, nothing but INIT. Lock held. */
static bool vcpu_is_called(const struct vcpu *v)
{
	uint32_t events = v->apic.events;

	return (events & VLAPIC_INIT) || ((events & VLAPIC_STARTUP) && v->waits_sipi) ||
	       ((events & VLAPIC_NMI) && v->halted && !v->waits_sipi);
}

void vcpu_signal(struct vcpu *v)
{
	sched_lock();
	if (v->state == VCPU_DOWN && vcpu_is_called(v)) {
		if (!v->running)
			runstate_change(v, RUNSTATE_runnable);
		vcpu_ready(v);
	} else if (v->state == VCPU_BLOCKED) {
		vcpu_ready(v);
	} else if (v->running && v->cpu != machine_cpu()) {
		machine_kick(v->cpu);
	}
	sched_unlock();
}

void vcpu_wake(struct vcpu *v)
{
	sched_lock();
	if (v->state == VCPU_BLOCKED)
		vcpu_ready(v);
	sched_unlock();
}

void vcpu_notify(struct vcpu *v)
{
	sched_lock();
	if (v->state == VCPU_BLOCKED)
		vcpu_ready(v);
	else if (v->running && v->cpu != machine_cpu())
		machine_kick(v->cpu);
	sched_unlock();
}

void vcpu_block(struct vcpu *v)
{
	if (v->wait_ticket) /* nothing is left to be done, so nobody is in want */
		vcpu_wait_over(v);
	sched_lock();
	if (v->state == VCPU_RUNNABLE) {
		v->state = VCPU_BLOCKED;
		if (interrupt_pending(v) ||
		    (v->polling && (v->poll_over || evtchn_poll_ready(v)))) {
			v->state = VCPU_RUNNABLE;
			v->polling = false;
		}
	}
	sched_unlock();
	sched_resched();
}

void vcpu_wait_memory(struct vcpu *v)
{
	uint64_t now = machine_ns();

	sched_lock();
	if (v->state == VCPU_RUNNABLE && v->domain->shutdown == SHUTDOWN_NONE) {
		v->state = VCPU_MEMORY;
		v->waited = true;
		v->wants_copy = fund_refused_break();
		if (v->wait_ticket && v->wait_rip != v->hv.regs.rip)
			waiters_done(v, now); /* a ticket is good for one instruction */
		v->wait_rip = v->hv.regs.rip;
		waiters_add(v, now);
		waiters_serve(now, vcpu_ready);
	}
	sched_unlock();
	sched_resched();
}

/*
 * Whose turn came may take an interrupt before it tries again, and the handler makes hypercalls and touches
 * pages: that is not what it waited for, and must not cost it its place. It is if it comes from the
 * instruction that waited. If that does not come for LOST_NS, it never will. And if the frame that was set
 * aside is gone, whatever for, that was its turn: or a guest could stand in front for ever.
 */
void vcpu_got_memory(struct vcpu *v)
{
	if (v->hv.regs.rip == v->wait_rip || machine_ns() >= v->turn_ns + LOST_NS ||
	    !fund_grants_left(&v->domain->space))
		vcpu_wait_over(v);
}

void vcpu_wait_over(struct vcpu *v)
{
	uint64_t now = machine_ns();

	sched_lock();
	waiters_done(v, now);
	waiters_serve(now, vcpu_ready);
	sched_unlock();
}

void vcpu_wake_memory_waiters(void)
{
	if (!waiters_any())
		return;
	sched_lock();
	waiters_serve(machine_ns(), vcpu_ready);
	sched_unlock();
}
