/* SPDX-License-Identifier: MIT */
/* The memory map as guests are told it: by XENMEM_memory_map and in hvm_start_info. */
#ifndef KERNEL_HC_MEMORY_H
#define KERNEL_HC_MEMORY_H

#include "kernel/domain.h"

struct e820_entry;
#define HC_MEMORY_MAP_MAX 2u
/* Fills at most HC_MEMORY_MAP_MAX entries; returns how many. */
unsigned hc_memory_map_of(const struct space *s, struct e820_entry *map);

#endif
