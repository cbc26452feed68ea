/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of PVH kernels.
 *
 * The file may come from anyone, so nothing in it is believed: each offset and
 * length is added with a check for overflow and compared with the size of the
 * file or of guest memory. Headers are copied out, as they may lie unaligned.
 * Segments go to their physical addresses, as Xen's builder does, and may not
 * overlap: two loaders would disagree about who wins.
 *
 * The entry is in an ELF note (owner "Xen", type XEN_ELFNOTE_PHYS32_ENTRY, xen/elfnote.h) in
 * PT_NOTE segments; some guests have it in SHT_NOTE sections only. 4 or 8 bytes; 0 is an address.
 *
 * Formats: System V ABI, chapters 4 and 5.
 */
#include "kernel/elf.h"

#include "kernel/string.h"
#include "mm/leaf/bits.h"

#define ELFCLASS32 1
#define ELFCLASS64 2
#define ET_EXEC    2
#define ET_DYN     3
#define EM_386     3
#define EM_X86_64  62
#define PT_LOAD    1
#define PT_NOTE    4
#define SHT_NOTE   7

#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define MAX_HEADERS 4096u /* program or section headers that we are ready to walk */
#define NOTES_MAX   0x100000u

struct ehdr64 {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct ehdr32 {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version, entry, phoff, shoff, flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct phdr64 {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct phdr32 {
	uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

struct shdr64 {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t addralign, entsize;
};

struct shdr32 {
	uint32_t name, type, flags, addr, offset, size, link, info, addralign, entsize;
};

_Static_assert(sizeof(struct ehdr64) == 64 && sizeof(struct ehdr32) == 52, "ELF headers");
_Static_assert(sizeof(struct phdr64) == 56 && sizeof(struct phdr32) == 32, "program headers");
_Static_assert(sizeof(struct shdr64) == 64 && sizeof(struct shdr32) == 40, "section headers");

struct reader {
	const uint8_t *image;
	uint64_t bytes, ram_bytes;
	bool wide;
	struct ehdr64 head; /* of either width */
	struct elf_plan *plan;
	bool entry_found;
	uint64_t note_bytes; /* read so far: headers may all name the same, large ones */
};

/* Whether [offset, offset + length) lies in the file. */
static bool inside(const struct reader *r, uint64_t offset, uint64_t length)
{
	uint64_t end;

	return !__builtin_add_overflow(offset, length, &end) && end <= r->bytes;
}

/* Entry i of a table in the file, `size` bytes of it; false if it lies outside. */
static bool table_entry(const struct reader *r, uint64_t table, unsigned i, uint16_t stride,
                        void *dst, size_t size)
{
	uint64_t at;

	if (__builtin_add_overflow(table, (uint64_t)i * stride, &at) || !inside(r, at, size))
		return false;
	memcpy(dst, r->image + at, size);
	return true;
}

static void head_from_32(struct ehdr64 *h, const struct ehdr32 *n)
{
	*h = (struct ehdr64){.type = n->type,
	                     .machine = n->machine,
	                     .phoff = n->phoff,
	                     .shoff = n->shoff,
	                     .phentsize = n->phentsize,
	                     .phnum = n->phnum,
	                     .shentsize = n->shentsize,
	                     .shnum = n->shnum};
}

static const char *read_head(struct reader *r)
{
	static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};
	struct ehdr32 narrow;

	if (r->bytes >= 0x206 && !memcmp(r->image + 0x202, "HdrS", 4))
		return "it is a bzImage; an uncompressed vmlinux is needed (Linux's "
		       "scripts/extract-vmlinux makes one)";
	if (r->bytes < sizeof(narrow) || memcmp(r->image, magic, sizeof(magic)))
		return "it is not an ELF file";
	if (r->image[5] != 1)
		return "it is not a little-endian ELF file";
	r->wide = r->image[4] == ELFCLASS64;
	if (r->wide) {
		if (r->bytes < sizeof(r->head))
			return "its ELF header is cut off";
		memcpy(&r->head, r->image, sizeof(r->head));
	} else if (r->image[4] == ELFCLASS32) {
		memcpy(&narrow, r->image, sizeof(narrow));
		head_from_32(&r->head, &narrow);
	} else {
		return "it is an ELF file of neither 32 nor 64 bits";
	}
	if (r->head.type != ET_EXEC && r->head.type != ET_DYN)
		return "it is an ELF file, but not a program (a relocatable object or a core "
		       "dump?)";
	if (r->head.machine != EM_X86_64 && r->head.machine != EM_386)
		return "it is a program for another machine, not for x86";
	if (!r->head.phnum)
		return "it has no program headers, so there is nothing to load";
	if (r->head.phnum > MAX_HEADERS)
		return "it has more than 4096 program headers";
	if (r->head.phentsize < (r->wide ? sizeof(struct phdr64) : sizeof(struct phdr32)))
		return "its program headers are too small";
	return NULL;
}

static bool read_phdr(const struct reader *r, unsigned i, struct phdr64 *p)
{
	struct phdr32 n;

	if (r->wide)
		return table_entry(r, r->head.phoff, i, r->head.phentsize, p, sizeof(*p));
	if (!table_entry(r, r->head.phoff, i, r->head.phentsize, &n, sizeof(n)))
		return false;
	*p = (struct phdr64){.type = n.type,
	                     .offset = n.offset,
	                     .paddr = n.paddr,
	                     .filesz = n.filesz,
	                     .memsz = n.memsz,
	                     .align = n.align};
	return true;
}

static bool read_shdr(const struct reader *r, unsigned i, struct shdr64 *s)
{
	struct shdr32 n;

	if (r->wide)
		return table_entry(r, r->head.shoff, i, r->head.shentsize, s, sizeof(*s));
	if (!table_entry(r, r->head.shoff, i, r->head.shentsize, &n, sizeof(n)))
		return false;
	*s = (struct shdr64){
	    .type = n.type, .offset = n.offset, .size = n.size, .addralign = n.addralign};
	return true;
}

/* ---- notes ---- */

static const char *take_entry(struct reader *r, const uint8_t *desc, uint32_t bytes)
{
	uint64_t entry = 0;

	if (bytes != 4 && bytes != 8)
		return "its PVH entry note has a wrong size (4 or 8 bytes are right)";
	memcpy(&entry, desc, bytes);
	if (entry > UINT32_MAX)
		return "its PVH entry lies above 4 GiB, where 32-bit code cannot be";
	r->plan->entry = (uint32_t)entry;
	r->entry_found = true;
	return NULL;
}

/* Notes: name size, descriptor size, type; name and descriptor each padded to `align`. */
static const char *read_notes(struct reader *r, uint64_t offset, uint64_t bytes, uint64_t align)
{
	const uint8_t *p = r->image + offset;

	r->note_bytes += bytes;
	if (r->note_bytes > NOTES_MAX)
		return "its ELF notes are longer than 1 MiB in all";
	align = align == 8 ? 8 : 4;
	while (!r->entry_found && bytes >= 12) {
		uint32_t n[3];
		uint64_t desc_at, next;

		memcpy(n, p, sizeof(n));
		/* Sums of 32-bit numbers in 64 bits: no overflow. */
		desc_at = align_up(12 + (uint64_t)n[0], align);
		next = align_up(desc_at + n[1], align);
		if (desc_at + n[1] > bytes)
			return "one of its ELF notes is cut off";
		if (n[0] == 4 && !memcmp(p + 12, "Xen", 4) && n[2] == XEN_ELFNOTE_PHYS32_ENTRY) {
			const char *why = take_entry(r, p + desc_at, n[1]);

			if (why)
				return why;
		}
		next = min_u64(next, bytes);
		p += next;
		bytes -= next;
	}
	return NULL;
}

static const char *read_section_notes(struct reader *r)
{
	struct shdr64 s;

	if (!r->head.shnum || !r->head.shoff)
		return NULL;
	if (r->head.shnum > MAX_HEADERS)
		return "it has more than 4096 section headers";
	if (r->head.shentsize < (r->wide ? sizeof(struct shdr64) : sizeof(struct shdr32)))
		return "its section headers are too small";
	for (unsigned i = 0; i < r->head.shnum && !r->entry_found; i++) {
		const char *why;

		if (!read_shdr(r, i, &s))
			return "its section headers lie outside of the file";
		if (s.type != SHT_NOTE)
			continue;
		if (!inside(r, s.offset, s.size))
			return "a section of notes lies outside of the file";
		why = read_notes(r, s.offset, s.size, s.addralign);
		if (why)
			return why;
	}
	return NULL;
}

/* ---- segments ---- */

static bool overlaps(const struct elf_plan *plan, uint64_t first, uint64_t end)
{
	for (unsigned i = 0; i < plan->nr_segments; i++) {
		const struct elf_segment *s = &plan->segments[i];

		if (first < s->gpa + s->memory_bytes && s->gpa < end)
			return true;
	}
	return false;
}

static const char *take_segment(struct reader *r, const struct phdr64 *p)
{
	struct elf_plan *plan = r->plan;
	uint64_t end;

	if (!p->memsz && !p->filesz)
		return NULL;
	if (p->filesz > p->memsz)
		return "one of its segments is larger in the file than in memory";
	if (!inside(r, p->offset, p->filesz))
		return "one of its segments lies outside of the file (is the file cut off?)";
	if (__builtin_add_overflow(p->paddr, p->memsz, &end))
		return "one of its segments reaches past the end of the address space";
	if (end > r->ram_bytes)
		return "it does not fit into the domain's memory";
	if (overlaps(plan, p->paddr, end))
		return "two of its segments overlap in memory";
	if (plan->nr_segments == ELF_MAX_SEGMENTS)
		return "it has more than 32 segments to load";
	plan->segments[plan->nr_segments++] = (struct elf_segment){.offset = p->offset,
	                                                           .file_bytes = p->filesz,
	                                                           .gpa = p->paddr,
	                                                           .memory_bytes = p->memsz};
	plan->first = min_u64(plan->first, p->paddr);
	plan->end = max_u64(plan->end, end);
	return NULL;
}

static const char *read_segments(struct reader *r)
{
	const char *why;

	for (unsigned i = 0; i < r->head.phnum; i++) {
		struct phdr64 p;

		if (!read_phdr(r, i, &p))
			return "its program headers lie outside of the file";
		if (p.type == PT_NOTE) {
			if (!inside(r, p.offset, p.filesz))
				return "a segment of notes lies outside of the file";
			why = read_notes(r, p.offset, p.filesz, p.align);
		} else {
			why = p.type == PT_LOAD ? take_segment(r, &p) : NULL;
		}
		if (why)
			return why;
	}
	return r->plan->nr_segments ? NULL : "it has no segment to load";
}

const char *elf_plan(const void *image, uint64_t bytes, uint64_t ram_bytes, struct elf_plan *plan)
{
	struct reader r = {.image = image, .bytes = bytes, .ram_bytes = ram_bytes, .plan = plan};
	const char *why;

	memset(plan, 0, sizeof(*plan));
	plan->first = UINT64_MAX;
	why = read_head(&r);
	if (!why)
		why = read_segments(&r);
	if (!why && !r.entry_found)
		why = read_section_notes(&r);
	if (why)
		return why;
	if (!r.entry_found)
		return "it has no PVH entry (the ELF note \"Xen\", type 18): not a PVH kernel";
	if (!overlaps(plan, plan->entry, (uint64_t)plan->entry + 1))
		return "its PVH entry lies in none of its segments";
	return NULL;
}
