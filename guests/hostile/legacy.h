/* SPDX-License-Identifier: MIT */
/* Attacks from outside long mode. None comes back. */
#ifndef GUEST_LEGACY_H
#define GUEST_LEGACY_H

#include <stdint.h>

/* Leave long mode, paging off, flat 32-bit segments, and go to `where` with EBX = argument. */
void legacy_enter(void (*where)(void), uint32_t argument) __attribute__((noreturn));

void legacy_pae(void);       /* paging on, PAE, CR3 = EBX */
void legacy_pae_cd(void);    /* the same, and caches off by the same write */
void legacy_task_gate(void); /* an interrupt through a task gate */
void legacy_task_jump(void); /* a far jump to a TSS */
void legacy_ac_loop(void);   /* #AC whose delivery raises #AC (CVE-2015-5307) */
void legacy_real_mode(void); /* real mode, a software interrupt there, then HLT for good */

#endif
