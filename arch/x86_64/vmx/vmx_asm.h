/* SPDX-License-Identifier: MIT */
/*
 * VMX instructions as functions (SDM vol. 3, chapter 30). Each reports failure
 * in CF or ZF. The ones that can fail only through a bug of ours assert.
 */
#ifndef VMX_ASM_H
#define VMX_ASM_H

#include "arch/x86_64/vmx/vmcs_fields.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/types.h"

static inline bool must_check vmxon(uint64_t hpa)
{
	bool failed;

	asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(hpa) : "memory");
	return !failed;
}

static inline void vmxoff(void)
{
	asm volatile("vmxoff" ::: "cc", "memory");
}

static inline void vmclear(uint64_t hpa)
{
	bool failed;

	asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(hpa) : "memory");
	ASSERT(!failed);
}

static inline void vmptrld(uint64_t hpa)
{
	bool failed;

	asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(hpa) : "memory");
	ASSERT(!failed);
}

/* The field must exist on this CPU: all that we use but in a dump do. */
static inline uint64_t vmread(enum vmcs_field field)
{
	uint64_t v;

	asm volatile("vmread %1, %0" : "=r"(v) : "r"((uint64_t)field) : "cc");
	return v;
}

/* For dumps: zero where the CPU does not have the field. */
static inline uint64_t vmread_any(uint64_t field)
{
	uint64_t v = 0;
	bool failed;

	asm volatile("vmread %2, %1" : "=@ccbe"(failed), "+r"(v) : "r"(field));
	return failed ? 0 : v;
}

static inline void vmwrite(enum vmcs_field field, uint64_t value)
{
	bool failed;

	asm volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"((uint64_t)field), "rm"(value));
	ASSERT(!failed);
}

#define INV_SINGLE 1u /* INVEPT: one EPTP; INVVPID: one VPID */
#define INV_ALL    2u

static inline void invept(uint64_t type, uint64_t eptp)
{
	struct {
		uint64_t eptp, zero;
	} d = {eptp, 0};
	bool failed;

	asm volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	ASSERT(!failed);
}

static inline void invvpid(uint64_t type, uint64_t vpid)
{
	struct {
		uint64_t vpid, address;
	} d = {vpid, 0};
	bool failed;

	asm volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	ASSERT(!failed);
}

#endif
