/* SPDX-License-Identifier: MIT */
/*
 * The life of a domain: made, paused, ended, destroyed. Made and destroyed on
 * CPU 0 only (see domain.h), which is what keeps a pointer to a domain good.
 *
 * Making goes step by step; if a step fails, what is there is destroyed like any
 * other domain. Destroying is cut in slices: first no vCPU may run any more, then
 * the vCPUs go, then the memory bit by bit, then the rest. Making is in one piece:
 * CPU 0 copies the kernel and its ramdisk meanwhile (`dmesg` tells how long).
 */
#include "kernel/domain.h"
#include "kernel/config.h"
#include "kernel/grant.h"
#include "kernel/guest_copy.h"
#include "kernel/log.h"
#include "kernel/overcommit.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "kernel/xenstore.h"

#define DOMAIN_FRAMES ((sizeof(struct domain) + PAGE_SIZE - 1) / PAGE_SIZE)
#define PAGES_PER_MIB (1048576u / PAGE_SIZE)
#define REAP_PAGES    256u
#define MIN_PERCENT   25u
#define LOAN_PAGES    64u /* what a guest may need to give memory back: mm/fund.h */
#define LOAN_PART     32u /* and not more than one page in so many that are not guaranteed */
/* What is allocated at its making, about, beside its own structure: for a sentence in time. */
#define FRAMES_A_VCPU   8u
#define FRAMES_A_DOMAIN 16u

static struct domain *domains[MAX_DOMAINS];
static domid_t last_id; /* ids go round, so that a new domain seldom gets a dead one's */
static char groups[MAX_DOMAINS][DOMAIN_NAME_LEN];

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

/* ---- making ---- */

static domid_t domain_free_id(void)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++) {
		unsigned id = (last_id + i - 1) % (MAX_DOMAINS - 1) + 1;

		if (!domains[id])
			return (domid_t)id;
	}
	return 0;
}

static bool domain_group_used(unsigned group)
{
	for (unsigned i = 0; i < MAX_DOMAINS; i++)
		if (domains[i] && domains[i]->space.share_group == MAX_DOMAINS + group)
			return true;
	return false;
}

/* The number of a share group: the domain's own id, or one for each name in use. */
static uint16_t domain_group(const char *name, domid_t id)
{
	unsigned empty = 0;

	if (!name[0])
		return id;
	for (unsigned i = 0; i < MAX_DOMAINS; i++) {
		if (!domain_group_used(i))
			empty = i;
		else if (strcmp(groups[i], name) == 0)
			return (uint16_t)(MAX_DOMAINS + i);
	}
	memcpy(groups[empty], name, DOMAIN_NAME_LEN);
	return (uint16_t)(MAX_DOMAINS + empty);
}

static unsigned domain_order(void)
{
	unsigned order = 0;

	while ((1u << order) < DOMAIN_FRAMES)
		order++;
	return order;
}

static struct space_config domain_space_config(const struct domain_config *c)
{
	uint64_t memory = (uint64_t)c->memory_mib * PAGES_PER_MIB;
	uint64_t most = (uint64_t)c->maxmem_mib * PAGES_PER_MIB;
	uint64_t least = c->min_mib == UINT32_MAX ? memory * MIN_PERCENT / 100
	                                          : (uint64_t)c->min_mib * PAGES_PER_MIB;

	most = max_u64(memory, most);
	least = min_u64(least, memory);
	return (struct space_config){
	    .memory_pages = memory,
	    .max_pages = most,
	    .min_pages = least,
	    .loan_pages = min_u64((most - least) / LOAN_PART, LOAN_PAGES),
	};
}

static bool domain_make_space(struct domain *d, const struct domain_config *c)
{
	struct space_config sc = domain_space_config(c);

	sc.domid = d->id;
	sc.share_group = domain_group(c->share_group, d->id);
	if (space_create(&d->space, &sc) != MM_OK)
		return false;
	d->target_pages = d->limit_pages = sc.memory_pages;
	d->shares = config_shares(c);
	return true;
}

static bool domain_make_shared_info(struct domain *d)
{
	d->shared_info_frame = frame_alloc(0, FRAME_SERVICE, d->id);
	if (!mfn_valid(d->shared_info_frame))
		return false;
	d->shared_info = env_frame(d->shared_info_frame);
	memset(d->shared_info, 0, PAGE_SIZE);
	d->wide_info = true;
	timer_wallclock(d);
	evtchn_domain_init(d);
	return true;
}

static bool domain_make_vcpus(struct domain *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!vcpu_create(d, i))
			return false;
		d->nr_vcpus++;
	}
	return true;
}

static bool domain_fill_large(struct domain *d)
{
	const struct space *s = &d->space;

	for (uint64_t g = 0; g + LARGE_PAGES <= s->low_pages; g += LARGE_PAGES)
		if (mm_populate_large(&d->space, GFN(g)) != MM_OK)
			return false;
	for (uint64_t g = 0; g + LARGE_PAGES <= s->high_pages; g += LARGE_PAGES)
		if (mm_populate_large(&d->space, GFN(s->high_first + g)) != MM_OK)
			return false;
	return true;
}

static const char *domain_load(struct domain *d, const struct domain_config *c, char *why,
                               size_t why_bytes)
{
	const void *kernel, *ramdisk = NULL;
	uint64_t kernel_bytes, ramdisk_bytes = 0;

	if (!bundle_find(c->kernel, &kernel, &kernel_bytes)) {
		text_format(why, why_bytes, "there is no file \"%s\" for its kernel", c->kernel);
		return why;
	}
	if (c->ramdisk[0] && !bundle_find(c->ramdisk, &ramdisk, &ramdisk_bytes)) {
		text_format(why, why_bytes, "there is no file \"%s\" for its ramdisk", c->ramdisk);
		return why;
	}
	return loader_build(d, kernel, kernel_bytes, ramdisk, ramdisk_bytes, c->extra, why,
	                    why_bytes);
}

/* NULL, or which step failed. The space is made already. */
static const char *domain_build(struct domain *d, const struct domain_config *c, char *why,
                                size_t why_bytes)
{
	if (!domain_make_shared_info(d) || !domain_make_vcpus(d, c->vcpus) ||
	    !special_make_acpi(d) || !special_make_ring(d, SPECIAL_CONSOLE) || !xenstore_create(d))
		return "the machine has not enough free memory for its vCPUs";
	if (c->superpages && !domain_fill_large(d))
		return "the machine has not enough free 2 MiB pieces of memory for superpages=1";
	return domain_load(d, c, why, why_bytes);
}

static const char *domain_check(const struct domain_config *c)
{
	if (c->vcpus == 0 || c->vcpus > MAX_VCPUS)
		return "it must have 1 to 8 vCPUs";
	if (c->memory_mib == 0)
		return "it must have at least 1 MiB of memory";
	if (domain_find_name(c->name))
		return "a domain of this name exists";
	return NULL;
}

static void domain_free_struct(struct domain *d)
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

static struct domain *domain_alloc(const struct domain_config *c)
{
	domid_t id = domain_free_id();
	mfn_t frame = id ? frame_alloc(domain_order(), FRAME_HYPERVISOR, id) : MFN_NONE;
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

static struct domain *domain_refuse(char *why, size_t why_bytes, const char *sentence)
{
	if (sentence != why)
		text_format(why, why_bytes, "%s", sentence);
	return NULL;
}

struct domain *domain_create(const struct domain_config *c, char *why, size_t why_bytes)
{
	const struct space_config sc = domain_space_config(c);
	const char *error = domain_check(c);
	struct domain *d;

	ASSERT(machine_cpu() == 0);
	if (error)
		return domain_refuse(why, why_bytes, error);
	if (!overcommit_fits(&sc, BIT(domain_order()) + c->vcpus * FRAMES_A_VCPU + FRAMES_A_DOMAIN,
	                     why, why_bytes))
		return NULL;
	d = domain_alloc(c);
	if (!d)
		return domain_refuse(why, why_bytes, "there is no room for one more domain");
	if (!domain_make_space(d, c)) {
		domain_free_struct(d);
		return domain_refuse(why, why_bytes,
		                     "the machine has not enough free memory to guarantee its min");
	}
	domain_enlist(d);
	error = domain_build(d, c, why, why_bytes);
	if (error) {
		domain_destroy(d); /* domain_reap does the rest, a slice at a time */
		return domain_refuse(why, why_bytes, error);
	}
	log_debug("domain %u (%s) is made: %lu us in one piece", d->id, d->name,
	          (machine_ns() - d->created_ns) / 1000);
	last_id = d->id;
	evtchn_peer_add(d);
	vcpu_start(d->vcpus[0]);
	if (!c->paused)
		domain_unpause(d);
	return d;
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
	if (first)
		d->shutdown = code;
	sched_unlock();
	if (!first)
		return;
	(void)domain_quiet(d);
	console_flush(d);
	log_tag("shutdown domain=%u name=%s reason=%s", d->id, d->name, domain_shutdown_name(code));
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
	domain_free_struct(d);
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
