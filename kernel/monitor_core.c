/* SPDX-License-Identifier: MIT */
/*
 * dump-core: the memory of one guest, or of all of them at one instant.
 *
 * Memory is not sent: it is large, and the console is slow. Instead the guests are
 * paused, all between two instructions of the machine; it is told where each of their
 * pages lies and what their CPUs held; and everything stays as it is until the operator
 * presses a key. Meanwhile whoever runs the machine reads its memory (an emulator's
 * debugger, a probe), as tools/run does. A frame that several guests share is read once.
 *
 * Scanner and compression stand still as well, so the figures printed here are those of this very
 * memory, and no frame that was named is freed. What may still change is what Quire itself writes for a guest: shared_info,
 * rings, and pages that a guest has granted to one that is not held. All are pinned, and
 * the map says so.
 *
 * Nothing of this can be reached by a guest: it takes the operator's console, and the
 * right to read the machine's memory. The lines are in docs/dump-core.md.
 */
#include "kernel/log.h"
#include "kernel/monitor.h"
#include "kernel/squeeze.h"
#include "kernel/string.h"

#define CORE_VERSION 1u

enum core_stage { CORE_DOMAIN, CORE_MAP, CORE_HELD };

/* What is held, and how it was before. Of the command that runs: there is one at a time. */
static struct {
	bool held[MAX_DOMAINS], was_paused[MAX_DOMAINS];
	bool scan;
	unsigned domains;
	domid_t only; /* 0: all */
	uint64_t first, end, began_ns;
} core;

/* ---- the instant ---- */

static void core_hold_domain(struct domain *d, void *arg)
{
	(void)arg;
	if (d->dying || (core.only && d->id != core.only))
		return;
	core.held[d->id] = true;
	core.was_paused[d->id] = d->paused;
	core.domains++;
	domain_pause(d);
}

/* All other CPUs stand still, with no vCPU loaded: pausing waits for nobody. */
static void core_hold(void *arg)
{
	core.began_ns = machine_ns();
	core.scan = sched_scan_on();
	sched_set_scan(false);
	squeeze_hold(true);
	domain_each(core_hold_domain, NULL);
	monitor_instant(arg);
}

static void core_release(void)
{
	for (unsigned i = 0; i < MAX_DOMAINS; i++) {
		struct domain *d = core.held[i] ? domain_find((domid_t)i) : NULL;

		if (d && !core.was_paused[i])
			domain_unpause(d);
	}
	sched_set_scan(core.scan);
	squeeze_hold(false);
	log_tag("core end held_ns=%lu", machine_ns() - core.began_ns);
}

/* ---- what is told ---- */

/* Values are hexadecimal. */
static void core_vcpu(const struct domain *d, struct vcpu *v)
{
	const struct guest_regs *r = &v->hv.regs;
	const uint64_t *g = r->gpr;
	struct guest_state s;

	log_tag("core-vcpu domain=%u vcpu=%u rip=%lx rflags=%lx rax=%lx rbx=%lx rcx=%lx rdx=%lx "
	        "rsi=%lx rdi=%lx rbp=%lx rsp=%lx r8=%lx r9=%lx r10=%lx r11=%lx r12=%lx r13=%lx "
	        "r14=%lx r15=%lx",
	        d->id, v->id, r->rip, r->rflags, g[RAX], g[RBX], g[RCX], g[RDX], g[RSI], g[RDI],
	        g[RBP], g[RSP], g[R8], g[R9], g[R10], g[R11], g[R12], g[R13], g[R14], g[R15]);
	hvm->vcpu_get_state(&v->hv, &s);
	log_tag("core-control domain=%u vcpu=%u cr0=%lx cr2=%lx cr3=%lx cr4=%lx efer=%lx cs=%x "
	        "ss=%x ds=%x es=%x fs=%x gs=%x fs_base=%lx gs_base=%lx",
	        d->id, v->id, s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.cs.selector, s.ss.selector,
	        s.ds.selector, s.es.selector, s.fs.selector, s.gs.selector, s.fs.base, s.gs.base);
}

static void core_domain(const struct domain *d)
{
	monitor_sharing_json(d);
	log_tag("core-domain domain=%u name=%s group=%u vcpus=%u memory_pages=%lu low_pages=%lu "
	        "high_first=%lu high_pages=%lu",
	        d->id, d->name, d->space.share_group, d->nr_vcpus, d->space.memory_pages,
	        d->space.low_pages, d->space.high_first, d->space.high_pages);
	for (unsigned i = 0; i < d->nr_vcpus; i++)
		if (d->vcpus[i] && d->vcpus[i]->initialised)
			core_vcpu(d, d->vcpus[i]);
}

static struct domain *core_next(domid_t id)
{
	struct domain *d = monitor_after(id);

	while (d && !core.held[d->id])
		d = monitor_after(d->id);
	return d;
}

/* ---- the command ---- */

/* False after a complaint. */
static bool core_words(struct run *r)
{
	uint64_t count = GFN_LIMIT;
	struct domain *d = NULL;

	memset(&core, 0, sizeof(core));
	if (strcmp(r->word[1], "all")) {
		d = monitor_domain(r, r->word[1]);
		if (!d)
			return false;
		if (d->dying) {
			monitor_fail(r, "%s is being destroyed: its memory goes", d->name);
			return false;
		}
		core.only = d->id;
	}
	if (r->words > 2 && !monitor_number(r, r->word[2], "the first guest frame", &core.first))
		return false;
	if (r->words > 3 && !monitor_number(r, r->word[3], "the count of frames", &count))
		return false;
	core.end = min_u64(GFN_LIMIT, core.first + count);
	return true;
}

static bool core_begin(struct run *r)
{
	if (!core_words(r))
		return true;
	sched_stopped(core_hold, NULL);
	if (!core.domains) {
		core_release();
		return monitor_fail(r, "there is no domain");
	}
	log_tag("core version=%u time_ns=%lu domains=%u", CORE_VERSION, core.began_ns,
	        core.domains);
	monitor_sharing_total_json();
	return false;
}

/* at[0]: enum core_stage; at[1]: the domain's id; at[2]: its next guest frame */
bool monitor_dump_core(struct run *r)
{
	struct domain *d;

	if (r->calls == 0)
		return core_begin(r);
	if (r->interrupted || (r->at[0] == CORE_HELD && r->key >= 0)) {
		core_release();
		r->status = r->interrupted ? 130 : 0;
		return true;
	}
	switch (r->at[0]) {
	case CORE_DOMAIN:
		d = core_next((domid_t)r->at[1]);
		r->at[0] = d ? CORE_MAP : CORE_HELD;
		if (d) {
			r->at[1] = d->id;
			r->at[2] = core.first;
			core_domain(d);
		} else {
			log_print("All of it stands still; a key lets it go on.\n");
			log_tag("core held");
		}
		return false;
	case CORE_MAP:
		d = domain_find((domid_t)r->at[1]);
		ASSERT(d); /* domains end by commands, and this one runs */
		r->at[2] = monitor_map_slice(d, r->at[2], core.end);
		if (r->at[2] >= core.end)
			r->at[0] = CORE_DOMAIN;
		return false;
	default: /* and not `later`: where time is counted in instructions, little of it passes */
		return false;
	}
}
