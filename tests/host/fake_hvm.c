/* SPDX-License-Identifier: MIT */
#include "kernel/grant.h"
#include "kernel/xenstore.h"
#include "tests/host/fake_hvm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/xstate.h"
#include "tests/host/env.h"
#include "tests/host/machine.h"
#include "tests/host/toy_format.h"

void (*fake_run)(struct vcpu *v, struct vmexit *x);

struct fake_vcpu *fake_of(struct hvm_vcpu *hv)
{
	return (struct fake_vcpu *)(void *)hv->vmx;
}

static struct vcpu *fake_vcpu_of(struct hvm_vcpu *hv)
{
	return (struct vcpu *)(void *)((char *)hv - offsetof(struct vcpu, hv));
}

static bool fake_init(struct hvm_vcpu *v, struct space *s, domid_t d, unsigned id)
{
	struct fake_vcpu *f = calloc(1, sizeof(*f));

	v->vmx = (struct vmx_vcpu *)(void *)f;
	v->space = s;
	v->domid = d;
	v->vcpu_id = (uint16_t)id;
	v->xcr0 = 1;
	f->mode = VCPU_MODE_64;
	f->offered = -1;
	return true;
}

static void fake_free(struct hvm_vcpu *v)
{
	free(fake_of(v));
}

static void fake_load(struct hvm_vcpu *v)
{
	fake_of(v)->loads++;
}

static void fake_unload(struct hvm_vcpu *v)
{
	(void)v;
}

static void fake_run_op(struct hvm_vcpu *v, bool flush, struct vmexit *x)
{
	(void)flush;
	flush_leave(machine_cpu());
	fake_run(fake_vcpu_of(v), x);
}

static void fake_skip(struct hvm_vcpu *v, const struct vmexit *x)
{
	v->regs.rip += x->length;
	fake_of(v)->skips++;
}

static void fake_inject(struct hvm_vcpu *v, const struct hvm_event *e)
{
	fake_of(v)->injects++;
	fake_of(v)->event = *e;
}

static bool fake_offer(struct hvm_vcpu *v, int vector)
{
	fake_of(v)->offered = vector;
	return vector >= 0 && fake_of(v)->takes_interrupts;
}

static void fake_drop_events(struct hvm_vcpu *v)
{
	fake_of(v)->drops++;
	v->displaced = 0;
}

static unsigned fake_mode(struct hvm_vcpu *v)
{
	return fake_of(v)->mode;
}

static uint64_t fake_cr4(struct hvm_vcpu *v)
{
	return fake_of(v)->state.cr4;
}

/* What is not asked for is no good: who looks at it all the same shall notice. */
static void fake_get_paging(struct hvm_vcpu *v, struct guest_state *s)
{
	const struct guest_state *from = &fake_of(v)->state;

	s->cr0 = from->cr0;
	s->cr3 = from->cr3;
	s->cr4 = from->cr4;
	s->efer = from->efer;
	s->cpl = from->cpl;
}

static void fake_get_state(struct hvm_vcpu *v, struct guest_state *s)
{
	*s = fake_of(v)->state;
}

static bool fake_set_state(struct hvm_vcpu *v, const struct guest_state *s)
{
	fake_of(v)->held_then = fake_vcpu_of(v)->held;
	if (fake_of(v)->refuses_state)
		return false;
	fake_of(v)->state = *s;
	return true;
}

static bool fake_read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = fake_of(v)->msr_written;
	return true;
}

static bool fake_write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value)
{
	(void)msr;
	fake_of(v)->msr_written = value;
	return true;
}

static bool fake_write_cr(struct hvm_vcpu *v, unsigned number, uint64_t value)
{
	(void)number;
	if (fake_of(v)->refuses_cr)
		return false;
	fake_of(v)->cr_written = value;
	return true;
}

static void fake_dump(struct hvm_vcpu *v, void (*line)(const char *text))
{
	(void)v;
	line("state of a fake vCPU");
}

static unsigned fake_dirty_sources(void)
{
	return BIT(DIRTY_FLAGS) | BIT(DIRTY_PROTECT);
}

static const struct pte_format *fake_dirty_use(enum dirty_source source)
{
	(void)source;
	return &toy_format;
}

static const struct hvm_ops fake_ops = {
    .name = "fake",
    .dirty_sources = fake_dirty_sources,
    .dirty_use = fake_dirty_use,
    .vcpu_init = fake_init,
    .vcpu_free = fake_free,
    .vcpu_load = fake_load,
    .vcpu_unload = fake_unload,
    .vcpu_run = fake_run_op,
    .vcpu_skip = fake_skip,
    .vcpu_inject = fake_inject,
    .vcpu_offer = fake_offer,
    .vcpu_drop_events = fake_drop_events,
    .vcpu_mode = fake_mode,
    .vcpu_cr4 = fake_cr4,
    .vcpu_get_paging = fake_get_paging,
    .vcpu_get_state = fake_get_state,
    .vcpu_set_state = fake_set_state,
    .vcpu_read_msr = fake_read_msr,
    .vcpu_write_msr = fake_write_msr,
    .vcpu_write_cr = fake_write_cr,
    .vcpu_dump = fake_dump,
};
const struct hvm_ops *hvm = &fake_ops;
const struct hvm_ops svm_ops, vmx_ops;

uint64_t xstate_guest_mask(void)
{
	return XCR0_X87 | XCR0_SSE | XCR0_AVX;
}

bool xstate_set_xcr0(struct hvm_vcpu *v, uint64_t xcr0)
{
	if (!cr_xcr0_allowed(xcr0, xstate_guest_mask()))
		return false;
	v->xcr0 = xcr0;
	return true;
}

struct domain *fake_domain(domid_t id, uint64_t pages, unsigned vcpus)
{
	struct domain *d = calloc(1, sizeof(*d));
	const struct space_config sc = {.domid = id,
	                                .share_group = id,
	                                .memory_pages = pages,
	                                .max_pages = pages,
	                                .min_pages = 0};

	d->used = true;
	d->id = id;
	d->shutdown = SHUTDOWN_NONE;
	d->wide_info = true;
	snprintf(d->name, sizeof(d->name), "fake%u", id);
	if (space_create(&d->space, &sc) != MM_OK)
		abort();
	d->shared_info_frame = frame_alloc(0, FRAME_SERVICE, id);
	d->shared_info = env_frame(d->shared_info_frame);
	memset(d->shared_info, 0, PAGE_SIZE);
	evtchn_domain_init(d);
	domain_enlist(d);
	for (unsigned i = 0; i < vcpus; i++) {
		if (!vcpu_create(d, i))
			abort();
		d->nr_vcpus++;
	}
	evtchn_peer_add(d);
	return d;
}

void fake_domain_free(struct domain *d)
{
	d->dying = true;
	evtchn_peer_remove(d);
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		vcpu_stop(d->vcpus[i]);
		vcpu_destroy(d->vcpus[i]);
	}
	grant_end(d);
	if (d->shared_info_mapped && mm_unmap_service(&d->space, d->shared_info_gfn) != MM_OK)
		abort();
	while (!space_destroy_step(&d->space, 1024))
		;
	frame_free(d->shared_info_frame, 0);
	domain_delist(d);
	grant_free(d);
	xenstore_free(d);
	special_free(d);
	free(d);
}

static void fake_no_kick(unsigned cpu)
{
	(void)cpu;
}

static uint64_t free_at_start;

void fake_start(unsigned cpus)
{
	const struct host_config hc = {.frames = 16384, .cpus = cpus};

	host_start(&hc);
	host_on_kick = fake_no_kick;
	host_set_cpu(0);
	host_machine_reset(cpus);
	sched_init();
	sched_set_scan(false);
	fake_run = NULL;
	free_at_start = host_free_frames();
}

/* Every frame is back, or the test fails. */
void fake_stop(void)
{
	if (host_free_frames() != free_at_start)
		abort();
	host_stop();
}
