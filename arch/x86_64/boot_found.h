/* SPDX-License-Identifier: MIT */
/*
 * What the parsers of boot information (multiboot2.c, pvh_boot.c) make of it:
 * everything is copied, because the memory it lay in is ours to give away.
 * Pure: compiled natively and fed with lies.
 */
#ifndef ARCH_BOOT_FOUND_H
#define ARCH_BOOT_FOUND_H

#include "kernel/boot_info.h"
#include "mm/leaf/types.h"

enum fb_type { FB_NONE, FB_RGB, FB_EGA_TEXT };

struct fb_info {
	enum fb_type type;
	uint64_t base;
	uint32_t pitch_bytes, width, height; /* of text: in characters */
	uint8_t bits;                        /* of a pixel */
	uint8_t red_shift, red_bits, green_shift, green_bits, blue_shift, blue_bits;
};

struct boot_found {
	struct boot_info info;
	uint64_t module_phys[BOOT_MAX_MODULES]; /* info.modules[].data is set once it is mapped */
	struct fb_info fb;
	uint8_t rsdp[36]; /* a copy, or rsdp_phys */
	unsigned rsdp_bytes;
	uint64_t rsdp_phys;
	unsigned dropped_ranges, dropped_modules, dropped_strings;
	size_t strings_used;
	char loader[64];
	char strings[6144];
};

/* The bytes at a physical address, or NULL if they are not all readable. */
typedef const void *(*boot_peek_fn)(uint64_t phys, uint64_t bytes);

void boot_found_init(struct boot_found *f);
void boot_found_range(struct boot_found *f, uint64_t base, uint64_t bytes, uint32_t type);
void boot_found_module(struct boot_found *f, uint64_t base, uint64_t bytes, const char *cmdline);
/* A kept copy of a string of at most `bytes` bytes, its NUL included or not; "" if no room. */
const char *boot_found_string(struct boot_found *f, const char *s, size_t bytes);

/* `info` is readable for `bytes`. NULL, or a sentence that says what is wrong. */
const char *multiboot2_parse(struct boot_found *f, const void *info, size_t bytes);
const char *pvh_parse(struct boot_found *f, uint64_t start_info_phys, boot_peek_fn peek);

#define MULTIBOOT2_MAGIC 0x36d76289u
#define PVH_MAGIC        0x336ec578u

#endif
