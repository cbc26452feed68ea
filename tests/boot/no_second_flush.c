/* SPDX-License-Identifier: MIT */
/*
 * Linked into mm/merge.c's place for deferred_seal, this takes the second flush
 * of a merge away: generation 0 is one that every CPU has long seen. With it
 * guests/tlb must fail; a test that cannot fail proves nothing.
 */
#include "mm/deferred.h"

uint64_t no_second_flush(struct deferred *d);

uint64_t no_second_flush(struct deferred *d)
{
	(void)d;
	return 0;
}
