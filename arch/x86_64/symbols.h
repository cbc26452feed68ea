/* SPDX-License-Identifier: MIT */
/* Names of the hypervisor's functions, for backtraces. The table is made by tools/symbols. */
#ifndef ARCH_SYMBOLS_H
#define ARCH_SYMBOLS_H

#include "mm/leaf/types.h"

struct symbol_table {
	uint64_t base;           /* addresses count from here */
	uint32_t count;          /* of functions */
	const uint32_t *address; /* ascending */
	const uint32_t *name;    /* offsets into names */
	const char *names;
};

/* The function that an address lies in, and how far; NULL if before the first or far past the last.
 */
const char *symbol_find(const struct symbol_table *t, uint64_t address, uint64_t *offset);

#endif
