/* SPDX-License-Identifier: MIT */
/* A guest's CPUID over a CPU that has every feature there is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "arch/x86_64/guest/cpuid.h"

/* All ones, but for what says how much there is. */
static struct cpuid_regs everything(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = {~0u, ~0u, ~0u, ~0u};

	if (leaf == 0)
		r.eax = 0x20;
	if (leaf == 0x80000000)
		r.eax = 0x80000021;
	if (leaf == 0xd && subleaf >= 2)
		r = (struct cpuid_regs){256, 576 + 256 * (subleaf - 2), 0, 0};
	if (leaf == 0x80000008)
		r.eax = 0x303028;
	return r;
}

/* An old CPU: leaves 0 to 2 and no XSAVE. */
static struct cpuid_regs little(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = {0};

	(void)subleaf;
	if (leaf == 0)
		r.eax = 2;
	if (leaf == 1)
		r.edx = 0x1ff;
	if (leaf == 0x80000000)
		r.eax = 0x80000001;
	return r;
}

static struct cpuid_view view = {.raw = everything,
                                 .xcr0_mask = 7,
                                 .xcr0 = 3,
                                 .domid = 5,
                                 .vcpu_id = 2,
                                 .nr_vcpus = 4,
                                 .apic = true,
                                 .tsc_khz = 2000000};

static struct cpuid_regs ask(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	cpuid_guest(&view, leaf, subleaf, &r);
	return r;
}

static void test_hidden(void **state)
{
	struct cpuid_regs one = ask(1, 0), seven = ask(7, 0), ext = ask(0x80000001, 0);

	(void)state;
	/* MONITOR, VMX, SMX, PDCM, PCID, TSC deadline */
	assert_false(one.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(15) | BIT(17) | BIT(24)));
	/* MCE, MTRR, MCA, DS, ACPI */
	assert_false(one.edx & (BIT(7) | BIT(12) | BIT(14) | BIT(21) | BIT(22)));
	/* TSC_ADJUST, SGX, INVPCID, RTM, MPX, PT */
	assert_false(seven.ebx & (BIT(1) | BIT(2) | BIT(10) | BIT(11) | BIT(14) | BIT(25)));
	/* WAITPKG, CET, LA57, key locker, PKS */
	assert_false(seven.ecx & (BIT(5) | BIT(7) | BIT(16) | BIT(23) | BIT(31)));
	/* AMX, speculation control, ARCH_CAPABILITIES, CET */
	assert_false(seven.edx & (BIT(20) | BIT(22) | BIT(24) | BIT(25) | BIT(26) | BIT(29)));
	/* SVM, extended APIC space, OSVW, IBS, LWP, PMU, MONITORX */
	assert_false(ext.ecx & (BIT(2) | BIT(3) | BIT(9) | BIT(10) | BIT(15) | BIT(23) | BIT(29)));
	assert_true(one.ecx & BIT(31)); /* a hypervisor is present */
	for (uint32_t leaf = 0xe; leaf < 0x30; leaf++)
		assert_int_equal(ask(leaf, 0).eax | ask(leaf, 0).ebx, 0);
	assert_int_equal(ask(5, 0).ecx | ask(6, 0).eax | ask(0xa, 0).eax, 0);
}

/* The local APIC is ours: there on any CPU, unless the guest has disabled it. */
static void test_apic(void **state)
{
	(void)state;
	view.raw = little;
	assert_true(ask(1, 0).ecx & BIT(21));
	assert_true(ask(1, 0).edx & BIT(9));
	view.apic = false;
	assert_false(ask(1, 0).edx & BIT(9));
	view.apic = true;
	view.raw = everything;
}

static struct cpuid_regs an_amd(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = everything(leaf, subleaf);

	if (leaf == 0)
		r.ebx = 0x68747541;
	return r;
}

/* One package of cores with one thread each, in every leaf that tells of it; core n has id 2n. */
static void test_topology(void **state)
{
	struct cpuid_regs one = ask(1, 0), thread = ask(0xb, 0), core = ask(0xb, 1);

	(void)state;
	assert_int_equal(one.ebx >> 24, 4);
	assert_int_equal(one.ebx >> 16 & 0xff, 16);
	assert_true(one.edx & BIT(28));
	assert_int_equal(thread.eax, 1);
	assert_int_equal(thread.ebx, 1);
	assert_int_equal(thread.ecx, 0x100);
	assert_int_equal(core.eax, 4);
	assert_int_equal(core.ebx, 4);
	assert_int_equal(core.ecx, 0x201);
	assert_int_equal(thread.edx, 4);
	assert_int_equal(ask(0xb, 2).eax | ask(0xb, 2).ebx, 0);
	assert_int_equal(ask(0xb, 2).ecx, 2);
	/* Leaf 4 of "everything" is a cache of level 7. */
	assert_int_equal(ask(4, 0).eax >> 26, 7);
	assert_int_equal(ask(4, 0).eax >> 14 & 0xfff, 15);
	assert_int_equal(ask(0x80000008, 0).ecx, 0);
	assert_false(ask(0x80000001, 0).ecx & BIT(1));
	view.raw = an_amd;
	assert_int_equal(ask(0x80000008, 0).ecx, 0x4003);
	assert_true(ask(0x80000001, 0).ecx & BIT(1));
	view.raw = everything;
}

/* OSXSAVE and OSPKE mirror the guest's CR4, not the CPU's. */
static void test_mirrors(void **state)
{
	(void)state;
	assert_false(ask(1, 0).ecx & BIT(27));
	view.cr4 = CR4_OSXSAVE;
	assert_true(ask(1, 0).ecx & BIT(27));
	view.cr4 = CR4_PKE;
	assert_false(ask(7, 0).ecx & (BIT(3) | BIT(4))); /* PKRU is not among its state */
	view.xcr0_mask = 0x207;
	assert_true(ask(7, 0).ecx & BIT(4));
	view.xcr0_mask = 7;
	view.cr4 = 0;
}

static void test_xsave(void **state)
{
	(void)state;
	assert_int_equal(ask(0xd, 0).eax, 7);
	assert_int_equal(ask(0xd, 0).ebx, 576);       /* what XCR0 enables now */
	assert_int_equal(ask(0xd, 0).ecx, 576 + 256); /* what it could */
	assert_int_equal(ask(0xd, 1).eax, 7);         /* no XSAVES */
	assert_int_equal(ask(0xd, 2).eax, 256);
	assert_int_equal(ask(0xd, 3).eax, 0);
	assert_int_equal(ask(0xd, 18).eax, 0);
	assert_int_equal(ask(0xd, 1000).eax, 0);
}

/* Without AVX state there is no AVX, nor anything that is built on it. */
static void test_no_avx(void **state)
{
	(void)state;
	view.xcr0_mask = 0;
	assert_false(ask(1, 0).ecx & (BIT(12) | BIT(26) | BIT(28) | BIT(29)));
	assert_false(ask(7, 0).ebx & (BIT(5) | BIT(16)));
	assert_int_equal(ask(0xd, 0).eax, 0);
	view.xcr0_mask = 7;
}

static void test_hypervisor_leaves(void **state)
{
	struct cpuid_regs r = ask(0x40000000, 0);
	uint32_t text[3];

	(void)state;
	assert_int_equal(r.eax, 0x40000004);
	memcpy(text, &r.ebx, sizeof(text));
	assert_memory_equal(text, "XenVMMXenVMM", 12);
	assert_int_equal(ask(0x40000001, 0).eax, 0x00040011);
	assert_int_equal(ask(0x40000002, 0).ebx, 0x40000000);
	assert_int_equal(ask(0x40000003, 0).ecx, 2000000);
	assert_int_equal(ask(0x40000004, 0).ebx, 2);
	assert_int_equal(ask(0x40000004, 0).ecx, 5);
	r = ask(0x40000100, 0);
	assert_int_equal(r.eax, 0x40000101);
	memcpy(text, &r.ebx, sizeof(text));
	assert_memory_equal(text, "QuireQuire  ", 12);
	assert_int_equal(ask(0x40000101, 0).eax, 1);
	for (uint32_t base = 0x40000200; base < 0x40010000; base += 0x100)
		assert_int_equal(ask(base, 0).eax | ask(base, 0).ebx, 0);
}

/* A leaf that the CPU does not have is zero, whatever the CPU would answer. */
static void test_little(void **state)
{
	struct cpuid_view old = {.raw = little};
	struct cpuid_regs r;
	struct cr_limits l = cpuid_limits(&old);

	(void)state;
	cpuid_guest(&old, 7, 0, &r);
	assert_int_equal(r.ebx, 0);
	assert_int_equal(l.phys_bits, 36);
	assert_false(l.cr4 & (CR4_SMEP | CR4_OSXSAVE | CR4_MCE));
	assert_true(l.cr4 & CR4_PAE);
}

static void test_limits(void **state)
{
	struct cr_limits l = cpuid_limits(&view);

	(void)state;
	assert_int_equal(l.phys_bits, 0x28);
	assert_true(l.cr4 & CR4_SMAP && l.cr4 & CR4_OSXSAVE && l.cr4 & CR4_UMIP);
	assert_false(l.cr4 & (CR4_VMXE | CR4_PCIDE | CR4_LA57 | CR4_CET | CR4_MCE));
	assert_false(l.efer & EFER_SVME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hidden),
	    cmocka_unit_test(test_apic),
	    cmocka_unit_test(test_topology),
	    cmocka_unit_test(test_mirrors),
	    cmocka_unit_test(test_xsave),
	    cmocka_unit_test(test_no_avx),
	    cmocka_unit_test(test_hypervisor_leaves),
	    cmocka_unit_test(test_little),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
