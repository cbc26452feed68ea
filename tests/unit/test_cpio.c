/* SPDX-License-Identifier: MIT */
/* The reader of newc archives takes what cpio(5) describes and never reads outside of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cpio.h"

struct archive {
	char data[4096];
	size_t bytes;
};

static void pad(struct archive *a)
{
	while (a->bytes % 4)
		a->data[a->bytes++] = '\0';
}

static void add(struct archive *a, const char *name, const void *data, size_t bytes)
{
	a->bytes += (size_t)sprintf(
	    a->data + a->bytes, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1,
	    0100644, 0, 0, 1, 0, (unsigned)bytes, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	memcpy(a->data + a->bytes, name, strlen(name) + 1);
	a->bytes += strlen(name) + 1;
	pad(a);
	if (bytes)
		memcpy(a->data + a->bytes, data, bytes);
	a->bytes += bytes;
	pad(a);
}

static struct archive sample(void)
{
	struct archive a = {.bytes = 0};

	add(&a, "quire.cfg", "name = 'a'", 10);
	add(&a, "empty", "", 0);
	add(&a, "hello.elf",
	    "\x7f"
	    "ELF...",
	    7);
	add(&a, "TRAILER!!!", "", 0);
	return a;
}

static void members_come_in_order(void **state)
{
	struct archive a = sample();
	struct cpio_reader r = cpio_open(a.data, a.bytes);
	struct cpio_file f;

	(void)state;
	assert_true(cpio_is(a.data, a.bytes));
	assert_true(cpio_next(&r, &f));
	assert_string_equal(f.name, "quire.cfg");
	assert_int_equal(f.bytes, 10);
	assert_memory_equal(f.data, "name = 'a'", 10);
	assert_true(cpio_next(&r, &f));
	assert_string_equal(f.name, "empty");
	assert_int_equal(f.bytes, 0);
	assert_true(cpio_next(&r, &f));
	assert_string_equal(f.name, "hello.elf");
	assert_int_equal(f.bytes, 7);
	assert_false(cpio_next(&r, &f));
	assert_null(r.error);
}

/* Walk an exactly sized copy to its end: the sanitizer sees a byte read past it. */
static const char *walk(const void *data, size_t bytes, unsigned *files)
{
	void *copy = malloc(bytes ? bytes : 1);
	struct cpio_reader r;
	struct cpio_file f;
	volatile uint8_t sum = 0;

	memcpy(copy, data, bytes);
	r = cpio_open(copy, bytes);
	for (*files = 0; cpio_next(&r, &f); ++*files) {
		for (uint64_t i = 0; i < f.bytes; i++)
			sum ^= ((const uint8_t *)f.data)[i];
		assert_true(*files < 100);
	}
	assert_false(cpio_next(&r, &f)); /* the end stays the end */
	free(copy);
	return r.error;
}

static void every_cut_is_noticed(void **state)
{
	struct archive a = sample();
	size_t trailer = a.bytes - 3; /* its name's NUL; padding may be missing */
	unsigned files;

	(void)state;
	for (size_t n = 0; n < trailer; n++)
		assert_non_null(walk(a.data, n, &files));
	assert_null(walk(a.data, a.bytes, &files));
	assert_int_equal(files, 3);
}

/* Change each byte of the archive into each of some values: errors, but no crash. */
static void any_byte_may_be_wrong(void **state)
{
	static const unsigned char values[] = {0, '0', '1', 'F', 'g', 0x80, 0xff};
	struct archive a = sample();
	unsigned files;

	(void)state;
	for (size_t i = 0; i < a.bytes; i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			struct archive b = a;

			b.data[i] = (char)values[v];
			walk(b.data, b.bytes, &files);
		}
	}
}

static void what_is_wrong_is_said(void **state)
{
	struct archive a = sample();
	unsigned files;

	(void)state;
	a.data[0] = 'x';
	assert_false(cpio_is(a.data, a.bytes));
	assert_string_equal(walk(a.data, a.bytes, &files),
	                    "a member of the archive does not begin with 070701");
	a = sample();
	a.data[6 + 8 * 6] = 'z'; /* the file's size */
	assert_string_equal(walk(a.data, a.bytes, &files),
	                    "a header of the archive holds something that is no number");
	a = sample();
	memcpy(a.data + 6 + 8 * 6, "FFFFFFFF", 8);
	assert_string_equal(walk(a.data, a.bytes, &files), "a file in the archive is cut off");
	a = sample();
	memcpy(a.data + 6 + 8 * 11, "FFFFFFFF", 8);
	assert_string_equal(walk(a.data, a.bytes, &files), "a name in the archive is cut off");
	a = sample();
	memcpy(a.data + 6 + 8 * 11, "00000000", 8);
	assert_string_equal(walk(a.data, a.bytes, &files), "a name in the archive is cut off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(members_come_in_order),
	    cmocka_unit_test(every_cut_is_noticed),
	    cmocka_unit_test(any_byte_may_be_wrong),
	    cmocka_unit_test(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests_name("cpio", tests, NULL, NULL);
}
