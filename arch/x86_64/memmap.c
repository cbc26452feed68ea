/* SPDX-License-Identifier: MIT */
/*
 * Ranges are kept sorted and apart, so that adding joins, taking out splits, and
 * the order in which firmware lists overlapping ranges does not matter: what
 * anyone calls not RAM is not RAM. A list in an array: there are a few dozen.
 */
#include "arch/x86_64/memmap.h"

#include "kernel/string.h"

#include "mm/leaf/bits.h"

#define BOOT_RAM 1u
#define PHYS_END BIT(52) /* no CPU has wider physical addresses */

static void memmap_delete(struct memmap *m, unsigned i)
{
	memmove(&m->r[i], &m->r[i + 1], (m->n - i - 1) * sizeof(m->r[0]));
	m->n--;
}

static void memmap_insert(struct memmap *m, unsigned i, uint64_t base, uint64_t end)
{
	if (m->n == MEMMAP_MAX) {
		m->dropped++;
		return;
	}
	memmove(&m->r[i + 1], &m->r[i], (m->n - i) * sizeof(m->r[0]));
	m->r[i] = (struct memmap_range){base, end};
	m->n++;
}

void memmap_add(struct memmap *m, uint64_t base, uint64_t end)
{
	unsigned i = 0;

	if (base >= end)
		return;
	while (i < m->n && m->r[i].end < base)
		i++;
	while (i < m->n && m->r[i].base <= end) {
		base = min_u64(base, m->r[i].base);
		end = max_u64(end, m->r[i].end);
		memmap_delete(m, i);
	}
	memmap_insert(m, i, base, end);
}

void memmap_remove(struct memmap *m, uint64_t base, uint64_t end)
{
	unsigned i = 0;

	if (base >= end)
		return;
	while (i < m->n) {
		struct memmap_range r = m->r[i];

		if (r.end <= base || r.base >= end) {
			i++;
			continue;
		}
		memmap_delete(m, i);
		if (r.base < base)
			memmap_insert(m, i++, r.base, base);
		if (r.end > end)
			memmap_insert(m, i++, end, r.end);
	}
}

uint64_t memmap_bytes(const struct memmap *m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < m->n; i++)
		sum += m->r[i].end - m->r[i].base;
	return sum;
}

uint64_t memmap_take(struct memmap *m, uint64_t bytes, uint64_t align, uint64_t limit)
{
	for (unsigned i = m->n; i-- > 0;) {
		uint64_t end = min_u64(m->r[i].end, limit), at;

		if (end < bytes)
			continue;
		at = align_down(end - bytes, align);
		if (at < m->r[i].base || !at)
			continue;
		memmap_remove(m, at, at + bytes);
		return at;
	}
	return 0;
}

void memmap_ram(struct memmap *m, const struct boot_info *bi, uint64_t limit, uint64_t *cut)
{
	m->n = m->dropped = 0;
	for (unsigned i = 0; i < bi->nr_ranges; i++) {
		const struct boot_range *r = &bi->ranges[i];

		if (r->type == BOOT_RAM && r->base < PHYS_END)
			memmap_add(m, align_up(r->base, PAGE_SIZE),
			           align_down(min_u64(r->base + r->bytes, PHYS_END), PAGE_SIZE));
	}
	for (unsigned i = 0; i < bi->nr_ranges; i++) {
		const struct boot_range *r = &bi->ranges[i];

		if (r->type != BOOT_RAM && r->base < PHYS_END)
			memmap_remove(m, align_down(r->base, PAGE_SIZE),
			              align_up(min_u64(r->base + r->bytes, PHYS_END), PAGE_SIZE));
	}
	*cut = memmap_bytes(m);
	memmap_remove(m, limit, UINT64_MAX);
	*cut -= memmap_bytes(m);
}
