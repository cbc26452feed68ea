/* SPDX-License-Identifier: MIT */
/* How many frames are kept for copy-on-write breaks: a policy, pure. */
#ifndef MM_POLICY_RESERVE_H
#define MM_POLICY_RESERVE_H

#include "mm/leaf/types.h"

/* What is known of the past. */
struct reserve_policy {
	uint64_t least, most;     /* the level stays between these */
	uint64_t breaks, at_ns;   /* when it was looked at last */
	uint64_t breaks_a_second; /* smoothed: up at once, down slowly */
	bool looked;
};

/* `breaks` have been made in all, and it is `now_ns`: the level that is wise from now on. */
uint64_t reserve_level(struct reserve_policy *r, uint64_t breaks, uint64_t now_ns);

#endif
