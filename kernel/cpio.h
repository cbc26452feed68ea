/* SPDX-License-Identifier: MIT */
/* Reading a cpio archive in the "newc" format (cpio(5)), in place. Pure. */
#ifndef KERNEL_CPIO_H
#define KERNEL_CPIO_H

#include "mm/leaf/types.h"

struct cpio_reader {
	const uint8_t *data;
	uint64_t bytes, offset;
	const char *error; /* a sentence, once something was wrong; NULL so far */
};

struct cpio_file {
	const char *name; /* ends in NUL, inside of the archive */
	const void *data;
	uint64_t bytes;
};

bool cpio_is(const void *data, uint64_t bytes);
struct cpio_reader cpio_open(const void *data, uint64_t bytes);
/* The next member; false at the trailer, or on a mistake (r->error tells). */
bool cpio_next(struct cpio_reader *r, struct cpio_file *f);

#endif
