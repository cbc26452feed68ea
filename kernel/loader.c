/* SPDX-License-Identifier: MIT */
/*
 * Puts a PVH kernel, its ramdisk and its start info into a new domain's memory
 * and sets the first state of its vCPU 0. The layout is pvh.c's; the reading
 * of the image elf.c's. Memory of a new domain reads as zeroes, so what a
 * segment wants zeroed is left alone and stays unpopulated.
 *
 * Kernel and ramdisk are some thousand pages: they are copied a little at a time (create.c).
 */
#include "kernel/loader.h"
#include "kernel/log.h"
#include "kernel/string.h"

static const char *give_why(char *why, size_t bytes, const char *what, const char *sentence)
{
	text_format(why, bytes, "%s: %s", what, sentence);
	return why;
}

static void loader_add(struct loader *l, const uint8_t *from, uint64_t gpa, uint64_t bytes)
{
	ASSERT(l->nr_pieces < ARRAY_SIZE(l->pieces));
	if (bytes)
		l->pieces[l->nr_pieces++] = (struct loader_piece){from, gpa, bytes};
}

/* NULL, or what is wrong with the kernel. */
static const char *loader_plan(struct loader *l, const void *kernel, uint64_t bytes,
                               uint64_t low_bytes, uint64_t *end)
{
	static struct elf_plan plan; /* domains are built one at a time, on one CPU */
	const char *error = elf_plan(kernel, bytes, low_bytes, &plan);

	for (unsigned i = 0; !error && i < plan.nr_segments; i++)
		loader_add(l, (const uint8_t *)kernel + plan.segments[i].offset,
		           plan.segments[i].gpa, plan.segments[i].file_bytes);
	l->entry = plan.entry;
	*end = plan.end;
	return error;
}

const char *loader_begin(struct loader *l, const struct domain *d, char *why, size_t why_bytes)
{
	const struct domain_config *c = &d->config;
	uint64_t kernel_bytes, ramdisk_bytes = 0, low_bytes = d->space.low_pages << PAGE_SHIFT, end;
	const void *kernel, *ramdisk = NULL;
	const char *error;

	memset(l, 0, sizeof(*l));
	if (!bundle_find(c->kernel, &kernel, &kernel_bytes)) {
		text_format(why, why_bytes, "there is no file \"%s\" for its kernel", c->kernel);
		return why;
	}
	if (c->ramdisk[0] && !bundle_find(c->ramdisk, &ramdisk, &ramdisk_bytes)) {
		text_format(why, why_bytes, "there is no file \"%s\" for its ramdisk", c->ramdisk);
		return why;
	}
	error = loader_plan(l, kernel, kernel_bytes, low_bytes, &end);
	if (error)
		return give_why(why, why_bytes, "the kernel cannot be loaded", error);
	if (strlen(c->extra) > PVH_CMDLINE_MAX)
		return give_why(why, why_bytes, "extra", "the guest's command line is too long");
	if (!pvh_place(end, ramdisk_bytes, low_bytes, &l->layout))
		return give_why(why, why_bytes, "memory",
		                "kernel, start info and ramdisk do not fit below 3 GiB into "
		                "the domain's memory");
	loader_add(l, ramdisk, l->layout.ramdisk, ramdisk_bytes);
	return NULL;
}

/* What is under way, as far as `pages` pages of the guest reach; returns how many it took. */
static uint64_t loader_copy(struct loader *l, struct space *s, uint64_t pages, enum mm_status *st)
{
	const struct loader_piece *p = &l->pieces[l->next];
	uint64_t to = p->gpa + l->at, in_page = to % PAGE_SIZE;
	uint64_t n = min_u64(p->bytes - l->at, (pages << PAGE_SHIFT) - in_page);

	*st = mm_write(s, to, p->from + l->at, n);
	if (*st != MM_OK)
		return 0;
	l->at += n;
	if (l->at == p->bytes) {
		l->next++;
		l->at = 0;
	}
	return align_up(in_page + n, PAGE_SIZE) >> PAGE_SHIFT;
}

enum mm_status loader_step(struct loader *l, struct domain *d, uint64_t pages)
{
	enum mm_status st = MM_OK;

	while (pages && l->next < l->nr_pieces && st == MM_OK)
		pages -= loader_copy(l, &d->space, pages, &st);
	if (st != MM_OK)
		return MM_NOMEM;
	return l->next < l->nr_pieces ? MM_MORE : MM_OK;
}

static bool loader_start_page(struct space *s, const struct pvh_layout *l, const char *cmdline)
{
	static uint8_t page[PAGE_SIZE]; /* as above */
	struct pvh_range map[PVH_MAP_MAX];
	unsigned n = pvh_memory_map(s->low_pages, s->high_first, s->high_pages, map);

	pvh_start_page(page, l, cmdline, map, n);
	return mm_write(s, l->start_info, page, PAGE_SIZE) == MM_OK;
}

/* The state of a vCPU is set where it is loaded: here, for as long as that takes. */
static bool loader_first_state(struct vcpu *v, uint32_t entry, uint64_t start_info)
{
	struct guest_state state;

	hvm->vcpu_load(&v->hv);
	pvh_first_state(entry, start_info, &v->hv.regs, &state);
	v->initialised = hvm->vcpu_set_state(&v->hv, &state);
	hvm->vcpu_unload(&v->hv);
	return v->initialised;
}

const char *loader_end(struct loader *l, struct domain *d, char *why, size_t why_bytes)
{
	if (!loader_start_page(&d->space, &l->layout, d->config.extra))
		return give_why(why, why_bytes, "memory",
		                "the machine has not enough free memory for the kernel");
	if (!loader_first_state(d->vcpus[0], l->entry, l->layout.start_info))
		return give_why(why, why_bytes, "vCPU 0", "the CPU refuses the PVH entry state");
	return NULL;
}
