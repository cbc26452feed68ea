/* SPDX-License-Identifier: MIT */
/*
 * A back end of structs: a vCPU's state is what the test sets, an entry ends with
 * what the test says, and what common code did to the vCPU is counted.
 */
#ifndef TESTS_HOST_FAKE_HVM_H
#define TESTS_HOST_FAKE_HVM_H

#include "kernel/domain.h"

struct fake_vcpu {
	struct guest_state state;
	unsigned mode; /* what vcpu_mode answers */
	unsigned skips, injects, loads, drops;
	struct hvm_event event; /* the last one injected */
	int offered;            /* -1 none */
	bool takes_interrupts;
	bool refuses_state, refuses_cr;
	bool held_then; /* vcpu.held, when its state was last set */
	uint64_t msr_written, cr_written;
	void *data; /* of the test */
};

struct fake_vcpu *fake_of(struct hvm_vcpu *hv);

/* What vcpu_run does; NULL: it must not be called. */
extern void (*fake_run)(struct vcpu *v, struct vmexit *x);

/*
 * A domain by hand: a space with `pages` of memory, shared_info, vCPUs that are
 * DOWN in 64-bit mode, unpaged. Freed, with a leak check, by fake_domain_free.
 */
struct domain *fake_domain(domid_t id, uint64_t pages, unsigned vcpus);
void fake_domain_free(struct domain *d);

/* host_start, host_machine_reset, sched_init with this back end. */
void fake_start(unsigned cpus);
void fake_stop(void);

#endif
