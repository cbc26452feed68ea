/* SPDX-License-Identifier: MIT */
/*
 * LZ4's block format, packed and unpacked (lz4_Block_format.md of the LZ4 project, version of
 * 2022): a row of sequences,
 *
 *	token	4 bits how many literals, 4 bits how long the match is, less four
 *	more	15 in the token: bytes are added, up to and with the first that is not 255
 *	literals
 *	offset	two bytes, the low one first: the match begins so far back; not 0
 *	more	for the match, likewise
 *
 * The last sequence ends with its literals. The last five bytes are literals, and no match begins
 * in the last twelve: unpackers that copy eight bytes at a time rely on it. A match may reach
 * into what it makes itself: offset 1 repeats a byte.
 *
 * Why not the library. Debian's liblz4.a (1.9.4) is compiled for SSE: lz4.o, the file of the block
 * functions, names xmm registers 198 times, 19 of them in LZ4_decompress_safe (objdump -d). In
 * the hypervisor these registers hold the guest's values. So it is our peer only:
 * tests/unit/test_lz4.c holds the two against each other, both ways.
 *
 * The packer is greedy: at each place it looks up where the next four bytes were seen last, by
 * a hash, and takes what matches there. Where nothing matched for long it steps wider, so that
 * a page of noise is given up soon.
 */
#include "mm/lz4.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

#define MATCH_LEAST   4u
#define LITERALS_LAST 5u  /* the block ends with so many at least */
#define MATCH_MARGIN  12u /* and no match begins behind here */
#define NIBBLE        15u
#define STEP_SHIFT    5u /* after 2^5 places without a match each step is one wider */

static uint32_t lz4_word(const uint8_t *at)
{
	uint32_t v;

	__builtin_memcpy(&v, at, sizeof(v));
	return v;
}

/* Knuth's multiplicative hash, as LZ4 itself has it: 2^32 / the golden ratio. */
static unsigned lz4_hash(uint32_t word)
{
	return (word * 2654435761u) >> (32 - LZ4_HASH_BITS);
}

/* ---- packing ---- */

struct lz4_out {
	uint8_t *at, *end;
	bool full;
};

static void lz4_put(struct lz4_out *o, unsigned byte)
{
	if (o->at == o->end)
		o->full = true;
	else
		*o->at++ = (uint8_t)byte;
}

/* What does not go into the token. */
static void lz4_put_more(struct lz4_out *o, size_t n)
{
	if (n < NIBBLE)
		return;
	for (n -= NIBBLE; n >= 255; n -= 255)
		lz4_put(o, 255);
	lz4_put(o, (unsigned)n);
}

static void lz4_put_literals(struct lz4_out *o, const uint8_t *from, size_t n)
{
	if ((size_t)(o->end - o->at) < n) {
		o->full = true;
		return;
	}
	__builtin_memcpy(o->at, from, n);
	o->at += n;
}

/* One sequence; match 0: the last one. */
static void lz4_put_sequence(struct lz4_out *o, const uint8_t *literals, size_t n, size_t offset,
                             size_t match)
{
	size_t beyond = match ? match - MATCH_LEAST : 0;

	lz4_put(o, (unsigned)(min_u64(n, NIBBLE) << 4 | min_u64(beyond, NIBBLE)));
	lz4_put_more(o, n);
	lz4_put_literals(o, literals, n);
	if (!match)
		return;
	lz4_put(o, offset & 255);
	lz4_put(o, (unsigned)(offset >> 8));
	lz4_put_more(o, beyond);
}

/* How many bytes are the same at a and at b, up to `end`. */
static size_t lz4_same(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
	const uint8_t *from = b;

	while (end - b >= 4 && lz4_word(a) == lz4_word(b)) {
		a += 4;
		b += 4;
	}
	while (b < end && *a == *b) {
		a++;
		b++;
	}
	return (size_t)(b - from);
}

size_t lz4_pack(const uint8_t *from, size_t n, uint8_t *to, size_t room, struct lz4_work *work)
{
	size_t at = 1, literals = 0, since = 0; /* place 0 is what an empty slot says */
	struct lz4_out o = {to, to + room, false};

	ASSERT(n >= 1 && n <= LZ4_MOST);
	__builtin_memset(work, 0, sizeof(*work));
	/* Literals that do not fit are no better with a match behind them. */
	while (at + MATCH_MARGIN <= n && !o.full && at - literals <= room) {
		uint16_t *seen = &work->seen[lz4_hash(lz4_word(from + at))];
		size_t back = *seen, match;

		*seen = (uint16_t)at;
		if (lz4_word(from + back) != lz4_word(from + at)) {
			at += 1 + (since++ >> STEP_SHIFT);
			continue;
		}
		match = lz4_same(from + back, from + at, from + n - LITERALS_LAST);
		lz4_put_sequence(&o, from + literals, at - literals, at - back, match);
		at += match;
		literals = at;
		since = 0;
	}
	lz4_put_sequence(&o, from + literals, n - literals, 0, 0);
	return o.full ? 0 : (size_t)(o.at - to);
}

/* ---- unpacking ---- */

struct lz4_in {
	const uint8_t *at, *end;
};

/* A length that began in a token; false: the block ends in the middle of it, or it is absurd. */
static bool lz4_length(struct lz4_in *in, size_t *n)
{
	unsigned more = 255;

	if (*n < NIBBLE)
		return true;
	while (more == 255) {
		if (in->at == in->end || *n > LZ4_MOST)
			return false;
		more = *in->at++;
		*n += more;
	}
	return true;
}

/*
 * Copy what lies `offset` back. A match may overlap what it makes: what is there already, from
 * `from` to `to`, repeats itself every `offset` bytes, so it may be copied as a whole.
 */
static void lz4_repeat(uint8_t *to, size_t offset, size_t n)
{
	const uint8_t *from = to - offset;

	while (n) {
		size_t some = min_u64(n, (size_t)(to - from));

		__builtin_memcpy(to, from, some);
		to += some;
		n -= some;
	}
}

size_t lz4_unpack(const uint8_t *from, size_t n, uint8_t *to, size_t room)
{
	struct lz4_in in = {from, from + n};
	size_t made = 0;

	while (in.at < in.end) {
		size_t literals = *in.at >> 4, match = *in.at & NIBBLE, offset;

		in.at++;
		if (!lz4_length(&in, &literals) || literals > (size_t)(in.end - in.at) ||
		    literals > room - made)
			return LZ4_WRONG;
		__builtin_memcpy(to + made, in.at, literals);
		in.at += literals;
		made += literals;
		if (in.at == in.end)
			return made;
		if (in.end - in.at < 2)
			return LZ4_WRONG;
		offset = in.at[0] | (size_t)in.at[1] << 8;
		in.at += 2;
		if (!lz4_length(&in, &match))
			return LZ4_WRONG;
		match += MATCH_LEAST;
		if (!offset || offset > made || match > room - made)
			return LZ4_WRONG;
		lz4_repeat(to + made, offset, match);
		made += match;
	}
	return LZ4_WRONG; /* no block, or one that ends behind a match */
}
