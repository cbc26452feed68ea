/* SPDX-License-Identifier: MIT */
/*
 * Arguments that change while they are read. vCPU 1 flips one word between a
 * good and a bad value as fast as it can; vCPU 0 makes calls that use it. Each
 * call must act on one of the two, never on both: what was checked is what is
 * used. Afterwards the accounting is right to the page.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"

#define TRIES 2000u

/* What vCPU 1 does, as long as `go`. */
static struct {
	volatile uint64_t *word;
	volatile uint64_t one, other;
	volatile bool go, stop;
	volatile uint64_t pairs;
} flip;

static uint8_t *area;

static void flipper(void *arg)
{
	(void)arg;
	irq_on(); /* none is bound; Bochs 2.7's AMD CPU is deaf to its hypervisor otherwise */
	while (!flip.stop) {
		if (!flip.go) {
			cpu_relax();
			continue;
		}
		*flip.word = flip.one;
		__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
		*flip.word = flip.other;
		flip.pairs++;
	}
}

static void flip_start(volatile void *word, uint64_t one, uint64_t other)
{
	flip.word = word;
	flip.one = one;
	flip.other = other;
	__atomic_store_n(&flip.go, true, __ATOMIC_SEQ_CST);
	/* It may be off its CPU: the race begins when it is seen to run. */
	for (uint64_t seen = flip.pairs; flip.pairs == seen;)
		hypercall_sched(SCHEDOP_yield, 0);
}

static void flip_end(void)
{
	volatile uint64_t *word = flip.word;

	__atomic_store_n(&flip.go, false, __ATOMIC_SEQ_CST);
	/* Its last pair of stores may come as late as its next slice. */
	do {
		*word = flip.one;
		for (unsigned i = 0; i < 1000; i++)
			hypercall_sched(SCHEDOP_yield, 0);
	} while (*word != flip.one);
}

static uint64_t gfn(unsigned i)
{
	return (uint64_t)area / PAGE_SIZE + i;
}

/* One page goes out and in again; the word that vCPU 1 flips decides whether it may. */
static void balloon_race(const char *what, struct xen_memory_reservation *r, volatile void *word,
                         uint64_t one, uint64_t other, uint64_t page)
{
	long before = balloon_reservation();
	unsigned strange = 0, outs = 0;

	flip_start(word, one, other);
	for (unsigned i = 0; i < TRIES; i++) {
		long ret = hypercall_memory(XENMEM_decrease_reservation, r);

		strange += ret > 1 || (ret < 0 && ret != -XEN_EFAULT && ret != -XEN_EINVAL &&
		                       ret != -XEN_EPERM && ret != -3 && ret != -XEN_ENOSYS);
		if (ret == 1) {
			outs++;
			strange += balloon_in(&page, 1, 0) != 1;
		}
	}
	flip_end();
	tap_diag("race: %s: %u of %u went out", what, outs, TRIES);
	tap_is(strange, 0, "race: %s: each call did one thing or the other", what);
	tap_is(balloon_reservation(), before, "race: %s: no page was counted wrong", what);
}

static void balloon_races(void)
{
	static struct xen_memory_reservation r;
	static uint64_t list[2];
	uint64_t page = gfn(0);

	r = (struct xen_memory_reservation){.nr_extents = 1, .domid = DOMID_SELF};
	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)list);
	list[0] = list[1] = page;
	balloon_race("the frame number", &r, &list[0], page, (uint64_t)event_shared / PAGE_SIZE,
	             page);
	list[0] = page;
	balloon_race("the number of extents", &r, &r.nr_extents, 1, UINT64_C(1) << 61, page);
	r.nr_extents = 1;
	balloon_race("the list's address", &r, &r.extent_start, (uint64_t)list, UINT64_C(1) << 63,
	             page);
	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)list);
	/* Order and flags share a word: order 0 or order 63. */
	balloon_race("the order", &r, &r.extent_order, 0, 63, page);
}

/* The table entry under the structure comes and goes. */
static void table_race(void)
{
	extern uint64_t page_pml4[512];
	static uint64_t pdpt[512] __attribute__((aligned(4096)));
	uint64_t one = (uint64_t)pdpt | 3;
	unsigned strange = 0;

	/* 1 GiB pages may be missing: point at the directory of the first GiB instead. */
	pdpt[0] = *(uint64_t *)(page_pml4[0] & ~UINT64_C(0xfff));
	flip_start(&page_pml4[2], one, 0);
	for (unsigned i = 0; i < TRIES; i++) {
		void *p = (void *)((UINT64_C(2) << 39) + (uint64_t)area);
		long ret = hypercall_version(XENVER_extraversion, p);

		strange += ret != 0 && ret != -XEN_EFAULT;
	}
	flip_end();
	page_pml4[2] = 0;
	tap_is(strange, 0, "race: a table entry under the answer");
}

/*
 * The instruction itself changes after it exited: CPUID with and without a
 * prefix, in one aligned word. Whoever reads its bytes again to learn its
 * length may find the other one; what follows then is this guest's affair.
 */
static volatile uint32_t code[16] __attribute__((aligned(64)));

static void run_code(void *arg)
{
	(void)arg;
	__asm__ volatile("call *%0" : : "r"(code), "a"(0) : "rbx", "rcx", "rdx", "memory");
}

static void code_race(void)
{
	unsigned odd = 0;

	for (unsigned i = 0; i < 16; i++)
		code[i] = 0xcccccccc;
	/* Little-endian: 0f a2 c3 cc, or 66 0f a2 c3, each beside the rest of cc. */
	flip_start(code, UINT64_C(0xccccccccccc3a20f), UINT64_C(0xccccccccc3a20f66));
	for (unsigned i = 0; i < TRIES; i++)
		odd += trap_vector(run_code, NULL) != TRAP_NONE;
	flip_end();
	tap_diag("race: %u of %u ended in an exception of our own", odd, TRIES);
	tap_ok(true, "race: the code under an exit");
}

void attack_race(void)
{
	if (option_u64("vcpus", 1) < 2) {
		tap_skip("race", "one vCPU");
		return;
	}
	event_init();
	area = memory_take(4);
	for (unsigned i = 0; i < 4; i++)
		pattern_fill(area + i * PAGE_SIZE, 0x4ace + i);
	if (!tap_is(smp_start(1, flipper, NULL), 0, "race: the second vCPU starts"))
		return;
	balloon_races();
	table_race();
	code_race();
	flip.stop = true;
	smp_join(1);
	tap_ok(pattern_verify(area + 2 * PAGE_SIZE, 0x4ace + 2, "race"),
	       "race: a page beside is unharmed");
}
