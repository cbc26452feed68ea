/* SPDX-License-Identifier: MIT */
/* LZ4 blocks of at most 64 KiB: mm/lz4.c tells the format. Pure functions of bytes. */
#ifndef MM_LZ4_H
#define MM_LZ4_H

#include "mm/leaf/types.h"

#define LZ4_HASH_BITS 11u
#define LZ4_MOST      0xffffu /* bytes that lz4_pack takes */

/* Where the packer has seen what; holds nothing between two calls. */
struct lz4_work {
	uint16_t seen[1u << LZ4_HASH_BITS];
};

/*
 * Pack n bytes (1 .. LZ4_MOST) into at most `room`; returns how many they became, or 0 if they
 * do not fit. to and from do not overlap.
 */
size_t lz4_pack(const uint8_t *from, size_t n, uint8_t *to, size_t room, struct lz4_work *work);

#define LZ4_WRONG SIZE_MAX

/*
 * Unpack a block of n bytes into at most `room`; returns how many they became, or LZ4_WRONG: no
 * block, or too large. Whatever the input, nothing is read or written outside of both.
 */
size_t lz4_unpack(const uint8_t *from, size_t n, uint8_t *to, size_t room);

#endif
