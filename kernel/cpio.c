/* SPDX-License-Identifier: MIT */
/*
 * A newc archive is members one after the other, each
 *
 *	"070701" and 13 fields of 8 hexadecimal digits, the name with its NUL,
 *	zeroes to a multiple of 4, the data, zeroes to a multiple of 4
 *
 * and ends with a member called TRAILER!!!. Every length is checked before use.
 */
#include "kernel/cpio.h"

#include "kernel/string.h"
#include "mm/leaf/bits.h"

#define HEADER_BYTES 110u
#define FIELD_SIZE   6u /* index of the file's size among the 13 fields */
#define FIELD_NAME   11u

bool cpio_is(const void *data, uint64_t bytes)
{
	return bytes >= HEADER_BYTES && !memcmp(data, "070701", 6);
}

struct cpio_reader cpio_open(const void *data, uint64_t bytes)
{
	return (struct cpio_reader){.data = data, .bytes = bytes};
}

static bool fail(struct cpio_reader *r, const char *why)
{
	r->error = why;
	return false;
}

static bool read_field(const uint8_t *header, unsigned field, uint64_t *value)
{
	const uint8_t *p = header + 6 + 8 * field;

	*value = 0;
	for (unsigned i = 0; i < 8; i++) {
		uint8_t c = p[i];
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10u;
		else
			return false;
		*value = *value * 16 + digit;
	}
	return true;
}

bool cpio_next(struct cpio_reader *r, struct cpio_file *f)
{
	const uint8_t *header = r->data + r->offset;
	uint64_t left = r->bytes - r->offset, size, name_size, data_at;

	if (r->error)
		return false;
	if (left < HEADER_BYTES)
		return fail(r, "the archive ends without its trailer");
	if (memcmp(header, "070701", 6))
		return fail(r, "a member of the archive does not begin with 070701");
	if (!read_field(header, FIELD_SIZE, &size) || !read_field(header, FIELD_NAME, &name_size))
		return fail(r, "a header of the archive holds something that is no number");
	/* Both are below 2^32 and `left` below 2^64 - 2^32, so these sums cannot wrap. */
	if (!name_size || name_size > left - HEADER_BYTES || header[HEADER_BYTES + name_size - 1])
		return fail(r, "a name in the archive is cut off");
	data_at = align_up(HEADER_BYTES + name_size, 4);
	f->name = (const char *)header + HEADER_BYTES;
	if (!strcmp(f->name, "TRAILER!!!"))
		return false;
	if (data_at > left || size > left - data_at)
		return fail(r, "a file in the archive is cut off");
	f->data = header + data_at;
	f->bytes = size;
	r->offset += min_u64(align_up(data_at + size, 4), left);
	return true;
}
