/* SPDX-License-Identifier: MIT */
/*
 * Extended state. The hypervisor is built without SSE and never touches the
 * x87, so the loaded vCPU's state simply stays in the registers from
 * vcpu_load to vcpu_unload. What matters:
 *
 * - Eager: saved and loaded whole at each switch; CR0.TS is never used.
 * - The area is filled by our own XSAVE only and zeroed when it is made, so
 *   XRSTOR cannot fault on it and nothing of another domain is in it.
 * - AMD's CPUs restore FIP, FDP and FOP only if an exception is pending (APM
 *   vol. 2, 11.4.4.3): the last guest's pointers would shine through (XSA-52).
 *   Before each load we restore a clean image that has one pending.
 * - XCR0 while saving and loading is the mask of all that a guest may have.
 * - QEMU 7.2 calls every component in use. Its XRSTOR of an x87 state writes
 *   the flags of CPU 0, from whichever CPU, and may put back one that CPU 0 has
 *   just changed: nested paging, GIF (docs/machines.md, "The exit that was
 *   nobody's"). An initial state is marked so there, as a CPU would, and its
 *   XRSTOR does FNINIT instead; the registers are zero by the clean image.
 */
#include "arch/x86_64/xstate.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/guest/cr.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/spec.h"
#include "mm/frame.h"

#define GUEST_XCR0 (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

#define MSR_XSS        0xda0u
#define CPUIDD1_XSAVES BIT(3)

#define XSTATE_BV_OFFSET 512u

static struct {
	bool known, xsave, tsc_aux, amd_pointers, marks_initial;
	uint64_t mask;
	uint32_t bytes;
} xs;

/* x87 with an invalid-operation exception pending and unmasked, and zero pointers. */
static const uint8_t clear_pointers[FXSAVE_BYTES] __attribute__((aligned(16))) = {
    [FCW_OFFSET] = 0x7e,   [FCW_OFFSET + 1] = 0x03,   [FSW_OFFSET] = 0x81,
    [MXCSR_OFFSET] = 0x80, [MXCSR_OFFSET + 1] = 0x1f,
};

static void xstate_learn(void)
{
	struct cpuid_regs one = cpuid(1, 0);

	xs.xsave = (one.ecx & BIT(26)) && cpu_has_leaf(0xd);
	if (cpu_has_leaf(0x80000001))
		xs.tsc_aux = cpuid(0x80000001, 0).edx & BIT(27);
	if (cpu_has_leaf(7))
		xs.tsc_aux = xs.tsc_aux || (cpuid(7, 0).ecx & BIT(22));
	/* "Authentic" or "Hygon"; newer ones restore the pointers always (8000_0008h EBX[2]) */
	xs.amd_pointers = cpu_has_leaf(0x80000001) && cpuid(0, 0).ebx != 0x756e6547;
	if (xs.amd_pointers && cpu_has_leaf(0x80000008))
		xs.amd_pointers = !(cpuid(0x80000008, 0).ebx & BIT(2));
	xs.marks_initial = spec_emulated() && xs.xsave && xs.amd_pointers;
	if (xs.xsave) {
		struct cpuid_regs d = cpuid(0xd, 0);

		xs.mask = GUEST_XCR0 & ((uint64_t)d.edx << 32 | d.eax);
		/* AVX-512 comes whole or not at all (SDM vol. 1, 13.3). */
		if ((xs.mask & XCR0_AVX512) != XCR0_AVX512)
			xs.mask &= ~XCR0_AVX512;
	}
	xs.known = true;
}

void xstate_cpu_on(void)
{
	if (!xs.known)
		xstate_learn();
	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (xs.xsave ? CR4_OSXSAVE : 0));
	if (xs.xsave)
		xsetbv(0, xs.mask);
	/* No supervisor state of the firmware's: a guest's XSAVES could reach it. */
	if (xs.xsave && (cpuid(0xd, 1).eax & CPUIDD1_XSAVES))
		wrmsr(MSR_XSS, 0);
	/* CPUID 0dh:0 EBX: bytes for what XCR0 has on now (SDM vol. 2, CPUID). */
	xs.bytes = xs.xsave ? cpuid(0xd, 0).ebx : FXSAVE_BYTES;
}

uint64_t xstate_guest_mask(void)
{
	if (!xs.known)
		xstate_learn();
	return xs.mask;
}

uint32_t xstate_bytes(void)
{
	return xs.bytes;
}

bool xstate_has_tsc_aux(void)
{
	return xs.tsc_aux;
}

static unsigned xstate_order(void)
{
	unsigned order = 0;

	while (((uint32_t)PAGE_SIZE << order) < xs.bytes)
		order++;
	return order;
}

bool xstate_alloc(struct hvm_vcpu *v)
{
	mfn_t m = frame_alloc(xstate_order(), FRAME_HYPERVISOR, v->domid);
	uint8_t *area;

	if (!mfn_valid(m))
		return false;
	area = phys_to_virt(mfn_to_addr(m));
	for (size_t i = 0; i < (size_t)PAGE_SIZE << xstate_order(); i++)
		area[i] = 0;
	*(uint16_t *)(area + FCW_OFFSET) = FCW_INIT;
	*(uint32_t *)(area + MXCSR_OFFSET) = MXCSR_INIT;
	v->fpu = area;
	v->xcr0 = XCR0_X87;
	v->guest_dr6 = 0xffff0ff0;
	v->tsc_aux = 0;
	for (unsigned i = 0; i < 4; i++)
		v->guest_dr[i] = 0;
	return true;
}

void xstate_free(struct hvm_vcpu *v)
{
	if (v->fpu)
		frame_free(mfn_of_addr(virt_to_phys(v->fpu)), xstate_order());
	v->fpu = NULL;
}

static void xstate_fpu_load(const struct hvm_vcpu *v)
{
	if (xs.amd_pointers)
		asm volatile("fxrstor64 %0" ::"m"(clear_pointers));
	if (xs.xsave)
		asm volatile("xrstor64 (%0)" ::"r"(v->fpu), "a"((uint32_t)xs.mask),
		             "d"((uint32_t)(xs.mask >> 32))
		             : "memory");
	else
		asm volatile("fxrstor64 (%0)" ::"r"(v->fpu) : "memory");
}

static void xstate_fpu_save(struct hvm_vcpu *v)
{
	if (xs.xsave)
		asm volatile("xsave64 (%0)" ::"r"(v->fpu), "a"((uint32_t)xs.mask),
		             "d"((uint32_t)(xs.mask >> 32))
		             : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(v->fpu) : "memory");
	if (xs.marks_initial && xstate_x87_initial(v->fpu))
		*((uint8_t *)v->fpu + XSTATE_BV_OFFSET) &= (uint8_t)~XCR0_X87;
}

void xstate_load(struct hvm_vcpu *v)
{
	xstate_fpu_load(v);
	if (xs.xsave && v->xcr0 != xs.mask)
		xsetbv(0, v->xcr0);
	write_dr0(v->guest_dr[0]);
	write_dr1(v->guest_dr[1]);
	write_dr2(v->guest_dr[2]);
	write_dr3(v->guest_dr[3]);
	if (xs.tsc_aux)
		wrmsr(MSR_TSC_AUX, v->tsc_aux);
}

void xstate_save(struct hvm_vcpu *v)
{
	if (xs.xsave && v->xcr0 != xs.mask)
		xsetbv(0, xs.mask);
	xstate_fpu_save(v);
	v->guest_dr[0] = read_dr0();
	v->guest_dr[1] = read_dr1();
	v->guest_dr[2] = read_dr2();
	v->guest_dr[3] = read_dr3();
	if (xs.tsc_aux)
		v->tsc_aux = rdmsr(MSR_TSC_AUX);
}

bool xstate_set_xcr0(struct hvm_vcpu *v, uint64_t xcr0)
{
	if (!cr_xcr0_allowed(xcr0, xs.mask))
		return false;
	v->xcr0 = xcr0;
	xsetbv(0, xcr0);
	return true;
}

void xstate_reread_xcr0(struct hvm_vcpu *v)
{
	uint64_t now;

	if (!xs.xsave)
		return;
	now = xgetbv(0);
	if (now == v->xcr0)
		return;
	if (cr_xcr0_allowed(now, xs.mask))
		v->xcr0 = now;
	else
		xsetbv(0, v->xcr0);
}
