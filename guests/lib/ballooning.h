/* SPDX-License-Identifier: MIT */
/* Memory given back to the hypervisor and taken again, by guest frame number. */
#ifndef GUEST_BALLOONING_H
#define GUEST_BALLOONING_H

#include <stdint.h>

#define BALLOON_BATCH 512u

/* One call for n frames of 2^order pages each; what it returns: frames done, or an error. */
long balloon_out(const uint64_t *gfns, uint64_t n, unsigned order);
long balloon_in(const uint64_t *gfns, uint64_t n, unsigned order);
/* A run of single pages, 512 a call. Returns the pages done. */
uint64_t balloon_run_out(uint64_t gfn, uint64_t pages);
uint64_t balloon_run_in(uint64_t gfn, uint64_t pages);
/* Pages that the domain has, by XENMEM_current_reservation. */
long balloon_reservation(void);
long balloon_maximum(void);

#endif
