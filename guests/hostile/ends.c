/* SPDX-License-Identifier: MIT */
/*
 * Attacks that this guest does not outlive, or that keep its vCPU for good.
 * `attack=NAME` chooses one; tests/boot/hostile.tsv says how each must end:
 *	crash	the hypervisor stops the guest, and says why
 *	alive	the guest goes on with what harms nobody, until it is destroyed
 * Whatever returns from here has failed.
 */
#include "guests/hostile/apic.h"
#include "guests/hostile/hostile.h"
#include "guests/hostile/legacy.h"
#include "guests/lib/ballooning.h"
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/shutdown.h"
#include "guests/lib/tap.h"

extern uint64_t page_pml4[512], page_pd[4 * 512];

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

/* Well past the memory, and still under the 4 GiB that are mapped. */
static uint64_t outside(void)
{
	return (memory_top() + (UINT64_C(64) << 20)) & ~UINT64_C(0xfff);
}

/* ---- the CPU gives up ---- */

static void triple_fault(void)
{
	struct table_pointer none = {0, 0};

	__asm__ volatile("lidt %0\n\tint3" : : "m"(none));
}

/* The stack is gone: #PF, then #DF on the same stack, then shutdown. */
static void no_stack(void)
{
	trap_idt[TRAP_PF].ist = trap_idt[TRAP_DF].ist = trap_idt[TRAP_SS].ist = 0;
	__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(UINT64_C(0x7000000000)));
}

/* ---- memory that is not there ---- */

static void outside_read(void)
{
	(void)*(volatile uint64_t *)outside();
}

static void outside_write(void)
{
	*(volatile uint64_t *)outside() = 1;
}

static void outside_exec(void)
{
	((void (*)(void))outside())();
}

static void outside_rmw(void)
{
	__atomic_fetch_add((uint64_t *)outside(), 1, __ATOMIC_SEQ_CST);
}

/* A physical address of 2^38, by a 1 GiB-spaced table of our own. */
static void outside_far(void)
{
	static uint64_t pdpt[512] __attribute__((aligned(4096)));
	static uint64_t pd[512] __attribute__((aligned(4096)));

	pd[0] = UINT64_C(1) << 38 | 0x83;
	pdpt[0] = (uint64_t)pd | 3;
	page_pml4[1] = (uint64_t)pdpt | 3;
	WRITE_CR(3, READ_CR(3));
	(void)*(volatile uint64_t *)(UINT64_C(1) << 39);
}

static void outside_tables(void)
{
	WRITE_CR(3, outside());
}

static void outside_idt(void)
{
	struct table_pointer idt = {4095, outside()};

	__asm__ volatile("lidt %0\n\tint3" : : "m"(idt));
}

static void outside_gdt(void)
{
	struct table_pointer gdt = {4095, outside()};

	__asm__ volatile("lgdt %0\n\tmov %1, %%ds" : : "m"(gdt), "r"(0x18));
}

/* ---- memory given away ---- */

static void give(void *page)
{
	uint64_t gfn = (uint64_t)page / PAGE_SIZE;

	if (balloon_out(&gfn, 1, 0) != 1)
		tap_ok(false, "the page could not be given back");
}

static void ballooned_read(void)
{
	uint8_t *page = memory_take(1);

	page[0] = 1;
	give(page);
	(void)*(volatile uint8_t *)page;
}

static void ballooned_write(void)
{
	uint8_t *page = memory_take(1);

	page[0] = 1;
	give(page);
	*(volatile uint8_t *)page = 2;
}

static void ballooned_code(void)
{
	uint8_t *page = memory_take(1);

	page[0] = 0xc3;
	((void (*)(void))page)();
	give(page);
	((void (*)(void))page)();
}

static void ballooned_tables(void)
{
	give(page_pd);
	WRITE_CR(3, READ_CR(3));
}

static void ballooned_stack(void)
{
	uint8_t *page = memory_take(1);

	page[0] = 1;
	give(page);
	__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(page + PAGE_SIZE));
}

/* ---- loops ---- */

static void halt_for_ever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* S5 to the sleep register of the ACPI tables (ACPI 6.5, 4.8.3.7): nobody comes back. */
static void sleep_s5(void)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(5 << 2 | 0x20), "d"(0x600));
}

/* The handler of #PF comes back and nothing has changed. */
static void come_back(struct trap_frame *t)
{
	(void)t;
}

static void fault_loop(void)
{
	trap_set_handler(TRAP_PF, come_back);
	(void)*(volatile uint64_t *)UINT64_C(0x7000000000);
}

static void stay(struct trap_frame *t)
{
	(void)t;
	for (;;)
		;
}

/* CVE-2015-8104: a data breakpoint on the stack on which #DB itself is delivered. */
static void db_loop(void)
{
	volatile uint64_t *slot = (uint64_t *)(this_cpu()->tss.ist[0] - 8);

	trap_set_handler(TRAP_DB, stay);
	__asm__ volatile("mov %0, %%dr0\n\tmov %1, %%dr7" : : "r"(slot), "r"(UINT64_C(0x90403)));
	*slot = 1;
	stay(NULL);
}

static void undefined_loop(void)
{
	trap_set_handler(TRAP_UD, come_back);
	__asm__ volatile("vmxoff");
}

/* ---- by way of 32-bit mode (legacy.S) ---- */

static void legacy_pae_outside(void)
{
	legacy_enter(legacy_pae, (uint32_t)outside());
}

static void legacy_pae_reserved(void)
{
	static uint64_t pdpt[4] __attribute__((aligned(4096)));

	/* Bits 1, 2 and 5..8 of a PDPTE are reserved (SDM vol. 3, 4.4.1). */
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)(page_pd + i * 512) | 0x1e7;
	legacy_enter(legacy_pae, (uint32_t)(uint64_t)pdpt);
}

/* So is what is beyond MAXPHYADDR. CR0.CD is the hypervisor's: the CPU leaves this write to it. */
static void legacy_pae_beyond(void)
{
	static uint64_t pdpt[4] __attribute__((aligned(4096)));

	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)(page_pd + i * 512) | UINT64_C(1) << 51 | 1;
	legacy_enter(legacy_pae_cd, (uint32_t)(uint64_t)pdpt);
}

/* PDPTEs that are valid and point outside the memory. */
static void legacy_pae_lies(void)
{
	static uint64_t pdpt[4] __attribute__((aligned(4096)));

	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = outside() | 1;
	legacy_enter(legacy_pae, (uint32_t)(uint64_t)pdpt);
}

static void legacy_gate(void)
{
	legacy_enter(legacy_task_gate, 0);
}

static void legacy_jump(void)
{
	legacy_enter(legacy_task_jump, 0);
}

static void legacy_ac(void)
{
	legacy_enter(legacy_ac_loop, 0);
}

static void legacy_real(void)
{
	legacy_enter(legacy_real_mode, 0);
}

static void crash_itself(void)
{
	guest_shutdown(GUEST_CRASH);
}

static const struct {
	const char *name;
	void (*run)(void);
} ends[] = {
    {"triple_fault",     triple_fault       },
    {"no_stack",         no_stack           },
    {"outside_read",     outside_read       },
    {"outside_write",    outside_write      },
    {"outside_exec",     outside_exec       },
    {"outside_rmw",      outside_rmw        },
    {"outside_far",      outside_far        },
    {"outside_tables",   outside_tables     },
    {"outside_idt",      outside_idt        },
    {"outside_gdt",      outside_gdt        },
    {"ballooned_read",   ballooned_read     },
    {"ballooned_write",  ballooned_write    },
    {"ballooned_code",   ballooned_code     },
    {"ballooned_tables", ballooned_tables   },
    {"ballooned_stack",  ballooned_stack    },
    {"halt_for_ever",    halt_for_ever      },
    {"sleep_s5",         sleep_s5           },
    {"fault_loop",       fault_loop         },
    {"db_loop",          db_loop            },
    {"ac_loop",          legacy_ac          },
    {"undefined_loop",   undefined_loop     },
    {"pae_outside",      legacy_pae_outside },
    {"pae_reserved",     legacy_pae_reserved},
    {"pae_beyond",       legacy_pae_beyond  },
    {"pae_lies",         legacy_pae_lies    },
    {"task_gate",        legacy_gate        },
    {"task_jump",        legacy_jump        },
    {"real_mode",        legacy_real        },
    {"apic_exchange",    apic_exchange      },
    {"apic_byte",        apic_byte          },
    {"apic_wide",        apic_wide          },
    {"apic_string",      apic_string        },
    {"apic_stack",       apic_stack         },
    {"apic_code",        apic_code          },
    {"apic_tables",      apic_tables        },
    {"apic_gone",        apic_gone          },
    {"apic_init_itself", apic_init_itself   },
    {"crash_itself",     crash_itself       },
};

bool attack_end(void)
{
	if (!option_flag("attack"))
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (!option_is("attack", ends[i].name))
			continue;
		tap_plan(0);
		tap_diag("attack %s", ends[i].name);
		irq_off();
		ends[i].run();
		tap_ok(false, "%s: the guest goes on as if nothing had happened", ends[i].name);
		return true;
	}
	tap_ok(false, "attack= names no attack of this guest");
	return true;
}
