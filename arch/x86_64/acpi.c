/* SPDX-License-Identifier: MIT */
/*
 * Firmware's tables are input like a guest's: each length is checked against what
 * can be read and each checksum must be right before a field is used. AML is not
 * interpreted: of the DSDT only the constants of \_S5 are looked for, which is
 * what soft-off takes.
 */
#include "arch/x86_64/acpi.h"

#include "kernel/string.h"

#define HEADER_BYTES 36u
#define TABLE_MAX    0x1000000u /* 16 MiB: a longer one is a lie */

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool sums_to_zero(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return !sum;
}

/* 5.2.5.3: 20 bytes with a checksum; from revision 2, 36 with another. */
static bool rsdp_good(const uint8_t *p, size_t bytes)
{
	if (bytes < 20 || memcmp(p, "RSD PTR ", 8) || !sums_to_zero(p, 20))
		return false;
	return p[15] < 2 || (bytes >= 36 && sums_to_zero(p, 36));
}

const void *acpi_scan(const void *area, size_t bytes)
{
	const uint8_t *p = area;

	for (size_t at = 0; at + 20 <= bytes; at += 16)
		if (rsdp_good(p + at, bytes - at))
			return p + at;
	return NULL;
}

/* A whole table with a good checksum. */
static struct acpi_table table_at(const struct acpi *a, uint64_t phys)
{
	struct acpi_table t = {0};
	const uint8_t *h = phys ? a->peek(phys, HEADER_BYTES) : NULL;
	uint32_t n;

	if (!h)
		return t;
	n = get32(h + 4);
	if (n < HEADER_BYTES || n > TABLE_MAX)
		return t;
	h = a->peek(phys, n);
	if (!h || !sums_to_zero(h, n))
		return t;
	return (struct acpi_table){h, n};
}

static bool signed_as(struct acpi_table t, const char *signature)
{
	return t.data && !memcmp(t.data, signature, 4);
}

bool acpi_init(struct acpi *a, const void *rsdp, size_t bytes, acpi_peek_fn peek)
{
	const uint8_t *p = rsdp;

	*a = (struct acpi){.peek = peek};
	if (!rsdp_good(p, bytes))
		return false;
	if (p[15] >= 2 && signed_as(table_at(a, get64(p + 24)), "XSDT")) {
		a->root = get64(p + 24);
		a->wide = true;
	} else if (signed_as(table_at(a, get32(p + 16)), "RSDT")) {
		a->root = get32(p + 16);
	}
	return a->root != 0;
}

struct acpi_table acpi_find(const struct acpi *a, const char *signature)
{
	struct acpi_table root = {0};
	unsigned step = a->wide ? 8 : 4;

	if (a->root)
		root = table_at(a, a->root);
	for (uint32_t at = HEADER_BYTES; at + step <= root.bytes; at += step) {
		const uint8_t *e = root.data + at;
		struct acpi_table t = table_at(a, a->wide ? get64(e) : get32(e));

		if (signed_as(t, signature))
			return t;
	}
	return (struct acpi_table){0};
}

/* One byte constant of AML (20.2.3): BytePrefix byte, ZeroOp or OneOp. Advances *at. */
static bool aml_byte(struct acpi_table t, uint32_t *at, uint8_t *v)
{
	if (*at + 1 >= t.bytes)
		return false;
	if (t.data[*at] == 0x0a) {
		*v = t.data[*at + 1];
		*at += 2;
		return true;
	}
	*v = t.data[*at];
	*at += 1;
	return *v <= 1;
}

/*
 * Name(\_S5, Package() { typ_a, typ_b, ... }): the bytes "_S5_", PackageOp, a
 * length of 1 to 4 bytes, the count, then the constants (7.4.2.6, 20.2.5.4).
 */
static void find_s5(struct acpi_table dsdt, struct acpi_power *p)
{
	for (uint32_t i = HEADER_BYTES; i + 8 < dsdt.bytes; i++) {
		uint32_t at = i + 4;

		if (memcmp(dsdt.data + i, "_S5_", 4) || dsdt.data[at] != 0x12)
			continue;
		at += 2 + (dsdt.data[at + 1] >> 6) + 1;
		if (!aml_byte(dsdt, &at, &p->s5_a))
			continue;
		if (!aml_byte(dsdt, &at, &p->s5_b))
			p->s5_b = p->s5_a;
		p->has_s5 = true;
		return;
	}
}

/* The FADT (5.2.9), old 32-bit fields: every chipset with port registers has them. */
void acpi_power_find(const struct acpi *a, struct acpi_power *p)
{
	struct acpi_table t = acpi_find(a, "FACP"), dsdt;

	memset(p, 0, sizeof(*p));
	if (t.bytes < 116)
		return;
	p->pm1a = get32(t.data + 64) & 0xffff;
	p->pm1b = get32(t.data + 68) & 0xffff;
	p->pm_timer = t.data[91] == 4 ? get32(t.data + 76) & 0xffff : 0;
	p->pm_timer_32 = get32(t.data + 112) & 1u << 8;
	/* RESET_REG is usable if flag 10 says so, and is a port (address space 1) */
	if (t.bytes >= 129 && (get32(t.data + 112) & 1u << 10) && t.data[116] == 1) {
		p->reset_port = (uint32_t)get64(t.data + 120) & 0xffff;
		p->reset_value = t.data[128];
	}
	dsdt = table_at(a, get32(t.data + 40));
	if (!dsdt.data && t.bytes >= 148)
		dsdt = table_at(a, get64(t.data + 140));
	if (signed_as(dsdt, "DSDT"))
		find_s5(dsdt, p);
}
