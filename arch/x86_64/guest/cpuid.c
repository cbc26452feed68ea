/* SPDX-License-Identifier: MIT */
/*
 * CPUID as a guest sees it. A list of what is let through; what is not listed
 * is hidden, so a feature of a future CPU is hidden until someone has thought
 * about it. Hidden on purpose: VMX, SVM, MONITOR, MTRRs, machine check, PMU and
 * debug store, TSC deadline and TSC_ADJUST, PCID and INVPCID, LA57, MPX, AMX, CET,
 * XSAVES, speculation control, SGX.
 *
 * The local APIC is ours (vlapic.c), so it is there on any CPU. The topology is
 * one package of cores with one thread each: core n has APIC id 2n, as the MADT
 * says, and caches but the last are a core's own.
 *
 * Bits: SDM vol. 2, CPUID; APM vol. 3, appendix E. Xen's leaves: arch-x86/cpuid.h.
 */
#include "arch/x86_64/guest/cpuid.h"
#include "arch/x86_64/guest/vlapic.h"
#include "kernel/abi/quire.h"

#define XEN_BASE      0x40000000u
#define XEN_LAST      (XEN_BASE + 4)
#define XEN_VERSION   (4u << 16 | 17u)
#define XEN_VCPU_ID   BIT(3)
#define XEN_DOMID     BIT(4)
#define BASIC_LAST    0xdu
#define EXTENDED_LAST 0x80000008u

#define XCR0_AVX_BIT    BIT(2)
#define XCR0_AVX512_BIT BIT(5)
#define XCR0_PKRU_BIT   BIT(9)
#define XCR0_FIRST      2u  /* components 0 and 1 are the legacy region */
#define XSAVE_LEGACY    576 /* bytes: legacy region and header (SDM vol. 1, 13.4) */

#define B(n) (1u << (n))

/* leaf 1 */
#define L1_ECX_X2APIC  B(21)
#define L1_ECX_OSXSAVE B(27)
#define L1_ECX_XSAVE   B(26)
#define L1_ECX_AVX     (B(12) | B(28) | B(29)) /* FMA AVX F16C */
#define L1_ECX_HV      B(31)
#define L1_ECX                                                                                     \
	(B(0) | B(1) | B(9) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(30) |              \
	 L1_ECX_XSAVE | L1_ECX_AVX)
#define L1_EDX_APIC B(9)
#define L1_EDX_HTT  B(28) /* EBX 23..16 counts */
/* FPU VME DE PSE TSC MSR PAE CX8 SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
#define L1_EDX                                                                                     \
	(B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(8) | B(11) | B(13) | B(15) | B(16) |   \
	 B(17) | B(19) | B(23) | B(24) | B(25) | B(26))

/* leaf 7 */
#define L7_EBX_AVX512 (B(16) | B(17) | B(21) | B(28) | B(30) | B(31))
#define L7_EBX_AVX2   B(5)
/* FSGSBASE BMI1 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA */
#define L7_EBX                                                                                     \
	(B(0) | B(3) | B(7) | B(8) | B(9) | B(18) | B(19) | B(20) | B(23) | B(24) | B(29) |        \
	 L7_EBX_AVX2 | L7_EBX_AVX512)
#define L7_ECX_AVX512 (B(1) | B(6) | B(11) | B(12) | B(14))
#define L7_ECX_AVX    (B(9) | B(10)) /* VAES VPCLMULQDQ */
#define L7_ECX_PKU    B(3)
#define L7_ECX_OSPKE  B(4)
#define L7_ECX        (B(2) | B(8) | B(22) | L7_ECX_PKU | L7_ECX_AVX | L7_ECX_AVX512)
#define L7_EDX        B(4) /* FSRM */

/* leaf 0x80000001 */
#define E1_ECX_CORES B(1)            /* CmpLegacy: AMD's, what HTT counts are cores */
#define E1_ECX_AVX   (B(11) | B(16)) /* XOP FMA4 */
#define E1_ECX       (B(0) | B(5) | B(6) | B(7) | B(8) | B(21) | E1_ECX_AVX)
#define E1_EDX       (L1_EDX | B(20) | B(22) | B(26) | B(27) | B(29))

#define E7_EDX_INVARIANT B(8)
#define E8_EBX           (B(0) | B(2)) /* CLZERO, FP error pointers restored */

/* APIC ids: bit 0 is the thread, of which there is one, bits 3..1 the core. */
#define ID_THREAD_BITS  1u
#define ID_PACKAGE_BITS 4u
#define ID_PACKAGE      (1u << ID_PACKAGE_BITS)

#define XSAVE_FEATURES (B(0) | B(1) | B(2)) /* XSAVEOPT XSAVEC XGETBV(1); no XSAVES */

/* EBX of leaf 0: "Auth" or "Hygo". */
static bool cpuid_is_amd(const struct cpuid_view *v)
{
	uint32_t ebx = v->raw(0, 0).ebx;

	return ebx == 0x68747541 || ebx == 0x6f677948;
}

static void cpuid_leaf1(const struct cpuid_view *v, struct cpuid_regs *r)
{
	bool avx = v->xcr0_mask & XCR0_AVX_BIT;

	/* EBX: the line size of CLFLUSH, ids in a package; cpuid_vary adds the APIC id. */
	r->ebx = (r->ebx & 0xff00) | ID_PACKAGE << 16;
	r->ecx &= L1_ECX & ~(avx ? 0 : L1_ECX_AVX) & ~(v->xcr0_mask ? 0 : L1_ECX_XSAVE);
	r->ecx |= L1_ECX_HV | L1_ECX_X2APIC;
	r->edx = (r->edx & L1_EDX) | L1_EDX_HTT;
}

static void cpuid_leaf7(const struct cpuid_view *v, uint32_t subleaf, struct cpuid_regs *r)
{
	bool avx = v->xcr0_mask & XCR0_AVX_BIT, avx512 = v->xcr0_mask & XCR0_AVX512_BIT;

	if (subleaf) {
		*r = (struct cpuid_regs){0};
		return;
	}
	r->eax = 0;
	r->ebx &= L7_EBX & ~(avx512 ? 0 : L7_EBX_AVX512) & ~(avx ? 0 : L7_EBX_AVX2);
	r->ecx &= L7_ECX & ~(avx512 ? 0 : L7_ECX_AVX512) & ~(avx ? 0 : L7_ECX_AVX);
	if (!(v->xcr0_mask & XCR0_PKRU_BIT))
		r->ecx &= ~L7_ECX_PKU;
	r->edx &= L7_EDX;
}

/* Caches: ids in a package, ids that share the cache (SDM vol. 2, leaf 4), each less 1. */
static void cpuid_leaf4(struct cpuid_regs *r)
{
	unsigned level = (r->eax >> 5) & 7;
	uint32_t sharing = level >= 3 ? ID_PACKAGE : 1u << ID_THREAD_BITS;

	if (!(r->eax & 31)) /* no more of them */
		return;
	r->eax &= 0x3fff;
	r->eax |= (sharing - 1) << 14 | ((ID_PACKAGE >> ID_THREAD_BITS) - 1) << 26;
}

/* Extended topology: threads of a core, cores of the package (SDM vol. 2, leaf 0BH). */
static void cpuid_leafb(const struct cpuid_view *v, uint32_t subleaf, struct cpuid_regs *r)
{
	*r = (struct cpuid_regs){.ecx = subleaf & 0xff, .edx = vlapic_id_of(v->vcpu_id)};
	if (subleaf == 0) {
		r->eax = ID_THREAD_BITS;
		r->ebx = 1;
		r->ecx |= 1u << 8;
	} else if (subleaf == 1) {
		r->eax = ID_PACKAGE_BITS;
		r->ebx = v->nr_vcpus;
		r->ecx |= 2u << 8;
	}
}

/* Size of an XSAVE area for these components: standard, or compacted. */
static uint32_t cpuid_xsave_bytes(const struct cpuid_view *v, uint64_t xcr0, bool compact)
{
	uint32_t bytes = XSAVE_LEGACY;

	for (unsigned i = XCR0_FIRST; i < 63; i++) {
		struct cpuid_regs c;

		if (!(xcr0 & BIT(i)))
			continue;
		c = v->raw(0xd, i);
		if (compact)
			bytes = (c.ecx & 2 ? (bytes + 63u) & ~63u : bytes) + c.eax;
		else if (c.ebx + c.eax > bytes)
			bytes = c.ebx + c.eax;
	}
	return bytes;
}

static void cpuid_leafd(const struct cpuid_view *v, uint32_t subleaf, struct cpuid_regs *r)
{
	if (!v->xcr0_mask || subleaf > 62) {
		*r = (struct cpuid_regs){0};
	} else if (subleaf == 0) {
		r->eax = (uint32_t)v->xcr0_mask;
		r->edx = (uint32_t)(v->xcr0_mask >> 32);
		r->ebx = cpuid_xsave_bytes(v, v->xcr0, false);
		r->ecx = cpuid_xsave_bytes(v, v->xcr0_mask, false);
	} else if (subleaf == 1) {
		r->eax &= XSAVE_FEATURES;
		r->ebx = r->eax & B(1) ? cpuid_xsave_bytes(v, v->xcr0, true) : 0;
		r->ecx = r->edx = 0;
	} else if (!(v->xcr0_mask & BIT(subleaf))) {
		*r = (struct cpuid_regs){0};
	} else {
		r->ecx &= B(1); /* a user component; its place in a compacted area */
		r->edx = 0;
	}
}

static void cpuid_basic(const struct cpuid_view *v, uint32_t leaf, uint32_t subleaf,
                        struct cpuid_regs *r)
{
	*r = v->raw(leaf, subleaf);
	switch (leaf) {
	case 0:
		r->eax = r->eax < BASIC_LAST ? r->eax : BASIC_LAST;
		break;
	case 1:
		cpuid_leaf1(v, r);
		break;
	case 2: /* cache descriptors */
		break;
	case 4:
		cpuid_leaf4(r);
		break;
	case 7:
		cpuid_leaf7(v, subleaf, r);
		break;
	case 0xb:
		cpuid_leafb(v, subleaf, r);
		break;
	case 0xd:
		cpuid_leafd(v, subleaf, r);
		break;
	default:
		*r = (struct cpuid_regs){0};
	}
}

static void cpuid_extended(const struct cpuid_view *v, uint32_t leaf, struct cpuid_regs *r)
{
	*r = v->raw(leaf, 0);
	switch (leaf) {
	case 0x80000000:
		r->eax = r->eax < EXTENDED_LAST ? r->eax : EXTENDED_LAST;
		break;
	case 0x80000001:
		r->ecx &= E1_ECX & ~(v->xcr0_mask & XCR0_AVX_BIT ? 0 : E1_ECX_AVX);
		r->ecx |= cpuid_is_amd(v) ? E1_ECX_CORES : 0;
		r->edx &= E1_EDX;
		break;
	case 0x80000002: /* the name of the CPU */
	case 0x80000003:
	case 0x80000004:
	case 0x80000005: /* caches */
	case 0x80000006:
		break;
	case 0x80000007:
		*r = (struct cpuid_regs){.edx = r->edx & E7_EDX_INVARIANT};
		break;
	case 0x80000008:
		*r = (struct cpuid_regs){.eax = r->eax & 0xffff, .ebx = r->ebx & E8_EBX};
		break;
	default:
		*r = (struct cpuid_regs){0};
	}
}

static void cpuid_hypervisor(const struct cpuid_view *v, uint32_t leaf, uint32_t subleaf,
                             struct cpuid_regs *r)
{
	switch (leaf) {
	case XEN_BASE: /* "XenVMMXenVMM" */
		*r = (struct cpuid_regs){XEN_LAST, 0x566e6558, 0x65584d4d, 0x4d4d566e};
		break;
	case XEN_BASE + 1:
		r->eax = XEN_VERSION;
		break;
	case XEN_BASE + 2: /* one hypercall page, at this MSR */
		r->eax = 1;
		r->ebx = 0x40000000;
		break;
	case XEN_BASE + 3:
		r->ecx = subleaf == 0 ? v->tsc_khz : 0;
		break;
	case XEN_BASE + 4:
		r->eax = XEN_VCPU_ID | XEN_DOMID;
		r->ebx = v->vcpu_id;
		r->ecx = v->domid;
		break;
	case QUIRE_CPUID_BASE: /* "QuireQuire  " */
		*r = (struct cpuid_regs){QUIRE_CPUID_BASE + 1, 0x72697551, 0x69755165, 0x20206572};
		break;
	case QUIRE_CPUID_BASE + 1:
		r->eax = QUIRE_ABI_VERSION;
		break;
	}
}

bool cpuid_is_fixed(uint32_t leaf, uint32_t subleaf)
{
	return leaf != 0xb && leaf != 0xd && (subleaf == 0 || (leaf != 4 && leaf != 7));
}

void cpuid_vary(const struct cpuid_view *v, uint32_t leaf, struct cpuid_regs *r)
{
	if (leaf == 1) {
		r->ebx |= vlapic_id_of(v->vcpu_id) << 24;
		if (v->apic)
			r->edx |= L1_EDX_APIC;
		if ((r->ecx & L1_ECX_XSAVE) && (v->cr4 & CR4_OSXSAVE))
			r->ecx |= L1_ECX_OSXSAVE;
	} else if (leaf == 7 && (r->ecx & L7_ECX_PKU) && (v->cr4 & CR4_PKE)) {
		r->ecx |= L7_ECX_OSPKE;
	} else if (leaf == 0x80000008 && v->nr_vcpus) {
		/* AMD's: cores less 1, bits of an id within the package; reserved on Intel. */
		r->ecx = cpuid_is_amd(v) ? (v->nr_vcpus - 1u) | ID_PACKAGE_BITS << 12 : 0;
	}
}

void cpuid_guest(const struct cpuid_view *v, uint32_t leaf, uint32_t subleaf,
                 struct cpuid_regs *out)
{
	*out = (struct cpuid_regs){0};
	/* A leaf that this CPU does not have would be answered with another one's data. */
	if (leaf <= BASIC_LAST) {
		if (leaf == 0 || leaf <= v->raw(0, 0).eax)
			cpuid_basic(v, leaf, subleaf, out);
		cpuid_vary(v, leaf, out);
	} else if (leaf >= 0x80000000u && leaf <= EXTENDED_LAST) {
		if (leaf <= v->raw(0x80000000u, 0).eax) {
			cpuid_extended(v, leaf, out);
			cpuid_vary(v, leaf, out);
		}
	} else {
		cpuid_hypervisor(v, leaf, subleaf, out);
	}
}

struct cr_limits cpuid_limits(const struct cpuid_view *v)
{
	struct cpuid_regs one, seven, ext1, ext8;
	struct cr_features f = {.xcr0 = v->xcr0_mask};

	cpuid_guest(v, 1, 0, &one);
	cpuid_guest(v, 7, 0, &seven);
	cpuid_guest(v, 0x80000001, 0, &ext1);
	cpuid_guest(v, 0x80000008, 0, &ext8);
	f.leaf1_ecx = one.ecx;
	f.leaf1_edx = one.edx;
	f.leaf7_ebx = seven.ebx;
	f.leaf7_ecx = seven.ecx;
	f.ext1_ecx = ext1.ecx;
	f.ext1_edx = ext1.edx;
	f.phys_bits = ext8.eax & 0xff ? ext8.eax & 0xff : 36; /* SDM vol. 3, 4.1.4 */
	return cr_limits_of(&f);
}
