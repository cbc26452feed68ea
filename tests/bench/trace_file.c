/* SPDX-License-Identifier: MIT */
/* Reading a compact trace: see trace_file.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/trace_file.h"

#define MAGIC      "QUIRETRC"
#define HEAD_BYTES (8 + 2 * 4 + 8 * 8)
#define ADLER      65521u
#define MAX_DOMID  255u
#define MAX_GFN    (UINT64_C(1) << 32)

static void bad(const struct trace_file *t, const char *what)
{
	fprintf(stderr, "%s: byte %zu: %s; make it anew with tools/trace\n", t->path, t->at, what);
	exit(1);
}

static uint32_t adler(const uint8_t *p, size_t n)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < n; i++) {
		a = (a + p[i]) % ADLER;
		b = (b + a) % ADLER;
	}
	return b << 16 | a;
}

static uint64_t word(const struct trace_file *t, size_t at, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, t->bytes + at, bytes);
	return v;
}

static void map(struct trace_file *t)
{
	struct stat st;
	int fd = open(t->path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st)) {
		perror(t->path);
		exit(1);
	}
	t->size = (size_t)st.st_size;
	if (t->size < HEAD_BYTES + 5)
		bad(t, "too short for a trace");
	t->bytes = mmap(NULL, t->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (t->bytes == MAP_FAILED) {
		perror(t->path);
		exit(1);
	}
	close(fd);
}

void trace_file_open(struct trace_file *t, const char *path)
{
	uint64_t *const field[] = {&t->frames, &t->tick_ns,  &t->number, &t->ticks,
	                           &t->writes, &t->contents, &t->lost,   &t->domains};

	*t = (struct trace_file){.path = path};
	map(t);
	if (memcmp(t->bytes, MAGIC, 8))
		bad(t, "not a trace of ours");
	if (word(t, 8, 4) != TRACE_FILE_VERSION || word(t, 12, 4) != HEAD_BYTES)
		bad(t, "a trace of another version");
	for (unsigned i = 0; i < 8; i++)
		*field[i] = word(t, 16 + 8 * i, 8);
	t->end = t->size - 4;
	if (word(t, t->end, 4) != adler(t->bytes, t->end))
		bad(t, "the trace is cut or damaged");
	trace_file_rewind(t);
}

void trace_file_rewind(struct trace_file *t)
{
	t->at = HEAD_BYTES;
	t->next_content = 2;
	t->left = 0;
}

void trace_file_close(struct trace_file *t)
{
	munmap((void *)t->bytes, t->size);
}

static uint64_t number(struct trace_file *t)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b;

		if (t->at == t->end)
			bad(t, "it ends within a number");
		b = t->bytes[t->at++];
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	bad(t, "a number of more than 64 bits");
	return 0;
}

static uint64_t number_below(struct trace_file *t, uint64_t limit, const char *what)
{
	uint64_t v = number(t);

	if (v >= limit)
		bad(t, what);
	return v;
}

static uint8_t domain(struct trace_file *t)
{
	uint64_t v = number_below(t, MAX_DOMID + 1, "a domain above 255");

	if (!v)
		bad(t, "domain 0");
	return (uint8_t)v;
}

static struct trace_op written(struct trace_file *t)
{
	struct trace_op op = {.kind = OP_WRITE, .domid = t->domid};
	uint64_t content;

	t->gfn += number_below(t, MAX_GFN, "a guest frame above 2^32");
	op.gfn = t->gfn++;
	t->left--;
	if (op.gfn >= MAX_GFN)
		bad(t, "a guest frame above 2^32");
	content = number_below(t, (uint64_t)t->next_content + 1, "a content that never came up");
	op.content = content ? (uint32_t)content - 1 : t->next_content++;
	return op;
}

static struct trace_op created(struct trace_file *t)
{
	struct trace_op op = {.kind = OP_CREATE, .domid = domain(t)};

	op.gfn = number_below(t, MAX_GFN, "a domain of more than 16 TiB");
	op.n = number_below(t, MAX_GFN, "a domain of more than 16 TiB");
	op.group = (uint16_t)number_below(t, 65536, "a share group above 65535");
	return op;
}

/* Those that a replay has no use for. */
static void skip(struct trace_file *t, unsigned numbers)
{
	while (numbers--)
		(void)number(t);
}

static struct trace_op given_back(struct trace_file *t)
{
	struct trace_op op = {.kind = OP_OUT, .domid = domain(t)};

	op.gfn = number_below(t, MAX_GFN, "a guest frame above 2^32");
	op.n = number_below(t, MAX_GFN, "more than 2^32 guest frames");
	return op;
}

struct trace_op trace_file_next(struct trace_file *t)
{
	for (;;) {
		if (t->left)
			return written(t);
		if (t->at == t->end)
			bad(t, "no end mark");
		switch (t->bytes[t->at++]) {
		case 'C':
			return created(t);
		case 'D':
			return (struct trace_op){.kind = OP_DESTROY, .domid = domain(t)};
		case 'W':
			t->domid = domain(t);
			t->left = number(t);
			t->gfn = 0;
			break;
		case 'O':
			return given_back(t);
		case 'F':
			skip(t, 4);
			break;
		case 'L':
			skip(t, 1);
			break;
		case 'T':
			return (struct trace_op){.kind = OP_TICK, .n = number(t)};
		case 'E':
			return (struct trace_op){.kind = OP_END};
		default:
			bad(t, "no such operation");
		}
	}
}
