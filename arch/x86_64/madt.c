/* SPDX-License-Identifier: MIT */
/*
 * Enabled CPUs and the I/O APICs, from a table that firmware wrote: an entry that
 * runs past the end makes the whole table bad, one that we do not know is skipped.
 */
#include "arch/x86_64/madt.h"

#include "kernel/string.h"

#define MADT_HEADER 44u /* ACPI header, local APIC address, flags */
#define CPU_ENABLED 1u

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_X2APIC = 9 };

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* A CPU may be listed twice, as LAPIC and as x2APIC. */
static void madt_cpu(struct madt *m, uint32_t id, uint32_t flags)
{
	if (!(flags & CPU_ENABLED))
		return;
	for (unsigned i = 0; i < m->nr_cpus; i++)
		if (m->apic_id[i] == id)
			return;
	if (m->nr_cpus == MADT_MAX_CPUS)
		m->dropped++;
	else
		m->apic_id[m->nr_cpus++] = id;
}

static void madt_entry(struct madt *m, const uint8_t *e, unsigned bytes)
{
	switch (e[0]) {
	case MADT_LAPIC: /* uid, id, flags */
		if (bytes >= 8 && e[3] != 0xff)
			madt_cpu(m, e[3], get32(e + 4));
		break;
	case MADT_IOAPIC: /* id, reserved, address, first interrupt */
		if (bytes >= 12 && m->nr_ioapics < MADT_MAX_IOAPICS)
			m->ioapic[m->nr_ioapics++] = get32(e + 4);
		break;
	case MADT_X2APIC: /* reserved, id, flags, uid */
		if (bytes >= 16 && get32(e + 4) != UINT32_MAX)
			madt_cpu(m, get32(e + 4), get32(e + 8));
		break;
	}
}

const char *madt_parse(struct madt *m, const void *table, size_t bytes)
{
	const uint8_t *p = table;

	memset(m, 0, sizeof(*m));
	if (bytes < MADT_HEADER)
		return "the MADT is cut short";
	for (size_t at = MADT_HEADER; at + 2 <= bytes;) {
		unsigned n = p[at + 1];

		if (n < 2 || n > bytes - at)
			return "the MADT has an entry of an impossible size";
		madt_entry(m, p + at, n);
		at += n;
	}
	return NULL;
}
