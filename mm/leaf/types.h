/* SPDX-License-Identifier: MIT */
/*
 * Types that everyone uses: fixed-width integers and the two kinds of frame
 * number, which are structs so that a gfn can never be passed for an mfn.
 */
#ifndef MM_LEAF_TYPES_H
#define MM_LEAF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096u
#define PAGE_MASK  (~(uint64_t)(PAGE_SIZE - 1))

#define LARGE_ORDER 9u                  /* a 2 MiB frame is 2^9 small ones */
#define LARGE_PAGES (1u << LARGE_ORDER) /* small pages under a large leaf */

/* Frame numbers are 32 bits wide in the frame table: 16 TiB. */
#define MFN_LIMIT (UINT64_C(1) << 32)
#define GFN_LIMIT (UINT64_C(1) << 32)

typedef struct {
	uint64_t n;
} gfn_t; /* guest frame number */

typedef struct {
	uint64_t n;
} mfn_t; /* machine frame number */

#define GFN(x) ((gfn_t){(uint64_t)(x)})
#define MFN(x) ((mfn_t){(uint64_t)(x)})

/* Machine frame 0 is never handed out: it is the end mark of every chain. */
#define MFN_NONE MFN(0)

static inline bool mfn_valid(mfn_t m)
{
	return m.n != 0;
}

static inline bool mfn_eq(mfn_t a, mfn_t b)
{
	return a.n == b.n;
}

static inline bool gfn_eq(gfn_t a, gfn_t b)
{
	return a.n == b.n;
}

static inline uint64_t mfn_to_addr(mfn_t m)
{
	return m.n << PAGE_SHIFT;
}

static inline mfn_t mfn_of_addr(uint64_t hpa)
{
	return MFN(hpa >> PAGE_SHIFT);
}

static inline uint64_t gfn_to_addr(gfn_t g)
{
	return g.n << PAGE_SHIFT;
}

static inline gfn_t gfn_of_addr(uint64_t gpa)
{
	return GFN(gpa >> PAGE_SHIFT);
}

#define ARRAY_SIZE(a)     (sizeof(a) / sizeof((a)[0]))
#define must_check        __attribute__((warn_unused_result))
#define noreturn_fn       __attribute__((noreturn))
#define printf_like(f, a) __attribute__((format(printf, f, a)))

typedef uint16_t domid_t;

#endif
