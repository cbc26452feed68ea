/* SPDX-License-Identifier: MIT */
/*
 * An exception that is raised while another event is being delivered: what
 * the CPU makes of the two (SDM vol. 3, 6.15, tables 6-4 and 6-5; APM vol. 2,
 * 8.2.9). Pure; shared by both back ends.
 */
#ifndef ARCH_HVM_EVENT_H
#define ARCH_HVM_EVENT_H

#include "arch/x86_64/hvm.h"

enum event_merge {
	EVENT_SECOND,       /* handled one after the other: *out is the second */
	EVENT_DOUBLE_FAULT, /* *out is #DF, error code 0 */
	EVENT_TRIPLE_FAULT, /* the CPU shuts down; *out is not set */
};

/*
 * `second` meets `first`, whose delivery has not been completed; first is NULL
 * if nothing is being delivered. A displaced external interrupt or NMI is the
 * caller's to keep or to raise again.
 */
enum event_merge hvm_event_merge(const struct hvm_event *first, const struct hvm_event *second,
                                 struct hvm_event *out);

/* Does the CPU push an error code for this exception in protected mode (SDM vol. 3, table 6-1)? */
bool hvm_event_pushes_error(unsigned vector);

#endif
