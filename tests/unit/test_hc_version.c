/* SPDX-License-Identifier: MIT */
/*
 * xen_version: each answer is text or zeroes to its last byte, nothing of our stack, and
 * not a byte more than the structure. set_timer_op: one timer with the vcpu_op's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/hypercall.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#define ARGS UINT64_C(0x7f00) /* so that long answers cross a page */

static struct domain *d;
static struct vcpu *v;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, 64, 1);
	v = d->vcpus[0];
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

static int64_t call(bool wide, uint64_t nr, uint64_t a, uint64_t b)
{
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};
	uint64_t *gpr = v->hv.regs.gpr;

	fake_of(&v->hv)->mode = wide ? VCPU_MODE_64 : 0;
	gpr[RAX] = nr;
	gpr[wide ? RDI : RBX] = a;
	gpr[wide ? RSI : RCX] = b;
	exit_dispatch(v, &x);
	return wide ? (int64_t)gpr[RAX] : (int32_t)gpr[RAX];
}

static const struct {
	unsigned op, bytes, narrow_bytes;
	const char *text;
} rows[] = {
    {XENVER_extraversion,        16,                16,   "-quire"                                       },
    {XENVER_compile_info,        64 + 16 + 32 + 32, 144,  NULL                                           },
    {XENVER_capabilities,        1024,              1024, "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64"},
    {XENVER_changeset,           64,                64,   "<denied>"                                     },
    {XENVER_platform_parameters, 8,                 4,    ""                                             },
    {XENVER_guest_handle,        16,                16,   ""                                             },
    {XENVER_commandline,         1024,              1024, "<denied>"                                     },
};

static void every_byte_is_meant(void **state)
{
	static uint8_t page[4096], expected[4096];

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		unsigned row = i / 2, bytes = i % 2 ? rows[row].bytes : rows[row].narrow_bytes;

		memset(page, 0xee, sizeof(page));
		memset(expected, 0xee, sizeof(expected));
		memset(expected, 0, bytes);
		if (rows[row].text)
			memcpy(expected, rows[row].text, strlen(rows[row].text));
		else
			for (unsigned at = 0; at < 4; at++)
				memcpy(expected + (unsigned[]){0, 64, 80, 112}[at], "<denied>", 8);
		assert_int_equal(mm_write(&d->space, ARGS, page, sizeof(page)), MM_OK);
		assert_int_equal(call(i % 2, __HYPERVISOR_xen_version, rows[row].op, ARGS), 0);
		assert_int_equal(mm_read(&d->space, ARGS, page, sizeof(page)), MM_OK);
		assert_memory_equal(page, expected, sizeof(page));
		assert_int_equal(
		    call(i % 2, __HYPERVISOR_xen_version, rows[row].op, 64 * PAGE_SIZE - 3),
		    -XEN_EFAULT);
	}
	assert_int_equal(call(true, __HYPERVISOR_xen_version, XENVER_pagesize, 0), 4096);
	assert_int_equal(call(true, __HYPERVISOR_xen_version, XENVER_build_id, ARGS), -XEN_ENOSYS);
}

static void the_older_timer(void **state)
{
	(void)state;
	assert_int_equal(call(true, __HYPERVISOR_set_timer_op, UINT64_C(0x123456789), 0), 0);
	assert_int_equal(timer_next_ns(), UINT64_C(0x123456789));
	assert_int_equal(call(false, __HYPERVISOR_set_timer_op, 0x9abc, 2), 0);
	assert_int_equal(timer_next_ns(), UINT64_C(0x200009abc));
	assert_int_equal(call(true, __HYPERVISOR_set_timer_op, 0, 0), 0);
	assert_true(timer_next_ns() == UINT64_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {T(every_byte_is_meant), T(the_older_timer)};

	return cmocka_run_group_tests_name("hc_version", tests, NULL, NULL);
}
