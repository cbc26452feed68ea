/* SPDX-License-Identifier: MIT */
/* One function a family of hypercalls; each prints its own tests. */
#ifndef GUEST_OPS_H
#define GUEST_OPS_H

#include <stdint.h>

/* No address: canonical, but mapped by nobody (beyond the 4 GiB that start.S maps). */
#define NOWHERE ((void *)UINT64_C(0x7000000000))

void ops_version(void);
void ops_console(void);
void ops_memory(void);
void ops_evtchn(void);
void ops_sched(void);
void ops_time(void);
void ops_hvm(void);
void ops_own(void);
void ops_more(void);
void ops_vcpu(void);      /* with `vcpus=2` */
void ops_vcpu_info(void); /* last: events move to another page */

#endif
