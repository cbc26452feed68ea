/* SPDX-License-Identifier: MIT */
/*
 * The loop test: scripted exits go through kernel/exit.c, with a back end of
 * structs and the real memory core behind it; what came of each is looked at.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define PAGES     64u
#define RFLAGS_IF BIT(9)

static struct domain *d;
static struct vcpu *v;
static struct fake_vcpu *f;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 2);
	v = d->vcpus[0];
	f = fake_of(&v->hv);
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

static void dispatch(struct vmexit x)
{
	exit_dispatch(v, &x);
}

static void expect_injected(uint8_t vector)
{
	assert_int_equal(f->injects, 1);
	assert_int_equal(f->event.type, EVENT_EXCEPTION);
	assert_int_equal(f->event.vector, vector);
	assert_int_equal(f->skips, 0);
	f->injects = 0;
}

static void expect_skipped(void)
{
	assert_int_equal(f->skips, 1);
	assert_int_equal(f->injects, 0);
	f->skips = 0;
}

static void expect_crash(const char *why)
{
	assert_int_equal(d->shutdown, SHUTDOWN_CRASH_);
	assert_non_null(strstr(d->crash_reason, why));
	assert_non_null(strstr(host_console, "@quire shutdown domain=1 name=fake1 reason=crash"));
	assert_false(vcpu_may_run(v));
}

/* ---- ports ---- */

static void port(uint16_t number, unsigned bytes, bool in)
{
	dispatch((struct vmexit){
	    .kind = EXIT_IO, .length = 1, .io = {number, (uint8_t)bytes, in, false, false}
        });
	expect_skipped();
}

/* Nobody is there: ones, as wide as the access; port 0x42 gives 0. */
static void test_port_in(void **state)
{
	uint64_t *rax = &v->hv.regs.gpr[RAX];

	(void)state;
	*rax = 0x1111111111111111;
	port(0x60, 1, true);
	assert_true(*rax == 0x11111111111111ff);
	port(0x60, 2, true);
	assert_true(*rax == 0x111111111111ffff);
	port(0x60, 4, true);
	assert_true(*rax == 0xffffffff);
	port(0x42, 1, true);
	assert_true(*rax == 0xffffff00);
}

/* The sleep registers of ACPI (4.8.3.7): S5 with the enable bit ends the domain, all else nothing.
 */
static void test_port_sleep(void **state)
{
	(void)state;
	v->hv.regs.gpr[RAX] = 0xff;
	port(0x600, 1, true);
	assert_int_equal(v->hv.regs.gpr[RAX], 0);
	v->hv.regs.gpr[RAX] = 0xff;
	port(0x601, 1, true);
	assert_int_equal(v->hv.regs.gpr[RAX], 0);
	for (unsigned value = 0; value < 0x100; value++) {
		if ((value & 0x20) && (value >> 2 & 7) == 5)
			continue;
		v->hv.regs.gpr[RAX] = value;
		port(0x600, 1, false);
		v->hv.regs.gpr[RAX] = 0x34;
		port(0x601, 1, false);
	}
	port(0x600, 2, false);
	port(0x600, 4, false);
	port(0x5ff, 2, false);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
	port(0x600, 1, false);
	assert_int_equal(d->shutdown, SHUTDOWN_POWEROFF_);
}

static void test_port_console(void **state)
{
	(void)state;
	v->hv.regs.gpr[RAX] = 'x';
	port(0xe9, 1, false);
	v->hv.regs.gpr[RAX] = '\n';
	port(0xe9, 1, false);
	port(0x80, 4, false);
	assert_non_null(strstr(host_console, "(d1 fake1) x"));
}

static void string_io(uint16_t number, unsigned bytes, bool in, bool rep)
{
	dispatch((struct vmexit){
	    .kind = EXIT_IO, .length = 2, .io = {number, (uint8_t)bytes, in, true, rep}
        });
}

/* rep outs to nothing is done at once, however long; the registers say so. */
static void test_outs(void **state)
{
	(void)state;
	v->hv.regs.gpr[RSI] = 0x1000;
	v->hv.regs.gpr[RCX] = UINT64_C(1) << 40;
	string_io(0x80, 4, false, true);
	expect_skipped();
	assert_int_equal(v->hv.regs.gpr[RCX], 0);
	assert_true(v->hv.regs.gpr[RSI] == 0x1000 + (UINT64_C(4) << 40));
	v->hv.regs.gpr[RCX] = 0;
	string_io(0x80, 1, false, true);
	expect_skipped();
}

/* rep ins stores ones, a piece an exit, and goes on until RCX is 0. */
static void test_ins(void **state)
{
	uint8_t got[1000];
	unsigned exits = 0;

	(void)state;
	v->hv.regs.gpr[RDI] = 0x1f00;
	v->hv.regs.gpr[RCX] = 1000;
	while (!f->skips && exits < 100) {
		string_io(0x60, 1, true, true);
		exits++;
	}
	expect_skipped();
	assert_true(exits > 1 && exits < 10);
	assert_int_equal(v->hv.regs.gpr[RCX], 0);
	assert_int_equal(v->hv.regs.gpr[RDI], 0x1f00 + 1000);
	assert_int_equal(mm_read(&d->space, 0x1f00, got, sizeof(got)), MM_OK);
	for (unsigned i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 0xff);
}

static void test_ins_outside(void **state)
{
	(void)state;
	v->hv.regs.gpr[RDI] = (uint64_t)PAGES << PAGE_SHIFT;
	v->hv.regs.gpr[RCX] = 4;
	string_io(0x60, 1, true, true);
	expect_crash("string I/O");
}

/* ---- instructions ---- */

static void test_cpuid(void **state)
{
	(void)state;
	v->hv.regs.gpr[RAX] = 0xdeadbeef40000000; /* the upper half does not count */
	dispatch((struct vmexit){.kind = EXIT_CPUID, .length = 2});
	expect_skipped();
	assert_int_equal(v->hv.regs.gpr[RAX], 0x40000004);
	assert_int_equal(v->hv.regs.rip, 2);
}

static void msr(enum exit_kind kind, uint32_t number, uint64_t value)
{
	v->hv.regs.gpr[RCX] = number;
	v->hv.regs.gpr[RAX] = (uint32_t)value;
	v->hv.regs.gpr[RDX] = value >> 32;
	dispatch((struct vmexit){.kind = kind, .length = 2});
}

static void test_msr(void **state)
{
	(void)state;
	msr(EXIT_MSR_READ, 0x1b, 0);
	expect_skipped();
	assert_int_equal(v->hv.regs.gpr[RAX], 0xfee00900);
	msr(EXIT_MSR_READ, 0x6e0, 0);
	expect_injected(VECTOR_GP);
	msr(EXIT_MSR_WRITE, 0xc0000100, UINT64_C(0x0000800000000000));
	expect_injected(VECTOR_GP);
	msr(EXIT_MSR_WRITE, 0xc0000100, UINT64_C(0xffff800000000000));
	expect_skipped();
	assert_true(f->msr_written == UINT64_C(0xffff800000000000));
	msr(EXIT_MSR_WRITE, 0x1b, 0xfee01900); /* would move the local APIC */
	expect_injected(VECTOR_GP);
	msr(EXIT_MSR_WRITE, 0x10, 0);
	expect_injected(VECTOR_GP);
}

/* The hypercall page: stubs of 32 bytes; outside of memory it is #GP. */
static void test_hypercall_page(void **state)
{
	uint8_t page[PAGE_SIZE];

	(void)state;
	msr(EXIT_MSR_WRITE, 0x40000000, 0x3000);
	expect_skipped();
	assert_int_equal(mm_read(&d->space, 0x3000, page, sizeof(page)), MM_OK);
	for (uint32_t n = 0; n < 128; n++) {
		const uint8_t stub[9] = {0xb8, (uint8_t)n, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3};

		assert_memory_equal(page + n * 32, stub, sizeof(stub));
	}
	msr(EXIT_MSR_WRITE, 0x40000000, (uint64_t)PAGES << PAGE_SHIFT);
	expect_injected(VECTOR_GP);
	msr(EXIT_MSR_WRITE, 0x40000000, 0x3001);
	expect_injected(VECTOR_GP);
}

static void test_xsetbv(void **state)
{
	(void)state;
	msr(EXIT_XSETBV, 0, 7);
	expect_skipped();
	assert_int_equal(v->hv.xcr0, 7);
	msr(EXIT_XSETBV, 0, 5); /* AVX without SSE */
	expect_injected(VECTOR_GP);
	msr(EXIT_XSETBV, 1, 7);
	expect_injected(VECTOR_GP);
	f->mode = VCPU_MODE_64 | 3;
	msr(EXIT_XSETBV, 0, 7);
	expect_injected(VECTOR_GP);
}

static void test_cr(void **state)
{
	(void)state;
	dispatch((struct vmexit){
	    .kind = EXIT_CR_WRITE, .length = 3, .cr = {4, BIT(13)}
        }); /* VMXE */
	expect_injected(VECTOR_GP);
	dispatch((struct vmexit){
	    .kind = EXIT_CR_WRITE, .length = 3, .cr = {4, BIT(5)}
        });
	expect_skipped();
	assert_int_equal(f->cr_written, BIT(5));
	f->refuses_cr = true;
	dispatch((struct vmexit){
	    .kind = EXIT_CR_WRITE, .length = 3, .cr = {4, 0}
        });
	expect_injected(VECTOR_GP);
}

static void test_plain(void **state)
{
	(void)state;
	dispatch((struct vmexit){.kind = EXIT_CACHE, .length = 2});
	expect_skipped();
	dispatch((struct vmexit){.kind = EXIT_UNDEFINED, .length = 3});
	expect_injected(VECTOR_UD);
	dispatch((struct vmexit){.kind = EXIT_GP, .length = 2});
	expect_injected(VECTOR_GP);
	dispatch((struct vmexit){
	    .kind = EXIT_EXCEPTION, .exception = {1, false, 0, 0x4000}
        });
	expect_injected(1);
	assert_int_equal(v->hv.guest_dr6 & 0x4000, 0x4000);
	dispatch((struct vmexit){
	    .kind = EXIT_EXCEPTION, .exception = {17, true, 0, 0}
        });
	expect_injected(17);
	assert_int_equal(v->exits_total, 5);
}

/* ---- waiting ---- */

static void test_hlt(void **state)
{
	(void)state;
	dispatch((struct vmexit){.kind = EXIT_HLT, .length = 1});
	expect_skipped();
	assert_int_equal(v->state, VCPU_BLOCKED);
	vcpu_wake(v);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	v->info[0] = 1; /* an event is pending: no sleep */
	dispatch((struct vmexit){.kind = EXIT_HLT, .length = 1});
	assert_int_equal(v->state, VCPU_RUNNABLE);
}

/* HLT with interrupts off never ends: the last vCPU's ends the domain. */
static void test_hlt_forever(void **state)
{
	(void)state;
	v->hv.regs.rflags = 0;
	dispatch((struct vmexit){.kind = EXIT_HLT, .length = 1});
	assert_int_equal(v->state, VCPU_DOWN);
	assert_int_equal(d->shutdown, SHUTDOWN_POWEROFF_);
}

static void memory_exit(uint64_t gpa, unsigned access)
{
	dispatch((struct vmexit){
	    .kind = EXIT_MEMORY, .memory = {gpa, access, false}
        });
}

static void test_memory(void **state)
{
	(void)state;
	memory_exit(0x5000, FAULT_WRITE);
	assert_int_equal(f->skips + f->injects, 0);
	assert_int_equal(p2m_lookup(&d->space, GFN(5)).type, P2M_PRIVATE);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
	memory_exit((uint64_t)PAGES << PAGE_SHIFT, FAULT_READ);
	expect_crash("0x40000, where it has no memory");
}

static void test_memory_far(void **state)
{
	(void)state;
	memory_exit(UINT64_MAX - 7, FAULT_WRITE);
	expect_crash("wrote to");
}

/* No frame: the vCPU waits, nothing else happens; woken, the same access succeeds. */
static void test_memory_wait(void **state)
{
	(void)state;
	host_fail_alloc_from(1);
	memory_exit(0x7000, FAULT_WRITE);
	assert_int_equal(v->state, VCPU_MEMORY);
	assert_true(v->waited);
	assert_int_equal(d->shutdown, SHUTDOWN_NONE);
	host_fail_alloc(0);
	vcpu_wake_memory_waiters();
	assert_int_equal(v->state, VCPU_RUNNABLE);
	memory_exit(0x7000, FAULT_WRITE);
	assert_int_equal(v->state, VCPU_RUNNABLE);
	assert_int_equal(v->wait_ticket, 0);
	/* Its clock tells the guest that it stood still. */
	pvclock_update(v, v->waited);
	assert_int_equal(v->info[32 + 29] & 2, 2);
	assert_false(v->waited);
}

/* ---- ends ---- */

static bool dumped;

static void look_for_dump(const char *line)
{
	dumped |= strstr(line, "state of a fake vCPU") != NULL;
}

/* The dump is kept for `dmesg`, and is not for the console. */
static void expect_dump(void)
{
	dumped = false;
	log_each(look_for_dump);
	assert_true(dumped);
	assert_null(strstr(host_console, "state of a fake vCPU"));
}

static void test_ends(void **state)
{
	static const struct {
		enum exit_kind kind;
		const char *why;
	} ends[] = {
	    {EXIT_SHUTDOWN,    "triple fault"    },
	    {EXIT_TASK_SWITCH, "task"            },
	    {EXIT_UNKNOWN,     "do not know"     },
	    {EXIT_BAD_STATE,   "refused to enter"},
	    {EXIT_DR,          "debug register"  }
        };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		d->shutdown = SHUTDOWN_NONE;
		dispatch((struct vmexit){.kind = ends[i].kind});
		expect_crash(ends[i].why);
		expect_dump();
	}
}

/* Our own bug, not the guest's: the machine stops. */
static void test_our_bug(void **state)
{
	(void)state;
	assert_true(HOST_PANICS(dispatch((struct vmexit){
	    .kind = EXIT_MEMORY, .memory = {0x1000, FAULT_READ, true}
        })));
	assert_true(HOST_PANICS(dispatch((struct vmexit){.kind = EXIT_KINDS})));
}

/* The upcall: offered while pending, a window asked for when it cannot be taken, withdrawn. */
static void test_deliver(void **state)
{
	(void)state;
	d->callback_vector = 0x20;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, -1);
	v->info[0] = 1;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, 0x20);
	assert_true(v->offered);
	v->info[0] = 0;
	assert_true(interrupt_deliver(v));
	assert_int_equal(f->offered, -1);
	assert_false(v->offered);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_port_in),    T(test_port_console), T(test_port_sleep),
	    T(test_outs),       T(test_ins),          T(test_ins_outside),
	    T(test_cpuid),      T(test_msr),          T(test_hypercall_page),
	    T(test_xsetbv),     T(test_cr),           T(test_plain),
	    T(test_hlt),        T(test_hlt_forever),  T(test_memory),
	    T(test_memory_far), T(test_memory_wait),  T(test_ends),
	    T(test_our_bug),    T(test_deliver),
	};

	return cmocka_run_group_tests_name("exit", tests, NULL, NULL);
}
