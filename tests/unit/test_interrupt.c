/* SPDX-License-Identifier: MIT */
/*
 * What a vCPU takes before an entry, and when it is entered at all: the loop test
 * of the local APIC, NMI, INIT and start-up IPIs, HLT, and the APIC's page.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/apic.h"
#include "kernel/exit.h"
#include "kernel/sched.h"
#include "kernel/xen_abi.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define PAGES     64u
#define RFLAGS_IF BIT(9)
#define ICR       0x830u
#define BASE      (VLAPIC_BASE | APIC_BASE_ENABLE)
#define X2APIC    (BASE | APIC_BASE_X2APIC | APIC_BASE_BSP)

static struct domain *d;
static struct vcpu *v, *other;
static struct fake_vcpu *f;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 2);
	v = d->vcpus[0];
	other = d->vcpus[1];
	f = fake_of(&v->hv);
	f->takes_interrupts = true;
	v->initialised = true;
	v->hv.regs.rflags = RFLAGS_IF;
	vcpu_start(v);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fake_domain_free(d);
	fake_stop();
	return 0;
}

static void msr_write(struct vcpu *w, uint32_t number, uint64_t value)
{
	const struct vmexit x = {.kind = EXIT_MSR_WRITE, .length = 2};

	w->hv.regs.gpr[RCX] = number;
	w->hv.regs.gpr[RAX] = (uint32_t)value;
	w->hv.regs.gpr[RDX] = value >> 32;
	fake_of(&w->hv)->injects = 0;
	exit_dispatch(w, &x);
	assert_int_equal(fake_of(&w->hv)->injects, 0);
}

/* Both vCPUs in x2APIC mode, enabled. */
static void x2apic(void)
{
	msr_write(v, 0x1b, X2APIC);
	msr_write(v, 0x80f, 0x1ff);
	msr_write(other, 0x1b, X2APIC);
	msr_write(other, 0x80f, 0x1ff);
}

static void halt(void)
{
	const struct vmexit x = {.kind = EXIT_HLT, .length = 1};

	exit_dispatch(v, &x);
}

/* ---- the order ---- */

/* Xen's callback first, past all priorities; then the APIC's highest; a window for what is left. */
static void test_upcall_and_apic(void **state)
{
	(void)state;
	x2apic();
	d->callback_vector = 0xf3;
	v->info[0] = 1;
	msr_write(v, 0x83f, 0x40);
	msr_write(v, 0x83f, 0x50);
	f->takes_interrupts = false;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0xf3);
	assert_true(v->offered);
	f->takes_interrupts = true;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x50); /* both were asked; the fake takes all */
	v->info[0] = 0;
	f->offered = -1;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, -1); /* 0x50 is in service */
	msr_write(v, 0x80b, 0);
	assert_true(interrupt_wants_look(v));
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x40);
	assert_int_equal(vlapic_ppr(&v->apic), 0x40);
}

/* TPR and CR8 are one; what they let pass is looked at before the next entry. */
static void test_priorities(void **state)
{
	const struct vmexit x = {
	    .kind = EXIT_CR_WRITE, .length = 4, .cr = {.number = 8, .value = 3}
        };

	(void)state;
	x2apic();
	msr_write(v, 0x808, 0x40);
	assert_int_equal(f->cr_written, 4);
	msr_write(v, 0x83f, 0x4f);
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, -1);
	assert_false(interrupt_wants_look(v));
	exit_dispatch(v, &x);
	assert_int_equal(v->apic.tpr, 0x30);
	assert_true(interrupt_wants_look(v));
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x4f);
}

/* With a vector of its own the upcall goes through the APIC, once for each rise of the flag. */
static void test_upcall_vector(void **state)
{
	(void)state;
	x2apic();
	d->callback_vector = 0xf3;
	v->upcall_vector = 0x81;
	evtchn_send_virq(v, 0); /* bound to nothing: no upcall */
	assert_false(vlapic_has_posts(&v->apic));
	v->virq_port[0] = 1;
	d->evtchn[1] = (struct evtchn){.state = EVTCHN_VIRQ};
	evtchn_send_virq(v, 0);
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x81);
	assert_int_equal(vlapic_ppr(&v->apic), 0x80);
	d->shared_info[2048] = 0; /* not pending; the flag is up still */
	evtchn_send_virq(v, 0);
	assert_false(vlapic_has_posts(&v->apic));
}

/* An exception took the interrupt's place: it is requested again. */
static void test_displaced(void **state)
{
	(void)state;
	x2apic();
	msr_write(v, 0x83f, 0x40);
	assert_true(interrupt_deliver(v));
	assert_int_equal(vlapic_ppr(&v->apic), 0x40);
	v->hv.displaced = 0x41;
	exit_raise(v, VECTOR_GP, true, 0);
	assert_true(interrupt_wants_look(v));
	f->offered = -1;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x40);
	assert_int_equal(v->hv.displaced, 0);
}

/* ---- HLT ---- */

static void test_halt(void **state)
{
	(void)state;
	x2apic();
	assert_true(interrupt_deliver(v));
	msr_write(v, 0x808, 0x50);
	halt();
	assert_int_equal(v->state, VCPU_BLOCKED);
	/* What TPR holds back wakes it, and it sleeps again. */
	msr_write(other, ICR, 0x4040);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	assert_true(interrupt_wants_look(v));
	assert_false(interrupt_deliver(v));
	assert_int_equal(v->state, VCPU_BLOCKED);
	msr_write(other, ICR, 0x4060);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x60);
	/* Sent before it goes to sleep: it does not. */
	msr_write(v, 0x80b, 0);
	msr_write(other, ICR, 0x4061);
	halt();
	assert_int_equal(v->state, VCPU_RUNNABLE);
	assert_true(interrupt_deliver(v));
}

/* With interrupts off it is down; NMI and INIT reach it; the last one down ends the domain. */
static void test_deaf_halt(void **state)
{
	(void)state;
	x2apic();
	other->initialised = true;
	other->waits_sipi = other->look = false;
	vcpu_start(other);
	v->hv.regs.rflags = 0;
	halt();
	assert_int_equal(v->state, VCPU_DOWN);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
	msr_write(other, ICR, 0x4040);
	assert_int_equal(v->state, VCPU_DOWN);
	msr_write(other, ICR, 0x4400);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	f->injects = 0;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->injects, 1);
	assert_int_equal(f->event.type, EVENT_NMI);
	halt();
	vcpu_stop(other);
	vcpu_gone(d);
	assert_int_equal(d->shutdown, SHUTDOWN_POWEROFF_);
}

/* ---- INIT and start-up IPI ---- */

static void test_startup(void **state)
{
	struct fake_vcpu *g = fake_of(&other->hv);

	(void)state;
	x2apic();
	assert_int_equal(other->state, VCPU_DOWN);
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4040); /* an interrupt does not start it */
	assert_int_equal(other->state, VCPU_DOWN);
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4500);
	assert_int_equal(other->state, VCPU_RUNNABLE);
	assert_true(interrupt_wants_look(other));
	assert_false(interrupt_deliver(other));
	assert_int_equal(other->state, VCPU_DOWN);
	assert_int_equal(g->drops, 1);
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4612);
	assert_int_equal(other->state, VCPU_RUNNABLE);
	assert_true(interrupt_deliver(other));
	assert_true(other->initialised);
	assert_int_equal(g->state.cs.selector, 0x1200);
	assert_int_equal(g->state.cs.base, 0x12000);
	assert_int_equal(g->state.cr0, BIT(4));
	assert_int_equal(other->hv.regs.rip, 0);
	assert_int_equal(other->hv.regs.rflags, 2);
	assert_int_equal(other->hv.regs.gpr[RDX], exit_cpu_signature());
	/* Another one finds it running. */
	other->hv.regs.rip = 7;
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4613);
	assert_true(interrupt_deliver(other));
	assert_int_equal(other->hv.regs.rip, 7);
	/* INIT at any time: down, without a state; `up` does not help. */
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4500);
	assert_false(interrupt_deliver(other));
	assert_false(other->initialised);
	assert_int_equal(other->state, VCPU_DOWN);
}

/* A start-up IPI that comes while it is about to go down is not lost. */
static void test_startup_meets_init(void **state)
{
	(void)state;
	x2apic();
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4500);
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4608);
	assert_true(interrupt_deliver(other));
	assert_int_equal(other->state, VCPU_RUNNABLE);
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4500);
	(void)vlapic_collect(&other->apic);
	other->waits_sipi = true;
	vlapic_post_startup(&other->apic, 8);
	vcpu_stop_unless(other, VLAPIC_STARTUP);
	assert_int_equal(other->state, VCPU_RUNNABLE);
}

/* While VCPUOP_initialise has it, it comes onto no CPU; after, it starts. */
static void test_held(void **state)
{
	(void)state;
	x2apic();
	other->held = true;
	msr_write(v, ICR, UINT64_C(2) << 32 | 0x4608);
	assert_int_equal(other->state, VCPU_RUNNABLE);
	assert_false(vcpu_may_run(other));
	assert_false(other->in_queue);
	other->held = false;
	sched_lock();
	sched_enqueue(other);
	sched_unlock();
	assert_true(other->in_queue);
}

/* ---- the APIC's page ---- */

static void code(const void *bytes, size_t n)
{
	assert_int_equal(mm_write(&d->space, 0x1000, bytes, n), MM_OK);
	v->hv.regs.rip = 0x1000;
	f->mode = 0;
	f->state.cs.attributes = SEG_ATTR_DB;
	f->skips = 0;
}

static void access_page(uint64_t gpa, unsigned how)
{
	const struct vmexit x = {
	    .kind = EXIT_MEMORY, .memory = {gpa, how, false}
        };

	exit_dispatch(v, &x);
}

static void test_mmio(void **state)
{
	(void)state;
	v->hv.regs.gpr[RCX] = VLAPIC_BASE + 0x30;
	code("\x8b\x01", 2); /* mov (%ecx), %eax */
	access_page(VLAPIC_BASE + 0x30, FAULT_READ);
	assert_int_equal(v->hv.regs.gpr[RAX], 0x50014);
	assert_int_equal(f->skips, 1);
	assert_int_equal(v->hv.regs.rip, 0x1002);
	code("\xc7\x05\xf0\x00\xe0\xfe\xff\x01\x00\x00", 10); /* movl $0x1ff, 0xfee000f0 */
	access_page(VLAPIC_BASE + 0xf0, FAULT_WRITE);
	assert_int_equal(v->apic.svr, 0x1ff);
	assert_int_equal(v->hv.regs.rip, 0x100a);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
}

/* An instruction whose last bytes lie on a page that is not there is never made up. */
static void test_mmio_page_end(void **state)
{
	(void)state;
	v->hv.regs.gpr[RCX] = VLAPIC_BASE + 0x80;
	code("\x89\x01", 2);
	assert_int_equal(mm_write(&d->space, PAGES * PAGE_SIZE - 2, "\x89\x01", 2), MM_OK);
	v->hv.regs.rip = PAGES * PAGE_SIZE - 2;
	v->hv.regs.gpr[RAX] = 0x20;
	access_page(VLAPIC_BASE + 0x80, FAULT_WRITE);
	assert_int_equal(v->apic.tpr, 0x20);
	assert_int_equal(mm_write(&d->space, PAGES * PAGE_SIZE - 2, "\x89\x81", 2), MM_OK);
	v->hv.regs.rip = PAGES * PAGE_SIZE - 2;
	access_page(VLAPIC_BASE + 0x80, FAULT_WRITE);
	assert_int_equal(d->shutdown, SHUTDOWN_CRASH_);
}

struct mmio_row {
	const char *what;
	uint8_t bytes[8];
	uint64_t gpa;
	unsigned how;
};

static void test_mmio_refused(void **state)
{
	static const struct mmio_row rows[] = {
	    {"XCHG",               {0x87, 0x01}, 0x30,   FAULT_WRITE                  },
	    {"8 bits",             {0x8a, 0x01}, 0x30,   FAULT_READ                   },
	    {"another address",    {0x8b, 0x01}, 0x40,   FAULT_READ                   },
	    {"a load that stores", {0x8b, 0x01}, 0x30,   FAULT_WRITE                  },
	    {"execution",          {0x8b, 0x01}, 0x30,   FAULT_EXEC                   },
	    {"a page table in it", {0x8b, 0x01}, 0x30,   FAULT_READ | FAULT_GUEST_WALK},
	    {"beside it",          {0x8b, 0x01}, 0x1030, FAULT_READ                   },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		v->hv.regs.gpr[RCX] = VLAPIC_BASE + 0x30;
		code(rows[i].bytes, 8);
		access_page(VLAPIC_BASE + rows[i].gpa, rows[i].how);
		if (d->shutdown != SHUTDOWN_CRASH_ || f->skips)
			fail_msg("%s is not refused", rows[i].what);
		assert_int_equal(stop(state), 0);
		assert_int_equal(start(state), 0);
	}
	/* In x2APIC mode the page is not there. */
	x2apic();
	v->hv.regs.gpr[RCX] = VLAPIC_BASE + 0x30;
	code("\x8b\x01", 2);
	access_page(VLAPIC_BASE + 0x30, FAULT_READ);
	assert_int_equal(d->shutdown, SHUTDOWN_CRASH_);
}

/* ---- the timer ---- */

static void test_timer(void **state)
{
	(void)state;
	x2apic();
	host_now_ns[0] = 1000;
	msr_write(v, 0x83e, 0xb);
	msr_write(v, 0x832, 0x20050); /* periodic */
	msr_write(v, 0x838, 200000);
	assert_int_equal(timer_next_ns(), 201000);
	halt();
	assert_int_equal(v->state, VCPU_BLOCKED);
	host_now_ns[0] = 201000;
	timer_tick();
	assert_int_equal(v->state, VCPU_RUNNABLE);
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x50);
	assert_int_equal(timer_next_ns(), 401000);
	msr_write(v, 0x1b, VLAPIC_BASE | APIC_BASE_BSP); /* disabled: it stops */
	assert_int_equal(timer_next_ns(), UINT64_MAX);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_upcall_and_apic),
	    T(test_priorities),
	    T(test_upcall_vector),
	    T(test_displaced),
	    T(test_halt),
	    T(test_deaf_halt),
	    T(test_startup),
	    T(test_startup_meets_init),
	    T(test_held),
	    T(test_mmio),
	    T(test_mmio_page_end),
	    T(test_mmio_refused),
	    T(test_timer),
	};

	return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
