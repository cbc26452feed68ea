/* SPDX-License-Identifier: MIT */
/* Memory for the frame table and the index, and the start of the memory core. */
#ifndef ARCH_FRAMES_H
#define ARCH_FRAMES_H

/* Takes what is left of boot memory; bootmem_alloc is closed after it. */
void frames_init(void);

#endif
