/* SPDX-License-Identifier: MIT */
/* Multiboot2 boot information, honest and lying (Multiboot2 2.0, section 3.6). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/boot_found.h"

struct builder {
	uint8_t *bytes; /* of exactly the size used, so that ASan sees one byte too far */
	size_t used;
};

static struct boot_found found;

static void put(struct builder *b, const void *data, size_t n)
{
	b->bytes = realloc(b->bytes, b->used + n);
	assert_non_null(b->bytes);
	memcpy(b->bytes + b->used, data, n);
	b->used += n;
}

static void put32(struct builder *b, uint32_t v)
{
	put(b, &v, 4);
}

static void put64(struct builder *b, uint64_t v)
{
	put(b, &v, 8);
}

static void pad(struct builder *b)
{
	while (b->used & 7)
		put(b, "", 1);
}

static void begin(struct builder *b)
{
	*b = (struct builder){0};
	put64(b, 0);
}

static void set32(struct builder *b, size_t at, uint32_t v)
{
	memcpy(b->bytes + at, &v, 4);
}

static void tag_string(struct builder *b, uint32_t type, const char *s)
{
	put32(b, type);
	put32(b, 8 + (uint32_t)strlen(s) + 1);
	put(b, s, strlen(s) + 1);
	pad(b);
}

static void tag_module(struct builder *b, uint32_t start, uint32_t end, const char *s)
{
	put32(b, 3);
	put32(b, 16 + (uint32_t)strlen(s) + 1);
	put32(b, start);
	put32(b, end);
	put(b, s, strlen(s) + 1);
	pad(b);
}

/* One RAM range. */
static void tag_mmap(struct builder *b, uint32_t entry_bytes)
{
	put32(b, 6);
	put32(b, 16 + 24);
	put32(b, entry_bytes);
	put32(b, 0);
	put64(b, 0x100000);
	put64(b, 0x200000);
	put32(b, 1);
	put32(b, 0);
}

static const char *parse(struct builder *b)
{
	const char *why;

	put32(b, 0);
	put32(b, 8);
	set32(b, 0, (uint32_t)b->used);
	why = multiboot2_parse(&found, b->bytes, b->used);
	free(b->bytes);
	return why;
}

/* Everything we use is found, and copied: the source is freed before we look. */
static void test_honest(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	tag_string(&b, 1, "console=com1 loglvl=debug");
	tag_string(&b, 2, "GRUB 2.06");
	tag_module(&b, 0x400000, 0x401234, "bundle");
	tag_mmap(&b, 24);
	assert_null(parse(&b));
	assert_string_equal(found.info.cmdline, "console=com1 loglvl=debug");
	assert_string_equal(found.info.loader, "multiboot2 (GRUB 2.06)");
	assert_int_equal(found.info.nr_modules, 1);
	assert_int_equal(found.module_phys[0], 0x400000);
	assert_int_equal(found.info.modules[0].bytes, 0x1234);
	assert_string_equal(found.info.modules[0].cmdline, "bundle");
	assert_int_equal(found.info.nr_ranges, 1);
	assert_int_equal(found.info.ranges[0].base, 0x100000);
}

/* A tag that says it is longer than all there is, or shorter than its own head, ends the walk. */
static void test_tag_sizes(void **state)
{
	static const uint32_t lies[] = {0, 7, 4096, UINT32_MAX, UINT32_MAX - 7};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct builder b;

		begin(&b);
		tag_mmap(&b, 24);
		put32(&b, 1);
		put32(&b, lies[i]);
		assert_non_null(parse(&b));
	}
}

/* The total size is checked against what is readable. */
static void test_total_size(void **state)
{
	uint32_t head[2] = {4096, 0};

	(void)state;
	assert_non_null(multiboot2_parse(&found, head, sizeof(head)));
	head[0] = 8;
	assert_non_null(multiboot2_parse(&found, head, sizeof(head)));
	assert_non_null(multiboot2_parse(&found, head, 4));
}

/* Map entries of a size that cannot hold an entry are refused, not walked for ever. */
static void test_mmap_entry_size(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 24; n++) {
		struct builder b;

		begin(&b);
		tag_mmap(&b, n);
		assert_non_null(parse(&b));
	}
}

/* A module that ends before it begins is dropped and counted. */
static void test_backward_module(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	tag_module(&b, 0x500000, 0x400000, "x");
	tag_mmap(&b, 24);
	assert_null(parse(&b));
	assert_int_equal(found.info.nr_modules, 0);
	assert_int_equal(found.dropped_modules, 1);
}

/* More modules than we keep: the rest is dropped and counted. */
static void test_many_modules(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	for (unsigned i = 0; i < BOOT_MAX_MODULES + 3; i++)
		tag_module(&b, 0x400000, 0x401000, "m");
	tag_mmap(&b, 24);
	assert_null(parse(&b));
	assert_int_equal(found.info.nr_modules, BOOT_MAX_MODULES);
	assert_int_equal(found.dropped_modules, 3);
}

/* A string without its NUL stops at the end of its tag. */
static void test_unterminated_string(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	tag_mmap(&b, 24);
	put32(&b, 1);
	put32(&b, 8 + 8);
	put(&b, "abcdefgh", 8);
	assert_null(parse(&b));
	assert_string_equal(found.info.cmdline, "abcdefgh");
}

/* No memory map, no boot. */
static void test_no_map(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	tag_string(&b, 1, "x");
	assert_non_null(parse(&b));
}

/* Every prefix of good information is good or refused, and nothing outside of it is read. */
static void test_prefixes(void **state)
{
	struct builder b;

	(void)state;
	begin(&b);
	tag_string(&b, 1, "console=com1");
	tag_module(&b, 0x400000, 0x401234, "bundle");
	tag_mmap(&b, 24);
	set32(&b, 0, (uint32_t)b.used);
	for (size_t n = 0; n <= b.used; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, b.bytes, n);
		if (n >= 4)
			memcpy(copy, &(uint32_t){(uint32_t)n}, 4);
		if (n < 16)
			assert_non_null(multiboot2_parse(&found, copy, n));
		else
			(void)multiboot2_parse(&found, copy, n);
		free(copy);
	}
	free(b.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_honest),
	    cmocka_unit_test(test_tag_sizes),
	    cmocka_unit_test(test_total_size),
	    cmocka_unit_test(test_mmap_entry_size),
	    cmocka_unit_test(test_backward_module),
	    cmocka_unit_test(test_many_modules),
	    cmocka_unit_test(test_unterminated_string),
	    cmocka_unit_test(test_no_map),
	    cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("multiboot2", tests, NULL, NULL);
}
