/* SPDX-License-Identifier: MIT */
/*
 * Copies by guest-virtual address, through page tables: neighbours in virtual memory
 * are strangers in physical memory, and a fault names the byte that was the first to fail.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "arch/x86_64/control_bits.h"
#include "arch/x86_64/guest/gva.h"
#include "kernel/guest_copy.h"
#include "kernel/xen_abi.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/guest.h"
#include "tests/host/machine.h"

#define P  BIT(0)
#define W  BIT(1)
#define U  BIT(2)
#define A  BIT(5)
#define D  BIT(6)
#define NX BIT(63)

#define PAGES    256u
#define BASE     UINT64_C(0x200000) /* virtual; its table has an entry for each page */
#define TABLE    UINT64_C(0x4000)
#define FRAME(i) (0x40000 + (uint64_t)(i)*0x2000)

static struct domain *d;
static struct vcpu *v;
static struct guest_state *s;
static struct guest_copy c;

static void put64(uint64_t gpa, uint64_t value)
{
	assert_int_equal(mm_write(&d->space, gpa, &value, 8), MM_OK);
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value;

	assert_int_equal(mm_read(&d->space, gpa, &value, 8), MM_OK);
	return value;
}

static void map(unsigned page, uint64_t rights)
{
	put64(TABLE + page * 8, FRAME(page) | rights);
}

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 1);
	v = d->vcpus[0];
	vcpu_start(v);
	s = &fake_of(&v->hv)->state;
	s->cr0 = CR0_PE | CR0_PG | CR0_WP;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE;
	s->cr3 = 0x1000;
	put64(0x1000, 0x2000 | P | W | U);
	put64(0x2000, 0x3000 | P | W | U);
	put64(0x3008, TABLE | P | W | U);
	for (unsigned i = 0; i < 4; i++)
		map(i, P | W);
	guest_copy_begin(&c, v, true);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	guest_copy_end(&c);
	assert_int_equal(d->space.stats.pinned, 0);
	assert_string_equal(mm_audit().first, "");
	fake_domain_free(d);
	fake_stop();
	return 0;
}

static void pattern(uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static void in_crosses_pages(void **state)
{
	uint8_t want[9000], got[9000 + 1];

	(void)state;
	pattern(want, sizeof(want));
	assert_int_equal(mm_write(&d->space, FRAME(0) + 4000, want, 96), MM_OK);
	assert_int_equal(mm_write(&d->space, FRAME(1), want + 96, 4096), MM_OK);
	assert_int_equal(mm_write(&d->space, FRAME(2), want + 4192, 4096), MM_OK);
	assert_int_equal(mm_write(&d->space, FRAME(3), want + 8288, 712), MM_OK);
	got[9000] = 0x99;
	assert_int_equal(guest_copy_in(&c, got, BASE + 4000, 9000), 0);
	assert_memory_equal(got, want, sizeof(want));
	assert_int_equal(got[9000], 0x99);
	assert_int_equal(get64(TABLE + 8) & (A | D), A);
	assert_int_equal(get64(TABLE) & (A | D), A);
}

static void write_crosses_pages(void **state)
{
	uint8_t want[9000], got[9000];

	(void)state;
	pattern(want, sizeof(want));
	assert_int_equal(guest_copy_write(&c, BASE + 4000, want, 9000), 0);
	assert_int_equal(mm_read(&d->space, FRAME(0) + 4000, got, 96), MM_OK);
	assert_int_equal(mm_read(&d->space, FRAME(1), got + 96, 4096), MM_OK);
	assert_int_equal(mm_read(&d->space, FRAME(2), got + 4192, 4096), MM_OK);
	assert_int_equal(mm_read(&d->space, FRAME(3), got + 8288, 712), MM_OK);
	assert_memory_equal(got, want, sizeof(want));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(get64(TABLE + i * 8) & (A | D), A | D);
	/* Marking an entry changes it and nothing beside it. */
	assert_true(get64(TABLE + 8) == (FRAME(1) | P | W | A | D));
	assert_true(get64(TABLE + 32) == 0);
}

/* In front of the page that is missing all is copied; behind it nothing is. */
static void faults_say_where(void **state)
{
	uint8_t bytes[8192] = {0};

	(void)state;
	map(2, 0);
	assert_int_equal(guest_copy_in(&c, bytes, BASE + 100, 8192), -XEN_EFAULT);
	assert_true(c.fault_gva == BASE + 0x2000);
	assert_true(c.fault_is_page);
	assert_int_equal(c.fault_error, 0);
	assert_int_equal(guest_copy_write(&c, BASE + 0x2abc, bytes, 8), -XEN_EFAULT);
	assert_true(c.fault_gva == BASE + 0x2abc);
	assert_int_equal(c.fault_error, PF_WRITE);
	map(2, P);
	assert_int_equal(guest_copy_write(&c, BASE + 0x2abc, bytes, 8), -XEN_EFAULT);
	assert_int_equal(c.fault_error, PF_PRESENT | PF_WRITE);
	assert_int_equal(guest_copy_in(&c, bytes, BASE + 0x2abc, 8), 0);
	/* Memory that is not there is no page fault. */
	put64(TABLE, 0xff000000 | P | W);
	assert_int_equal(guest_copy_in(&c, bytes, BASE, 8), -XEN_EFAULT);
	put64(0x2000, 0xff000000 | P);
	assert_int_equal(guest_copy_in(&c, bytes, BASE, 8), -XEN_EFAULT);
	assert_false(c.fault_is_page);
}

/* Rights are those of who runs: ring 3 reaches user pages only, and SMAP asks EFLAGS.AC. */
static void rights_of_the_caller(void **state)
{
	uint8_t byte;

	(void)state;
	s->cpl = 3;
	assert_int_equal(guest_copy_in(&c, &byte, BASE, 1), -XEN_EFAULT);
	assert_int_equal(c.fault_error, PF_PRESENT | PF_USER);
	map(1, P | W | U);
	assert_int_equal(guest_copy_in(&c, &byte, BASE + 0x1000, 1), 0);
	s->cpl = 0;
	s->cr4 |= CR4_SMAP;
	guest_copy_begin(&c, v, true);
	assert_int_equal(guest_copy_in(&c, &byte, BASE + 0x1000, 1), -XEN_EFAULT);
	assert_int_equal(c.fault_error, PF_PRESENT);
	v->hv.regs.rflags = BIT(18);
	guest_copy_begin(&c, v, true);
	assert_int_equal(guest_copy_in(&c, &byte, BASE + 0x1000, 1), 0);
}

static void fetches(void **state)
{
	uint8_t byte;
	uint64_t gpa;

	(void)state;
	map(1, P | NX);
	assert_int_equal(guest_copy_fetch(&c, &byte, BASE, 1), 0);
	assert_int_equal(guest_copy_fetch(&c, &byte, BASE + 0x1000, 1), -XEN_EFAULT);
	assert_int_equal(c.fault_error, PF_PRESENT | PF_FETCH);
	assert_int_equal(guest_copy_in(&c, &byte, BASE + 0x1000, 1), 0);
	assert_int_equal(guest_copy_translate(&c, BASE + 0x1234, 0, &gpa), 0);
	assert_true(gpa == FRAME(1) + 0x234);
	assert_int_equal(guest_copy_translate(&c, BASE + 0x1234, GVA_WRITE, &gpa), -XEN_EFAULT);
}

/* The caller's state is fetched once a copy: what it becomes meanwhile is of no matter. */
static void state_is_fetched_once(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(guest_copy_in(&c, &byte, BASE, 1), 0);
	s->cr3 = UINT64_C(0xff0000000);
	assert_int_equal(guest_copy_in(&c, &byte, BASE, 1), 0);
	guest_copy_begin(&c, v, true);
	assert_int_equal(guest_copy_in(&c, &byte, BASE, 1), -XEN_EFAULT);
}

/* A 32-bit caller's addresses wrap, in the middle of a copy as well. */
static void narrow_addresses_wrap(void **state)
{
	uint8_t bytes[16], want[16];
	uint32_t entry;

	(void)state;
	s->cr4 = 0;
	s->efer = 0;
	guest_copy_begin(&c, v, false);
	entry = 0x5000 | P | W;
	assert_int_equal(mm_write(&d->space, 0x1000 + 4 * 1023, &entry, 4), MM_OK);
	put64(0x1000, 0x6000 | P | W);
	entry = 0x50000 | P | W;
	assert_int_equal(mm_write(&d->space, 0x5000 + 4 * 1023, &entry, 4), MM_OK);
	put64(0x6000, 0x60000 | P | W);
	pattern(want, sizeof(want));
	assert_int_equal(mm_write(&d->space, 0x50ff8, want, 8), MM_OK);
	assert_int_equal(mm_write(&d->space, 0x60000, want + 8, 8), MM_OK);
	assert_int_equal(guest_copy_in(&c, bytes, UINT64_C(0xabc0fffffff8), 16), 0);
	assert_memory_equal(bytes, want, sizeof(want));
}

/* Output is reserved as it lies, over two pages at most, and held until the end. */
static void reserved_output(void **state)
{
	struct guest_buffer out;
	uint8_t want[64], got[64];

	(void)state;
	pattern(want, sizeof(want));
	assert_int_equal(guest_copy_reserve(&c, &out, BASE + 0xff0, 64), 0);
	assert_int_equal(out.bytes[0], 16);
	assert_int_equal(out.bytes[1], 48);
	assert_int_equal(d->space.stats.pinned, 2);
	assert_true(p2m_lookup(&d->space, gfn_of_addr(FRAME(1))).pinned);
	guest_copy_out(&out, want, 40);
	assert_int_equal(mm_read(&d->space, FRAME(0) + 0xff0, got, 16), MM_OK);
	assert_int_equal(mm_read(&d->space, FRAME(1), got + 16, 48), MM_OK);
	assert_memory_equal(got, want, 40);
	for (unsigned i = 40; i < 64; i++)
		assert_int_equal(got[i], 0);
	guest_copy_end(&c);
	assert_int_equal(d->space.stats.pinned, 0);
	/* The second page is not there: what was pinned of the first goes at the end. */
	map(1, 0);
	assert_int_equal(guest_copy_reserve(&c, &out, BASE + 0xff0, 64), -XEN_EFAULT);
	assert_true(c.fault_gva == BASE + 0x1000);
	map(0, P);
	assert_int_equal(guest_copy_reserve(&c, &out, BASE, 8), -XEN_EFAULT);
	assert_int_equal(c.fault_error, PF_PRESENT | PF_WRITE);
}

static void long_lived_areas(void **state)
{
	struct pinned_area area;
	uint8_t want[64], got[64];

	(void)state;
	pattern(want, sizeof(want));
	assert_int_equal(guest_area_pin(&c, &area, BASE + 0xff0, 64), 0);
	assert_true(area.set && area.wide && area.bytes == 64);
	assert_int_equal(d->space.stats.pinned, 2);
	guest_area_write(&area, 0, want, 8);
	guest_area_write(&area, 8, want + 8, 16); /* over the border */
	guest_area_write(&area, 24, want + 24, 40);
	assert_int_equal(mm_read(&d->space, FRAME(0) + 0xff0, got, 16), MM_OK);
	assert_int_equal(mm_read(&d->space, FRAME(1), got + 16, 48), MM_OK);
	assert_memory_equal(got, want, sizeof(want));
	guest_area_unpin(&d->space, &area);
	guest_area_unpin(&d->space, &area); /* once is enough */
	assert_int_equal(d->space.stats.pinned, 0);
	/* Within one page, up to its last byte. */
	assert_int_equal(guest_area_pin(&c, &area, BASE + 0xfc0, 64), 0);
	assert_int_equal(d->space.stats.pinned, 1);
	guest_area_unpin(&d->space, &area);
	map(1, P);
	assert_int_equal(guest_area_pin(&c, &area, BASE + 0xff0, 64), -XEN_EFAULT);
	assert_int_equal(d->space.stats.pinned, 0);
	assert_false(area.set);
}

/* Where memory is short the vCPU waits, whichever page it was for; then all goes well. */
static void waits_for_memory(void **state)
{
	struct guest_buffer out;
	uint64_t word = 1;

	(void)state;
	host_fail_alloc_from(1);
	assert_int_equal(guest_copy_write(&c, BASE, &word, 8), HC_AGAIN);
	assert_int_equal(v->state, VCPU_MEMORY);
	host_fail_alloc(0);
	vcpu_wake_memory_waiters();
	host_fail_alloc_from(1);
	assert_int_equal(guest_copy_reserve(&c, &out, BASE, 8), HC_AGAIN);
	assert_int_equal(v->state, VCPU_MEMORY);
	host_fail_alloc(0);
	vcpu_wake_memory_waiters();
	assert_int_equal(guest_copy_write(&c, BASE, &word, 8), 0);
	assert_true(get64(FRAME(0)) == 1);
}

/* ---- remembered walks ---- */

static unsigned reads; /* of guest memory: none where a walk was remembered */

static enum mm_status counted_read(struct space *space, uint64_t gpa, void *dst, unsigned bytes,
                                   const void **where)
{
	reads++;
	return mm_read_where(space, gpa, dst, bytes, where);
}

static const struct guest_memory_ops counted = {mm_read, mm_write, mm_pin, mm_unpin, counted_read};

static int start_counted(void **state)
{
	int rc = start(state);

	for (unsigned i = 0; i < 6; i++)
		put64(FRAME(i), 100 + i);
	guest_memory = &counted;
	return rc;
}

static const struct guest_memory_ops *usual;

static int stop_counted(void **state)
{
	guest_memory = usual;
	return stop(state);
}

/* The next hypercall's. */
static int64_t read_next(uint64_t gva, uint64_t *value, bool *remembered)
{
	unsigned before = reads;
	int64_t rc;

	guest_copy_end(&c);
	guest_copy_begin(&c, v, true);
	rc = guest_copy_in(&c, value, gva, 8);
	*remembered = reads == before;
	return rc;
}

static void reads_as(uint64_t gva, uint64_t want, bool want_remembered)
{
	uint64_t got;
	bool remembered;

	assert_int_equal(read_next(gva, &got, &remembered), 0);
	assert_true(got == want);
	assert_int_equal(remembered, want_remembered);
}

static void faults(uint64_t gva)
{
	uint64_t got;
	bool remembered;

	assert_int_equal(read_next(gva, &got, &remembered), -XEN_EFAULT);
}

/* The first walk sets accessed flags, so the second finds other entries; the third is the same. */
static void remember(uint64_t gva, uint64_t want)
{
	reads_as(gva, want, false);
	reads_as(gva, want, false);
	reads_as(gva, want, true);
}

static void walks_are_remembered(void **state)
{
	(void)state;
	remember(BASE, 100);
	put64(FRAME(0) + 8, 7);
	reads_as(BASE + 8, 7, true); /* what lies there now, not what lay there */
	put64(FRAME(0), 8);
	reads_as(BASE, 8, true);
	reads_as(BASE + 0x1000, 101, false); /* another page */
	reads_as(BASE, 8, true);             /* does not drive it out */
	put64(FRAME(2) + 0xff0, 22);
	remember(BASE + 0x2ff0, 22);
	reads_as(BASE + 0x2000, 102, true);
}

/* A walk that is no longer what the tables say is made again, whichever level says another thing.
 */
static void changed_tables_are_walked(void **state)
{
	(void)state;
	remember(BASE, 100);
	put64(TABLE, FRAME(5) | P | W | A);
	reads_as(BASE, 105, false);
	reads_as(BASE, 105, true);
	put64(0x9000, FRAME(4) | P | W | A);
	put64(0x3008, 0x9000 | P | W | A);
	reads_as(BASE, 104, false);
	put64(0xa008, TABLE | P | W | A);
	put64(0x2000, 0xa000 | P | W | A);
	reads_as(BASE, 105, false);
	put64(0xb000, 0x3000 | P | W | A);
	put64(0x1000, 0xb000 | P | W | A);
	reads_as(BASE, 104, false);
	s->cr3 = 0xd000;
	put64(0xd000, 0x2000 | P | W | A);
	reads_as(BASE, 105, false);
	put64(TABLE, 0);
	faults(BASE);
}

/* A guest that clears an accessed flag finds it set by the next access. */
static void accessed_flags_are_set_again(void **state)
{
	(void)state;
	remember(BASE, 100);
	put64(TABLE, FRAME(0) | P | W);
	reads_as(BASE, 100, false);
	assert_true(get64(TABLE) == (FRAME(0) | P | W | A));
}

/* The tables are the same, but not what they mean for this access. */
static void changed_rules_are_asked(void **state)
{
	uint8_t byte;

	(void)state;
	map(0, P | W | U);
	remember(BASE, 100);
	s->cr4 |= CR4_SMAP;
	faults(BASE);
	v->hv.regs.rflags = BIT(18);
	reads_as(BASE, 100, false);
	v->hv.regs.rflags = 0;
	faults(BASE);
	s->cr4 &= ~CR4_SMAP;
	map(1, P | NX);
	remember(BASE + 0x1000, 101);
	assert_int_equal(guest_copy_fetch(&c, &byte, BASE + 0x1000, 1), -XEN_EFAULT);
	reads_as(BASE + 0x1000, 101, false);
	reads_as(BASE + 0x1000, 101, true);
	s->efer &= ~EFER_NXE; /* now the bit is reserved */
	faults(BASE + 0x1000);
	s->efer |= EFER_NXE;
	reads_as(BASE + 0x1000, 101, false);
	reads_as(BASE + 0x1000, 101, true);
	s->cpl = 3;
	faults(BASE + 0x1000);
}

/* The frame of a page, or of a table, is another one: the space's generation says so. */
static void changed_frames_are_looked_up(void **state)
{
	gfn_t data = gfn_of_addr(FRAME(0)), zeroes = gfn_of_addr(FRAME(2) + 0x1000);

	(void)state;
	remember(BASE, 100);
	assert_int_equal(balloon_out(&d->space, &data, 1, 0), 1);
	faults(BASE);
	assert_int_equal(balloon_in(&d->space, &data, 1, 0), 1);
	reads_as(BASE, 0, false);
	put64(FRAME(0), 9);
	reads_as(BASE, 9, true);
	/* Never touched: it lies nowhere yet. */
	put64(TABLE + 8, (FRAME(3) + 0x1000) | P | W | A);
	reads_as(BASE + 0x1000, 0, false);
	reads_as(BASE + 0x1000, 0, false);
	/* A page that is mapped to the zero frame, until somebody writes to it. */
	put64(TABLE + 8, (FRAME(2) + 0x1000) | P | W | A);
	assert_int_equal(mm_fault(&d->space, zeroes, FAULT_READ), VERDICT_RESUME);
	reads_as(BASE + 0x1000, 0, false);
	reads_as(BASE + 0x1000, 0, true);
	put64(FRAME(2) + 0x1000, 11);
	reads_as(BASE + 0x1000, 11, false);
}

/* Entries of four bytes are not remembered. */
static void narrow_tables_are_walked(void **state)
{
	uint32_t entry = 0x50000 | P | W | A;

	(void)state;
	s->cr4 = 0;
	s->efer = 0;
	put64(0x1000, 0x5000 | P | W | A);
	assert_int_equal(mm_write(&d->space, 0x5000, &entry, 4), MM_OK);
	put64(0x50000, 1);
	put64(0x51000, 2);
	reads_as(0, 1, false);
	reads_as(0, 1, false);
	entry = 0x51000 | P | W | A;
	assert_int_equal(mm_write(&d->space, 0x5000, &entry, 4), MM_OK);
	reads_as(0, 2, false);
}

/* Paging off: there is nothing to walk, but the frame is as good as its generation. */
static void no_tables_at_all(void **state)
{
	gfn_t data = gfn_of_addr(FRAME(1));

	(void)state;
	s->cr0 = CR0_PE;
	s->efer = 0;
	reads_as(FRAME(1), 101, false);
	reads_as(FRAME(1), 101, true);
	assert_int_equal(balloon_out(&d->space, &data, 1, 0), 1);
	faults(FRAME(1));
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define R(name) cmocka_unit_test_setup_teardown(name, start_counted, stop_counted)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(in_crosses_pages),
	    T(write_crosses_pages),
	    T(faults_say_where),
	    T(rights_of_the_caller),
	    T(fetches),
	    T(state_is_fetched_once),
	    T(narrow_addresses_wrap),
	    T(reserved_output),
	    T(long_lived_areas),
	    T(waits_for_memory),
	    R(walks_are_remembered),
	    R(changed_tables_are_walked),
	    R(accessed_flags_are_set_again),
	    R(changed_rules_are_asked),
	    R(changed_frames_are_looked_up),
	    R(narrow_tables_are_walked),
	    R(no_tables_at_all),
	};

	usual = guest_memory;
	return cmocka_run_group_tests_name("guest_copy", tests, NULL, NULL);
}
