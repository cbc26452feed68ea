/* SPDX-License-Identifier: MIT */
/*
 * The reader of PVH kernels: what it accepts goes where the file says, and each
 * malformation gets its own sentence. Images are built here, 32 and 64 bits
 * wide, and then broken, one thing at a time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/elf.h"

#define RAM   UINT64_C(0x2000000)
#define BYTES 2048u

/*
 * The sample: headers at 0, program headers behind, text at 1024 (256 bytes to
 * 1 MiB), data at 1280 (64 bytes of 4096 to 2 MiB), notes at 1344, one section
 * header at 1536.
 */
#define TEXT_AT  1024u
#define DATA_AT  1280u
#define NOTES_AT 1344u
#define SHDR_AT  1536u
#define ENTRY    0x100010u

struct image {
	_Alignas(8) uint8_t data[BYTES];
	size_t bytes;
};

/* Two notes; the second is the entry. */
static size_t put_notes(uint8_t *p, uint64_t entry, uint32_t entry_bytes)
{
	uint32_t other[] = {4, 3, 6}, ours[] = {4, entry_bytes, 18};

	memcpy(p, other, 12);
	memcpy(p + 12, "Xen\0abc", 7);
	memcpy(p + 20, ours, 12);
	memcpy(p + 32, "Xen", 4);
	memcpy(p + 36, &entry, entry_bytes < 8 ? entry_bytes : 8);
	return 36 + entry_bytes;
}

static struct image wide(void)
{
	struct image m = {.bytes = BYTES};
	Elf64_Ehdr e = {
	    .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_EXEC,
	    .e_machine = EM_X86_64,
	    .e_version = 1,
	    .e_phoff = 64,
	    .e_shoff = SHDR_AT,
	    .e_ehsize = 64,
	    .e_phentsize = 56,
	    .e_phnum = 3,
	    .e_shentsize = 64,
	    .e_shnum = 1
        };
	size_t notes = put_notes(m.data + NOTES_AT, ENTRY, 4);
	Elf64_Phdr p[3] = {
	    {.p_type = PT_LOAD,
	     .p_offset = TEXT_AT,
	     .p_vaddr = ~0xfffffull,
	     .p_paddr = 0x100000,
	     .p_filesz = 256,
	     .p_memsz = 256},
	    {.p_type = PT_LOAD,
	     .p_offset = DATA_AT,
	     .p_paddr = 0x200000,
	     .p_filesz = 64,
	     .p_memsz = 4096},
	    {.p_type = PT_NOTE,    .p_offset = NOTES_AT,     .p_filesz = notes,                  .p_align = 4},
	};
	Elf64_Shdr s = {.sh_type = SHT_NOTE, .sh_offset = NOTES_AT, .sh_size = notes};

	memcpy(m.data, &e, sizeof(e));
	memcpy(m.data + 64, p, sizeof(p));
	memcpy(m.data + SHDR_AT, &s, sizeof(s));
	memset(m.data + TEXT_AT, 0x90, 256);
	return m;
}

static struct image narrow(void)
{
	struct image m = {.bytes = BYTES};
	Elf32_Ehdr e = {
	    .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
	    .e_type = ET_EXEC,
	    .e_machine = EM_386,
	    .e_version = 1,
	    .e_phoff = 52,
	    .e_shoff = SHDR_AT,
	    .e_ehsize = 52,
	    .e_phentsize = 32,
	    .e_phnum = 2,
	    .e_shentsize = 40,
	    .e_shnum = 1
        };
	uint32_t notes = (uint32_t)put_notes(m.data + NOTES_AT, ENTRY, 8);
	Elf32_Phdr p[2] = {
	    {.p_type = PT_LOAD,
	     .p_offset = TEXT_AT,
	     .p_paddr = 0x100000,
	     .p_filesz = 256,
	     .p_memsz = 256},
	    {.p_type = PT_NOTE,                 .p_offset = NOTES_AT, .p_filesz = notes, .p_align = 4},
	};
	Elf32_Shdr s = {.sh_type = SHT_NOTE, .sh_offset = NOTES_AT, .sh_size = notes};

	memcpy(m.data, &e, sizeof(e));
	memcpy(m.data + 52, p, sizeof(p));
	memcpy(m.data + SHDR_AT, &s, sizeof(s));
	return m;
}

/* Plan an exactly sized copy: the sanitizer sees a byte read past its end. */
static const char *plan_of(const struct image *m, uint64_t ram, struct elf_plan *plan)
{
	void *copy = malloc(m->bytes ? m->bytes : 1);
	const char *why;

	memcpy(copy, m->data, m->bytes);
	why = elf_plan(copy, m->bytes, ram, plan);
	free(copy);
	if (!why) { /* what was accepted can be loaded without another check */
		assert_in_range(plan->nr_segments, 1, ELF_MAX_SEGMENTS);
		for (unsigned i = 0; i < plan->nr_segments; i++) {
			const struct elf_segment *s = &plan->segments[i];

			assert_true(s->file_bytes <= s->memory_bytes);
			assert_true(s->offset <= m->bytes && s->file_bytes <= m->bytes - s->offset);
			assert_true(s->gpa <= ram && s->memory_bytes <= ram - s->gpa);
			assert_true(s->gpa >= plan->first && s->gpa + s->memory_bytes <= plan->end);
		}
	}
	return why;
}

static void a_64_bit_kernel(void **state)
{
	struct image m = wide();
	struct elf_plan p;

	(void)state;
	assert_null(plan_of(&m, RAM, &p));
	assert_int_equal(p.entry, ENTRY);
	assert_int_equal(p.nr_segments, 2);
	assert_int_equal(p.segments[0].gpa, 0x100000);
	assert_int_equal(p.segments[0].offset, TEXT_AT);
	assert_int_equal(p.segments[1].file_bytes, 64);
	assert_int_equal(p.segments[1].memory_bytes, 4096);
	assert_int_equal(p.first, 0x100000);
	assert_int_equal(p.end, 0x201000);
	assert_null(plan_of(&m, 0x201000, &p)); /* memory that ends with the last segment */
}

static void a_32_bit_kernel(void **state)
{
	struct image m = narrow();
	struct elf_plan p;

	(void)state;
	assert_null(plan_of(&m, RAM, &p));
	assert_int_equal(p.entry, ENTRY);
	assert_int_equal(p.nr_segments, 1);
	assert_int_equal(p.end, 0x100100);
}

static Elf64_Ehdr *head(struct image *m)
{
	return (Elf64_Ehdr *)m->data;
}

static Elf64_Phdr *phdr(struct image *m, unsigned i)
{
	return (Elf64_Phdr *)(m->data + 64) + i;
}

static Elf64_Shdr *shdr(struct image *m)
{
	return (Elf64_Shdr *)(m->data + SHDR_AT);
}

/* Some guests carry the note in a section and have no PT_NOTE segment. */
static void the_note_may_be_in_a_section_only(void **state)
{
	struct image m = wide();
	struct elf_plan p;

	(void)state;
	phdr(&m, 2)->p_type = PT_NULL;
	assert_null(plan_of(&m, RAM, &p));
	assert_int_equal(p.entry, ENTRY);
}

/* What is walked is bounded, whatever the headers say: all of them may name the same notes, and large ones. */
static void notes_are_bounded(void **state)
{
	const size_t bytes = BYTES + (2u << 20);
	uint8_t *big = calloc(1, bytes);
	struct image m = wide();
	struct elf_plan p;

	(void)state;
	phdr(&m, 2)->p_offset = BYTES;
	phdr(&m, 2)->p_filesz = (1u << 20) + 4;
	memcpy(big, &m.data, BYTES);
	assert_string_equal(elf_plan(big, bytes, RAM, &p),
	                    "its ELF notes are longer than 1 MiB in all");
	((Elf64_Phdr *)(void *)(big + 64))[2].p_filesz = 1u << 20;
	assert_non_null(
	    strstr(elf_plan(big, bytes, RAM, &p), "1 MiB in all")); /* with those of the section */
	free(big);
}

/* 0 is an address like any other: presence is not told by the value. */
static void the_entry_may_be_zero(void **state)
{
	struct image m = wide();
	struct elf_plan p;

	(void)state;
	put_notes(m.data + NOTES_AT, 0, 8);
	phdr(&m, 2)->p_filesz = 44;
	phdr(&m, 0)->p_paddr = 0;
	assert_null(plan_of(&m, RAM, &p));
	assert_int_equal(p.entry, 0);
}

/* Notes padded to 8 (p_align 8), as newer linkers write them. */
static void notes_may_be_padded_to_eight(void **state)
{
	struct image m = wide();
	struct elf_plan p;
	uint32_t first[] = {4, 4, 5}, ours[] = {4, 8, 18};
	uint64_t entry = ENTRY;

	(void)state;
	memset(m.data + NOTES_AT, 0, 64);
	memcpy(m.data + NOTES_AT, first, 12);
	memcpy(m.data + NOTES_AT + 12, "GNU", 4);
	memcpy(m.data + NOTES_AT + 24, ours, 12);
	memcpy(m.data + NOTES_AT + 36, "Xen", 4);
	memcpy(m.data + NOTES_AT + 40, &entry, 8);
	phdr(&m, 2)->p_align = 8;
	phdr(&m, 2)->p_filesz = 48;
	assert_null(plan_of(&m, RAM, &p));
	assert_int_equal(p.entry, ENTRY);
}

/* ---- what is refused ---- */

static void not_elf(struct image *m)
{
	m->data[0] = 0;
}
static void empty(struct image *m)
{
	m->bytes = 0;
}
static void bzimage(struct image *m)
{
	memcpy(m->data + 0x202, "HdrS", 4);
}
static void big_endian(struct image *m)
{
	m->data[EI_DATA] = ELFDATA2MSB;
}
static void class_3(struct image *m)
{
	m->data[EI_CLASS] = 3;
}
static void head_cut(struct image *m)
{
	m->bytes = 63;
}
static void object(struct image *m)
{
	head(m)->e_type = ET_REL;
}
static void arm(struct image *m)
{
	head(m)->e_machine = EM_AARCH64;
}
static void no_phdrs(struct image *m)
{
	head(m)->e_phnum = 0;
}
static void many_phdrs(struct image *m)
{
	head(m)->e_phnum = 0xffff;
}
static void small_phdrs(struct image *m)
{
	head(m)->e_phentsize = 55;
}
static void phdrs_outside(struct image *m)
{
	head(m)->e_phoff = BYTES - 100;
}
static void phdrs_wrap(struct image *m)
{
	head(m)->e_phoff = UINT64_MAX - 60;
}
static void no_loads(struct image *m)
{
	phdr(m, 0)->p_type = phdr(m, 1)->p_type = PT_NULL;
}
static void empty_loads(struct image *m)
{
	for (unsigned i = 0; i < 2; i++)
		phdr(m, i)->p_filesz = phdr(m, i)->p_memsz = 0;
}
static void file_above_memory(struct image *m)
{
	phdr(m, 1)->p_memsz = 63;
}
static void segment_outside(struct image *m)
{
	phdr(m, 1)->p_offset = BYTES - 63;
}
static void segment_offset_wraps(struct image *m)
{
	phdr(m, 1)->p_offset = UINT64_MAX - 10;
}
static void segment_huge(struct image *m)
{
	phdr(m, 1)->p_filesz = phdr(m, 1)->p_memsz = UINT64_MAX;
}
static void address_wraps(struct image *m)
{
	phdr(m, 1)->p_paddr = UINT64_MAX - 4000;
}
static void above_ram(struct image *m)
{
	phdr(m, 1)->p_paddr = RAM - 4095;
}
static void memory_huge(struct image *m)
{
	phdr(m, 1)->p_memsz = UINT64_C(1) << 40;
}
static void overlap(struct image *m)
{
	phdr(m, 1)->p_paddr = 0x1000ff;
}
static void same_place(struct image *m)
{
	phdr(m, 1)->p_paddr = 0x100000;
}
static void around(struct image *m)
{
	phdr(m, 1)->p_paddr = 0xff800;
}
static void notes_outside(struct image *m)
{
	phdr(m, 2)->p_offset = BYTES - 4;
}
static void notes_wrap(struct image *m)
{
	phdr(m, 2)->p_filesz = UINT64_MAX;
}
static void note_cut(struct image *m)
{
	phdr(m, 2)->p_filesz -= 1;
}
static void note_name_huge(struct image *m)
{
	memset(m->data + NOTES_AT, 0xff, 4);
}
static void note_desc_huge(struct image *m)
{
	memset(m->data + NOTES_AT + 4, 0xff, 4);
}
static void entry_size(struct image *m)
{
	phdr(m, 2)->p_filesz = put_notes(m->data + NOTES_AT, ENTRY, 5);
}
static void entry_empty(struct image *m)
{
	phdr(m, 2)->p_filesz = put_notes(m->data + NOTES_AT, ENTRY, 0);
}
static void entry_high(struct image *m)
{
	phdr(m, 2)->p_filesz = put_notes(m->data + NOTES_AT, UINT64_C(1) << 32, 8);
}
static void entry_outside(struct image *m)
{
	put_notes(m->data + NOTES_AT, 0x100100, 4);
}
static void no_entry(struct image *m)
{
	m->data[NOTES_AT + 28] = 17;
}
static void other_owner(struct image *m)
{
	m->data[NOTES_AT + 32] = 'x';
}
static void no_notes(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	head(m)->e_shnum = 0;
}
static void sections_outside(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	head(m)->e_shoff = BYTES - 8;
}
static void sections_wrap(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	head(m)->e_shoff = UINT64_MAX;
}
static void sections_small(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	head(m)->e_shentsize = 8;
}
static void sections_many(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	head(m)->e_shnum = 0xfff0;
}
static void section_notes_outside(struct image *m)
{
	phdr(m, 2)->p_type = PT_NULL;
	shdr(m)->sh_size = BYTES;
}

static void each_malformation_has_its_sentence(void **state)
{
	static const struct {
		void (*spoil)(struct image *m);
		const char *why; /* how the sentence begins */
	} rows[] = {
	    {not_elf,               "it is not an ELF file"                                        },
	    {empty,                 "it is not an ELF file"                                        },
	    {bzimage,               "it is a bzImage"	                                      },
	    {big_endian,            "it is not a little-endian ELF file"                           },
	    {class_3,               "it is an ELF file of neither 32 nor 64 bits"                  },
	    {head_cut,              "its ELF header is cut off"                                    },
	    {object,                "it is an ELF file, but not a program"                         },
	    {arm,	           "it is a program for another machine"                          },
	    {no_phdrs,              "it has no program headers"                                    },
	    {many_phdrs,            "it has more than 4096 program headers"                        },
	    {small_phdrs,           "its program headers are too small"                            },
	    {phdrs_outside,         "its program headers lie outside of the file"                  },
	    {phdrs_wrap,            "its program headers lie outside of the file"                  },
	    {no_loads,              "it has no segment to load"                                    },
	    {empty_loads,           "it has no segment to load"                                    },
	    {file_above_memory,     "one of its segments is larger in the file than in memory"     },
	    {segment_outside,       "one of its segments lies outside of the file"                 },
	    {segment_offset_wraps,  "one of its segments lies outside of the file"                 },
	    {segment_huge,          "one of its segments lies outside of the file"                 },
	    {address_wraps,         "one of its segments reaches past the end of the address space"},
	    {above_ram,             "it does not fit into the domain's memory"                     },
	    {memory_huge,           "it does not fit into the domain's memory"                     },
	    {overlap,               "two of its segments overlap"                                  },
	    {same_place,            "two of its segments overlap"                                  },
	    {around,                "two of its segments overlap"                                  },
	    {notes_outside,         "a segment of notes lies outside of the file"                  },
	    {notes_wrap,            "a segment of notes lies outside of the file"                  },
	    {note_cut,              "one of its ELF notes is cut off"                              },
	    {note_name_huge,        "one of its ELF notes is cut off"                              },
	    {note_desc_huge,        "one of its ELF notes is cut off"                              },
	    {entry_size,            "its PVH entry note has a wrong size"                          },
	    {entry_empty,           "its PVH entry note has a wrong size"                          },
	    {entry_high,            "its PVH entry lies above 4 GiB"                               },
	    {entry_outside,         "its PVH entry lies in none of its segments"                   },
	    {no_entry,              "it has no PVH entry"                                          },
	    {other_owner,           "it has no PVH entry"                                          },
	    {no_notes,              "it has no PVH entry"                                          },
	    {sections_outside,      "its section headers lie outside of the file"                  },
	    {sections_wrap,         "its section headers lie outside of the file"                  },
	    {sections_small,        "its section headers are too small"                            },
	    {sections_many,         "it has more than 4096 section headers"                        },
	    {section_notes_outside, "a section of notes lies outside of the file"                  },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image m = wide();
		struct elf_plan p;
		const char *why;

		rows[i].spoil(&m);
		why = plan_of(&m, RAM, &p);
		if (!why || strncmp(why, rows[i].why, strlen(rows[i].why)))
			fail_msg("row %zu: expected `%s`, got `%s`", i, rows[i].why,
			         why ? why : "ok");
	}
}

static void too_many_segments(void **state)
{
	static struct image m;
	struct elf_plan p;
	Elf64_Phdr *at;

	(void)state;
	m = wide();
	head(&m)->e_phoff = 64;
	head(&m)->e_phnum = 17; /* as many as fit in front of the text */
	for (unsigned i = 2; i < 17; i++) {
		at = phdr(&m, i);
		*at = (Elf64_Phdr){.p_type = PT_LOAD, .p_paddr = 0x300000 + i * 4096, .p_memsz = 8};
	}
	assert_null(plan_of(&m, RAM, &p)); /* the entry comes from the section */
	assert_int_equal(p.nr_segments, 17);
	/* 33 of them, in headers that overlap in the file, as a hostile file may have them. */
	head(&m)->e_phnum = 33;
	head(&m)->e_phoff = 64;
	m.bytes = BYTES;
	memset(m.data + 64, 0, BYTES - 64);
	for (unsigned i = 0; i < 33; i++)
		*phdr(&m, i) =
		    (Elf64_Phdr){.p_type = PT_LOAD, .p_paddr = 0x300000 + i * 4096, .p_memsz = 8};
	assert_string_equal(plan_of(&m, RAM, &p), "it has more than 32 segments to load");
}

/* A file cut at any byte is refused or harmless; so is one with any byte changed. */
static void cuts_and_flips(void **state)
{
	struct image (*make[])(void) = {wide, narrow};
	struct elf_plan p;

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		for (size_t n = 0; n < BYTES; n++) {
			struct image m = make[k]();

			m.bytes = n;
			plan_of(&m, RAM, &p);
			m.bytes = BYTES;
			for (unsigned bit = 0; bit < 8; bit++) {
				m.data[n] ^= (uint8_t)(1u << bit);
				plan_of(&m, RAM, &p);
				m.data[n] ^= (uint8_t)(1u << bit);
			}
			m.data[n] = 0xff;
			plan_of(&m, RAM, &p);
		}
	}
}

/* Random fields in all headers at once. */
static void random_headers(void **state)
{
	struct elf_plan p;

	(void)state;
	srand(7);
	for (unsigned i = 0; i < 20000; i++) {
		struct image m = rand() % 2 ? wide() : narrow();

		for (unsigned k = (unsigned)rand() % 6; k; k--) {
			uint64_t values[] = {
			    0,    1, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63, (uint64_t)rand(),
			    BYTES};
			size_t at = (size_t)rand() % 2 ? 16u + (size_t)rand() % 300u
			                               : NOTES_AT + (size_t)rand() % 250u;

			memcpy(m.data + at, &values[rand() % 7], (size_t)rand() % 9);
		}
		plan_of(&m, rand() % 2 ? RAM : (uint64_t)rand(), &p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_64_bit_kernel),
	    cmocka_unit_test(a_32_bit_kernel),
	    cmocka_unit_test(the_note_may_be_in_a_section_only),
	    cmocka_unit_test(notes_are_bounded),
	    cmocka_unit_test(the_entry_may_be_zero),
	    cmocka_unit_test(notes_may_be_padded_to_eight),
	    cmocka_unit_test(each_malformation_has_its_sentence),
	    cmocka_unit_test(too_many_segments),
	    cmocka_unit_test(cuts_and_flips),
	    cmocka_unit_test(random_headers),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
