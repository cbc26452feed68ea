/* SPDX-License-Identifier: MIT */
/* What test_compress.c and test_store.c share: a domain, pages whose content is known by number. */
#ifndef TESTS_UNIT_COMPRESS_TEST_H
#define TESTS_UNIT_COMPRESS_TEST_H

#include "mm/charge.h"
#include "mm/scan.h"
#include "mm/store.h"
#include "tests/unit/mm_test.h"

#define PAGES 700u
#define ALL   UINT64_MAX

static struct space a;
static uint64_t free_at_start;

static inline void start(const struct pte_format *f, uint64_t min)
{
	host_start(&(struct host_config){.frames = 4096, .cpus = 2, .reserve = 10, .format = f});
	free_at_start = host_free_frames();
	make_space_of(&a, 1, PAGES, min);
}

static inline int setup(void **state)
{
	(void)state;
	start(NULL, 0);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	audit_passes();
	if (space_find(1))
		destroy_space(&a);
	assert_int_equal(host_free_frames(), free_at_start);
	audit_passes();
	host_stop();
	return 0;
}

/* ---- pages whose content is known by their number ---- */

static inline uint64_t noise(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

/* noisy: how many of the page's 512 words are noise; the others repeat. */
static inline void make_page(uint64_t n, unsigned noisy, uint64_t *words)
{
	uint64_t x = n * 977 + noisy;

	for (unsigned i = 0; i < 512; i++)
		words[i] = i < noisy ? noise(&x) << 32 | noise(&x) : 0x1122334455667700u + n % 251;
}

static inline void put_page(struct space *s, uint64_t page, unsigned noisy)
{
	uint64_t words[512];

	make_page(page, noisy, words);
	assert_int_equal(mm_write(s, PAGE(page), words, PAGE_SIZE), MM_OK);
}

static inline void page_is(struct space *s, uint64_t page, unsigned noisy)
{
	uint64_t words[512], seen[512];

	make_page(page, noisy, words);
	assert_int_equal(mm_read(s, PAGE(page), seen, PAGE_SIZE), MM_OK);
	assert_memory_equal(seen, words, PAGE_SIZE);
}

static inline void put_bytes(struct space *s, uint64_t page, uint8_t byte)
{
	uint8_t bytes[PAGE_SIZE];

	memset(bytes, byte, sizeof(bytes));
	assert_int_equal(mm_write(s, PAGE(page), bytes, PAGE_SIZE), MM_OK);
}

static inline enum p2m_type type_at(uint64_t page)
{
	return p2m_lookup(&a, GFN(page)).type;
}

static inline struct space_stats stats(void)
{
	return space_stats(&a);
}

/* All that is cold goes: two rounds, as the first one may find accessed flags. */
static inline uint64_t compress_all(void)
{
	uint64_t freed = 0;

	guest_leave_all();
	scan_settle(); /* without accessed flags: only what was fingerprinted */
	for (unsigned round = 0; round < 2; round++) {
		struct compress_result r;

		do {
			r = compress_some(&a, ALL, ALL);
			freed += r.freed;
		} while (r.freed);
	}
	return freed;
}

#endif
