/* SPDX-License-Identifier: MIT */
/* A binary search in the table that the second link puts into the image (tools/symbols). */
#include "arch/x86_64/symbols.h"

/* No function of ours is longer: past it an address is not code of ours. */
#define FUNCTION_MAX 0x10000u

const char *symbol_find(const struct symbol_table *t, uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high = t->count;
	uint64_t at = address - t->base;

	if (!t->count || address < t->base || at < t->address[0])
		return NULL;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (t->address[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	*offset = at - t->address[low];
	return *offset < FUNCTION_MAX ? t->names + t->name[low] : NULL;
}
