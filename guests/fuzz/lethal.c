/* SPDX-License-Identifier: MIT */
/*
 * What this guest may not outlive, with `lethal` on its command line: accesses to addresses where
 * nothing is, instructions on the local APIC that are no MOV, INIT and start-up for
 * the other vCPU, a third vCPU with a state made of noise, tables at odd places. Most
 * of it ends in a sentence from the hypervisor; whatever it ends in, nobody else notices.
 */
#include "guests/fuzz/fuzz.h"
#include "guests/lib/trap.h"
#include "guests/lib/shutdown.h"

#define APIC_PAGE UINT64_C(0xfee00000)

/* Our tables map the first 4 GiB, of which a few MiB are there. */
static uint64_t somewhere(struct fuzzer *f)
{
	static const uint64_t near[] = {0,          0x9f000,    0xa0000,    0xf0000,
	                                0xfebff000, 0xfec00000, 0xfee00000, 0xfee01000,
	                                0xfed00000, 0xfffff000, 0xfc000000, 0xfe000000};

	if (chance(f, 2))
		return near[below(f, sizeof(near) / sizeof(near[0]))] + below(f, PAGE_SIZE - 8);
	return chance(f, 2) ? arena_gfn(f) * PAGE_SIZE : below(f, UINT64_C(1) << 32) & ~UINT64_C(7);
}

static void touch(void *arg)
{
	volatile uint64_t *at = (volatile uint64_t *)somewhere(arg);
	uint64_t count = 4, from = (uint64_t)at, to = (uint64_t)((struct fuzzer *)arg)->args;

	switch (below(arg, 6)) {
	case 0:
		(void)*at;
		break;
	case 1:
		*at = 0;
		break;
	case 2:
		__atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);
		break;
	case 3:
		__asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsb" : "+D"(from), "+S"(to), "+c"(count) : : "memory");
		break;
	default:
		(void)*(volatile uint8_t *)at;
	}
}

static void odd_apic(void *arg)
{
	uint64_t at = APIC_PAGE + below(arg, 64) * 16, value = odd_number(arg), count = 2;
	uint64_t to = (uint64_t)((struct fuzzer *)arg)->args;

	switch (below(arg, 8)) {
	case 0:
		__asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("movb %b0, (%1)" : : "q"(value), "r"(at) : "memory");
		break;
	case 2:
		__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(at) : "memory");
		break;
	case 3:
		__asm__ volatile("orl %k0, (%1)" : : "r"(value), "r"(at) : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsl" : "+S"(at), "+D"(to), "+c"(count) : : "memory");
		break;
	case 5:
		__asm__ volatile("movzwl (%1), %k0" : "=r"(value) : "r"(at) : "memory");
		break;
	case 6:
		__asm__ volatile("lock incl (%0)" : : "r"(at) : "memory");
		break;
	default:
		__asm__ volatile("pushq (%0); popq (%0)" : : "r"(at) : "memory");
	}
}

static void odd_tables(void *arg)
{
	WRITE_CR(3, odd_number(arg));
}

static void odd_debug(void *arg)
{
	uint64_t value = odd_number(arg);

	switch (below(arg, 4)) {
	case 0:
		__asm__ volatile("mov %0, %%dr0" : : "r"(value));
		break;
	case 1:
		__asm__ volatile("mov %0, %%dr6" : : "r"(value));
		break;
	default: /* enabled breakpoints only of what is never executed */
		__asm__ volatile("mov %0, %%dr7" : : "r"(value & 0xff00));
	}
}

static void odd_instruction(void *arg)
{
	switch (below(arg, 10)) {
	case 0:
		__asm__ volatile("vmrun" : : "a"(odd_number(arg)));
		break;
	case 1:
		__asm__ volatile("stgi");
		break;
	case 2:
		__asm__ volatile("vmxoff");
		break;
	case 3:
		__asm__ volatile("wbinvd; invd");
		break;
	case 4:
		__asm__ volatile("rdpmc" : : "c"((uint32_t)odd_number(arg)) : "eax", "edx");
		break;
	case 5:
		__asm__ volatile("mwait" : : "a"(0), "c"(0));
		break;
	case 6:
		__asm__ volatile("rsm");
		break;
	case 7:
		__asm__ volatile("invlpga" : : "a"(0), "c"(0));
		break;
	case 8:
		__asm__ volatile("getsec" : : "a"(0));
		break;
	default:
		__asm__ volatile("skinit" : : "a"(0));
	}
}

/* The third vCPU: a state that is good but for a word or two, and go. */
static void third_vcpu(struct fuzzer *f)
{
	static const uint8_t loop[] = {0xf3, 0x90, 0xeb, 0xfc};
	struct vcpu_hvm_context x = {.mode = VCPU_HVM_MODE_64B};
	struct vcpu_hvm_x86_64 *r = &x.cpu_regs.x86_64;

	memcpy(f->args + 2 * PAGE_SIZE - 64, loop, sizeof(loop));
	r->rip = (uint64_t)f->args + 2 * PAGE_SIZE - 64;
	r->rflags = 2;
	r->cr0 = READ_CR(0);
	r->cr3 = READ_CR(3);
	r->cr4 = READ_CR(4);
	r->efer = rdmsr(MSR_EFER);
	if (chance(f, 4))
		x.mode = VCPU_HVM_MODE_32B;
	fuzz_call(f,
	          (struct call){
	              __HYPERVISOR_vcpu_op, {VCPUOP_initialise, VCPUS},
                       2
        },
	          &x, sizeof(x));
	hypercall_vcpu(VCPUOP_up, VCPUS, NULL);
	hypercall_vcpu(chance(f, 2) ? VCPUOP_down : VCPUOP_is_up, VCPUS, NULL);
}

static void the_end(struct fuzzer *f)
{
	struct sched_shutdown s = {(unsigned)below(f, 8)};

	switch (below(f, 4)) {
	case 0:
		hypercall_sched(SCHEDOP_shutdown, &s);
		break;
	case 1:
		hypercall_vcpu(VCPUOP_down, (unsigned)below(f, 3), NULL);
		break;
	case 2:
		__asm__ volatile("outb %b0, %w1" : : "a"(0x20 | 5 << 2), "d"(0x600));
		break;
	default: {
		const struct __attribute__((packed)) {
			uint16_t limit;
			uint64_t base;
		} none = {0, 0};

		__asm__ volatile("lidt %0; int3" : : "m"(none));
	}
	}
}

bool lethal(struct fuzzer *f)
{
	static void (*const caught[])(void *f) = {
	    touch, odd_apic, odd_tables, odd_debug, odd_instruction, odd_instruction, odd_debug};
	uint64_t cr3 = READ_CR(3);
	bool ok;

	if (chance(f, 4)) {
		third_vcpu(f);
		return true;
	}
	if (chance(f, 40)) {
		the_end(f);
		return true;
	}
	ok = trap_vector(caught[below(f, sizeof(caught) / sizeof(caught[0]))], f) == TRAP_NONE;
	WRITE_CR(3, cr3);
	return ok;
}
