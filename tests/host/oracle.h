/* SPDX-License-Identifier: MIT */
/*
 * What sharing can save at most, found by comparing all pages with all others.
 * It looks at guest memory through p2m_lookup and memcmp only.
 */
#ifndef TESTS_HOST_ORACLE_H
#define TESTS_HOST_ORACLE_H

#include "mm/mm.h"

/*
 * In each group pages - distinct contents, and one more for each constant content
 * present, over all groups. Left out, as no merge may touch them: pinned
 * pages, guest page tables, foreign ones, and pages never touched.
 */
uint64_t oracle_saved(void);

/* Settle, then fail unless what is saved is what the oracle says, and the audit finds nothing. */
void oracle_check_settled(void);

/* Fail unless the audit finds nothing. */
void oracle_audit(void);

#endif
