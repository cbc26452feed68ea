/* SPDX-License-Identifier: MIT */
/* Decoding of VM exits: SDM vol. 3, 27.2 and appendix C. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/vmx/vmx.h"
#include "mm/space.h"

static struct guest_regs regs;
static struct vmexit x;
static struct vmx_aftermath after;

static void decode(struct vmx_raw_exit raw)
{
	for (unsigned i = 0; i < GPRS; i++)
		regs.gpr[i] = 0x1000 + i;
	vmx_exit_decode(&raw, &regs, &x, &after);
}

struct plain {
	uint32_t reason;
	enum exit_kind kind;
	bool instruction;
};

/* Each basic reason of appendix C, and what it means here. */
static const struct plain plain[] = {
    {1,      EXIT_INTERRUPT, false},
    {2,      EXIT_SHUTDOWN,  false},
    {3,      EXIT_INTERRUPT, false},
    {4,      EXIT_UNKNOWN,   false},
    {7,      EXIT_WINDOW,    false},
    {8,      EXIT_WINDOW,    false},
    {10,     EXIT_CPUID,     true },
    {11,     EXIT_UNDEFINED, true },
    {12,     EXIT_HLT,       true },
    {13,     EXIT_CACHE,     true },
    {15,     EXIT_GP,        true },
    {17,     EXIT_UNDEFINED, true },
    {18,     EXIT_HYPERCALL, true },
    {19,     EXIT_UNDEFINED, true },
    {20,     EXIT_UNDEFINED, true },
    {21,     EXIT_UNDEFINED, true },
    {22,     EXIT_UNDEFINED, true },
    {23,     EXIT_UNDEFINED, true },
    {24,     EXIT_UNDEFINED, true },
    {25,     EXIT_UNDEFINED, true },
    {26,     EXIT_UNDEFINED, true },
    {27,     EXIT_UNDEFINED, true },
    {31,     EXIT_MSR_READ,  true },
    {32,     EXIT_MSR_WRITE, true },
    {33,     EXIT_BAD_STATE, false},
    {34,     EXIT_BAD_STATE, false},
    {36,     EXIT_UNDEFINED, true },
    {39,     EXIT_UNDEFINED, true },
    {40,     EXIT_PAUSE,     true },
    {41,     EXIT_BAD_STATE, false},
    {50,     EXIT_UNDEFINED, true },
    {52,     EXIT_INTERRUPT, false},
    {53,     EXIT_UNDEFINED, true },
    {54,     EXIT_CACHE,     true },
    {55,     EXIT_XSETBV,    true },
    {59,     EXIT_UNDEFINED, true },
    {60,     EXIT_UNDEFINED, true },
    {67,     EXIT_UNDEFINED, true },
    {68,     EXIT_UNDEFINED, true },
    {70,     EXIT_UNDEFINED, true },
    {71,     EXIT_UNKNOWN,   false},
    {76,     EXIT_UNDEFINED, true },
    {77,     EXIT_UNDEFINED, true },
    {78,     EXIT_UNKNOWN,   false},
    {0xffff, EXIT_UNKNOWN,   false},
};

static void test_plain(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
		decode((struct vmx_raw_exit){.reason = plain[i].reason, .length = 3});
		assert_int_equal(x.kind, plain[i].kind);
		assert_int_equal(x.length, plain[i].instruction ? 3 : 0);
		assert_int_equal(x.hw_reason, plain[i].reason);
		assert_false(after.any && (after.again_info || after.host_nmi || after.reads_cr8));
	}
}

/* The hot exits read at most the instruction's length; every reason has a name. */
static void test_needs(void **state)
{
	const uint32_t hot[] = {1, 7, 10, 12, 18, 31, 32, 40};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(hot); i++)
		assert_int_equal(vmx_exit_needs(hot[i]) & ~NEED_LENGTH, 0);
	for (uint32_t r = 0; r < VMX_NR_REASONS; r++) {
		bool hole = r == 5 || r == 6 || r == 35 || r == 38 || r == 42 || (r > 70 && r < 76);

		assert_true((vmx_reason_name(r)[0] == 'u' && vmx_reason_name(r)[2] == 'k') == hole);
	}
	/* An exit that can interrupt the delivery of an event reads what was interrupted. */
	assert_true(vmx_exit_needs(0) & NEED_IDT);
	assert_true(vmx_exit_needs(9) & NEED_IDT);
	assert_true(vmx_exit_needs(48) & NEED_IDT);
	assert_true(vmx_exit_needs(49) & NEED_IDT);
	assert_true(vmx_exit_needs(62) & NEED_IDT);
}

/* Bit 31 of the reason: the entry failed, whatever the basic reason. */
static void test_entry_failed(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 0x80000021});
	assert_int_equal(x.kind, EXIT_BAD_STATE);
	assert_non_null(x.text);
	decode((struct vmx_raw_exit){.reason = 0x80000000u | 10});
	assert_int_equal(x.kind, EXIT_BAD_STATE);
}

/* An NMI is ours: our own handler runs. */
static void test_nmi(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80000202});
	assert_int_equal(x.kind, EXIT_NMI);
	assert_true(after.host_nmi);
}

/* #DB: the qualification's B0-3, BD, BS are for DR6; nothing else of it is. */
static void test_debug(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){
	    .reason = 0, .intr_info = 0x80000301, .qualification = ~UINT64_C(0), .length = 2});
	assert_int_equal(x.kind, EXIT_EXCEPTION);
	assert_int_equal(x.exception.vector, 1);
	assert_false(x.exception.has_error);
	assert_true(x.exception.dr6 == 0x600f);
	assert_int_equal(x.length, 0);
}

/* INT1 (F1) exits before it traps: the guest's handler must return behind it. */
static void test_int1(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80000501, .length = 1});
	assert_int_equal(x.exception.vector, 1);
	assert_int_equal(after.step, 1);
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80000301, .length = 1});
	assert_int_equal(after.step, 0);
}

/* #AC has an error code; #MC runs our handler too. */
static void test_alignment_and_machine_check(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80000b11, .intr_error = 0x55});
	assert_int_equal(x.exception.vector, 17);
	assert_true(x.exception.has_error);
	assert_int_equal(x.exception.error, 0x55);
	assert_false(after.host_mce);
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80000312});
	assert_true(after.host_mce);
}

/* 27.2.3: an IRET that unblocked NMIs and faulted: block again; not for #DF, not nested. */
static void test_nmi_unblocking(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80001b11});
	assert_true(after.nmi_unblocked);
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80001b08});
	assert_false(after.nmi_unblocked);
	decode((struct vmx_raw_exit){.reason = 0, .intr_info = 0x80001b11, .idt_info = 0x80000030});
	assert_false(after.nmi_unblocked);
	decode((struct vmx_raw_exit){.reason = 48, .qualification = BIT(12) | 0x182});
	assert_true(after.nmi_unblocked);
	decode((struct vmx_raw_exit){
	    .reason = 48, .qualification = BIT(12) | 0x182, .idt_info = 0x80000030});
	assert_false(after.nmi_unblocked);
}

/* The log is full: the access has not been made, and is made again; so is an event that was being
 * delivered. The entries are filled from the last one down (28.2.6). */
static void test_log(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 62, .length = 3, .idt_info = 0x80000030});
	assert_int_equal(x.kind, EXIT_HANDLED);
	assert_int_equal(x.length, 0);
	assert_true(after.any && !after.reads_cr8);
	assert_int_equal(after.again_info, 0x80000030);
	assert_false(after.nmi_unblocked);
	decode((struct vmx_raw_exit){.reason = 62, .qualification = BIT(12)});
	assert_true(after.nmi_unblocked && !after.again_info);
	decode(
	    (struct vmx_raw_exit){.reason = 62, .qualification = BIT(12), .idt_info = 0x80000030});
	assert_false(after.nmi_unblocked);
	assert_int_equal(vmx_log_first(511), 512);
	assert_int_equal(vmx_log_first(510), 511);
	assert_int_equal(vmx_log_first(0), 1);
	assert_int_equal(vmx_log_first(0xffff), 0);
}

/* EPT violation: bits 2..0 the access; anything but bits 8:7 = 11 is a walk by the CPU. */
static void test_ept_violation(void **state)
{
	(void)state;
	for (unsigned access = 0; access < 8; access++)
		for (unsigned how = 0; how < 4; how++) {
			decode((struct vmx_raw_exit){
			    .reason = 48, .qualification = access | how << 7, .gpa = 0x123456789a});
			assert_int_equal(x.kind, EXIT_MEMORY);
			assert_true(x.memory.gpa == 0x123456789a);
			assert_int_equal(x.memory.access & 7, access);
			assert_int_equal(!!(x.memory.access & FAULT_GUEST_WALK), how != 3);
			assert_false(x.memory.misconfigured);
			assert_int_equal(x.length, 0);
		}
	/* As Bochs says it of the first write to a shared page. */
	decode((struct vmx_raw_exit){.reason = 48, .qualification = 0x1aa, .gpa = 0x3000});
	assert_int_equal(x.memory.access, FAULT_WRITE);
}

static void test_ept_misconfiguration(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 49, .gpa = 0x5000});
	assert_int_equal(x.kind, EXIT_MEMORY);
	assert_true(x.memory.misconfigured);
	assert_int_equal(x.memory.access, 0);
}

/* What was being delivered is delivered again: type, vector, error code, length; bit 12 is junk. */
static void test_again(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 48,
	                             .qualification = 0x181,
	                             .idt_info = 0x80001b0e,
	                             .idt_error = 6,
	                             .length = 2});
	assert_int_equal(after.again_info, 0x80000b0e);
	assert_int_equal(after.again_error, 6);
	decode((struct vmx_raw_exit){.reason = 48,
	                             .qualification = 0x181,
	                             .idt_info = 0x80000480,
	                             .idt_error = 9,
	                             .length = 2});
	assert_int_equal(after.again_info, 0x80000480);
	assert_int_equal(after.again_error, 0);
	assert_int_equal(after.again_length, 2);
	/* Stale junk with the valid bit clear is nothing. */
	decode((struct vmx_raw_exit){.reason = 48, .qualification = 0x181, .idt_info = 0x30e});
	assert_int_equal(after.again_info, 0);
	/* An exit that cannot interrupt a delivery never looks at the field. */
	decode((struct vmx_raw_exit){.reason = 10, .idt_info = 0x8000030e});
	assert_false(after.any);
}

/* A task switch keeps the interrupted event, and is no instruction to step over. */
static void test_task_switch(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 9, .idt_info = 0x80000420, .length = 2});
	assert_int_equal(x.kind, EXIT_TASK_SWITCH);
	assert_int_equal(x.length, 0);
	assert_int_equal(after.again_length, 2);
}

/* Table 27-3: MOV to CR from any register; CLTS; LMSW sets PE but cannot clear it. */
static void test_control_registers(void **state)
{
	const unsigned numbers[] = {0, 3, 4, 8};

	(void)state;
	for (unsigned n = 0; n < 4; n++)
		for (unsigned r = 0; r < GPRS; r++) {
			decode((struct vmx_raw_exit){.reason = 28,
			                             .qualification = numbers[n] | r << 8});
			assert_int_equal(x.kind, EXIT_CR_WRITE);
			assert_int_equal(x.cr.number, numbers[n]);
			assert_true(x.cr.value == 0x1000 + r);
		}
	decode((struct vmx_raw_exit){.reason = 28, .qualification = 2 << 4, .cr0 = 0x8005003b});
	assert_true(x.cr.number == 0 && x.cr.value == 0x80050033);
	decode((struct vmx_raw_exit){
	    .reason = 28, .qualification = 3 << 4 | UINT64_C(0xfff0) << 16, .cr0 = 0x8005003f});
	assert_true(x.cr.number == 0 && x.cr.value == 0x80050031);
	decode((struct vmx_raw_exit){
	    .reason = 28, .qualification = 3 << 4 | UINT64_C(0xffff) << 16, .cr0 = 0x10});
	assert_true(x.cr.value == 0x1f);
}

/* MOV from CR8 is answered by the back end. */
static void test_read_cr8(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){
	    .reason = 28, .qualification = 8 | 1 << 4 | 11 << 8, .length = 4});
	assert_int_equal(x.kind, EXIT_HANDLED);
	assert_true(after.reads_cr8);
	assert_int_equal(after.gpr, 11);
	assert_int_equal(x.length, 4);
}

static void test_debug_registers(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){.reason = 29, .qualification = 7 | 3 << 8});
	assert_true(x.kind == EXIT_DR && x.dr.number == 7 && x.dr.write && x.dr.gpr == RBX);
	decode((struct vmx_raw_exit){.reason = 29, .qualification = 6 | BIT(4) | 12 << 8});
	assert_true(x.dr.number == 6 && !x.dr.write && x.dr.gpr == R12);
}

/* Table 27-5. */
static void test_io(void **state)
{
	(void)state;
	decode((struct vmx_raw_exit){
	    .reason = 30, .qualification = UINT64_C(0x3f8) << 16, .length = 1});
	assert_true(x.kind == EXIT_IO && x.io.port == 0x3f8 && x.io.bytes == 1 && !x.io.in);
	assert_true(!x.io.string && !x.io.rep && x.length == 1);
	decode((struct vmx_raw_exit){
	    .reason = 30, .qualification = UINT64_C(0xffff) << 16 | 3 | BIT(3) | BIT(4) | BIT(5)});
	assert_true(x.io.port == 0xffff && x.io.bytes == 4 && x.io.in && x.io.string && x.io.rep);
}

/* An NMI goes before an interrupt, unless the guest blocks NMIs; nothing else holds it back. */
static void test_nmi_first(void **state)
{
	(void)state;
	assert_true(vmx_nmi_first(true, 0));
	assert_true(vmx_nmi_first(true, ~BLOCKING_NMI));
	assert_false(vmx_nmi_first(true, BLOCKING_NMI));
	assert_false(vmx_nmi_first(false, 0));
	assert_false(vmx_nmi_first(false, ~BLOCKING_NMI));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_needs),
	    cmocka_unit_test(test_entry_failed),
	    cmocka_unit_test(test_nmi),
	    cmocka_unit_test(test_debug),
	    cmocka_unit_test(test_int1),
	    cmocka_unit_test(test_alignment_and_machine_check),
	    cmocka_unit_test(test_nmi_unblocking),
	    cmocka_unit_test(test_log),
	    cmocka_unit_test(test_ept_violation),
	    cmocka_unit_test(test_ept_misconfiguration),
	    cmocka_unit_test(test_again),
	    cmocka_unit_test(test_task_switch),
	    cmocka_unit_test(test_control_registers),
	    cmocka_unit_test(test_read_cr8),
	    cmocka_unit_test(test_debug_registers),
	    cmocka_unit_test(test_io),
	    cmocka_unit_test(test_nmi_first),
	};

	return cmocka_run_group_tests_name("vmx_exit", tests, NULL, NULL);
}
