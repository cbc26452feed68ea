/* SPDX-License-Identifier: MIT */
/*
 * The choice of the back end. The feature bits decide before the vendor's
 * name: a CPU of any maker that has VMX speaks VMX.
 */
#include "arch/x86_64/hvm.h"
#include "arch/x86_64/cpu.h"

#define CPUID_VMX BIT(5) /* leaf 1, ECX */

#define VENDOR_AMD   0x68747541u /* "Auth" */
#define VENDOR_HYGON 0x6f677948u /* "Hygo" */

const struct hvm_ops *hvm;

const char *hvm_choose(void)
{
	const struct hvm_ops *ops = &vmx_ops;
	uint32_t vendor = cpuid(0, 0).ebx;
	const char *why;

	if (!(cpuid(1, 0).ecx & CPUID_VMX) && (vendor == VENDOR_AMD || vendor == VENDOR_HYGON))
		ops = &svm_ops;
	why = ops->probe();
	if (!why)
		hvm = ops;
	return why;
}
