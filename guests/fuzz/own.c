/* SPDX-License-Identifier: MIT */
/* Memory of this guest that no operation may change: written and checked all the time, and of
 * the same contents as the neighbours', so that it is merged with theirs. */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/pattern.h"
#include "guests/lib/tap.h"

#define OWN_PAGES 64u
#define CONTENTS  8u

static uint8_t *own;
static uint64_t keys[OWN_PAGES];
static bool wrong;

void own_init(void)
{
	own = memory_take(OWN_PAGES);
	for (unsigned i = 0; i < OWN_PAGES; i++) {
		keys[i] = 1 + i % CONTENTS;
		pattern_fill(own + i * PAGE_SIZE, keys[i]);
	}
}

/* vCPU 0's alone. */
bool own_memory(struct fuzzer *f)
{
	unsigned i = (unsigned)below(f, OWN_PAGES);

	if (f->id)
		return false;
	if (!pattern_verify(own + i * PAGE_SIZE, keys[i], "own memory"))
		wrong = true;
	keys[i] = 1 + below(f, CONTENTS);
	pattern_fill(own + i * PAGE_SIZE, keys[i]);
	return true;
}

bool own_whole(void)
{
	for (unsigned i = 0; i < OWN_PAGES; i++)
		wrong |= !pattern_verify(own + i * PAGE_SIZE, keys[i], "own memory, at the end");
	return !wrong;
}
