/* SPDX-License-Identifier: MIT */
/*
 * The life of a domain once it is made (create.c): found, paused, ended, destroyed. Made and
 * destroyed on CPU 0 only (see domain.h), which is what keeps a pointer to a domain good.
 *
 * Destroying is cut in slices: first no vCPU may run any more, then the vCPUs go, then the memory
 * bit by bit, then the rest.
 */
#include "kernel/domain.h"
#include "kernel/grant.h"
#include "kernel/guest_copy.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "kernel/xenstore.h"

#define DOMAIN_FRAMES ((sizeof(struct domain) + PAGE_SIZE - 1) / PAGE_SIZE)
#define REAP_PAGES    256u

static struct domain *domains[MAX_DOMAINS];

/* ---- the list ---- */

static struct spinlock peer_lock;

void domain_peers_lock(void)
{
	spin_lock(&peer_lock);
}

void domain_peers_unlock(void)
{
	spin_unlock(&peer_lock);
}

void domain_enlist(struct domain *d)
{
	domain_peers_lock();
	domains[d->id] = d;
	domain_peers_unlock();
}

void domain_delist(struct domain *d)
{
	domain_peers_lock();
	domains[d->id] = NULL;
	domain_peers_unlock();
}

/* ---- looking ---- */

struct domain *domain_find(domid_t id)
{
	return id < MAX_DOMAINS ? domains[id] : NULL;
}

static bool domain_number(const char *text, domid_t *id)
{
	unsigned n = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || n >= MAX_DOMAINS)
			return false;
		n = n * 10 + (unsigned)(*c - '0');
	}
	*id = (domid_t)n;
	return *text && n < MAX_DOMAINS;
}

struct domain *domain_find_name(const char *name)
{
	domid_t id;

	for (unsigned i = 0; i < MAX_DOMAINS; i++)
		if (domains[i] && !domains[i]->dying && strcmp(domains[i]->name, name) == 0)
			return domains[i];
	return domain_number(name, &id) ? domain_find(id) : NULL;
}

void domain_each(void (*f)(struct domain *d, void *arg), void *arg)
{
	for (unsigned i = 0; i < MAX_DOMAINS; i++)
		if (domains[i])
			f(domains[i], arg);
}

/* ---- one more, one less: its own frames ---- */

static unsigned domain_order(void)
{
	unsigned order = 0;

	while ((1u << order) < DOMAIN_FRAMES)
		order++;
	return order;
}

uint64_t domain_frames(void)
{
	return BIT(domain_order());
}

struct domain *domain_alloc(const struct domain_config *c, domid_t id)
{
	mfn_t frame = frame_alloc(domain_order(), FRAME_HYPERVISOR, id);
	struct domain *d;

	if (!mfn_valid(frame))
		return NULL;
	d = env_frame(frame);
	memset(d, 0, sizeof(*d));
	d->used = true;
	d->paused = true;
	d->id = id;
	d->frame = frame;
	d->config = *c;
	d->shutdown = SHUTDOWN_NONE;
	d->created_ns = machine_ns();
	memcpy(d->name, c->name, sizeof(d->name));
	return d;
}

void domain_free(struct domain *d)
{
	if (mfn_valid(d->shared_info_frame))
		frame_free(d->shared_info_frame, 0);
	domain_delist(d);
	xenstore_free(d);
	grant_free(d);
	special_free(d);
	d->used = false;
	frame_free(d->frame, domain_order());
}

/* ---- pausing ---- */

/* Stand all vCPUs aside that may not run any more; true once none is on a CPU. */
static bool domain_quiet(struct domain *d)
{
	bool quiet = true;

	sched_lock();
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpus[i];

		if (!v)
			continue;
		sched_dequeue(v);
		if (v->running) {
			sched_resched_cpu(v->cpu);
			quiet = false;
		}
	}
	sched_unlock();
	return quiet;
}

void domain_pause(struct domain *d)
{
	d->paused = true;
	while (!domain_quiet(d)) {
		sched_park_if_asked();
		machine_relax();
	}
}

void domain_unpause(struct domain *d)
{
	if (d->dying) /* its vCPUs may be gone */
		return;
	sched_lock();
	d->paused = false;
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		d->vcpus[i]->waited =
		    true; /* its clock went on: its watchdog is told whose fault it was */
		sched_enqueue(d->vcpus[i]);
	}
	sched_unlock();
}

/* ---- ending ---- */

const char *domain_shutdown_name(enum shutdown_code code)
{
	switch (code) {
	case SHUTDOWN_POWEROFF_:
		return "poweroff";
	case SHUTDOWN_REBOOT_:
		return "reboot";
	case SHUTDOWN_SUSPEND_:
		return "suspend";
	case SHUTDOWN_CRASH_:
		return "crash";
	case SHUTDOWN_NONE:
		break;
	}
	return "none";
}

void domain_shutdown(struct domain *d, enum shutdown_code code)
{
	bool first;

	sched_lock();
	first = d->shutdown == SHUTDOWN_NONE;
	if (first) {
		d->shutdown = code;
		for (unsigned i = 0; i < d->nr_vcpus; i++)
			if (d->vcpus[i])
				vcpu_leave_line(d->vcpus[i]); /* nobody waits there any more */
	}
	sched_unlock();
	if (!first)
		return;
	vcpu_wake_memory_waiters(); /* what was set aside there is the next one's */
	(void)domain_quiet(d);
	console_flush(d);
	log_tag("shutdown domain=%u name=%s reason=%s", d->id, d->name, domain_shutdown_name(code));
	atomic_store_explicit(&d->shutdown_told, true, memory_order_release);
}

/* For `dmesg` only: some 200 lines take seconds on a serial port, and all the time a CPU. */
static void domain_dump_line(const char *text)
{
	log_debug("  %s", text);
}

void domain_crash(struct vcpu *v, const char *fmt, ...)
{
	struct domain *d = v->domain;
	const struct guest_regs *r = &v->hv.regs;
	va_list ap;

	if (d->shutdown != SHUTDOWN_NONE)
		return;
	va_start(ap, fmt);
	text_vformat(d->crash_reason, sizeof(d->crash_reason), fmt, ap);
	va_end(ap);
	console_flush(d);
	log_error("domain %u (%s) is stopped: %s", d->id, d->name, d->crash_reason);
	log_error("  vCPU %u, rip %016lx rflags %08lx rsp %016lx; more in dmesg", v->id,
	          (unsigned long)r->rip, (unsigned long)r->rflags, (unsigned long)r->gpr[RSP]);
	hvm->vcpu_dump(&v->hv, domain_dump_line);
	domain_shutdown(d, SHUTDOWN_CRASH_);
}

/* ---- destroying ---- */

void domain_destroy(struct domain *d)
{
	ASSERT(machine_cpu() == 0);
	if (d->dying)
		return;
	d->dying = true;
	for (unsigned i = 0; i < d->nr_vcpus; i++)
		vcpu_stop(d->vcpus[i]);
}

/* True when nothing is left of it. */
static bool domain_destroy_slice(struct domain *d)
{
	if (!domain_quiet(d))
		return false;
	evtchn_peer_remove(d); /* before its vCPUs go: others might notify them */
	for (unsigned i = 0; i < MAX_VCPUS; i++) {
		if (!d->vcpus[i])
			continue;
		vcpu_stop(d->vcpus[i]);
		vcpu_destroy(d->vcpus[i]);
	}
	grant_end(d);
	if (d->shared_info_mapped && mm_unmap_service(&d->space, d->shared_info_gfn) == MM_OK)
		d->shared_info_mapped = false;
	if (!space_destroy_step(&d->space, REAP_PAGES))
		return false;
	domain_free(d);
	return true;
}

static void domain_reap_slice(struct domain *d)
{
	domid_t id = d->id;
	unsigned slices = ++d->reap_slices;
	uint64_t begin = machine_ns(), longest = d->reap_longest_ns, took;
	char name[DOMAIN_NAME_LEN];
	bool gone;

	memcpy(name, d->name, sizeof(name));
	gone = domain_destroy_slice(d);
	took = machine_ns() - begin;
	longest = max_u64(longest, took);
	if (gone)
		log_info("domain %u (%s) is gone: %u slices, the longest of %lu us", id, name,
		         slices, longest / 1000);
	else
		d->reap_longest_ns = longest;
}

bool domain_reap(void)
{
	ASSERT(machine_cpu() == 0);
	for (unsigned i = 0; i < MAX_DOMAINS; i++) {
		if (!domains[i] || !domains[i]->dying)
			continue;
		domain_reap_slice(domains[i]);
		vcpu_wake_memory_waiters();
		return true;
	}
	return false;
}

void domain_latch_width(struct domain *d, bool wide)
{
	if (d->wide_info == wide)
		return;
	spin_lock(&d->event_lock);
	d->wide_info = wide;
	timer_wallclock(d);
	spin_unlock(&d->event_lock);
}
