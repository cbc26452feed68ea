/* SPDX-License-Identifier: MIT */
/* Shared by lender and borrower: what they agree on. */
#ifndef GUEST_GRANT_H
#define GUEST_GRANT_H

#include <stdint.h>
#include "guests/lib/hypercall.h"
#include <xen/grant_table.h>

#define REF_SHARED 8u  /* a page for both */
#define REF_READ   9u  /* one that may be read */
#define REF_OTHER  10u /* one that is for a domain that there is not */

/* What the shared page holds. */
struct shared_page {
	volatile uint32_t port; /* of the lender, unbound; 0 until it is there */
	volatile uint32_t word;
	volatile uint32_t done; /* by the borrower */
};
#define WORD_LENDER   0x1e4de4u
#define WORD_BORROWER 0xb0440e4u
#define READ_BYTE     0x5a

void lender(unsigned peer);
void borrower(unsigned peer);

static inline long hypercall_grant(unsigned op, void *arg, unsigned count)
{
	return hypercall(__HYPERVISOR_grant_table_op, op, (uint64_t)arg, count, 0, 0);
}

#endif
