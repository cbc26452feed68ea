/* SPDX-License-Identifier: MIT */
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"
#include "guests/lib/trap.h"

#define RFLAGS_IF (UINT64_C(1) << 9)

struct shared_info *event_shared;
volatile uint32_t event_count[EVENT_PORTS];
uint32_t event_intrusions;
static void (*port_handlers[EVENT_PORTS])(unsigned port);

static void deliver(unsigned port)
{
	if (port >= EVENT_PORTS)
		return;
	event_count[port]++;
	if (port_handlers[port])
		port_handlers[port](port);
}

/* The 2-level scan of Xen's public/xen.h: selector word, then pending and not masked. */
static void upcall(struct trap_frame *t)
{
	struct cpu *c = this_cpu();
	struct shared_info *s = event_shared;
	uint64_t words;

	if (!(t->rflags & RFLAGS_IF))
		__atomic_fetch_add(&event_intrusions, 1, __ATOMIC_RELAXED);
	c->upcalls++;
	__atomic_store_n(&c->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
	words = __atomic_exchange_n(&c->info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
	for (; words; words &= words - 1) {
		unsigned w = (unsigned)__builtin_ctzl(words);
		uint64_t bits = s->evtchn_pending[w] & ~s->evtchn_mask[w];

		for (; bits; bits &= bits - 1) {
			uint64_t bit = bits & -bits;

			__atomic_fetch_and(&s->evtchn_pending[w], ~bit, __ATOMIC_SEQ_CST);
			deliver(w * 64 + (unsigned)__builtin_ctzl(bit));
		}
	}
}

static void map_shared_info(void)
{
	struct shared_info *s = memory_take(1);
	struct xen_add_to_physmap x = {
	    .domid = DOMID_SELF,
	    .space = XENMAPSPACE_shared_info,
	    .gpfn = (uint64_t)s / PAGE_SIZE,
	};

	if (hypercall_memory(XENMEM_add_to_physmap, &x)) {
		tap_ok(false, "shared_info could not be mapped");
		tap_done();
	}
	event_shared = s;
}

void event_init(void)
{
	struct xen_hvm_param p = {
	    .domid = DOMID_SELF,
	    .index = HVM_PARAM_CALLBACK_IRQ,
	    .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | EVENT_VECTOR,
	};

	if (event_shared)
		return;
	map_shared_info();
	event_init_secondary();
	trap_set_handler(EVENT_VECTOR, upcall);
	if (hypercall_hvm(HVMOP_set_param, &p)) {
		tap_ok(false, "the callback vector could not be set");
		tap_done();
	}
	irq_on();
}

void event_init_secondary(void)
{
	struct cpu *c = this_cpu();

	if (!c->info)
		c->info = &event_shared->vcpu_info[c->id];
}

void event_handler(unsigned port, void (*f)(unsigned port))
{
	port_handlers[port] = f;
}

/* An event that comes between the look and the block keeps block from sleeping:
 * it stays pending while interrupts are off. */
void event_wait(const volatile uint32_t *counter, uint32_t seen)
{
	irq_off();
	while (*counter == seen) {
		hypercall_sched(SCHEDOP_block, 0);
		irq_on();
		__asm__ volatile("nop" : : : "memory"); /* STI's shadow ends here */
		irq_off();
	}
	irq_on();
}

void event_unmask(unsigned port)
{
	struct evtchn_unmask u = {.port = port};

	hypercall_evtchn(EVTCHNOP_unmask, &u);
}
