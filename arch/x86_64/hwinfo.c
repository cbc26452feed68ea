/* SPDX-License-Identifier: MIT */
/*
 * The facts that a bug report needs and that differ from machine to machine: CPU,
 * clocks, how we were booted, IOMMU, memory map, back end, speculation. Plain lines,
 * so that they can be copied from a screen.
 */
#include "arch/x86_64/hwinfo.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm.h"
#include "arch/x86_64/pci.h"
#include "arch/x86_64/time.h"
#include "drivers/console.h"
#include "kernel/cmdline.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"

static const struct boot_info *boot;
static const char *iommu = "";

void hwinfo_init(const struct boot_info *bi, const struct acpi *a)
{
	boot = bi;
	iommu = iommu_describe(a);
}

static void put(void (*line)(const char *), const char *fmt, ...) printf_like(2, 3);
static void put(void (*line)(const char *), const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	line(text);
}

/* CPUID leaves 80000002H to 80000004H: 48 characters (SDM vol. 2, CPUID). */
static void brand(char text[49])
{
	memset(text, 0, 49);
	if (!cpu_has_leaf(0x80000004))
		return;
	for (uint32_t i = 0; i < 3; i++) {
		struct cpuid_regs r = cpuid(0x80000002 + i, 0);

		memcpy(text + 16 * i, &r, 16);
	}
}

static void put_cpu(void (*line)(const char *))
{
	struct cpuid_regs v = cpuid(0, 0), f = cpuid(1, 0), e = {0};
	char vendor[13] = "", name[49], *start = name;

	memcpy(vendor, &v.ebx, 4);
	memcpy(vendor + 4, &v.edx, 4);
	memcpy(vendor + 8, &v.ecx, 4);
	brand(name);
	while (*start == ' ')
		start++;
	if (cpu_has_leaf(7))
		e = cpuid(7, 0);
	put(line, "cpu: %s, %s, signature 0x%x, %u running", vendor, start, f.eax, machine_cpus());
	put(line, "cpu: leaf 1 ecx 0x%08x edx 0x%08x, leaf 7 ebx 0x%08x ecx 0x%08x edx 0x%08x",
	    f.ecx, f.edx, e.ebx, e.ecx, e.edx);
	put(line, "cpu: cr0 0x%llx cr4 0x%llx efer 0x%llx%s%s%s", (unsigned long long)read_cr0(),
	    (unsigned long long)read_cr4(), (unsigned long long)rdmsr(MSR_EFER),
	    read_cr4() & CR4_SMEP ? " SMEP" : "", read_cr4() & CR4_SMAP ? " SMAP" : "",
	    read_cr4() & CR4_UMIP ? " UMIP" : "");
}

static void put_memory(void (*line)(const char *))
{
	static const char *const types[] = {"other", "RAM", "reserved", "ACPI", "NVS", "bad"};

	for (unsigned i = 0; i < boot->nr_ranges; i++) {
		const struct boot_range *r = &boot->ranges[i];

		put(line, "memory: %012llx - %012llx %s", (unsigned long long)r->base,
		    (unsigned long long)(r->base + r->bytes - 1),
		    types[r->type < ARRAY_SIZE(types) ? r->type : 0]);
	}
}

void machine_hwinfo(void (*line)(const char *text))
{
	put_cpu(line);
	put(line, "clock: TSC %llu Hz by the %s, APIC timer %llu Hz, %s, %s",
	    (unsigned long long)machine_tsc_hz(), time_source(), (unsigned long long)time_apic_hz(),
	    time_uses_deadline() ? "TSC deadline" : "one-shot",
	    apic_is_x2apic() ? "x2APIC" : "xAPIC");
	put(line, "boot: %s, command line \"%s\", console on %s", boot->loader, cmdline_text(),
	    console_describe());
	put(line, "%s", iommu);
	put_memory(line);
	if (!hvm) {
		put(line, "back end: none");
		return;
	}
	put(line, "back end: %s", hvm->name);
	hvm->describe(line);
}
