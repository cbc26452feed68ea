/* SPDX-License-Identifier: MIT */
/* The ways in which a guest ends. */
#ifndef GUEST_SHUTDOWN_H
#define GUEST_SHUTDOWN_H

enum guest_end { GUEST_POWEROFF = 0, GUEST_REBOOT = 1, GUEST_CRASH = 3 }; /* Xen's SHUTDOWN_* */

void guest_shutdown(enum guest_end how) __attribute__((noreturn));

#endif
