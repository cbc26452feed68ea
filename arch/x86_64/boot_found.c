/* SPDX-License-Identifier: MIT */
/*
 * Collecting what a parser finds. What does not fit is counted, not fatal: a
 * machine with a strange memory map boots with less, and says so.
 */
#include "arch/x86_64/boot_found.h"

#include "kernel/string.h"

void boot_found_init(struct boot_found *f)
{
	memset(f, 0, sizeof(*f));
	f->info.loader = f->loader;
	f->info.cmdline = "";
}

void boot_found_range(struct boot_found *f, uint64_t base, uint64_t bytes, uint32_t type)
{
	struct boot_range *r;

	if (!bytes || base + bytes < base)
		return;
	if (f->info.nr_ranges == BOOT_MAX_RANGES) {
		f->dropped_ranges++;
		return;
	}
	r = &f->info.ranges[f->info.nr_ranges++];
	*r = (struct boot_range){base, bytes, type};
}

void boot_found_module(struct boot_found *f, uint64_t base, uint64_t bytes, const char *cmdline)
{
	unsigned n = f->info.nr_modules;

	if (n == BOOT_MAX_MODULES || base + bytes < base) {
		f->dropped_modules++;
		return;
	}
	f->module_phys[n] = base;
	f->info.modules[n] = (struct boot_module){NULL, bytes, cmdline};
	f->info.nr_modules++;
}

const char *boot_found_string(struct boot_found *f, const char *s, size_t bytes)
{
	size_t n = strnlen(s, bytes), room = sizeof(f->strings) - f->strings_used;
	char *copy = f->strings + f->strings_used;

	if (n + 1 > room) {
		f->dropped_strings++;
		return "";
	}
	memcpy(copy, s, n);
	copy[n] = 0;
	f->strings_used += n + 1;
	return copy;
}
