/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an archive: members that lie inside of it, one behind the other, and then
 * the trailer or a sentence. What is wrong stays wrong.
 */
#include "kernel/cpio.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct cpio_reader r = cpio_open(bytes, n);
	const uint8_t *end = bytes + n, *before = bytes;
	struct cpio_file f;

	(void)cpio_is(bytes, n);
	while (cpio_next(&r, &f)) {
		const uint8_t *name = (const uint8_t *)f.name, *data = f.data;

		MUST(before <= name && name < data);
		MUST(memchr(name, 0, (size_t)(data - name)));
		MUST(data <= end && f.bytes <= (uint64_t)(end - data));
		before = data + f.bytes;
	}
	if (r.error) {
		MUST(*r.error);
		MUST(!cpio_next(&r, &f));
	}
	return 0;
}
