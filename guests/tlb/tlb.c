/* SPDX-License-Identifier: MIT */
/*
 * tlb: does a CPU that stays in the guest ever use a translation that is gone?
 *
 * Emulators drop all translations at each entry, so a forgotten flush shows
 * only on a vCPU that does not exit. Here vCPU 1 reads TLB_PAGES pages without
 * an exit of its own (reader.c), while vCPU 0 gives the hypervisor every cause
 * to change the frames beneath them:
 *
 *   1. it gives TLB_FRESH pages back (the last flush of the round that is not
 *      the hypervisor's own idea);
 *   2. it writes the round's number into each watched page. Where the page was
 *      merged this breaks the sharing: a new frame. Then it announces the round;
 *   3. it sleeps, in short naps, so that the scanner merges the watched pages
 *      again: each content is there TLB_COPIES times. A merge switches a page
 *      from frame F to a survivor and frees F;
 *   4. after each nap it takes some pages back and fills them with poison. This
 *      flushes nobody (nothing was mapped there), and hands it the frames F.
 *
 * Specification: after an announcement the reader never sees the older number
 * (the flush of a break), and never any bytes that are not the page's own (the
 * second flush of a merge: without it the reader still reads F, now poison).
 * Between the announcement and the look the reader's exits are 0, proved for at
 * least half as many looks as there were breaks.
 *
 * The machine must have 2 CPUs; with `one` (a machine of one) only the content
 * is judged. Rounds go on until breaks=N (256) merged pages were broken, or for
 * seconds=N (20). Other options: naps=N a round (16)  nap=US at first (500)  one
 */
#include "guests/lib/ballooning.h"
#include "guests/lib/clock.h"
#include "guests/lib/control.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/guest.h"
#include "guests/lib/memory.h"
#include "guests/lib/options.h"
#include "guests/lib/pattern.h"
#include "guests/lib/random.h"
#include "guests/lib/smp.h"
#include "guests/lib/tap.h"
#include "guests/tlb/tlb.h"

#define POISON UINT64_C(0xdeadfeedfacef00d)

volatile uint64_t *tlb_page[TLB_PAGES];
volatile uint64_t tlb_announced[TLB_PAGES];
volatile bool tlb_stop;
volatile uint64_t tlb_ready;

static uint64_t fresh_gfn;

static uint64_t content(unsigned page)
{
	return random_mix(0x71b + page % (TLB_PAGES / TLB_COPIES));
}

uint64_t tlb_tag(unsigned page)
{
	return pattern_word(content(page), TLB_TAG);
}

static void prepare(void)
{
	uint8_t *area = memory_take(TLB_PAGES);

	for (unsigned i = 0; i < TLB_PAGES; i++) {
		pattern_fill(area + i * PAGE_SIZE, content(i));
		tlb_page[i] = (uint64_t *)(area + i * PAGE_SIZE);
		tlb_page[i][TLB_ROUND] = 0;
	}
	fresh_gfn = (uint64_t)memory_take(TLB_FRESH) / PAGE_SIZE;
	for (unsigned i = 0; i < TLB_FRESH; i++)
		pattern_fill((void *)((fresh_gfn + i) * PAGE_SIZE), POISON + i);
}

/* Returns how many of the pages had been merged: each such write is a memory exit. */
static uint64_t write_round(uint64_t round)
{
	uint64_t before = control_exits().memory_exits;

	for (unsigned i = 0; i < TLB_PAGES; i++) {
		__atomic_store_n(&tlb_page[i][TLB_ROUND], round, __ATOMIC_SEQ_CST);
		__atomic_store_n(&tlb_announced[i], round, __ATOMIC_SEQ_CST);
	}
	return control_exits().memory_exits - before;
}

static void nap(uint64_t ns)
{
	uint32_t seen = event_count[clock_port()];

	clock_timer(clock_ns() + ns);
	event_wait(&event_count[clock_port()], seen);
}

/* Take `n` pages back from `first` on; word by word they become poison. */
static bool take_back(uint64_t first, uint64_t n)
{
	if (balloon_run_in(fresh_gfn + first, n) != n)
		return false;
	for (uint64_t i = first; i < first + n; i++)
		pattern_fill((void *)((fresh_gfn + i) * PAGE_SIZE), POISON + i);
	return true;
}

struct writing {
	uint64_t rounds, naps, nap_ns, longest_nap_ns, breaks, enough;
	bool balloon_failed;
};

/* One round, of which the watched pages' part is written. */
static void finish_round(struct writing *w)
{
	uint64_t step = TLB_FRESH / w->naps;

	for (uint64_t k = 0; k < w->naps; k++) {
		nap(w->nap_ns);
		w->balloon_failed |= !take_back(k * step, step);
	}
}

/* When too little was merged in a round, the next waits longer. */
static void write_rounds(struct writing *w, uint64_t seconds)
{
	uint64_t end = clock_ns() + seconds * CLOCK_S, merged;

	while (w->breaks < w->enough && clock_ns() < end) {
		w->balloon_failed |= balloon_run_out(fresh_gfn, TLB_FRESH) != TLB_FRESH;
		merged = write_round(++w->rounds);
		w->breaks += merged;
		if (w->rounds > 1 && merged < TLB_PAGES / 2 && w->nap_ns < w->longest_nap_ns)
			w->nap_ns *= 2;
		finish_round(w);
	}
	w->breaks += write_round(++w->rounds);
}

static void report(const struct writing *w, const struct tlb_reading *r)
{
	tap_diag("tlb rounds=%lu nap_us=%lu breaks=%lu", w->rounds, w->nap_ns / 1000, w->breaks);
	tap_diag("tlb loops=%lu looks=%lu unproven=%lu gaps=%lu exits=%lu", r->loops, r->fresh,
	         r->unproven, r->gaps, r->exits);
	if (r->alien || r->old_value)
		tap_diag("tlb page=%lu round=%lu read %lx and %lx", r->bad_page, r->bad_round,
		         r->bad_word0, r->bad_tag);
	tap_ok(!w->balloon_failed, "the balloon did what it was asked");
	tap_ok(w->breaks >= w->enough, "merged pages were broken often enough");
	tap_is((long)r->alien, 0, "no look found bytes of another page");
	tap_is((long)r->old_value, 0, "no look found what was overwritten");
}

/* A look is proved when the reader was not away for it. */
static void report_proof(const struct writing *w, const struct tlb_reading *r)
{
	if (option_flag("one")) {
		tap_skip("looks without an exit", "a machine of one CPU");
		tap_skip("exits are seen as gaps", "a machine of one CPU");
		return;
	}
	tap_ok(r->fresh >= w->enough / 2, "exits between break and look are 0, often");
	tap_ok(r->exits <= r->gaps, "every exit of the reader was seen as a gap");
}

void guest_main(void)
{
	static struct tlb_reading reading;
	struct writing w = {
	    .enough = option_u64("breaks", 256),
	    .naps = option_u64("naps", 16),
	    .nap_ns = option_u64("nap", 500) * 1000,
	    .longest_nap_ns = (option_flag("one") ? 200 : 16) * CLOCK_MS,
	};

	clock_init();
	prepare();
	if (!tap_is(smp_start(1, tlb_reader, &reading), 0, "the reader starts"))
		return;
	while (!tlb_ready)
		cpu_relax();
	write_rounds(&w, option_u64("seconds", 20));
	tlb_stop = true;
	smp_join(1);
	report(&w, &reading);
	report_proof(&w, &reading);
}
