/* SPDX-License-Identifier: MIT */
/* What the files of this guest share: the registers in either mode, what was delivered, vCPU 1. */
#ifndef GUEST_APIC_APIC_H
#define GUEST_APIC_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define MSR_APIC_BASE 0x1bu
#define BASE_ADDRESS  0xfee00000u
#define BASE_BSP      0x100u
#define BASE_X2APIC   0x400u
#define BASE_ENABLE   0x800u

/* Registers: number of the MSR less 0x800, offset of the word divided by 16. */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR = 0x30,
	REG_LVT_TIMER = 0x32,
	REG_LVT_ERROR = 0x37,
	REG_INITIAL = 0x38,
	REG_CURRENT = 0x39,
	REG_DIVIDE = 0x3e,
	REG_SELF = 0x3f,
};

#define ICR_NMI      0x400u
#define ICR_INIT     0x4500u
#define ICR_DEASSERT 0x8500u
#define ICR_STARTUP  0x4600u
#define ICR_FIXED    0x4000u
#define ICR_LOGICAL  0x800u
#define ICR_SELF     0x40000u
#define ICR_ALL      0x80000u
#define ICR_OTHERS   0xc0000u

/* regs.c: of this vCPU, by MSR or by memory, as its mode is now. */
bool apic_x2(void);
uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t value);
uint32_t apic_id(void);
void apic_icr(uint32_t destination, uint32_t low);
void apic_self(uint8_t vector); /* by shorthand, or by SELF IPI where there is one */
void apic_enable(bool x2);      /* from the disabled state or from itself to that mode; SVR on */
bool apic_requested(uint8_t vector);
bool apic_in_service(uint8_t vector);

/* What came, of each vCPU; handlers of VECTOR_FIRST and up end with EOI unless told not to. */
#define VECTOR_FIRST 0x30u
#define MAX_ORDER    16u
struct seen {
	volatile uint32_t count[256];
	volatile uint32_t nmis;
	volatile uint32_t orders;
	volatile uint8_t order[MAX_ORDER];
	volatile bool no_eoi;
	volatile bool probe;      /* the next NMI's handler asks for another and an interrupt */
	volatile uint32_t inside; /* how many of 0x44 came while that handler ran */
};
extern struct seen seen[2];
void seen_init(void);
void seen_clear(unsigned cpu);
void window(void); /* interrupts on for two instructions */
void nap(void);    /* a tenth of a millisecond, or until an event */
/* Until *counter is at least `want`; gives up after a second. */
bool reaches(const volatile uint32_t *counter, uint32_t want);

/* ap.c: vCPU 1. */
enum ap_order { AP_IDLE, AP_SPIN, AP_HALT, AP_DEAF, AP_SEND, AP_TPR, AP_X2APIC, AP_XAPIC };
struct ap {
	volatile uint32_t starts, cs, signature; /* what the start-up found */
	volatile uint32_t id, svr, x2;           /* of its APIC, at the start */
	volatile uint32_t beats;                 /* as long as it runs */
	volatile uint32_t order, done;
	volatile uint32_t argument;
};
extern struct ap ap;
void ap_prepare(void);
void ap_kick_off(void); /* INIT, then start-up IPI */
bool ap_tell(enum ap_order o, uint32_t argument);

/* alone.c, pair.c, modes.c */
void test_alone(const char *mode);
void test_pair(const char *mode);
void test_modes(void);
void test_upcall_vector(void);

#endif
