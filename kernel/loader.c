/* SPDX-License-Identifier: MIT */
/*
 * Puts a PVH kernel, its ramdisk and its start info into a new domain's memory
 * and sets the first state of its vCPU 0. The layout is pvh.c's; the reading
 * of the image elf.c's. Memory of a new domain reads as zeroes, so what a
 * segment wants zeroed is left alone and stays unpopulated.
 */
#include "arch/x86_64/guest/pvh.h"
#include "kernel/domain.h"
#include "kernel/elf.h"
#include "kernel/log.h"
#include "kernel/string.h"

static const char *give_why(char *why, size_t bytes, const char *what, const char *sentence)
{
	text_format(why, bytes, "%s: %s", what, sentence);
	return why;
}

static bool write_segments(struct space *s, const uint8_t *image, const struct elf_plan *plan)
{
	for (unsigned i = 0; i < plan->nr_segments; i++) {
		const struct elf_segment *g = &plan->segments[i];

		if (mm_write(s, g->gpa, image + g->offset, g->file_bytes) != MM_OK)
			return false;
	}
	return true;
}

static bool write_start_page(struct space *s, const struct pvh_layout *l, const char *cmdline)
{
	static uint8_t page[PAGE_SIZE]; /* domains are built one at a time, on one CPU */
	struct pvh_range map[PVH_MAP_MAX];
	unsigned n = pvh_memory_map(s->low_pages, s->high_first, s->high_pages, map);

	pvh_start_page(page, l, cmdline, map, n);
	return mm_write(s, l->start_info, page, PAGE_SIZE) == MM_OK;
}

/* The state of a vCPU is set where it is loaded: here, for as long as that takes. */
static bool set_first_state(struct vcpu *v, uint32_t entry, uint64_t start_info)
{
	struct guest_state state;

	hvm->vcpu_load(&v->hv);
	pvh_first_state(entry, start_info, &v->hv.regs, &state);
	v->initialised = hvm->vcpu_set_state(&v->hv, &state);
	hvm->vcpu_unload(&v->hv);
	return v->initialised;
}

const char *loader_build(struct domain *d, const void *kernel, uint64_t kernel_bytes,
                         const void *ramdisk, uint64_t ramdisk_bytes, const char *cmdline,
                         char *why, size_t why_bytes)
{
	static struct elf_plan plan;
	struct space *s = &d->space;
	uint64_t low_bytes = s->low_pages << PAGE_SHIFT;
	struct pvh_layout layout;
	const char *error;

	error = elf_plan(kernel, kernel_bytes, low_bytes, &plan);
	if (error)
		return give_why(why, why_bytes, "the kernel cannot be loaded", error);
	if (strlen(cmdline) > PVH_CMDLINE_MAX)
		return give_why(why, why_bytes, "extra", "the guest's command line is too long");
	if (!pvh_place(plan.end, ramdisk_bytes, low_bytes, &layout))
		return give_why(why, why_bytes, "memory",
		                "kernel, start info and ramdisk do not fit below 3 GiB into "
		                "the domain's memory");
	if (!write_segments(s, kernel, &plan) || !write_start_page(s, &layout, cmdline) ||
	    (ramdisk_bytes && mm_write(s, layout.ramdisk, ramdisk, ramdisk_bytes) != MM_OK))
		return give_why(why, why_bytes, "memory",
		                "the machine has not enough free memory for the kernel");

	if (!set_first_state(d->vcpus[0], plan.entry, layout.start_info))
		return give_why(why, why_bytes, "vCPU 0", "the CPU refuses the PVH entry state");
	return NULL;
}
