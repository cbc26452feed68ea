/* SPDX-License-Identifier: MIT */
/* A guest's writes: see writer.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/core.h"
#include "tests/bench/measure.h"
#include "tests/bench/writer.h"

static struct writer_faults faults;

/* The page that a write to gfn reaches, flags set on the way; NULL: it faults. */
static uint8_t *writer_walk(struct space *s, gfn_t gfn)
{
	const struct pte_format *f = mm.format;
	mfn_t table = s->root;

	for (unsigned level = f->levels;; level--) {
		uint64_t *e = (uint64_t *)env_frame(table) + (gfn.n >> (9 * (level - 1))) % 512;
		uint64_t v = __atomic_load_n(e, __ATOMIC_ACQUIRE);
		enum pte_kind kind = f->kind(v, level);

		if (kind == PTE_LEAF && f->access(v) & PTE_W) {
			v = __atomic_fetch_or(e, f->accessed_mask | f->dirty_mask,
			                      __ATOMIC_ACQ_REL);
			if (mm_dirty_source() == DIRTY_LOG && !(v & f->dirty_mask))
				dirty_logged(s, gfn);
			return env_frame(
			    MFN(f->frame(v, level).n + gfn.n % (UINT64_C(1) << (9 * (level - 1)))));
		}
		if (kind != PTE_TABLE)
			return NULL;
		__atomic_fetch_or(e, f->accessed_mask, __ATOMIC_ACQ_REL);
		table = f->frame(v, level);
	}
}

static void writer_fault(struct space *s, gfn_t gfn)
{
	uint64_t begin = measure_tsc();
	enum mm_verdict verdict = mm_fault(s, gfn, FAULT_WRITE);

	faults.ticks += measure_tsc() - begin;
	faults.n++;
	if (verdict != VERDICT_RESUME) {
		fprintf(stderr, "a write to guest frame %llu was not served\n",
		        (unsigned long long)gfn.n);
		exit(1);
	}
}

void writer_put(struct space *s, gfn_t gfn, unsigned at, const void *data, unsigned bytes)
{
	uint8_t *page;

	while (!(page = writer_walk(s, gfn)))
		writer_fault(s, gfn);
	if (data)
		memcpy(page + at, data, bytes);
}

struct writer_faults writer_faults(void)
{
	struct writer_faults was = faults;

	faults = (struct writer_faults){0};
	return was;
}
