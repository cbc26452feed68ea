/* SPDX-License-Identifier: MIT */
/*
 * The one place that writes page-table entries. A test that links its own
 * version sees every write, in order: every prefix of them must be a tree that
 * says the old or the new thing about each guest frame.
 *
 * The CPU reads entries, and sets accessed and dirty bits in them, at any time, by itself.
 */
#include "mm/p2m.h"

void p2m_entry_set(uint64_t *e, uint64_t value)
{
	/* Release: a table or a page is filled before it can be reached. */
	__atomic_store_n(e, value, __ATOMIC_RELEASE);
}

uint64_t p2m_entry_exchange(uint64_t *e, uint64_t value)
{
	return __atomic_exchange_n(e, value, __ATOMIC_ACQ_REL);
}

bool p2m_entry_cas(uint64_t *e, uint64_t *expected, uint64_t value)
{
	return __atomic_compare_exchange_n(e, expected, value, false, __ATOMIC_ACQ_REL,
	                                   __ATOMIC_ACQUIRE);
}
