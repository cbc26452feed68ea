/* SPDX-License-Identifier: MIT */
/*
 * The local APIC of a guest's CPU, in software: a struct and pure functions
 * (SDM vol. 3, chapter "Advanced Programmable Interrupt Controller (APIC)"; it
 * has had several numbers, so sections are cited by name).
 *
 * Who may call what. Everything belongs to the CPU on which the vCPU is loaded,
 * and to nobody while it is loaded nowhere, but for three doors for others:
 *	vlapic_post, vlapic_post_init and the like	any CPU, at any time
 *	vlapic_ipi_reaches				any CPU: reads words that
 *							their owner stores whole
 *	vlapic_id_of					a constant
 * What others post waits in `posted` and `events` until the owner collects it,
 * before each entry (kernel/interrupt.c). There is no lock inside. A poster
 * must wake or kick the vCPU after it has posted.
 *
 * Not there: lowest-priority IPIs (the sender's ESR says so), SMIs, interrupt
 * lines LINT0 and LINT1, thermal and performance interrupts (their LVT
 * registers hold what is written, nothing ever raises them), the TSC-deadline
 * timer, level-triggered interrupts (so TMR is zero and no EOI is broadcast),
 * a base address other than the usual one.
 */
#ifndef ARCH_GUEST_VLAPIC_H
#define ARCH_GUEST_VLAPIC_H

#include <stdatomic.h>
#include "mm/leaf/bits.h"
#include "mm/leaf/types.h"

#define VLAPIC_BASE 0xfee00000u /* where the registers of xAPIC mode lie */

/* IA32_APIC_BASE (section "Local APIC Status and Location") */
#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)

/*
 * The APIC id of a vCPU: twice its number, as in Xen, so that the MADT, CPUID
 * and the APIC tell the same; the ACPI processor id is the number itself.
 */
static inline uint32_t vlapic_id_of(unsigned vcpu)
{
	return 2 * vcpu;
}

#define VLAPIC_MSR_FIRST 0x800u
#define VLAPIC_MSR_LAST  0xbffu /* all of these are #GP outside of x2APIC mode */

/* Registers by number: MSR address less 0x800, offset in the page divided by 16. */
enum vlapic_reg {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_APR = 0x09, /* xAPIC only; none of ours: reads 0 */
	APIC_PPR = 0x0a,
	APIC_EOI = 0x0b,
	APIC_RRD = 0x0c, /* xAPIC only; none of ours: reads 0 */
	APIC_LDR = 0x0d,
	APIC_DFR = 0x0e, /* xAPIC only */
	APIC_SVR = 0x0f,
	APIC_ISR = 0x10, /* eight of them, and of the next two */
	APIC_TMR = 0x18,
	APIC_IRR = 0x20,
	APIC_ESR = 0x28,
	APIC_ICR = 0x30,
	APIC_ICR_HIGH = 0x31, /* xAPIC only */
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_THERMAL = 0x33,
	APIC_LVT_PERF = 0x34,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36,
	APIC_LVT_ERROR = 0x37,
	APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39,
	APIC_TIMER_DIVIDE = 0x3e,
	APIC_SELF_IPI = 0x3f, /* x2APIC only */
};
#define VLAPIC_LVTS 6u /* APIC_LVT_TIMER .. APIC_LVT_ERROR */

/* ESR (section "Error Handling") */
#define ESR_REDIRECTABLE    BIT(4) /* a lowest-priority IPI, which is not supported */
#define ESR_SEND_ILLEGAL    BIT(5) /* a vector below 16 */
#define ESR_RECEIVE_ILLEGAL BIT(6)
#define ESR_ILLEGAL_REG     BIT(7)

#define SVR_ENABLE     BIT(8)
#define LVT_MASKED     BIT(16)
#define LVT_PERIODIC   BIT(17)
#define VECTOR_LEGAL   16u /* the first that may be delivered */
#define ICR_MODE(icr)  (((icr) >> 8) & 7u)
#define ICR_LOGICAL    BIT(11)
#define ICR_ASSERT     BIT(14)
#define ICR_LEVEL      BIT(15)
#define ICR_SHORT(icr) (((icr) >> 18) & 3u)

enum vlapic_delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_NMI = 4,
	DELIVER_INIT,
	DELIVER_STARTUP,
};
enum vlapic_shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

/* The timer's input clock: one count of an undivided timer, in nanoseconds. */
#define VLAPIC_TICK_NS       1u
#define VLAPIC_PERIOD_MIN_NS 100000u /* a shorter period is made this long */

/* What others asked of this APIC; one word, so that an INIT can take back what came before. */
#define VLAPIC_NMI          BIT(0)
#define VLAPIC_INIT         BIT(1)
#define VLAPIC_STARTUP      BIT(2)
#define VLAPIC_TIMER        BIT(3) /* the time that vlapic_timer_due told has come */
#define VLAPIC_FIXED        BIT(4) /* something is in `posted` */
#define VLAPIC_PAGE(events) ((uint8_t)((events) >> 8)) /* of STARTUP: the page where to begin */

struct vlapic {
	uint32_t id;
	/* stored whole by the owner, read by others */
	_Atomic uint32_t base_flags; /* APIC_BASE_* */
	_Atomic uint32_t svr, ldr, dfr;

	uint32_t tpr, esr, esr_new;
	uint32_t icr, icr_high;
	uint32_t lvt[VLAPIC_LVTS];
	uint32_t irr[8], isr[8];

	uint32_t timer_initial, timer_divide;
	bool timer_counts;
	uint64_t timer_start_ns; /* of the present period */

	/* from others */
	_Atomic uint32_t posted[8];
	_Atomic uint32_t events;
};

/* An IPI as ICR described it. */
struct vlapic_ipi {
	uint8_t vector;
	uint8_t mode;      /* enum vlapic_delivery */
	uint8_t shorthand; /* enum vlapic_shorthand */
	bool logical, broadcast;
	uint32_t destination;
};

/* What the caller of a write has to do then. */
#define VLAPIC_DO_IPI   1u /* send .ipi to all APICs that it reaches */
#define VLAPIC_DO_TPR   2u /* tell the CPU the new CR8: vlapic_cr8() */
#define VLAPIC_DO_TIMER 4u /* the deadline has changed: vlapic_timer_due() */
#define VLAPIC_DO_LOOK  8u /* another interrupt may be deliverable now */
struct vlapic_todo {
	unsigned what;
	struct vlapic_ipi ipi;
};

/* ---- vlapic.c: state and priorities ---- */

void vlapic_reset(struct vlapic *a, unsigned vcpu); /* power-on */
void vlapic_init(
    struct vlapic *a); /* INIT: all but the mode and the id ("x2APIC State Transitions") */

static inline bool vlapic_enabled(const struct vlapic *a) /* globally */
{
	return a->base_flags & APIC_BASE_ENABLE;
}
static inline bool vlapic_x2apic(const struct vlapic *a)
{
	return a->base_flags & APIC_BASE_X2APIC;
}
static inline bool vlapic_xapic(const struct vlapic *a)
{
	return vlapic_enabled(a) && !vlapic_x2apic(a);
}

/* IA32_APIC_BASE. write: false for #GP, then nothing has changed. */
uint64_t vlapic_base_read(const struct vlapic *a);
bool vlapic_base_write(struct vlapic *a, uint64_t value, unsigned phys_bits, struct vlapic_todo *t);

/* Interrupt priority (section "Task and Processor Priorities"). */
uint32_t vlapic_ppr(const struct vlapic *a);
void vlapic_set_tpr(struct vlapic *a, uint32_t tpr);
static inline uint8_t vlapic_cr8(const struct vlapic *a)
{
	return (uint8_t)(a->tpr >> 4);
}
/* The vector to deliver now: it is requested and above the processor priority; -1 none. */
int vlapic_pending(const struct vlapic *a);
void vlapic_take(struct vlapic *a, uint8_t vector);   /* its delivery begins: IRR -> ISR */
void vlapic_return(struct vlapic *a, uint8_t vector); /* it was not delivered after all */
void vlapic_eoi(struct vlapic *a);
void vlapic_error(struct vlapic *a, uint32_t bit); /* and the LVT's error interrupt, if it may */

/* From any CPU. The vCPU is to be woken or kicked after. */
void vlapic_post(struct vlapic *a, uint8_t vector);
void vlapic_post_event(struct vlapic *a, uint32_t event); /* VLAPIC_NMI, VLAPIC_TIMER */
void vlapic_post_init(struct vlapic *a);                  /* takes back what was posted before */
void vlapic_post_startup(struct vlapic *a, uint8_t page);
static inline bool vlapic_has_posts(const struct vlapic *a)
{
	return a->events;
}
/* The owner: move what was posted to IRR; returns the other events that were there. */
uint32_t vlapic_collect(struct vlapic *a);

/* ---- vlapic_regs.c: registers ---- */

/* False for #GP: not there in this mode, not readable, not writable, reserved bits. */
bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t now_ns, uint64_t *value);
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t value, uint64_t now_ns,
                      struct vlapic_todo *t);
/* In xAPIC mode; offset below 4096. What is not there reads 0 and is an error in ESR. */
uint32_t vlapic_mmio_read(struct vlapic *a, uint32_t offset, uint64_t now_ns);
void vlapic_mmio_write(struct vlapic *a, uint32_t offset, uint32_t value, uint64_t now_ns,
                       struct vlapic_todo *t);

/* ---- vlapic_timer.c ---- */

uint32_t vlapic_timer_current(const struct vlapic *a, uint64_t now_ns);
void vlapic_timer_set(struct vlapic *a, uint32_t initial, uint64_t now_ns);
void vlapic_timer_set_divide(struct vlapic *a, uint32_t divide, uint64_t now_ns);
uint64_t vlapic_timer_due(const struct vlapic *a); /* UINT64_MAX: it does not count */
/* If it is due: request the interrupt, unless masked, and begin the next period. */
void vlapic_timer_expire(struct vlapic *a, uint64_t now_ns);

/* ---- vlapic_ipi.c ---- */

/* Decode ICR as this APIC holds it. False: nothing is to be sent. */
bool vlapic_icr_decode(struct vlapic *a, struct vlapic_ipi *ipi);
/* Does an IPI from `from` reach `to`? They are of one domain; they may be the same. */
bool vlapic_ipi_reaches(const struct vlapic *from, const struct vlapic_ipi *ipi,
                        const struct vlapic *to);
/* Post it to an APIC that it reaches; the vCPU is to be woken or kicked after. */
void vlapic_ipi_post(struct vlapic *to, const struct vlapic_ipi *ipi);

#endif
