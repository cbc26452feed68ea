/* SPDX-License-Identifier: MIT */
/*
 * Pages of ours that a guest finds at fixed places, outside of its RAM and
 * named in its memory map (arch/x86_64/guest/pvh.h): its ACPI tables, and the rings
 * that it shares with us. Each is a service frame of this one domain. The guest
 * may write what it likes there, and may map something else over it; the frame
 * stays ours until the domain is gone.
 */
#include "arch/x86_64/guest/acpi_tables.h"
#include "arch/x86_64/guest/pvh.h"
#include "kernel/evtchn.h"
#include "kernel/string.h"

static const uint32_t special_place[SPECIAL_PAGES] = {
    [SPECIAL_ACPI] = PVH_ACPI_GFN,
    [SPECIAL_STORE] = PVH_STORE_GFN,
    [SPECIAL_CONSOLE] = PVH_CONSOLE_GFN,
};

gfn_t special_gfn(enum special_page which)
{
	return GFN(special_place[which]);
}

uint8_t *special_make(struct domain *d, enum special_page which)
{
	struct special *p = &d->special[which];

	ASSERT(!p->page);
	p->frame = frame_alloc(0, FRAME_SERVICE, d->id);
	if (!mfn_valid(p->frame))
		return NULL;
	p->page = env_frame(p->frame);
	memset(p->page, 0, PAGE_SIZE);
	if (mm_map_service(&d->space, special_gfn(which), p->frame) == MM_OK)
		return p->page;
	frame_free(p->frame, 0);
	p->page = NULL;
	return NULL;
}

bool special_make_ring(struct domain *d, enum special_page which)
{
	return special_make(d, which) && evtchn_bind(d, EVTCHN_SERVICE, 0, which) > 0;
}

bool special_make_acpi(struct domain *d)
{
	uint8_t *page = special_make(d, SPECIAL_ACPI);

	if (page)
		acpi_tables_page(page, special_gfn(SPECIAL_ACPI).n << PAGE_SHIFT, d->nr_vcpus);
	return page;
}

void special_free(struct domain *d)
{
	for (unsigned i = 0; i < SPECIAL_PAGES; i++)
		if (d->special[i].page)
			frame_free(d->special[i].frame, 0);
}
