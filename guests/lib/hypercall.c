/* SPDX-License-Identifier: MIT */
#include "guests/lib/cpu.h"
#include "guests/lib/hypercall.h"
#include <xen/arch-x86/cpuid.h>

/* The hypervisor writes stubs of 32 bytes here, one for each number. */
uint8_t hypercall_page[4096] __attribute__((aligned(4096), section(".data.hypercall")));

static bool present, amd, quire;
static uint32_t xen_base;

/* narrow_call.S: EAX and the first three argument registers of a 32-bit caller. */
uint64_t narrow_call(uint64_t eax, uint64_t ebx, uint64_t ecx, uint64_t edx, uint64_t amd);

static bool signature_is(const uint32_t r[4], uint32_t b, uint32_t c, uint32_t d)
{
	return r[1] == b && r[2] == c && r[3] == d;
}

static void vendor_init(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
	/* "AuthenticAMD" or "HygonGenuine": the first four letters tell. */
	amd = r[1] == 0x68747541 || r[1] == 0x6f677948;
}

void hypercall_init(void)
{
	uint32_t r[4];

	vendor_init();
	cpuid(1, 0, r);
	if (!(r[2] >> 31))
		return;
	for (uint32_t base = 0x40000000; base < 0x40010000; base += 0x100) {
		cpuid(base, 0, r);
		if (signature_is(r, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX,
		                 XEN_CPUID_SIGNATURE_EDX))
			xen_base = base;
		if (signature_is(r, 0x72697551, 0x69755165, 0x20206572)) /* "QuireQuire  " */
			quire = true;
	}
	if (!xen_base)
		return;
	cpuid(xen_base + 2, 0, r);
	wrmsr(r[1], (uint64_t)hypercall_page);
	present = true;
}

long hypercall_narrow(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	return (int32_t)narrow_call(nr, a, b, c, hypercall_amd());
}

bool hypercall_present(void)
{
	return present;
}

bool hypercall_amd(void)
{
	return amd;
}

bool hypercall_quire(void)
{
	return quire;
}

int hypercall_domid(void)
{
	uint32_t r[4];

	if (!present)
		return -1;
	cpuid(xen_base + 4, 0, r);
	return r[0] & XEN_HVM_CPUID_DOMID_PRESENT ? (int)r[2] : -1;
}
