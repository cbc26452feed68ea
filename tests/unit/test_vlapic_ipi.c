/* SPDX-License-Identifier: MIT */
/* The virtual local APIC: the order of delivery, what is posted, whom an IPI reaches. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "arch/x86_64/guest/vlapic.h"

#define PHYS_BITS 40u
#define BASE      (VLAPIC_BASE | APIC_BASE_ENABLE)
#define X2BASE    (BASE | APIC_BASE_X2APIC)

static struct vlapic a;
static struct vlapic_todo t;

static void to_x2apic(struct vlapic *v)
{
	struct vlapic_todo todo;

	assert_true(vlapic_base_write(v, X2BASE, PHYS_BITS, &todo));
}

static void enable(struct vlapic *v)
{
	v->svr = 0x1ff;
}

/* vCPU 1 in x2APIC mode, enabled. */
static void begin(void)
{
	vlapic_reset(&a, 1);
	to_x2apic(&a);
	enable(&a);
}

/* ---- the order of delivery ---- */

static void request(uint8_t vector)
{
	vlapic_post(&a, vector);
	assert_int_equal(vlapic_collect(&a), 0);
}

/* The highest first; one of a class in service holds back its class and those below. */
static void test_order(void **state)
{
	(void)state;
	begin();
	request(0x31);
	request(0x52);
	request(0x51);
	assert_int_equal(vlapic_pending(&a), 0x52);
	vlapic_take(&a, 0x52);
	assert_int_equal(vlapic_ppr(&a), 0x50);
	assert_int_equal(vlapic_pending(&a), -1); /* 0x51 is of the same class */
	request(0x60);
	assert_int_equal(vlapic_pending(&a), 0x60); /* a higher class comes in between */
	vlapic_take(&a, 0x60);
	assert_int_equal(vlapic_ppr(&a), 0x60);
	vlapic_eoi(&a); /* ends the highest in service */
	assert_int_equal(vlapic_ppr(&a), 0x50);
	vlapic_eoi(&a);
	assert_int_equal(vlapic_pending(&a), 0x51);
	vlapic_take(&a, 0x51);
	vlapic_eoi(&a);
	assert_int_equal(vlapic_pending(&a), 0x31);
	vlapic_take(&a, 0x31);
	vlapic_eoi(&a);
	vlapic_eoi(&a); /* one too many does nothing */
	assert_int_equal(vlapic_ppr(&a), 0);
}

/* A vector requested twice before it is taken comes once; requested while in service, once more. */
static void test_requests_merge(void **state)
{
	(void)state;
	begin();
	request(0x40);
	request(0x40);
	vlapic_take(&a, 0x40);
	assert_int_equal(vlapic_pending(&a), -1);
	request(0x40);
	assert_int_equal(vlapic_pending(&a), -1);
	vlapic_eoi(&a);
	assert_int_equal(vlapic_pending(&a), 0x40);
	vlapic_take(&a, 0x40);
	vlapic_eoi(&a);
	assert_int_equal(vlapic_pending(&a), -1);
}

/* TPR holds back its class and those below; PPR is the higher of the two. */
static void test_task_priority(void **state)
{
	(void)state;
	begin();
	request(0x4f);
	vlapic_set_tpr(&a, 0x40);
	assert_int_equal(vlapic_pending(&a), -1);
	assert_int_equal(vlapic_ppr(&a), 0x40);
	vlapic_set_tpr(&a, 0x3f);
	assert_int_equal(vlapic_pending(&a), 0x4f);
	assert_int_equal(vlapic_cr8(&a), 3);
	vlapic_take(&a, 0x4f);
	assert_int_equal(vlapic_ppr(&a), 0x40); /* the class in service; its low bits are zero */
	vlapic_set_tpr(&a, 0x45);
	assert_int_equal(vlapic_ppr(&a),
	                 0x45); /* TPR's low bits show when its class is not lower */
	vlapic_set_tpr(&a, 0xff);
	request(0xfe);
	assert_int_equal(vlapic_pending(&a), -1);
}

/* What was begun and not delivered is requested again. */
static void test_return(void **state)
{
	(void)state;
	begin();
	request(0x40);
	vlapic_take(&a, 0x40);
	vlapic_return(&a, 0x40);
	assert_int_equal(vlapic_ppr(&a), 0);
	assert_int_equal(vlapic_pending(&a), 0x40);
	vlapic_init(&a);
	vlapic_return(&a, 0x40); /* reset meanwhile: nothing comes back */
	enable(&a);
	assert_int_equal(vlapic_pending(&a), -1);
}

/* Disabled by software: requests are held, masks are set and stay. */
static void test_software_disable(void **state)
{
	(void)state;
	begin();
	request(0x40);
	assert_true(vlapic_msr_write(&a, 0x837, 0x33, 0, &t));
	assert_true(vlapic_msr_write(&a, 0x80f, 0xff, 0, &t));
	assert_int_equal(vlapic_pending(&a), -1);
	assert_int_equal(a.lvt[5], 0x10033);
	assert_true(vlapic_msr_write(&a, 0x837, 0x33, 0, &t));
	assert_int_equal(a.lvt[5], 0x10033);
	assert_true(vlapic_msr_write(&a, 0x80f, 0x1ff, 0, &t));
	assert_int_equal(vlapic_pending(&a), 0x40);
	assert_int_equal(a.lvt[5], 0x10033); /* enabling unmasks nothing */
}

/* ---- posting ---- */

static void test_posts(void **state)
{
	(void)state;
	begin();
	assert_false(vlapic_has_posts(&a));
	for (unsigned vector = 16; vector < 256; vector++)
		vlapic_post(&a, (uint8_t)vector);
	assert_true(vlapic_has_posts(&a));
	assert_int_equal(vlapic_collect(&a), 0);
	assert_false(vlapic_has_posts(&a));
	for (int vector = 255; vector >= 16; vector--) {
		assert_int_equal(vlapic_pending(&a), vector);
		vlapic_take(&a, (uint8_t)vector);
		vlapic_eoi(&a);
	}
	assert_int_equal(vlapic_pending(&a), -1);
	vlapic_post_event(&a, VLAPIC_NMI);
	vlapic_post_startup(&a, 0x9f);
	assert_int_equal(vlapic_collect(&a), VLAPIC_NMI | VLAPIC_STARTUP | 0x9f00);
}

/* STARTUP behind INIT stands; INIT behind STARTUP takes it back; of two the last page counts. */
static void test_init_and_startup(void **state)
{
	uint32_t events;

	(void)state;
	begin();
	vlapic_post_event(&a, VLAPIC_NMI);
	vlapic_post(&a, 0x40);
	vlapic_post_init(&a);
	vlapic_post_startup(&a, 8);
	vlapic_post_startup(&a, 9);
	events = vlapic_collect(&a);
	assert_int_equal(events & 0xff, VLAPIC_INIT | VLAPIC_STARTUP);
	assert_int_equal(VLAPIC_PAGE(events), 9);
	assert_int_equal(vlapic_pending(&a), -1);
	vlapic_post_startup(&a, 8);
	vlapic_post_init(&a);
	assert_int_equal(vlapic_collect(&a), VLAPIC_INIT);
}

/* ---- whom an IPI reaches ---- */

static struct vlapic cpu[4];

static void four(bool x2apic)
{
	for (unsigned i = 0; i < 4; i++) {
		vlapic_reset(&cpu[i], i);
		if (x2apic)
			to_x2apic(&cpu[i]);
		enable(&cpu[i]);
	}
}

/* As bits, whom vCPU 0's ICR reaches. */
static unsigned reached(uint32_t destination, uint32_t icr)
{
	struct vlapic_ipi ipi;
	unsigned who = 0;

	cpu[0].icr = icr;
	cpu[0].icr_high = vlapic_x2apic(&cpu[0]) ? destination : destination << 24;
	if (!vlapic_icr_decode(&cpu[0], &ipi))
		return 0;
	for (unsigned i = 0; i < 4; i++)
		if (vlapic_ipi_reaches(&cpu[0], &ipi, &cpu[i]))
			who |= 1u << i;
	return who;
}

#define LOGICAL   0x800u
#define SELF      0x40000u
#define ALL       0x80000u
#define OTHERS    0xc0000u
#define NMI       0x400u
#define INIT      0x500u
#define STARTUP   0x600u
#define ASSERTED  0x4000u
#define DEASSERT  0x8000u
#define VECTOR_40 0x40u

static void test_physical_and_shorthands(void **state)
{
	(void)state;
	for (unsigned x2 = 0; x2 < 2; x2++) {
		four(x2);
		assert_int_equal(reached(4, VECTOR_40), 1u << 2);
		assert_int_equal(reached(0, VECTOR_40), 1);
		assert_int_equal(reached(3, VECTOR_40), 0); /* nobody */
		assert_int_equal(reached(x2 ? UINT32_MAX : 0xff, VECTOR_40), 15);
		assert_int_equal(reached(x2 ? 0xff : 0xfe, VECTOR_40), 0);
		assert_int_equal(reached(9, VECTOR_40 | SELF), 1);
		assert_int_equal(reached(9, VECTOR_40 | ALL), 15);
		assert_int_equal(reached(9, VECTOR_40 | OTHERS), 14);
		assert_int_equal(reached(2, NMI), 2);
		assert_int_equal(reached(9, NMI | OTHERS), 14);
		assert_int_equal(reached(9, NMI | SELF), 0); /* not a valid combination */
		assert_int_equal(reached(9, NMI | ALL), 0);
		assert_int_equal(reached(2, INIT | ASSERTED), 2);
		assert_int_equal(reached(2, INIT | ASSERTED | DEASSERT), 2); /* level, asserted */
		assert_int_equal(reached(2, INIT | DEASSERT), 0);
		assert_int_equal(reached(2, STARTUP | 8), 2);
		assert_int_equal(reached(2, 0x200), 0); /* SMI */
		assert_int_equal(reached(2, 0x340), 0); /* reserved */
		assert_int_equal(reached(2, 0x740), 0); /* ExtINT */
	}
}

static void test_logical(void **state)
{
	(void)state;
	four(true); /* clusters of sixteen ids; ours are 0, 2, 4, 6 of cluster 0 */
	assert_int_equal(reached(1u << 2, VECTOR_40 | LOGICAL), 1u << 1);
	assert_int_equal(reached(1u << 2 | 1u << 6, VECTOR_40 | LOGICAL), 0xa);
	assert_int_equal(reached(1u << 16 | 1u << 2, VECTOR_40 | LOGICAL), 0);
	assert_int_equal(reached(UINT32_MAX, VECTOR_40 | LOGICAL), 15);
	four(false);
	for (unsigned i = 0; i < 4; i++)
		cpu[i].ldr = 1u << (24 + i); /* flat */
	assert_int_equal(reached(5, VECTOR_40 | LOGICAL), 5);
	assert_int_equal(reached(0xff, VECTOR_40 | LOGICAL), 15);
	assert_int_equal(reached(0xf0, VECTOR_40 | LOGICAL), 0);
	for (unsigned i = 0; i < 4; i++) { /* two clusters of two */
		cpu[i].dfr = 0x0fffffff;
		cpu[i].ldr = (i / 2 << 4 | 1u << i % 2) << 24;
	}
	assert_int_equal(reached(0x11, VECTOR_40 | LOGICAL), 1u << 2);
	assert_int_equal(reached(0x13, VECTOR_40 | LOGICAL), 0xc);
	assert_int_equal(reached(0x23, VECTOR_40 | LOGICAL), 0);
	assert_int_equal(reached(0xff, VECTOR_40 | LOGICAL), 15);
}

/* Disabled by software an APIC still takes NMI, INIT and STARTUP; globally disabled, nothing. */
static void test_who_is_deaf(void **state)
{
	(void)state;
	four(true);
	cpu[1].svr = 0xff;
	assert_int_equal(reached(9, VECTOR_40 | OTHERS), 0xc);
	assert_int_equal(reached(9, NMI | OTHERS), 0xe);
	assert_int_equal(reached(2, INIT | ASSERTED), 2);
	assert_int_equal(reached(2, STARTUP), 2);
	assert_true(vlapic_base_write(&cpu[1], VLAPIC_BASE, PHYS_BITS, &t));
	assert_int_equal(reached(9, NMI | OTHERS), 0xc);
	assert_int_equal(reached(2, INIT | ASSERTED), 0);
}

/* What arrives is what was sent. */
static void test_ipi_posts(void **state)
{
	struct vlapic_ipi ipi = {.vector = 0x41, .mode = DELIVER_FIXED};

	(void)state;
	four(true);
	vlapic_ipi_post(&cpu[1], &ipi);
	assert_int_equal(vlapic_collect(&cpu[1]), 0);
	assert_int_equal(vlapic_pending(&cpu[1]), 0x41);
	ipi.mode = DELIVER_NMI;
	vlapic_ipi_post(&cpu[1], &ipi);
	assert_int_equal(vlapic_collect(&cpu[1]), VLAPIC_NMI);
	ipi.mode = DELIVER_INIT;
	vlapic_ipi_post(&cpu[1], &ipi);
	assert_int_equal(vlapic_collect(&cpu[1]), VLAPIC_INIT);
	ipi.mode = DELIVER_STARTUP;
	vlapic_ipi_post(&cpu[1], &ipi);
	assert_int_equal(vlapic_collect(&cpu[1]), VLAPIC_STARTUP | 0x4100);
}

static void test_self_ipi(void **state)
{
	uint64_t before, after;

	(void)state;
	begin();
	assert_true(vlapic_msr_read(&a, 0x830, 0, &before));
	assert_true(vlapic_msr_write(&a, 0x83f, 0x77, 0, &t));
	assert_true(t.what & VLAPIC_DO_IPI);
	assert_true(vlapic_ipi_reaches(&a, &t.ipi, &a));
	assert_false(vlapic_ipi_reaches(&a, &t.ipi, &cpu[0]));
	vlapic_ipi_post(&a, &t.ipi);
	(void)vlapic_collect(&a);
	assert_int_equal(vlapic_pending(&a), 0x77);
	assert_true(vlapic_msr_read(&a, 0x830, 0, &after) && after == before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_requests_merge),
	    cmocka_unit_test(test_task_priority),
	    cmocka_unit_test(test_return),
	    cmocka_unit_test(test_software_disable),
	    cmocka_unit_test(test_posts),
	    cmocka_unit_test(test_init_and_startup),
	    cmocka_unit_test(test_physical_and_shorthands),
	    cmocka_unit_test(test_logical),
	    cmocka_unit_test(test_who_is_deaf),
	    cmocka_unit_test(test_ipi_posts),
	    cmocka_unit_test(test_self_ipi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
