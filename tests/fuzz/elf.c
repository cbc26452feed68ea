/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a guest kernel: a sentence, or a plan of which every segment lies in the
 * file and in the guest's memory, none over another, and one of them holds the entry.
 */
#include "kernel/elf.h"
#include "tests/fuzz/fuzz.h"

#define RAM UINT64_C(0x2000000)

static void check_segment(const struct elf_plan *p, unsigned i, size_t file_bytes)
{
	const struct elf_segment *s = &p->segments[i];

	MUST(s->offset <= file_bytes && s->file_bytes <= file_bytes - s->offset);
	MUST(s->file_bytes <= s->memory_bytes);
	MUST(s->gpa <= RAM && s->memory_bytes <= RAM - s->gpa);
	MUST(p->first <= s->gpa && s->gpa + s->memory_bytes <= p->end);
	for (unsigned k = 0; k < i; k++) {
		const struct elf_segment *o = &p->segments[k];

		MUST(s->gpa + s->memory_bytes <= o->gpa || o->gpa + o->memory_bytes <= s->gpa);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct elf_plan p;
	const char *why = elf_plan(bytes, n, RAM, &p);

	if (why) {
		MUST(*why);
		return 0;
	}
	MUST(p.nr_segments > 0 && p.nr_segments <= ELF_MAX_SEGMENTS);
	MUST(p.first <= p.entry && p.entry < p.end);
	for (unsigned i = 0; i < p.nr_segments; i++)
		check_segment(&p, i, n);
	return 0;
}
