/* SPDX-License-Identifier: MIT */
/* What a guest brings. */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

/* Each guest has one; on return the guest reports its results and ends (tap_done). */
void guest_main(void);

#endif
