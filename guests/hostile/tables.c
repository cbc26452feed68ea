/* SPDX-License-Identifier: MIT */
/*
 * Page tables that lie. Hypercall arguments are virtual addresses, so the
 * hypervisor walks what the guest wrote: a window at 512 GiB is built, bent in
 * one way for each row, and used as a pointer. The answer is -EFAULT, never
 * another domain's byte (SDM vol. 3, 4.5).
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

#define P  UINT64_C(1)
#define W  UINT64_C(2)
#define PS UINT64_C(0x80)
#define NX (UINT64_C(1) << 63)

#define WINDOW UINT64_C(0x8000000000) /* PML4 entry 1 */

extern uint64_t page_pml4[512];
static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t pd[512] __attribute__((aligned(4096)));
static uint64_t pt[512] __attribute__((aligned(4096)));
static uint8_t target[2 * 4096] __attribute__((aligned(4096)));

enum level { PML4, PDPT, PD, PT };

struct lie {
	const char *name;
	enum level level;
	uint64_t entry;   /* the page of the right entry is kept if KEEP is set */
	bool read, write; /* what the hypervisor may do there */
};
#define KEEP (UINT64_C(1) << 62)

static void build(void)
{
	page_pml4[1] = (uint64_t)pdpt | P | W;
	pdpt[0] = (uint64_t)pd | P | W;
	pd[0] = (uint64_t)pt | P | W;
	pt[0] = (uint64_t)target | P | W;
	pt[1] = ((uint64_t)target + 4096) | P | W;
}

static void flush(void)
{
	WRITE_CR(3, READ_CR(3));
}

static void bend(const struct lie *l)
{
	uint64_t *const entry[] = {&page_pml4[1], &pdpt[0], &pd[0], &pt[0]};
	uint64_t keep = l->entry & KEEP ? *entry[l->level] & UINT64_C(0x000ffffffffff000) : 0;

	*entry[l->level] = keep | (l->entry & ~KEEP);
	flush();
}

/* Beyond the memory of any guest here, within the physical width. */
#define FAR (UINT64_C(1) << 38)

static const struct lie lies[] = {
    {"nothing bent",                  PT,   KEEP | P | W,                         true,  true },
    {"PT entry not present",          PT,   KEEP | W,                             false, false},
    {"PD entry not present",          PD,   KEEP,                                 false, false},
    {"PDPT entry not present",        PDPT, KEEP,                                 false, false},
    {"PML4 entry not present",        PML4, KEEP,                                 false, false},
    {"PT entry read-only",            PT,   KEEP | P,                             true,  false},
    {"PD entry read-only",            PD,   KEEP | P,                             true,  false},
    {"PML4 entry read-only",          PML4, KEEP | P,                             true,  false},
    {"page beyond the memory",        PT,   FAR | P | W,                          false, false},
    {"PT beyond the memory",          PD,   FAR | P | W,                          false, false},
    {"PD beyond the memory",          PDPT, FAR | P | W,                          false, false},
    {"PDPT beyond the memory",        PML4, FAR | P | W,                          false, false},
    {"page at the last frame of all", PT,   UINT64_C(0x000ffffffffff000) | P | W, false, false},
    {"2 MiB page beyond the memory",  PD,   FAR | PS | P | W,                     false, false},
    {"2 MiB page, not aligned",       PD,   KEEP | PS | P | W | 0x2000,           false, false},
    {"1 GiB page beyond the memory",  PDPT, FAR | PS | P | W,                     false, false},
    {"PS in a PML4 entry",            PML4, KEEP | PS | P | W,                    false, false},
    {"bit 51 in a PT entry",          PT,   KEEP | P | W | UINT64_C(1) << 51,     false, false},
    {"no-execute in every entry",     PT,   KEEP | P | W | NX,                    true,  true },
    {"the PT is its own page",        PD,   0,                                    false, false}, /* filled in below */
};

/* Two bytes are read; the answer is a number of pages. */
static long read_through(void)
{
	long ret;

	*(domid_t *)target = DOMID_SELF;
	ret = hypercall_memory(XENMEM_current_reservation, (void *)WINDOW);
	return ret > 0 ? 0 : ret;
}

static long write_through(void)
{
	return hypercall_version(XENVER_extraversion, (void *)WINDOW);
}

static void try_lie(const struct lie *l)
{
	long r, w;

	bend(l);
	r = read_through();
	w = write_through();
	build();
	flush();
	tap_is(r, l->read ? 0 : -XEN_EFAULT, "tables: %s, read", l->name);
	tap_is(w, l->write ? 0 : -XEN_EFAULT, "tables: %s, write", l->name);
}

/* A structure on two pages of which the second is not there. */
static void across(void)
{
	pt[1] = 0;
	flush();
	tap_is(hypercall_version(XENVER_extraversion, (void *)(WINDOW + 4096 - 8)), -XEN_EFAULT,
	       "tables: an answer over the end of what is mapped");
	tap_is(hypercall_memory(XENMEM_add_to_physmap, (void *)(WINDOW + 4096 - 8)), -XEN_EFAULT,
	       "tables: a structure over it");
	build();
	flush();
}

/* PD entry 0 points at the PD itself: a walk reads tables as tables, and then as data. */
static void recursive(void)
{
	long w;

	pd[0] = (uint64_t)pd | P | W;
	flush();
	w = write_through(); /* overwrites the PD with a string: our own loss */
	pd[1] = pd[2] = 0;
	build();
	flush();
	tap_ok(w == 0 || w == -XEN_EFAULT, "tables: a directory that is its own table: %ld", w);
	tap_is(write_through(), 0, "tables: mended again");
}

void attack_tables(void)
{
	build();
	flush();
	for (size_t i = 0; i + 1 < sizeof(lies) / sizeof(lies[0]); i++)
		try_lie(&lies[i]);
	across();
	recursive();
	page_pml4[1] = 0;
	flush();
}
