/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls with bad numbers, operations and pointers. First rows with one
 * right answer each; then every call with every operation and every kind of
 * pointer, where any answer will do that is not success by accident.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

#define NOWHERE       UINT64_C(0x7000000000)
#define NOT_CANONICAL UINT64_C(0x8000000000000000)
#define HYPERVISOR    UINT64_C(0xffff800000000000) /* its direct map, as we may guess */
#define IMAGE         UINT64_C(0xffffffff80000000)
#define LAST_BYTE     UINT64_MAX
#define END_OF_MAP    UINT64_C(0xffffffff) /* last byte that our tables map */

struct call {
	const char *name;
	uint64_t nr, a, b, c;
	long expected;
};

#define MEM __HYPERVISOR_memory_op
#define EV  __HYPERVISOR_event_channel_op
#define VC  __HYPERVISOR_vcpu_op
#define CON __HYPERVISOR_console_io

static const struct call rows[] = {
    {"call 128",                                        128,                            0,                        0,             0,          -XEN_ENOSYS},
    {"call 2^31",                                       UINT64_C(1) << 31,              0,                        0,             0,          -XEN_ENOSYS},
    {"call 2^32 + 17",                                  (UINT64_C(1) << 32) + 17,       0,                        0,             0,          -XEN_ENOSYS},
    {"call 2^63",                                       UINT64_C(1) << 63,              0,                        0,             0,          -XEN_ENOSYS},
    {"mmu_update",                                      __HYPERVISOR_mmu_update,        0,                        0,             0,          -XEN_ENOSYS},
    {"update_va_mapping",                               __HYPERVISOR_update_va_mapping, 0,                        0,             0,          -XEN_ENOSYS},
    {"set_gdt",                                         __HYPERVISOR_set_gdt,           0,                        0,             0,          -XEN_ENOSYS},
    {"set_trap_table",                                  __HYPERVISOR_set_trap_table,    0,                        0,             0,          -XEN_ENOSYS},
    {"iret",                                            __HYPERVISOR_iret,              0,                        0,             0,          -XEN_ENOSYS},
    {"domctl",                                          __HYPERVISOR_domctl,            NOWHERE,                  0,             0,          -XEN_ENOSYS},
    {"sysctl",                                          __HYPERVISOR_sysctl,            NOWHERE,                  0,             0,          -XEN_ENOSYS},
    {"memory_op 63, with high bits",                    MEM,                            (UINT64_C(1) << 32) + 63, NOWHERE,       0,          -XEN_ENOSYS},
    {"add_to_physmap, nowhere",                         MEM,                            XENMEM_add_to_physmap,    NOWHERE,       0,          -XEN_EFAULT},
    {"add_to_physmap, not canonical",                   MEM,                            XENMEM_add_to_physmap,    NOT_CANONICAL, 0,          -XEN_EFAULT},
    {"add_to_physmap, hypervisor",                      MEM,                            XENMEM_add_to_physmap,    HYPERVISOR,    0,          -XEN_EFAULT},
    {"add_to_physmap, last byte",                       MEM,                            XENMEM_add_to_physmap,    LAST_BYTE,     0,          -XEN_EFAULT},
    {"add_to_physmap, end of map",                      MEM,                            XENMEM_add_to_physmap,    END_OF_MAP,    0,          -XEN_EFAULT},
    {"populate_physmap, hypervisor's image: none done", MEM,                            XENMEM_populate_physmap,  IMAGE,         0,          0          },
    {"console_io, 2^32 - 1 bytes from the end",         CON,                            CONSOLEIO_write,          UINT32_MAX,    END_OF_MAP,
     -XEN_EFAULT                                                                                                                                        },
    {"console_io, hypervisor's memory",                 CON,                            CONSOLEIO_write,          4096,          HYPERVISOR, -XEN_EFAULT},
    {"evtchn send, hypervisor's memory",                EV,                             EVTCHNOP_send,            HYPERVISOR,    0,          -XEN_EFAULT},
    {"evtchn bind_ipi, last byte",                      EV,                             EVTCHNOP_bind_ipi,        LAST_BYTE,     0,          -XEN_EFAULT},
    {"vcpu_op is_up, vCPU 2^32 - 1",                    VC,                             VCPUOP_is_up,             UINT32_MAX,    0,          -XEN_ENOENT},
    {"vcpu_op is_up, vCPU 8",                           VC,                             VCPUOP_is_up,             8,             0,          -XEN_ENOENT},
    {"vcpu_op initialise, hypervisor's memory",         VC,                             VCPUOP_initialise,        0,             HYPERVISOR, -XEN_EFAULT},
    {"get_features into the hypervisor",                __HYPERVISOR_xen_version,       XENVER_get_features,      HYPERVISOR,
     0,                                                                                                                                      -XEN_EFAULT},
};

static void exact(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		tap_is(hypercall_direct(rows[i].nr, rows[i].a, rows[i].b, rows[i].c, 0, 0),
		       rows[i].expected, "calls: %s", rows[i].name);
}

/* ---- everything with everything ---- */

static const struct {
	uint16_t nr;
	uint16_t ops;
	bool pointer_second; /* the operation's structure is argument 2, not 3 */
} families[] = {
    {__HYPERVISOR_memory_op,        28, true },
    {__HYPERVISOR_xen_version,      12, true },
    {__HYPERVISOR_console_io,       3,  false},
    {__HYPERVISOR_vcpu_op,          15, false},
    {__HYPERVISOR_sched_op,         8,  true },
    {__HYPERVISOR_event_channel_op, 16, true },
    {__HYPERVISOR_hvm_op,           26, true },
    {__HYPERVISOR_physdev_op,       32, true },
    {__HYPERVISOR_grant_table_op,   14, true },
    {__HYPERVISOR_set_timer_op,     2,  true },
    {__HYPERVISOR_multicall,        2,  true },
    {__HYPERVISOR_vm_assist,        4,  false},
    {QUIRE_HYPERCALL,               4,  true },
};

/* Calls that, understood as given, put this vCPU to sleep or end the guest. */
static bool ends_us(unsigned nr, unsigned op)
{
	if (nr == __HYPERVISOR_sched_op)
		return op == SCHEDOP_block || op == SCHEDOP_shutdown || op == SCHEDOP_poll;
	if (nr == __HYPERVISOR_vcpu_op)
		return op == VCPUOP_down || op == VCPUOP_register_vcpu_info ||
		       op == VCPUOP_send_nmi || op == VCPUOP_initialise || op == VCPUOP_up;
	/* An all-ones structure sets no callback, but zeroes would take ours away. */
	return nr == __HYPERVISOR_hvm_op && op == HVMOP_set_param;
}

static uint8_t zeroes[4096] __attribute__((aligned(4096)));
static uint8_t ones[4096] __attribute__((aligned(4096)));

static void everything(void)
{
	const uint64_t pointers[] = {NOWHERE,
	                             NOT_CANONICAL,
	                             HYPERVISOR,
	                             IMAGE,
	                             LAST_BYTE,
	                             END_OF_MAP - 3,
	                             0,
	                             (uint64_t)ones,
	                             (uint64_t)ones + 4093 - 8,
	                             (uint64_t)zeroes + 1};
	unsigned calls = 0, strange = 0;

	memset(ones, 0xff, sizeof(ones));
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
		for (unsigned op = 0; op < families[f].ops; op++)
			for (size_t p = 0; p < sizeof(pointers) / sizeof(pointers[0]); p++) {
				uint64_t second = families[f].pointer_second ? pointers[p] : 0;
				/* A list of 2^31 grants would be answered in our own code, as
				 * asked. */
				bool list = families[f].nr == __HYPERVISOR_grant_table_op;
				long ret;

				if (ends_us(families[f].nr, op))
					continue;
				memset(ones, 0xff, sizeof(ones));
				memset(zeroes, 0, sizeof(zeroes));
				ret = hypercall_direct(families[f].nr, op, second,
				                       list ? 1 : pointers[p], pointers[p],
				                       UINT64_MAX);
				calls++;
				strange += ret < -4095;
			}
	tap_is(strange, 0, "calls: %u odd ones answered with an error number or a value", calls);
}

static void maps(void)
{
	struct xen_add_to_physmap x = {.domid = DOMID_SELF, .space = XENMAPSPACE_shared_info};
	static const uint64_t gfns[] = {UINT64_MAX, UINT64_C(1) << 52, UINT64_C(1) << 40,
	                                UINT64_C(1) << 36, UINT64_C(0xffffffff)};
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(gfns) / sizeof(gfns[0]); i++) {
		x.gpfn = gfns[i];
		bad += hypercall_memory(XENMEM_add_to_physmap, &x) >= 0;
	}
	tap_is(bad, 0, "calls: shared_info goes nowhere outside the memory");
	x.domid = 1;
	x.gpfn = (uint64_t)event_shared / PAGE_SIZE;
	tap_ok(hypercall_memory(XENMEM_add_to_physmap, &x) < 0 || hypercall_domid() == 1,
	       "calls: nor into another domain");
}

void attack_calls(void)
{
	exact();
	everything();
	maps();
}
