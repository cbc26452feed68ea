/* SPDX-License-Identifier: MIT */
/*
 * Copies to and from guest memory by guest-physical address, page by page,
 * each page under the p2m lock: it cannot be merged, broken or given back between
 * the look and the copy. Only pinned pages are ever reached by a kept pointer, but for who
 * compares the space's generation before and after (mm_read_where).
 */
#include "mm/compress.h"
#include "mm/cow.h"
#include "mm/repay.h"

/* It is touched, so it is expanded; but a read does not wait for the memory. */
static enum mm_status access_read_compressed(struct space *s, gfn_t gfn, unsigned at, uint8_t *dst,
                                             unsigned bytes, const void **where)
{
	uint64_t *e = p2m_find(s, gfn).entry;
	mfn_t mfn;

	*where = NULL;
	if (s->dying || compress_expand(s, gfn, e, &mfn) != MM_OK) {
		compress_peek(s, gfn, p2m_entry_get(e), at, dst, bytes);
		return MM_OK;
	}
	*where = (const uint8_t *)env_frame(mfn) + at;
	__builtin_memcpy(dst, *where, bytes);
	return MM_OK;
}

/* *where: NULL if the bytes lie nowhere. */
static enum mm_status access_read_page(struct space *s, gfn_t gfn, unsigned at, uint8_t *dst,
                                       unsigned bytes, const void **where)
{
	struct p2m_view v = p2m_lookup_locked(s, gfn);

	if (v.type == P2M_COMPRESSED)
		return access_read_compressed(s, gfn, at, dst, bytes, where);
	*where = mfn_valid(v.mfn) ? (const uint8_t *)env_frame(v.mfn) + at : NULL;
	if (*where)
		__builtin_memcpy(dst, *where, bytes);
	else if (v.type == P2M_UNTOUCHED)
		__builtin_memset(dst, 0, bytes);
	else
		return MM_NORAM;
	return MM_OK;
}

static enum mm_status access_write_page(struct space *s, gfn_t gfn, unsigned at, const uint8_t *src,
                                        unsigned bytes)
{
	mfn_t mfn;
	enum mm_status st = cow_writable(s, gfn, false, &mfn);

	if (st != MM_OK)
		return st == MM_NOMEM ? MM_NOMEM : MM_NORAM;
	__builtin_memcpy((uint8_t *)env_frame(mfn) + at, src, bytes);
	p2m_mark_dirty(s, gfn, mfn); /* our writes set no dirty bit */
	return MM_OK;
}

enum mm_status mm_read_where(struct space *s, uint64_t gpa, void *dst, unsigned bytes,
                             const void **where)
{
	unsigned at = gpa % PAGE_SIZE;
	enum mm_status st;

	ASSERT(at + bytes <= PAGE_SIZE);
	p2m_lock(s);
	st = access_read_page(s, gfn_of_addr(gpa), at, dst, bytes, where);
	p2m_unlock(s);
	return st;
}

enum mm_status mm_read(struct space *s, uint64_t gpa, void *dst, uint64_t bytes)
{
	uint8_t *to = dst;

	if (gpa + bytes < gpa)
		return MM_INVAL;
	while (bytes) {
		unsigned at = gpa % PAGE_SIZE;
		unsigned n = (unsigned)min_u64(bytes, PAGE_SIZE - at);
		const void *where;
		enum mm_status st;

		p2m_lock(s);
		st = access_read_page(s, gfn_of_addr(gpa), at, to, n, &where);
		p2m_unlock(s);
		if (st != MM_OK)
			return st;
		gpa += n;
		to += n;
		bytes -= n;
	}
	return MM_OK;
}

enum mm_status mm_write(struct space *s, uint64_t gpa, const void *src, uint64_t bytes)
{
	const uint8_t *from = src;
	unsigned turns = 0;

	if (gpa + bytes < gpa)
		return MM_INVAL;
	while (bytes) {
		unsigned at = gpa % PAGE_SIZE;
		unsigned n = (unsigned)min_u64(bytes, PAGE_SIZE - at);
		enum mm_status st;

		do {
			p2m_lock(s);
			st = access_write_page(s, gfn_of_addr(gpa), at, from, n);
			p2m_unlock(s);
		} while (st == MM_NOMEM && repay_for(&turns));
		if (st != MM_OK)
			return st;
		gpa += n;
		from += n;
		bytes -= n;
	}
	return MM_OK;
}
