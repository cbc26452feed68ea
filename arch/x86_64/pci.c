/* SPDX-License-Identifier: MIT */
/*
 * Devices that firmware used (a network card that waits for a packet, a USB
 * controller that walks its lists) go on writing to memory which is ours now. So
 * bus mastering of every function of PCI segment 0 is cleared before the first
 * frame is handed out. An IOMMU is looked at, and left as it is.
 */
#include "arch/x86_64/pci.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "kernel/string.h"

/* Configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2). */
#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc

#define COMMAND_MASTER BIT(2)
#define MULTIFUNCTION  BIT(23) /* in the dword of the header type */

static uint32_t config_read(unsigned bus, unsigned device, unsigned function, unsigned at)
{
	outl(PORT_ADDRESS, 0x80000000u | bus << 16 | device << 11 | function << 8 | at);
	return inl(PORT_DATA);
}

/* Only the 16-bit command register: writing the status above would clear its flags. */
static void command_write(unsigned bus, unsigned device, unsigned function, uint16_t v)
{
	outl(PORT_ADDRESS, 0x80000000u | bus << 16 | device << 11 | function << 8 | 4);
	outw(PORT_DATA, v);
}

/* False if there is no such function. */
static bool function_stop(unsigned bus, unsigned device, unsigned function, unsigned *were_on)
{
	uint32_t id = config_read(bus, device, function, 0), command;

	if ((id & 0xffff) == 0xffff)
		return false;
	command = config_read(bus, device, function, 4);
	if (command & COMMAND_MASTER) {
		command_write(bus, device, function, (uint16_t)(command & ~COMMAND_MASTER));
		++*were_on;
	}
	return true;
}

unsigned pci_stop_dma(unsigned *were_on)
{
	unsigned n = 0;

	*were_on = 0;
	for (unsigned bus = 0; bus < 256; bus++) {
		for (unsigned device = 0; device < 32; device++) {
			unsigned functions = 8;

			if (!function_stop(bus, device, 0, were_on))
				continue;
			n++;
			if (!(config_read(bus, device, 0, 0xc) & MULTIFUNCTION))
				functions = 1;
			for (unsigned f = 1; f < functions; f++)
				n += function_stop(bus, device, f, were_on);
		}
	}
	return n;
}

/* A 32-bit register of a device; all ones if it cannot be mapped. */
static uint32_t mmio_read32(uint64_t hpa)
{
	volatile uint32_t *p = mmio_map(hpa, 4, MAP_UC);

	return p ? *p : UINT32_MAX;
}

/* Intel: the first DRHD's global status, bit 31 = translation on (VT-d spec, 8.3 and 11.4.4.2). */
static const char *vtd(struct acpi_table t)
{
	for (uint32_t at = 48; at + 16 <= t.bytes;) {
		uint16_t type, n;
		uint64_t base;

		memcpy(&type, t.data + at, 2);
		memcpy(&n, t.data + at + 2, 2);
		memcpy(&base, t.data + at + 8, 8);
		if (type == 0)
			return mmio_read32(base + 0x1c) & BIT(31)
			           ? "IOMMU (VT-d): present and on, as the firmware left it"
			           : "IOMMU (VT-d): present, off";
		if (n < 16)
			break;
		at += n;
	}
	return "IOMMU (VT-d): the DMAR table names no unit";
}

/* AMD: the first IVHD's control register, bit 0 = on (AMD I/O Virtualization spec, 5.2.2, 3.4.2).
 */
static const char *amdvi(struct acpi_table t)
{
	uint64_t base;

	if (t.bytes < 48 + 16)
		return "IOMMU (AMD-Vi): the IVRS table names no unit";
	memcpy(&base, t.data + 48 + 8, 8);
	return mmio_read32(base + 0x18) & 1
	           ? "IOMMU (AMD-Vi): present and on, as the firmware left it"
	           : "IOMMU (AMD-Vi): present, off";
}

const char *iommu_describe(const struct acpi *a)
{
	struct acpi_table t = acpi_find(a, "DMAR");

	if (t.data)
		return vtd(t);
	t = acpi_find(a, "IVRS");
	if (t.data)
		return amdvi(t);
	return "IOMMU: none";
}
