/* SPDX-License-Identifier: MIT */
/*
 * fuzz: is there any sequence of what a guest can do that harms somebody else?
 *
 * Specification: two vCPUs make calls=N operations between them: hypercalls of all kinds,
 * MSRs, ports, CPUID, control registers, messages in the rings, grants and event channels with
 * the domains made about the same time, the local APIC by MSR and by memory. Their arguments
 * are drawn from hostile distributions (values.c), and every other while vCPU 1 changes what
 * vCPU 0's call reads instead. All that this guest asks of itself is that memory which
 * no operation was about holds what was written last; what matters is judged outside: the
 * hypervisor lives, its audit is clean, every frame comes back, and the neighbours
 * (guests/neighbour) find their memory whole and do their work.
 *
 * What vCPU 0 does depends on seed= and on the hypervisor's answers to a few questions only; with
 * vcpus=1 a run can be repeated exactly. With `lethal` the guest does what it may not outlive, too.
 *
 * Options: calls=N  seed=N  vcpus=1  lethal  only=NAME of an operation
 */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/clock.h"
#include "guests/lib/event.h"
#include "guests/lib/guest.h"
#include "guests/lib/options.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"

#define ROUND 64u /* operations before vCPU 1 changes its mind */

static const struct {
	const char *name;
	operation *run;
	unsigned weight;
} operations[] = {
    {"any_call",         any_call,         12},
    {"memory",           memory_call,      10},
    {"place",            place_call,       3 },
    {"event",            event_call,       14},
    {"vcpu",             vcpu_call,        8 },
    {"sched",            sched_call,       2 },
    {"hvm",              hvm_call,         5 },
    {"version",          version_call,     4 },
    {"console",          console_call,     1 },
    {"own",              own_call,         3 },
    {"grant",            grant_call,       14},
    {"store",            store_message,    8 },
    {"store_noise",      store_noise,      2 },
    {"console_ring",     console_noise,    1 },
    {"msr",              any_msr,          6 },
    {"apic_msr",         apic_msr,         6 },
    {"apic_memory",      apic_memory,      6 },
    {"cr",               any_cr,           3 },
    {"cpuid",            any_cpuid,        3 },
    {"port",             any_port,         4 },
    {"string_port",      string_port,      2 },
    {"interrupt_window", interrupt_window, 2 },
    {"memory_check",     own_memory,       2 },
    {"lethal",           lethal,           0 },
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))
#define LETHAL     2u /* its weight, when asked for */

bool fuzz_lethal;
static uint64_t wanted;
static uint64_t made; /* by both */
static struct {
	uint64_t made, good;
} counts[VCPUS][OPERATIONS];
static volatile bool second_done;
static struct vcpu_info infos[VCPUS] __attribute__((aligned(4096)));

static unsigned weight(unsigned i)
{
	if (option_flag("only"))
		return option_is("only", operations[i].name);
	return operations[i].run == lethal ? fuzz_lethal * LETHAL : operations[i].weight;
}

static unsigned choose(struct fuzzer *f)
{
	static unsigned all;
	unsigned at, i;

	if (!all)
		for (i = 0; i < OPERATIONS; i++)
			all += weight(i);
	at = (unsigned)below(f, all);
	for (i = 0; at >= weight(i); i++)
		at -= weight(i);
	return i;
}

static bool over(void)
{
	return __atomic_load_n(&made, __ATOMIC_RELAXED) >= wanted;
}

static void make_one(struct fuzzer *f)
{
	unsigned i = choose(f);

	counts[f->id][i].made++;
	counts[f->id][i].good += operations[i].run(f);
	__atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
}

/* Its time lies in a page that no operation moves. */
static void take_info(struct fuzzer *f)
{
	struct vcpu_register_vcpu_info r = {.mfn = (uint64_t)infos / PAGE_SIZE,
	                                    .offset = f->id * sizeof(infos[0])};

	if (tap_is(hypercall_vcpu(VCPUOP_register_vcpu_info, f->id, &r), 0,
	           "vCPU %u's vcpu_info has a place", f->id))
		this_cpu()->info = &infos[f->id];
}

static void second(void *arg)
{
	struct fuzzer *f = arg;

	take_info(f);
	while (!over()) {
		bool calls = chance(f, 2);

		for (unsigned i = 0; i < ROUND && !over(); i++)
			if (calls)
				make_one(f);
			else
				values_disturb(f);
	}
	second_done = true;
}

static void first(struct fuzzer *f)
{
	while (!over())
		make_one(f);
}

/* vCPU 1 may be down, or asleep for a moment. */
static void wait_for_second(void)
{
	uint64_t end = clock_ns() + 2 * CLOCK_S;

	while (!second_done && clock_ns() < end) {
		hypercall_vcpu(VCPUOP_up, 1, NULL);
		hypercall_sched(SCHEDOP_yield, NULL);
	}
	tap_ok(second_done, "vCPU 1 came to its end");
}

/* So that nothing of what follows is lost: what we printed before may have been too much. */
static void be_quiet(void)
{
	struct sched_poll p = {.timeout = clock_ns() + 3 * CLOCK_S / 2};

	hypercall_console("\n", 1);
	while (clock_ns() < p.timeout)
		hypercall_sched(SCHEDOP_poll, &p);
	hypercall_console("\n", 1);
}

static void tell(bool two)
{
	for (unsigned i = 0; i < OPERATIONS; i++)
		if (weight(i))
			tap_diag("fuzz %s made=%lu accepted=%lu", operations[i].name,
			         counts[0][i].made + counts[1][i].made,
			         counts[0][i].good + counts[1][i].good);
	tap_ok(made >= wanted, "%lu operations were made by %u vCPUs", made, two ? 2 : 1);
	for (unsigned i = 0; i < OPERATIONS; i++)
		if (weight(i) && made > 20000)
			tap_ok(counts[0][i].good + counts[1][i].good > 0,
			       "%s was accepted at times", operations[i].name);
}

void guest_main(void)
{
	bool two = option_u64("vcpus", VCPUS) == VCPUS;
	uint64_t seed = option_u64("seed", 1);

	wanted = option_u64("calls", 10000);
	fuzz_lethal = option_flag("lethal");
	event_init();
	irq_off();
	tap_diag("fuzz seed=%lu calls=%lu", seed, wanted);
	rings_init();
	grants_init();
	own_init();
	values_init();
	for (unsigned i = 0; i < VCPUS; i++)
		fuzzers[i] = (struct fuzzer){
		    .id = i, .rng = random_mix(seed * VCPUS + i), .args = fuzzers[i].args};
	take_info(&fuzzers[0]);
	tap_diag("fuzz begin_ns=%lu", clock_ns());
	if (two)
		tap_is(smp_start(1, second, &fuzzers[1]), 0, "vCPU 1 starts");
	first(&fuzzers[0]);
	if (two)
		wait_for_second();
	tap_diag("fuzz end_ns=%lu", clock_ns());
	be_quiet();
	tell(two);
	tap_ok(own_whole(), "memory that no operation was about holds what was written last");
}
