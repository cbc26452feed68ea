/* SPDX-License-Identifier: MIT */
/* Which memory is whose until the memory core takes over, and an allocator that only gives. */
#ifndef ARCH_BOOTMEM_H
#define ARCH_BOOTMEM_H

#include "arch/x86_64/boot_found.h"
#include "arch/x86_64/memmap.h"
#include "kernel/boot_info.h"

extern struct memmap boot_ram;      /* all RAM that we can address */
extern struct memmap boot_free;     /* RAM that is nobody's */
extern struct memmap boot_readonly; /* boot modules and ACPI tables: mapped, never written */
extern uint64_t boot_trampoline;    /* a page below 1 MiB for starting CPUs; 0 if none */

void bootmem_init(const struct boot_found *f);
/* Zeroed, page-aligned; below 4 GiB until bootmem_all_mapped(). 0 if there is none. */
uint64_t bootmem_alloc(uint64_t bytes, uint64_t align);
void bootmem_all_mapped(void);
/* No more: what is left in boot_free belongs to the memory core. */
void bootmem_close(void);
bool bootmem_open(void);

#endif
