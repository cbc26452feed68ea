/* SPDX-License-Identifier: MIT */
/* vcpu_op: per-vCPU areas, timers, bringing vCPUs up and down. */
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"
#include "kernel/sched.h"
#include "kernel/string.h"

/* ---- areas in guest memory that we write at any time ---- */

static int64_t hc_register_vcpu_info(struct hypercall *h, struct vcpu *v)
{
	struct vcpu_register_vcpu_info r;
	int64_t rc = hc_in(h, &r, 2, sizeof(r));
	void *page;

	if (rc)
		return rc;
	if (r.mfn >= GFN_LIMIT || r.offset > PAGE_SIZE - VCPU_INFO_BYTES || r.offset % 8)
		return -XEN_EINVAL;
	if (v->info_registered || (v != h->v && v->state != VCPU_DOWN))
		return -XEN_EINVAL;
	rc = hc_error(h, guest_memory->pin(&h->d->space, GFN(r.mfn), &page));
	if (rc)
		return rc;
	spin_lock(&h->d->event_lock);
	if (v->info_registered) { /* by another vCPU, meanwhile */
		spin_unlock(&h->d->event_lock);
		guest_memory->unpin(&h->d->space, GFN(r.mfn));
		return -XEN_EINVAL;
	}
	/* Nothing that was sent to the old place may be lost: look at every port again. */
	memcpy((uint8_t *)page + r.offset, v->info, VCPU_INFO_BYTES);
	v->info = (uint8_t *)page + r.offset;
	v->info_gfn = GFN(r.mfn);
	v->info_registered = true;
	for (unsigned port = 0; port < MAX_EVTCHNS; port += 32)
		evtchn_upcall(v, port);
	spin_unlock(&h->d->event_lock);
	if (v == h->v) /* another, which may be up by now, sees to its clock when it is loaded */
		pvclock_update(v, false);
	return 0;
}

/* Where the argument points is the area from now on, in place of the old one; nowhere: none. */
static int64_t hc_register_area(struct hypercall *h, struct vcpu *v, struct pinned_area *at,
                                uint32_t bytes)
{
	uint64_t gva = 0;
	struct pinned_area area = {.set = false};
	int64_t rc = hc_in(h, &gva, 2, h->wide ? 8 : 4);

	if (rc)
		return rc;
	if (v != h->v)
		return -XEN_EINVAL; /* whose tables would translate? */
	if (gva)
		rc = guest_area_pin(&h->copy, &area, gva, bytes);
	if (rc)
		return rc;
	guest_area_unpin(&h->d->space, at);
	*at = area;
	return 0;
}

static int64_t hc_register_runstate(struct hypercall *h, struct vcpu *v)
{
	uint32_t bytes =
	    h->wide ? sizeof(struct vcpu_runstate_info) : sizeof(struct runstate_info_32);
	int64_t rc = hc_register_area(h, v, &v->runstate_area, bytes);

	if (!rc)
		runstate_publish(v);
	return rc;
}

/* Linux asks for it where the TSC is stable: its vDSO reads the clock there, without a system call. */
static int64_t hc_register_time(struct hypercall *h, struct vcpu *v)
{
	int64_t rc = hc_register_area(h, v, &v->time_area, sizeof(struct vcpu_time_info));

	if (!rc)
		pvclock_update(v, false);
	return rc;
}

static int64_t hc_runstate_info(struct hypercall *h, struct vcpu *v)
{
	struct vcpu_runstate_info info;
	struct guest_buffer out;
	uint64_t bytes = h->wide ? sizeof(info) : sizeof(struct runstate_info_32);
	int64_t rc = hc_reserve(h, &out, 2, 0, bytes);

	if (rc)
		return rc;
	sched_lock();
	runstate_change(v, v->runstate); /* bring the times up to now */
	runstate_copy(v, h->wide, &info);
	sched_unlock();
	guest_copy_out(&out, &info, bytes);
	return 0;
}

/* ---- the one-shot timer ---- */

static int64_t hc_set_timer(struct hypercall *h, struct vcpu *v)
{
	struct vcpu_set_singleshot_timer t;
	/* 12 bytes in both layouts; the rest of the 64-bit one is padding. */
	int64_t rc = hc_in(h, &t, 2, offsetof(struct vcpu_set_singleshot_timer, flags) + 4);

	if (rc)
		return rc;
	if (v != h->v)
		return -XEN_EINVAL;
	if ((t.flags & VCPU_SSHOTTMR_future) && t.timeout_abs_ns < machine_ns())
		return -XEN_ETIME;
	timer_set(v, t.timeout_abs_ns);
	return 0;
}

static int64_t hc_stop_timer(struct hypercall *h, struct vcpu *v)
{
	if (v != h->v)
		return -XEN_EINVAL;
	timer_set(v, UINT64_MAX);
	return 0;
}

/* The older call for the same timer: an absolute time, 0 for none. 32-bit callers give two halves.
 */
int64_t hc_set_timer_op(struct hypercall *h)
{
	uint64_t ns = h->wide ? h->arg[0] : h->arg[1] << 32 | h->arg[0];

	timer_set(h->v, ns ? ns : UINT64_MAX);
	return 0;
}

/* ---- up and down ---- */

static int64_t hc_vcpu_down(struct hypercall *h, struct vcpu *v)
{
	vcpu_stop(v);
	vcpu_gone(h->d);
	return 0;
}

static int64_t hc_vcpu_up(struct vcpu *v)
{
	if (!v->initialised)
		return -XEN_EINVAL;
	vcpu_start(v);
	return 0;
}

int64_t hc_vcpu_op(struct hypercall *h)
{
	uint64_t id = h->arg[1];
	struct vcpu *v;

	if (id >= h->d->nr_vcpus)
		return -XEN_ENOENT;
	v = h->d->vcpus[id & (MAX_VCPUS - 1)];
	switch (h->arg[0]) {
	case VCPUOP_initialise:
		return hc_vcpu_initialise(h, v);
	case VCPUOP_up:
		return hc_vcpu_up(v);
	case VCPUOP_down:
		return hc_vcpu_down(h, v);
	case VCPUOP_is_up:
		return v->state != VCPU_DOWN;
	case VCPUOP_get_runstate_info:
		return hc_runstate_info(h, v);
	case VCPUOP_register_runstate_memory_area:
		return hc_register_runstate(h, v);
	case VCPUOP_register_vcpu_time_memory_area:
		return hc_register_time(h, v);
	case VCPUOP_stop_periodic_timer:
		return 0; /* there is none to stop */
	case VCPUOP_set_singleshot_timer:
		return hc_set_timer(h, v);
	case VCPUOP_stop_singleshot_timer:
		return hc_stop_timer(h, v);
	case VCPUOP_register_vcpu_info:
		return hc_register_vcpu_info(h, v);
	}
	return -XEN_ENOSYS;
}
