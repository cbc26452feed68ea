/* SPDX-License-Identifier: MIT */
/* The guests of a replay: see replay_guests.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/p2m.h"
#include "tests/bench/replay_guests.h"
#include "tests/bench/replay_truth.h"
#include "tests/bench/writer.h"
#include "tests/host/guest.h"

static struct space spaces[MM_MAX_SPACES];
uint64_t guests_outside;

bool guests_shared(uint8_t domid, uint64_t gfn)
{
	enum p2m_type type = p2m_lookup(&spaces[domid], GFN(gfn)).type;

	return type == P2M_SHARED || type == P2M_ZERO || type == P2M_ONES;
}

/* ---- contents ---- */

static const void *content_page(uint32_t content)
{
	static uint64_t word[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
	uint64_t x = (uint64_t)content * UINT64_C(0x9e3779b97f4a7c15);

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
		if (content < 2) {
			word[i] = content ? UINT64_MAX : 0;
			continue;
		}
		x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* one to one, step by step */
		x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
		word[i] = x;
	}
	return word;
}

/* ---- what guests did ---- */

static void do_create(const struct trace_op *op)
{
	struct space_config c = {.domid = op->domid,
	                         .share_group = op->group,
	                         .memory_pages = max_u64(op->gfn, op->n),
	                         .max_pages = max_u64(op->gfn, op->n)};

	if (space_create(&spaces[op->domid], &c) != MM_OK) {
		fprintf(stderr, "replay: domain %u cannot be made\n", op->domid);
		exit(1);
	}
	truth_create(op->domid, op->group, c.memory_pages);
}

static void do_destroy(const struct trace_op *op, uint64_t now_ns)
{
	truth_destroy(op->domid, now_ns);
	while (!space_destroy_step(&spaces[op->domid], UINT64_MAX))
		;
}

static void do_write(const struct trace_op *op, uint64_t now_ns)
{
	struct space *s = &spaces[op->domid];
	gfn_t gfn = GFN(op->gfn);
	enum p2m_type type;

	if (space_find(op->domid) != s) {
		guests_outside++;
		return;
	}
	type = p2m_lookup(s, gfn).type;
	if ((type == P2M_BALLOONED || type == P2M_NONE) && balloon_in(s, &gfn, 1, 0) != 1) {
		guests_outside++;
		return;
	}
	writer_put(s, gfn, 0, content_page(op->content), PAGE_SIZE);
	truth_set(op->domid, op->gfn, op->content, now_ns);
}

static void do_out(const struct trace_op *op, uint64_t now_ns)
{
	struct space *s = &spaces[op->domid];

	if (space_find(op->domid) != s)
		return;
	for (uint64_t i = 0; i < op->n; i++) {
		gfn_t gfn = GFN(op->gfn + i);

		if (balloon_out(s, &gfn, 1, 0) == 1)
			truth_set(op->domid, gfn.n, TRUTH_NOTHING, now_ns);
	}
}

void guests_do(const struct trace_op *op, uint64_t now_ns)
{
	switch (op->kind) {
	case OP_CREATE:
		do_create(op);
		break;
	case OP_DESTROY:
		do_destroy(op, now_ns);
		break;
	case OP_WRITE:
		do_write(op, now_ns);
		break;
	case OP_OUT:
		do_out(op, now_ns);
		break;
	default:
		break;
	}
}

/* ---- checks ---- */

uint64_t guests_wrong(void)
{
	uint64_t wrong = 0;

	for (unsigned d = 1; d < MM_MAX_SPACES; d++)
		for (uint64_t g = 0; g < truth_pages((uint8_t)d); g++) {
			uint32_t content = truth_get((uint8_t)d, g);
			struct p2m_view v;

			if (content == TRUTH_NOTHING)
				continue;
			v = p2m_lookup(&spaces[d], GFN(g));
			wrong += !mfn_valid(v.mfn) ||
			         memcmp(env_frame(v.mfn), content_page(content), PAGE_SIZE);
		}
	return wrong;
}
