/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as multiboot2 boot information, or (first byte odd) as a memory with a PVH
 * start info: a sentence, or a description whose counts and strings hold, and a memory
 * map that is sorted and ends below the limit.
 */
#include "arch/x86_64/boot_found.h"
#include "arch/x86_64/memmap.h"
#include "tests/fuzz/fuzz.h"

#define PVH_BASE UINT64_C(0x1000) /* where the memory begins, with its start info */
#define LIMIT    (UINT64_C(1) << 40)

static const uint8_t *memory;
static size_t memory_bytes;

static const void *peek(uint64_t phys, uint64_t bytes)
{
	if (phys < PVH_BASE || phys - PVH_BASE > memory_bytes ||
	    bytes > memory_bytes - (phys - PVH_BASE))
		return NULL;
	return memory + (phys - PVH_BASE);
}

/* Ends inside of the description, or is a constant. */
static void check_string(const struct boot_found *f, const char *s)
{
	if (s >= f->strings && s < f->strings + sizeof(f->strings))
		MUST(memchr(s, 0, (size_t)(f->strings + sizeof(f->strings) - s)));
	else
		MUST(*s == '\0');
}

static void check(const struct boot_found *f)
{
	static struct memmap m;
	uint64_t cut = 0;

	MUST(f->info.nr_ranges > 0 && f->info.nr_ranges <= BOOT_MAX_RANGES);
	MUST(f->info.nr_modules <= BOOT_MAX_MODULES);
	MUST(memchr(f->loader, 0, sizeof(f->loader)));
	MUST(f->rsdp_bytes <= sizeof(f->rsdp));
	check_string(f, f->info.cmdline);
	for (unsigned i = 0; i < f->info.nr_modules; i++)
		check_string(f, f->info.modules[i].cmdline);
	memset(&m, 0, sizeof(m));
	memmap_ram(&m, &f->info, LIMIT, &cut);
	for (unsigned i = 0; i < m.n; i++) {
		MUST(m.r[i].base < m.r[i].end && m.r[i].end <= LIMIT);
		MUST(!i || m.r[i - 1].end < m.r[i].base);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct boot_found f;
	const char *why;

	if (!n)
		return 0;
	memory = bytes + 1;
	memory_bytes = n - 1;
	why = *bytes & 1 ? pvh_parse(&f, PVH_BASE, peek) : multiboot2_parse(&f, memory, n - 1);
	if (why)
		MUST(*why);
	else
		check(&f);
	return 0;
}
