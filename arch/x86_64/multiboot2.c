/* SPDX-License-Identifier: MIT */
/*
 * Multiboot2 boot information (Multiboot2 Specification 2.0, section 3.6): a
 * size, then tags of type and size, each 8-byte aligned. A size that does not
 * fit ends the walk with a sentence; nothing outside of `bytes` is read.
 */
#include "arch/x86_64/boot_found.h"

#include "kernel/string.h"

#include "mm/leaf/bits.h"

enum {
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_LOADER = 2,
	TAG_MODULE = 3,
	TAG_MMAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_RSDP1 = 14,
	TAG_RSDP2 = 15
};

struct tag {
	const uint8_t *data; /* behind type and size */
	size_t bytes;
	uint32_t type;
};

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

/* 3.6.3: start, end, string. */
static void tag_module(struct boot_found *f, const struct tag *t)
{
	uint32_t start, end;

	if (t->bytes < 8)
		return;
	start = get32(t->data);
	end = get32(t->data + 4);
	if (end < start) {
		f->dropped_modules++;
		return;
	}
	boot_found_module(f, start, end - start,
	                  boot_found_string(f, (const char *)t->data + 8, t->bytes - 8));
}

/* 3.6.8: entry size, version, entries of base, length, type, reserved. */
static const char *tag_mmap(struct boot_found *f, const struct tag *t)
{
	uint32_t entry;

	if (t->bytes < 8)
		return "multiboot2: the memory map tag is cut short";
	entry = get32(t->data);
	if (entry < 24)
		return "multiboot2: the memory map's entries are too small";
	for (size_t at = 8; at + entry <= t->bytes; at += entry) {
		const uint8_t *e = t->data + at;

		boot_found_range(f, get64(e), get64(e + 8), get32(e + 16));
	}
	return NULL;
}

/* 3.6.12: address, pitch, width, height, bits, type, and for RGB the fields. */
static void tag_framebuffer(struct boot_found *f, const struct tag *t)
{
	struct fb_info fb = {0};
	const uint8_t *d = t->data;

	if (t->bytes < 24)
		return;
	fb.base = get64(d);
	fb.pitch_bytes = get32(d + 8);
	fb.width = get32(d + 12);
	fb.height = get32(d + 16);
	fb.bits = d[20];
	if (d[21] == 2)
		fb.type = FB_EGA_TEXT;
	if (d[21] == 1 && t->bytes >= 30) {
		fb.type = FB_RGB;
		fb.red_shift = d[24], fb.red_bits = d[25];
		fb.green_shift = d[26], fb.green_bits = d[27];
		fb.blue_shift = d[28], fb.blue_bits = d[29];
	}
	f->fb = fb;
}

static void tag_rsdp(struct boot_found *f, const struct tag *t)
{
	size_t n = min_u64(t->bytes, sizeof(f->rsdp));

	if (n < 20 || (f->rsdp_bytes && t->type == TAG_RSDP1))
		return;
	memcpy(f->rsdp, t->data, n);
	f->rsdp_bytes = n;
}

static void tag_loader(struct boot_found *f, const struct tag *t)
{
	static const char prefix[] = "multiboot2 (";
	size_t at = sizeof(prefix) - 1;
	size_t n = strnlen((const char *)t->data, t->bytes);

	n = min_u64(n, sizeof(f->loader) - at - 2);
	memcpy(f->loader, prefix, at);
	memcpy(f->loader + at, t->data, n);
	memcpy(f->loader + at + n, ")", 2);
}

static const char *tag_read(struct boot_found *f, const struct tag *t)
{
	switch (t->type) {
	case TAG_CMDLINE:
		f->info.cmdline = boot_found_string(f, (const char *)t->data, t->bytes);
		break;
	case TAG_LOADER:
		tag_loader(f, t);
		break;
	case TAG_MODULE:
		tag_module(f, t);
		break;
	case TAG_MMAP:
		return tag_mmap(f, t);
	case TAG_FRAMEBUFFER:
		tag_framebuffer(f, t);
		break;
	case TAG_RSDP1:
	case TAG_RSDP2:
		tag_rsdp(f, t);
		break;
	}
	return NULL;
}

const char *multiboot2_parse(struct boot_found *f, const void *info, size_t bytes)
{
	const uint8_t *p = info;
	size_t total, at = 8;

	boot_found_init(f);
	memcpy(f->loader, "multiboot2", sizeof("multiboot2"));
	if (bytes < 8)
		return "multiboot2: no boot information";
	total = get32(p);
	if (total < 16 || total > bytes)
		return "multiboot2: the boot information's size is impossible";
	while (at + 8 <= total) {
		uint32_t size = get32(p + at + 4);
		struct tag t = {.data = p + at + 8, .type = get32(p + at)};
		const char *why;

		if (t.type == TAG_END)
			break;
		if (size < 8 || size > total - at)
			return "multiboot2: a tag's size is impossible";
		t.bytes = size - 8;
		why = tag_read(f, &t);
		if (why)
			return why;
		at += align_up(size, 8);
	}
	return f->info.nr_ranges ? NULL : "multiboot2: the boot loader gave no memory map";
}
