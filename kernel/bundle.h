/* SPDX-License-Identifier: MIT */
/* Boot modules: what they are, and the files that they bring. */
#ifndef KERNEL_BUNDLE_H
#define KERNEL_BUNDLE_H

#include "kernel/boot_info.h"
#include "kernel/config.h"

#define BUNDLE_MAX_FILES 128u

/*
 * Take in all boot modules: bundles (cpio archives), `config`, `kernel ...` and
 * `ramdisk ...` modules. Domain descriptions go to the list, complaints to the
 * sink; returns how many there were.
 */
unsigned bundle_open(const struct boot_info *bi, struct config_list *list,
                     const struct config_sink *sink);

/* The files, in the order in which they came; NULL behind the last. */
const char *bundle_name(unsigned i);

#endif
