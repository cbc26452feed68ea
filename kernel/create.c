/* SPDX-License-Identifier: MIT */
/*
 * Making a domain: a table of stages, each of which is called until it says that it is through.
 * What grows with the domain is cut: page-table frames, kernel and ramdisk, and what
 * `superpages` fills are taken some hundred pages a call, so neighbours on CPU 0 wait for one
 * call, never for a domain.
 *
 * A domain that is being made is in no list: nobody else can name it, start it or count on it.
 * What is there of it can be taken down at any time like any other domain, which is what happens
 * if a stage fails or the operator gives it up. Its memory, though, is like all other from
 * the moment at which its space is made: scanned, merged, audited.
 */
#include "kernel/create.h"
#include "kernel/config.h"
#include "kernel/log.h"
#include "kernel/overcommit.h"
#include "kernel/string.h"
#include "kernel/xenstore.h"
#include "mm/repay.h"

#define PAGES_PER_MIB (1048576u / PAGE_SIZE)
#define MIN_PERCENT   25u
#define LOAN_PAGES    64u /* what a guest may need to give memory back: mm/fund.h */
#define LOAN_PART     32u /* and not more than one page in so many that are not guaranteed */
/* What is allocated at its making, about, beside its own structure: for a sentence in time. */
#define FRAMES_A_VCPU   8u
#define FRAMES_A_DOMAIN 16u

enum stage_end {
	STAGE_AGAIN, /* call it once more */
	STAGE_NEXT,
	STAGE_FAILED, /* why is set */
};

static const struct creation *under_way; /* one at a time */
static domid_t last_id; /* ids go round, so that a new domain seldom gets a dead one's */
static char groups[MAX_DOMAINS][DOMAIN_NAME_LEN];

static enum stage_end fail(struct creation *c, const char *sentence)
{
	if (sentence != c->why)
		text_format(c->why, sizeof(c->why), "%s", sentence);
	return STAGE_FAILED;
}

/*
 * It lacks memory. What a domain on its way out still holds may be what it lacks: some of that is
 * given back, and the stage, which has done nothing or a part that it knows of, is tried again.
 */
static enum stage_end lacks_memory(struct creation *c, const char *sentence)
{
	if (!repay_some())
		return fail(c, sentence);
	c->why[0] = '\0';
	return STAGE_AGAIN;
}

/* ---- is there room? ---- */

static struct space_config space_config_of(const struct domain_config *c)
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

static enum stage_end stage_check(struct creation *c)
{
	if (c->config.vcpus == 0 || c->config.vcpus > MAX_VCPUS)
		return fail(c, "it must have 1 to 8 vCPUs");
	if (c->config.memory_mib == 0)
		return fail(c, "it must have at least 1 MiB of memory");
	if (domain_find_name(c->config.name))
		return fail(c, "a domain of this name exists");
	return STAGE_NEXT;
}

static enum stage_end stage_fits(struct creation *c)
{
	const struct space_config sc = space_config_of(&c->config);
	uint64_t beside = domain_frames() + c->config.vcpus * FRAMES_A_VCPU + FRAMES_A_DOMAIN;

	if (overcommit_fits(&sc, beside, c->why, sizeof(c->why)))
		return STAGE_NEXT;
	return lacks_memory(c, c->why);
}

/* ---- its own structure and its space ---- */

static domid_t free_id(void)
{
	for (unsigned i = 1; i < MAX_DOMAINS; i++) {
		unsigned id = (last_id + i - 1) % (MAX_DOMAINS - 1) + 1;

		if (!domain_find((domid_t)id))
			return (domid_t)id;
	}
	return 0;
}

static bool group_used(unsigned group)
{
	for (unsigned i = 0; i < MAX_DOMAINS; i++) {
		const struct domain *d = domain_find((domid_t)i);

		if (d && d->space.share_group == MAX_DOMAINS + group)
			return true;
	}
	return false;
}

/* The number of a share group: the domain's own id, or one for each name in use. */
static uint16_t group_of(const char *name, domid_t id)
{
	unsigned empty = 0;

	if (!name[0])
		return id;
	for (unsigned i = 0; i < MAX_DOMAINS; i++) {
		if (!group_used(i))
			empty = i;
		else if (strcmp(groups[i], name) == 0)
			return (uint16_t)(MAX_DOMAINS + i);
	}
	memcpy(groups[empty], name, DOMAIN_NAME_LEN);
	return (uint16_t)(MAX_DOMAINS + empty);
}

static enum stage_end stage_struct(struct creation *c)
{
	static const char no_room[] = "there is no room for one more domain";
	struct space_config sc = space_config_of(&c->config);
	domid_t id = free_id();
	struct domain *d = id ? domain_alloc(&c->config, id) : NULL;

	if (!d)
		return id ? lacks_memory(c, no_room) : fail(c, no_room);
	sc.domid = id;
	sc.share_group = group_of(c->config.share_group, id);
	if (space_create_begin(&d->space, &sc) != MM_OK) {
		domain_free(d);
		return fail(c, "its memory is more than a domain can have");
	}
	d->target_pages = d->limit_pages = sc.memory_pages;
	d->shares = config_shares(&c->config);
	c->domain = d;
	return STAGE_NEXT;
}

static enum stage_end stage_space(struct creation *c)
{
	const struct space_config sc = space_config_of(&c->config);
	enum mm_status st = space_create_step(&c->domain->space, &sc, CREATE_PAGES);

	if (st == MM_MORE)
		return STAGE_AGAIN;
	if (st == MM_OK)
		return STAGE_NEXT;
	domain_free(c->domain); /* there is no space to take down */
	c->domain = NULL;
	return fail(c, "the machine has not enough free memory to guarantee its min");
}

/* ---- its platform: a few dozen pages, whatever its size ---- */

static bool make_shared_info(struct domain *d)
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

static bool make_vcpus(struct domain *d)
{
	while (d->nr_vcpus < d->config.vcpus) {
		if (!vcpu_create(d, d->nr_vcpus))
			return false;
		d->nr_vcpus++;
	}
	return true;
}

static bool make_console(struct domain *d)
{
	return special_make_ring(d, SPECIAL_CONSOLE);
}

/* Each is tried again if it lacked memory: then nothing of it is there, or it goes on where it was. */
static bool (*const platform[])(struct domain *d) = {
    make_shared_info, make_vcpus, special_make_acpi, make_console, xenstore_create};

/* at: which of them */
static enum stage_end stage_platform(struct creation *c)
{
	if (!platform[c->at](c->domain))
		return lacks_memory(c, "the machine has not enough free memory for its vCPUs");
	if (++c->at < ARRAY_SIZE(platform))
		return STAGE_AGAIN;
	c->at = 0;
	return STAGE_NEXT;
}

/* ---- its memory ---- */

/* at: guest frames below and above 4 GiB, counted through. */
static enum stage_end stage_superpages(struct creation *c)
{
	struct space *s = &c->domain->space;
	uint64_t low = align_down(s->low_pages, LARGE_PAGES), gfn = c->at;

	if (!c->config.superpages || c->at >= low + align_down(s->high_pages, LARGE_PAGES))
		return STAGE_NEXT;
	if (c->at >= low)
		gfn = s->high_first + c->at - low;
	if (mm_populate_large(s, GFN(gfn)) != MM_OK)
		return lacks_memory(
		    c, "the machine has not enough free 2 MiB pieces of memory for superpages=1");
	c->at += LARGE_PAGES;
	return STAGE_AGAIN;
}

static enum stage_end stage_plan(struct creation *c)
{
	return loader_begin(&c->loader, c->domain, c->why, sizeof(c->why)) ? STAGE_FAILED
	                                                                   : STAGE_NEXT;
}

static enum stage_end stage_load(struct creation *c)
{
	switch (loader_step(&c->loader, c->domain, CREATE_PAGES)) {
	case MM_OK:
		return STAGE_NEXT;
	case MM_MORE:
		return STAGE_AGAIN;
	default:
		return lacks_memory(
		    c, "memory: the machine has not enough free memory for the kernel");
	}
}

/* ---- the last stage: it is whole, and others may know ---- */

static enum stage_end stage_start(struct creation *c)
{
	struct domain *d = c->domain;

	if (loader_end(&c->loader, d, c->why, sizeof(c->why)))
		return lacks_memory(c, c->why);
	last_id = d->id;
	domain_enlist(d);
	evtchn_peer_add(d);
	vcpu_start(d->vcpus[0]);
	if (!c->config.paused)
		domain_unpause(d);
	return STAGE_NEXT;
}

static enum stage_end (*const stages[])(struct creation *c) = {
    stage_check,      /* the words of the description make sense */
    stage_fits,       /* its min can be promised, or this is the end */
    stage_struct,     /* it has an id */
    stage_space,      /* page tables: from here on no fault of it can lack one */
    stage_platform,   /* vCPUs, shared_info, ACPI, console, xenstore */
    stage_superpages, /* memory in 2 MiB pieces, if it wants them */
    stage_plan,       /* what of its kernel goes where */
    stage_load,       /* and goes there */
    stage_start,
};

/* ---- what callers see ---- */

void create_begin(struct creation *c, const struct domain_config *config)
{
	ASSERT(machine_cpu() == 0 && !under_way);
	under_way = c;
	memset(c, 0, sizeof(*c));
	c->config = *config;
}

/* Take down what there is. */
static void undo(struct creation *c)
{
	struct domain *d = c->domain;

	under_way = NULL;
	c->domain = NULL;
	if (!d)
		return;
	domain_enlist(d); /* domain_reap finds it */
	domain_destroy(d);
}

enum create_state create_step(struct creation *c)
{
	uint64_t begin = machine_ns();
	enum stage_end end;

	ASSERT(machine_cpu() == 0 && under_way == c);
	end = stages[c->stage](c);
	c->stage += end == STAGE_NEXT;
	c->steps++;
	c->longest_ns = max_u64(c->longest_ns, machine_ns() - begin);
	if (end == STAGE_FAILED) {
		undo(c);
		return CREATE_FAILED;
	}
	if (c->stage < ARRAY_SIZE(stages))
		return CREATE_MORE;
	under_way = NULL;
	log_debug("domain %u (%s) is made: %u steps, the longest of %lu us", c->domain->id,
	          c->domain->name, c->steps, c->longest_ns / 1000);
	return CREATE_DONE;
}

/* A space that is not made yet has page tables only, and no list knows it: they go at once. */
void create_cancel(struct creation *c)
{
	struct domain *d = c->domain;

	ASSERT(machine_cpu() == 0 && under_way == c);
	if (d && !space_find(d->id)) {
		const struct space_config sc = space_config_of(&c->config);

		space_create_cancel(&d->space);
		while (space_create_step(&d->space, &sc, UINT64_MAX) == MM_MORE)
			;
		domain_free(d);
		c->domain = NULL;
	}
	undo(c);
}

struct domain *domain_create(const struct domain_config *config, char *why, size_t why_bytes)
{
	static struct creation c;
	enum create_state state;

	create_begin(&c, config);
	do
		state = create_step(&c);
	while (state == CREATE_MORE);
	if (state == CREATE_FAILED)
		text_format(why, why_bytes, "%s", c.why);
	return c.domain;
}
