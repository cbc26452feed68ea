/* SPDX-License-Identifier: MIT */
/*
 * The PVH start info (Xen public/arch-x86/hvm/start_info.h): a structure of
 * physical addresses. Each is looked at only through `peek`.
 */
#include "arch/x86_64/boot_found.h"

#include "kernel/string.h"

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_phys, cmdline_phys, rsdp_phys;
	/* version 1 */
	uint64_t memmap_phys;
	uint32_t memmap_entries, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "start_info.h");

struct module_entry {
	uint64_t phys, bytes, cmdline_phys, reserved;
};

struct memmap_entry {
	uint64_t base, bytes;
	uint32_t type, reserved;
};

/* A string of unknown length: as much of it as is readable, at most a page. */
static const char *pvh_string(struct boot_found *f, uint64_t phys, boot_peek_fn peek)
{
	char buffer[1024];
	size_t n = 0;

	while (phys && n < sizeof(buffer)) {
		const char *c = peek(phys + n, 1);

		if (!c || !*c)
			break;
		buffer[n++] = *c;
	}
	return boot_found_string(f, buffer, n);
}

static void pvh_modules(struct boot_found *f, const struct start_info *s, boot_peek_fn peek)
{
	for (uint32_t i = 0; i < s->nr_modules && i < BOOT_MAX_MODULES; i++) {
		const void *p = peek(s->modlist_phys + i * sizeof(struct module_entry),
		                     sizeof(struct module_entry));
		struct module_entry m;

		if (!p) {
			f->dropped_modules++;
			return;
		}
		memcpy(&m, p, sizeof(m));
		boot_found_module(f, m.phys, m.bytes, pvh_string(f, m.cmdline_phys, peek));
	}
	if (s->nr_modules > BOOT_MAX_MODULES)
		f->dropped_modules += s->nr_modules - BOOT_MAX_MODULES;
}

static void pvh_memmap(struct boot_found *f, const struct start_info *s, boot_peek_fn peek)
{
	for (uint32_t i = 0; i < s->memmap_entries && i < 4 * BOOT_MAX_RANGES; i++) {
		const void *p = peek(s->memmap_phys + i * sizeof(struct memmap_entry),
		                     sizeof(struct memmap_entry));
		struct memmap_entry m;

		if (!p)
			return;
		memcpy(&m, p, sizeof(m));
		boot_found_range(f, m.base, m.bytes, m.type);
	}
}

const char *pvh_parse(struct boot_found *f, uint64_t start_info_phys, boot_peek_fn peek)
{
	const void *p = peek(start_info_phys, sizeof(struct start_info));
	struct start_info s;

	boot_found_init(f);
	memcpy(f->loader, "PVH", sizeof("PVH"));
	if (!p)
		return "PVH: the start info is not readable";
	memcpy(&s, p, sizeof(s));
	if (s.magic != PVH_MAGIC)
		return "PVH: the start info has a wrong magic number";
	if (s.version < 1)
		return "PVH: the start info is of version 0, which has no memory map";
	f->info.cmdline = pvh_string(f, s.cmdline_phys, peek);
	f->rsdp_phys = s.rsdp_phys;
	pvh_modules(f, &s, peek);
	pvh_memmap(f, &s, peek);
	return f->info.nr_ranges ? NULL : "PVH: the start info has no memory map";
}
