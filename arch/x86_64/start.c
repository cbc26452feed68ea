/* SPDX-License-Identifier: MIT */
/*
 * From boot.S to kernel_main(): taking the machine in hand. Two halves, as the
 * stack changes in between: before, on the boot loader's word and the first
 * 4 GiB; after, on our own page tables.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/boot_found.h"
#include "arch/x86_64/bootmem.h"
#include "arch/x86_64/frames.h"
#include "arch/x86_64/hwinfo.h"
#include "arch/x86_64/madt.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/pci.h"
#include "arch/x86_64/smp.h"
#include "arch/x86_64/spec.h"
#include "arch/x86_64/time.h"
#include "arch/x86_64/trap.h"
#include "drivers/console.h"
#include "drivers/power.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"

#define EBDA_SEGMENT 0x40e /* BIOS data area: where the EBDA is */
#define BIOS_START   0xe0000
#define BIOS_BYTES   0x20000

void x86_start(uint32_t magic, uint64_t info);
void x86_start_mapped(void) noreturn_fn;

static struct boot_found found;
static struct acpi acpi;
static struct acpi_power power;
static struct madt madt;

/* Before paging_init: the first 4 GiB are mapped. */
static const void *peek_early(uint64_t phys, uint64_t bytes)
{
	if (phys + bytes < phys || phys + bytes > BIT(32))
		return NULL;
	return phys_to_virt(phys);
}

/* After it: the direct map where it has the bytes, a new mapping elsewhere. */
static const void *peek(uint64_t phys, uint64_t bytes)
{
	uint64_t at = align_down(phys, PAGE_SIZE), end = phys + bytes;

	if (end < phys || end > BIT(52))
		return NULL;
	for (; at < end; at += PAGE_SIZE)
		if (!paging_mapped((uint64_t)phys_to_virt(at)))
			return mmio_map(phys, bytes, 0);
	return phys_to_virt(phys);
}

static const char *boot_parse(uint32_t magic, uint64_t info)
{
	uint32_t bytes;

	if (magic == PVH_MAGIC)
		return pvh_parse(&found, info, peek_early);
	if (magic != MULTIBOOT2_MAGIC)
		return "the boot loader speaks neither multiboot2 nor PVH";
	memcpy(&bytes, phys_to_virt(info), sizeof(bytes));
	if (!peek_early(info, bytes))
		return "multiboot2: the boot information is not readable";
	return multiboot2_parse(&found, phys_to_virt(info), bytes);
}

static void report(const char *sentence)
{
	log_warn("%s", sentence);
}

void x86_start(uint32_t magic, uint64_t info)
{
	const char *why;

	percpu_boot();
	trap_init();
	trap_cpu_init();
	why = boot_parse(magic, info);
	cmdline_set(found.info.cmdline ? found.info.cmdline : "");
	console_init();
	if (why)
		env_panic("%s", why);
	bootmem_init(&found);
	paging_init();
	percpu_stacks(this_cpu());
	percpu_load(this_cpu());
	asm volatile(
	    "movq %0, %%rsp\n\txorl %%ebp, %%ebp\n\tpushq $0\n\tjmp x86_start_mapped" ::"r"(
	        this_cpu()->stack_top));
	__builtin_unreachable();
}

/* The RSDP from the boot loader, or by the search of ACPI 6.5, 5.2.5.1. */
static bool acpi_start(void)
{
	const uint16_t *segment = peek(EBDA_SEGMENT, 2);
	const void *area, *rsdp = NULL;

	if (found.rsdp_bytes)
		return acpi_init(&acpi, found.rsdp, found.rsdp_bytes, peek);
	if (found.rsdp_phys) {
		area = peek(found.rsdp_phys, 36);
		return area && acpi_init(&acpi, area, 36, peek);
	}
	area = segment ? peek((uint64_t)*segment << 4, 1024) : NULL;
	if (area)
		rsdp = acpi_scan(area, 1024);
	if (!rsdp) {
		area = peek(BIOS_START, BIOS_BYTES);
		rsdp = area ? acpi_scan(area, BIOS_BYTES) : NULL;
	}
	/* the scan has checked as much as the area allows; 36 bytes are within it */
	return rsdp && acpi_init(&acpi, rsdp, 36, peek);
}

static void acpi_read(void)
{
	struct acpi_table t;
	const char *why = NULL;

	acpi.peek = peek;
	if (!acpi_start())
		log_warn("no ACPI tables: running on one CPU");
	acpi_power_find(&acpi, &power);
	power_init(&power);
	t = acpi_find(&acpi, "APIC");
	if (t.data)
		why = madt_parse(&madt, t.data, t.bytes);
	if (why)
		log_warn("%s", why);
	if (madt.dropped)
		log_warn("%u CPUs past the first %u are not used", madt.dropped, MADT_MAX_CPUS);
}

static void modules_map(void)
{
	for (unsigned i = 0; i < found.info.nr_modules; i++)
		found.info.modules[i].data = phys_to_virt(found.module_phys[i]);
	if (found.dropped_ranges)
		log_warn("%u ranges of the memory map did not fit", found.dropped_ranges);
	if (found.dropped_modules || found.dropped_strings)
		log_warn("%u boot modules and %u of their command lines did not fit",
		         found.dropped_modules, found.dropped_strings);
}

static void interrupts_init(void)
{
	pic_mask_all();
	for (unsigned i = 0; i < madt.nr_ioapics; i++)
		ioapic_mask_all(madt.ioapic[i]);
	apic_init();
	apic_cpu_init();
}

static void dma_stop(void)
{
	unsigned were_on, n = pci_stop_dma(&were_on);

	log_info("PCI: %u functions, bus mastering cleared on %u; %s", n, were_on,
	         iommu_describe(&acpi));
}

static void cpus_start(void)
{
	unsigned limit = (unsigned)min_u64(cmdline_number("maxcpus", MAX_CPUS), MAX_CPUS);

	smp_start(&madt, limit ? limit : 1,
	          cmdline_bool("smt", !(spec_current()->actions & DO_PARK_SMT)));
	log_info("CPUs: %u, %s, TSC %llu kHz by the %s, APIC timer %s", machine_cpus(),
	         apic_is_x2apic() ? "x2APIC" : "xAPIC",
	         (unsigned long long)(machine_tsc_hz() / 1000), time_source(),
	         time_uses_deadline() ? "by TSC deadline" : "one-shot");
}

void x86_start_mapped(void)
{
	console_screen(&found.fb); /* needs device memory mapped */
	log_info("Quire, started by %s; console on %s", found.info.loader, console_describe());
	cmdline_check(report); /* first chance to be read */
	modules_map();         /* their text is in memory that stays */
	acpi_read();           /* where CPUs and clocks are */
	interrupts_init();     /* nothing may come that we do not expect */
	time_init(power.pm_timer, power.pm_timer_32);
	time_cpu_init(); /* needs our own APIC and IDT */
	dma_stop();      /* before memory is anyone's */
	cpus_start();    /* their stacks come from boot memory */
	frames_init();   /* the rest of memory goes to the memory core */
	hwinfo_init(&found.info, &acpi);
	kernel_main(&found.info);
}
