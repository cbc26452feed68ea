/* SPDX-License-Identifier: MIT */
/*
 * CR4 of a guest on AMD-V. The machine's MCE stays on whatever the guest wants: a machine check
 * while it is clear is a shutdown (APM vol. 2, 9.3). The guest never finds out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/svm/svm_controls.h"
#include "arch/x86_64/svm/svm_vcpu.h"
#include "arch/x86_64/xstate.h"

#define CR4_READ BIT(4)

static struct vmcb vmcb;
static struct svm_vcpu own;
static struct hvm_vcpu vcpu;

/* MSRs are no matter here. */
bool xstate_has_tsc_aux(void)
{
	return false;
}

static int begin(void **state)
{
	(void)state;
	vmcb = (struct vmcb){0};
	own = (struct svm_vcpu){.vmcb = &vmcb};
	vcpu = (struct hvm_vcpu){.svm = &own};
	svm_intercepts(vmcb.intercepts);
	return 0;
}

static bool set(uint64_t cr4)
{
	struct guest_state s = {.cr0 = CR0_ET, .cr4 = cr4};

	return svm_vcpu_set_state(&vcpu, &s);
}

/* What the guest believes, in both ways to ask; what the CPU has; whether a read exits. */
static void expect(uint64_t believed)
{
	struct guest_state s = {0};

	svm_vcpu_get_state(&vcpu, &s);
	assert_int_equal(s.cr4, believed);
	s.cr4 = 0;
	svm_vcpu_get_paging(&vcpu, &s);
	assert_int_equal(s.cr4, believed);
	assert_int_equal(vmcb.cr4, believed | CR4_MCE);
	assert_int_equal(!!(vmcb.intercepts[WORD_CR] & CR4_READ), !(believed & CR4_MCE));
}

static void mce_is_on_from_the_start(void **state)
{
	(void)state;
	assert_true(set(0));
	expect(0);
	assert_true(set(CR4_PAE));
	expect(CR4_PAE);
	assert_true(set(CR4_PAE | CR4_MCE));
	expect(CR4_PAE | CR4_MCE);
}

/* On and off again, as a guest may do. */
static void a_write_keeps_it_on(void **state)
{
	static const uint64_t values[] = {CR4_PAE, CR4_PAE | CR4_MCE, CR4_PAE | CR4_OSXSAVE, 0};

	(void)state;
	assert_true(set(0));
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		svm_vcpu_write_cr(&vcpu, 4, values[i]);
		expect(values[i]);
	}
}

/* A state that is refused leaves both as they were. */
static void refused_changes_nothing(void **state)
{
	(void)state;
	assert_true(set(CR4_PAE));
	assert_false(set(BIT(40)));
	expect(CR4_PAE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(mce_is_on_from_the_start, begin),
	    cmocka_unit_test_setup(a_write_keeps_it_on, begin),
	    cmocka_unit_test_setup(refused_changes_nothing, begin),
	};

	return cmocka_run_group_tests_name("svm_state", tests, NULL, NULL);
}
