/* SPDX-License-Identifier: MIT */
/* memory_op; the balloon has a guest of its own. */
#include "guests/hypercalls/ops.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/control.h"
#include "guests/lib/event.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

struct e820 {
	uint64_t base, bytes;
	uint32_t type;
} __attribute__((packed));

static void memory_map(void)
{
	static struct e820 map[64];
	const struct memory_range *r;
	struct xen_memory_map m = {.nr_entries = 64};
	unsigned n = memory_ranges(&r);
	bool same = true;

	set_xen_guest_handle(m.buffer, (void *)map);
	tap_is(hypercall_memory(XENMEM_memory_map, &m), 0, "memory_map answers");
	tap_is(m.nr_entries, n, "with as many ranges as start_info has");
	for (unsigned i = 0; i < n && i < m.nr_entries; i++)
		same &= map[i].base == r[i].base && map[i].bytes == r[i].bytes &&
		        map[i].type == r[i].type;
	tap_ok(same, "and the same ranges");
	tap_is(hypercall_memory(XENMEM_memory_map, NOWHERE), -XEN_EFAULT, "a bad pointer");
	m.nr_entries = 64;
	set_xen_guest_handle(m.buffer, NOWHERE);
	tap_is(hypercall_memory(XENMEM_memory_map, &m), -XEN_EFAULT, "a bad buffer");
}

static void reservations(void)
{
	struct quire_control c;
	domid_t other = 0;

	tap_ok(control_get(&c), "hypercall 50 tells the control values");
	tap_is(balloon_reservation(), (long)c.current_pages, "current_reservation agrees with it");
	tap_ok(balloon_maximum() >= balloon_reservation(), "maximum is not below current: %ld, %ld",
	       balloon_maximum(), balloon_reservation());
	tap_ok(hypercall_memory(XENMEM_current_reservation, &other) < 0, "not of another domain");
	tap_is(hypercall_memory(XENMEM_current_reservation, NOWHERE), -XEN_EFAULT, "a bad pointer");
}

static long physmap(unsigned space, uint64_t gfn)
{
	struct xen_add_to_physmap x = {.domid = DOMID_SELF, .space = space, .gpfn = gfn};

	return hypercall_memory(XENMEM_add_to_physmap, &x);
}

static void shared_info(void)
{
	uint64_t beyond = memory_top() / PAGE_SIZE + 0x100000;

	tap_ok(physmap(XENMAPSPACE_shared_info, beyond) < 0, "shared_info not beyond the memory");
	tap_ok(physmap(99, 16) < 0, "no such map space");
	event_init();
	tap_ok(event_shared->vcpu_info[0].time.tsc_to_system_mul != 0,
	       "shared_info is mapped and has the time");
	tap_is((long)event_shared->vcpu_info[0].time.version % 2, 0, "time is not being written");
	tap_ok(event_shared->wc_sec > 1600000000, "the wall clock is of this century: %u",
	       event_shared->wc_sec);
}

void ops_memory(void)
{
	memory_map();
	reservations();
	shared_info();
	tap_is(hypercall_memory(63, 0), -XEN_ENOSYS, "memory_op 63");
}
