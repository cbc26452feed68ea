/* SPDX-License-Identifier: MIT */
/* PCI: only as much as it takes to keep devices from writing to our memory. */
#ifndef ARCH_PCI_H
#define ARCH_PCI_H

#include "arch/x86_64/acpi.h"

/*
 * Clear bus mastering of every function, bridges too: firmware leaves
 * controllers that write to memory which is now ours. Returns how many
 * functions there are; *were_on: how many could write until now.
 */
unsigned pci_stop_dma(unsigned *were_on);

/* One sentence on whether there is an IOMMU and whether it translates. */
const char *iommu_describe(const struct acpi *a);

#endif
