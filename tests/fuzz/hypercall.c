/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a guest that makes hypercalls: its paging mode, the words of its memory
 * (arguments, page tables that lie) and its registers. Every fetch may change what it
 * has read, as another vCPU could. Unpaged, no byte is fetched twice in one call. No call may harm
 * the hypervisor: the audit passes, every frame comes back, and the neighbour's memory is as it
 * was.
 */
#include "arch/x86_64/guest/cr.h"
#include "kernel/abi/quire.h"
#include "kernel/evtchn.h"
#include "kernel/grant.h"
#include "kernel/hypercall.h"
#include "kernel/sched.h"
#include "tests/fuzz/fuzz.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"
#include <xen/grant_table.h>
#include <xen/io/console.h>

#define PAGES     64u
#define RAM_BYTES ((uint64_t)PAGES << PAGE_SHIFT)
#define CALLS     24u
#define ENTRIES   64u /* of one call: a long one comes back */

static struct domain *d, *neighbour;
static bool spoil, paged;
static uint8_t fetched[RAM_BYTES];

/* ---- memory that watches and lies ---- */

static enum mm_status liar_read(struct space *s, uint64_t gpa, void *dst, uint64_t bytes)
{
	enum mm_status st = mm_read(s, gpa, dst, bytes);
	const uint8_t other = 0xa5;

	for (uint64_t i = gpa; st == MM_OK && i < gpa + bytes && i < RAM_BYTES; i++) {
		MUST(paged || !fetched[i]); /* two walks read one table twice, and may */
		fetched[i] = 1;
		if (spoil && mm_write(s, i, &other, 1) != MM_OK)
			break;
	}
	return st;
}

static const struct guest_memory_ops liar = {
    .read = liar_read, .write = mm_write, .pin = mm_pin, .unpin = mm_unpin};

/* ---- decisions ---- */

/* A number that may be an address, a count, a command: mostly one that means something. */
static uint64_t number(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	switch (how >> 5) {
	case 0:
		return how & 31; /* commands, small counts */
	case 1:
		return (uint64_t)(how & 31) << 8; /* addresses near the beginning */
	case 2:
		return RAM_BYTES - (how & 31); /* the end of memory */
	case 3:
		return (uint64_t)0 - (how & 31);
	case 4:
		return (uint64_t)1 << (how & 31) << (fuzz_u8(in) & 31);
	default:
		return fuzz_take(in, how & 7 ? how & 7 : 8);
	}
}

static void set_mode(struct fuzz_input *in)
{
	static const unsigned modes[] = {VCPU_MODE_64, 0, VCPU_MODE_64 | 3, VCPU_MODE_64};
	struct fake_vcpu *f = fake_of(&d->vcpus[0]->hv);
	uint8_t how = fuzz_u8(in);

	f->mode = modes[how & 3];
	spoil = how & 4;
	paged = how & 8;
	f->state = (struct guest_state){.cr0 = CR0_PE | (paged ? CR0_PG : 0)};
	if (!paged)
		return;
	f->state.cr4 = how & 0x10 ? CR4_PAE : 0;
	f->state.cr3 = number(in);
	if (how & 0x20)
		f->state.efer = EFER_LME | EFER_LMA | EFER_NXE;
}

static void put_words(struct fuzz_input *in)
{
	uint64_t at = (uint64_t)fuzz_u8(in) << 6;
	unsigned n = 1 + (fuzz_u8(in) & 7);

	for (unsigned i = 0; i < n; i++) {
		uint64_t word = number(in);

		if (mm_write(&d->space, at + i * 8, &word, 8) != MM_OK)
			return; /* ballooned */
	}
}

static void call(struct fuzz_input *in)
{
	static const uint8_t numbers[] = {__HYPERVISOR_memory_op,  __HYPERVISOR_xen_version,
	                                  __HYPERVISOR_console_io, __HYPERVISOR_vm_assist,
	                                  __HYPERVISOR_vcpu_op,    __HYPERVISOR_sched_op,
	                                  __HYPERVISOR_hvm_op,     __HYPERVISOR_event_channel_op,
	                                  QUIRE_HYPERCALL,         __HYPERVISOR_grant_table_op};
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};
	struct vcpu *v = d->vcpus[0];
	uint64_t *gpr = v->hv.regs.gpr;
	uint8_t which = fuzz_u8(in);

	gpr[RAX] = which < 0xf0 ? numbers[which % sizeof(numbers)] : number(in);
	gpr[RDI] = gpr[RBX] = number(in);
	gpr[RSI] = gpr[RCX] = number(in);
	gpr[RDX] = number(in);
	for (unsigned i = 0; i < ENTRIES && vcpu_may_run(v); i++) {
		unsigned skips = fake_of(&v->hv)->skips;

		memset(fetched, 0, sizeof(fetched));
		exit_dispatch(v, &x);
		MUST(!fake_of(&v->hv)->injects);
		if (fake_of(&v->hv)->skips != skips)
			return;
	}
}

/* The console's ring: any indices, and somebody types meanwhile. */
static void put_ring(struct fuzz_input *in)
{
	struct xencons_interface *r = (void *)d->special[SPECIAL_CONSOLE].page;

	r->out_prod = (uint32_t)fuzz_take(in, 4);
	r->out_cons = r->in_prod = ~r->out_prod;
	r->in_cons = (uint32_t)fuzz_take(in, 4);
	MUST(console_ring_type(d, "text", 4) <= 4);
	for (unsigned turns = 0; console_ring_drain(d); turns++)
		MUST(turns < sizeof(r->out) / 256);
}

/* ---- one guest ---- */

/* The neighbour lets us read page 0, by reference 8; nothing else. */
#define GRANT_GFN 0xfe000u
#define GRANT_REF 8u

static void neighbour_grants(void)
{
	static uint8_t page[PAGE_SIZE];
	const struct grant_entry_v1 e = {GTF_permit_access | GTF_readonly, 1, 0};

	memset(page, 0x33, sizeof(page));
	MUST(mm_write(&neighbour->space, 0, page, PAGE_SIZE) == MM_OK);
	MUST(grant_place(neighbour, 0, GFN(GRANT_GFN)) == MM_OK);
	MUST(mm_write(&neighbour->space,
	              ((uint64_t)GRANT_GFN << PAGE_SHIFT) + GRANT_REF * sizeof(e), &e,
	              sizeof(e)) == MM_OK);
}

static void neighbour_grant_is_whole(void)
{
	struct grant_entry_v1 e;
	static uint8_t page[PAGE_SIZE];

	MUST(mm_read(&neighbour->space, 0, page, PAGE_SIZE) == MM_OK);
	for (unsigned at = 0; at < PAGE_SIZE; at++)
		MUST(page[at] == 0x33);
	MUST(mm_read(&neighbour->space, ((uint64_t)GRANT_GFN << PAGE_SHIFT) + GRANT_REF * sizeof(e),
	             &e, sizeof(e)) == MM_OK);
	MUST(e.flags == (GTF_permit_access | GTF_readonly)); /* in use no more */
	MUST(!space_stats(&neighbour->space).pinned);
}

static void neighbour_page(uint8_t page[PAGE_SIZE], bool write)
{
	for (uint64_t gfn = 1; gfn < PAGES; gfn++) {
		static uint8_t now[PAGE_SIZE];

		if (write)
			MUST(mm_write(&neighbour->space, gfn << PAGE_SHIFT, page, PAGE_SIZE) ==
			     MM_OK);
		MUST(mm_read(&neighbour->space, gfn << PAGE_SHIFT, now, PAGE_SIZE) == MM_OK);
		MUST(!memcmp(now, page, PAGE_SIZE));
	}
}

static void begin(void)
{
	static uint8_t page[PAGE_SIZE];

	if (!neighbour) {
		fake_start(1);
		neighbour = fake_domain(2, PAGES, 1);
		memset(page, 0x5a, sizeof(page));
		neighbour_page(page, true);
		neighbour_grants();
	}
	d = fake_domain(1, PAGES, 2);
	d->vcpus[0]->initialised = true;
	guest_memory = &liar;
	spoil = paged = false;
	MUST(special_make_ring(d, SPECIAL_CONSOLE));
	vcpu_start(d->vcpus[0]);
}

static void end(uint64_t free_at_start)
{
	static uint8_t page[PAGE_SIZE];
	struct audit_report r = mm_audit();

	if (r.failures)
		fprintf(stderr, "audit: %s\n", r.first);
	MUST(!r.failures);
	fake_domain_free(d);
	MUST(host_free_frames() == free_at_start);
	MUST(timer_next_ns() == UINT64_MAX); /* no timer of a vCPU that is gone */
	memset(page, 0x5a, sizeof(page));
	neighbour_page(page, false);
	neighbour_grant_is_whole();
	host_machine_reset(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static uint64_t free_at_start;
	struct fuzz_input in = {bytes, n};

	if (!free_at_start) {
		begin();
		fake_domain_free(d);
		scan_settle(); /* the neighbour's pages are equal: merged from the beginning */
		free_at_start = host_free_frames();
	}
	begin();
	set_mode(&in);
	for (unsigned i = 0; i < CALLS && in.left; i++) {
		uint8_t what = fuzz_u8(&in);

		if (what & 1)
			put_words(&in);
		else if (what & 2)
			call(&in);
		else if (what & 4)
			set_mode(&in);
		else if (what & 8)
			put_ring(&in);
		else
			scan_slice(what);
		if (d->vcpus[0]->state == VCPU_BLOCKED)
			vcpu_wake(d->vcpus[0]);
	}
	end(free_at_start);
	return 0;
}
