/* SPDX-License-Identifier: MIT */
/*
 * The plain policy: every space in turn, every page in turn. A page is read once
 * after it was written, when one whole pass went by without another write; then
 * not again until it is written. KSM by contrast waits two passes and reads
 * every unshared page in each of them.
 *
 * It rests when there is little to gain: after a pass that placed nothing, for
 * eight times as long as the scanner was busy in it, so that an idle machine
 * spends at most a ninth of one CPU on looking at dirty bits. The factor has no
 * unit on purpose: it holds on an emulator and on a fast machine alike.
 */
#include "mm/policy/policy.h"

#define PLAIN_REST 8u

static bool plain_next(struct scan_cursor *at, const struct scan_pass *last)
{
	bool starts_a_pass = at->domid == 0;

	if (!starts_a_pass || last->placed)
		return true;
	return env_cycles() - last->ended_at >= PLAIN_REST * last->busy;
}

static void plain_written(struct frame *f)
{
	(void)f;
}

static bool plain_quiet(struct frame *f)
{
	(void)f;
	return true;
}

const struct scan_policy policy_plain = {
    .name = "plain",
    .help = "round robin; reads once what was written and then left alone for a pass",
    .next = plain_next,
    .written = plain_written,
    .quiet = plain_quiet,
};
