/* SPDX-License-Identifier: MIT */
/*
 * The compact form of a trace (docs/trace.md), as tools/trace writes it.
 *
 *	head	"QUIRETRC", then little-endian words: version, bytes of the head (32 bits each);
 *		frames of the machine, nanoseconds of a tick, the trace's number, ticks, writes,
 *		contents, lost records, domains (64 bits each)
 *	body	operations of one byte and numbers of 7 bits a byte, the lowest first, the top
 *		bit set in all but the last
 *	end	Adler-32 of all before it, 32 bits
 *
 * A content is a number: 0 is the page of zeroes, 1 that of ones, others are
 * counted from 2 on as they come up. So equal numbers are equal contents, and nothing else is
 * told of them.
 *
 *	C domain pages most group	a domain
 *	D domain			its end
 *	W domain n (gap content)*	n pages written. The first is guest frame `gap`,
 *					each of the others gap + 1 above the one before.
 *					content: 0 a new one, else 1 + its number
 *	O domain first n		n guest frames given back
 *	F domain populates breaks kept	faults since the last tick; kept: without a copy
 *	L n				records lost, in all
 *	T ns				all since the last T is as of now, ns later
 *	E				the end
 */
#ifndef TESTS_BENCH_TRACE_FILE_H
#define TESTS_BENCH_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_FILE_VERSION 1u

struct trace_file {
	const char *path;
	const uint8_t *bytes;
	size_t size, at, end;
	uint64_t frames, tick_ns, number, ticks, writes, contents, lost, domains;
	uint32_t next_content;
	uint64_t left, gfn; /* of the W under way: pages to come, the one before */
	uint8_t domid;
};

enum trace_op_kind { OP_CREATE, OP_DESTROY, OP_WRITE, OP_OUT, OP_TICK, OP_END };

struct trace_op {
	enum trace_op_kind kind;
	uint8_t domid;
	uint64_t gfn;     /* write, out; create: its pages */
	uint64_t n;       /* out: pages; create: most pages; tick: nanoseconds */
	uint32_t content; /* write */
	uint16_t group;   /* create */
};

/* Ends the program with a sentence if it is no good trace. */
void trace_file_open(struct trace_file *t, const char *path);
void trace_file_rewind(struct trace_file *t);
/* The next operation; faults and losses are passed over. */
struct trace_op trace_file_next(struct trace_file *t);
void trace_file_close(struct trace_file *t);

#endif
