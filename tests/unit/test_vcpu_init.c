/* SPDX-License-Identifier: MIT */
/*
 * VCPUOP_initialise: each register of the first state goes where it belongs, and each rule
 * of xen/hvm/hvm_vcpu.h refuses what it must, by one field of a good state that is changed.
 */
#include "arch/x86_64/guest/cr.h"
#include "tests/unit/hc_test.h"

#define AR_CODE 0xc9bu /* 32 bits, 4 KiB units, present, executable, accessed */
#define AR_DATA 0xc93u
#define AR_TSS  0x08bu

static struct vcpu_hvm_context c;
static struct vcpu_hvm_x86_32 *const c32 = &c.cpu_regs.x86_32;
static struct vcpu_hvm_x86_64 *const c64 = &c.cpu_regs.x86_64;

static int64_t initialise(void)
{
	put(ARGS, &c, sizeof(c));
	return call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS);
}

static struct guest_state *state_of(void)
{
	return &fake_of(&d->vcpus[1]->hv)->state;
}

static void good_32(void)
{
	memset(&c, 0, sizeof(c));
	c.mode = VCPU_HVM_MODE_32B;
	*c32 = (struct vcpu_hvm_x86_32){
	    .eax = 100,
	    .ecx = 101,
	    .edx = 102,
	    .ebx = 103,
	    .esp = 104,
	    .ebp = 105,
	    .esi = 106,
	    .edi = 107,
	    .eip = 0xfff,
	    .eflags = 0x46,
	    .cr0 = CR0_PE,
	    .cr3 = 0x7000,
	    .cr4 = CR4_PSE,
	    .efer = EFER_NXE,
	    .cs_base = 0x10000,
	    .ds_base = 0x20000,
	    .ss_base = 0x30000,
	    .es_base = 0x40000,
	    .tr_base = 0x50000,
	    .cs_limit = 0xfff,
	    .ds_limit = 0x1fff,
	    .ss_limit = 0x2fff,
	    .es_limit = 0x3fff,
	    .tr_limit = 0x99,
	    .cs_ar = AR_CODE,
	    .ds_ar = AR_DATA,
	    .ss_ar = AR_DATA,
	    .es_ar = AR_DATA,
	    .tr_ar = AR_TSS,
	};
}

static void good_64(void)
{
	memset(&c, 0, sizeof(c));
	c.mode = VCPU_HVM_MODE_64B;
	*c64 = (struct vcpu_hvm_x86_64){
	    .rax = 100,
	    .rcx = 101,
	    .rdx = 102,
	    .rbx = 103,
	    .rsp = 104,
	    .rbp = 105,
	    .rsi = 106,
	    .rdi = 107,
	    .rip = UINT64_C(0xffff800000001234),
	    .rflags = 0x46,
	    .cr0 = CR0_PE | CR0_PG,
	    .cr3 = 0x7000,
	    .cr4 = CR4_PAE,
	    .efer = EFER_LME | EFER_NXE,
	};
}

static void check_segment(struct guest_segment s, uint64_t base, uint32_t limit, unsigned ar)
{
	assert_int_equal(s.base, base);
	assert_int_equal(s.limit, limit);
	assert_int_equal(s.attributes, ar);
	assert_int_equal(s.selector, 0);
}

/* What every first state has, whatever was asked for. */
static void check_common(uint64_t rip)
{
	const struct guest_regs *r = &d->vcpus[1]->hv.regs;
	const struct guest_state *s = state_of();

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(r->gpr[i], 100 + i); /* in the order of the hardware */
	for (unsigned i = R8; i <= R15; i++)
		assert_int_equal(r->gpr[i], 0);
	assert_true(r->rip == rip);
	assert_int_equal(r->rflags, 0x46); /* bit 1 is set always */
	assert_int_equal(s->cr3, 0x7000);
	assert_int_equal(s->dr7, 0x400);
	assert_int_equal(s->gdtr.limit, 0);
	assert_int_equal(s->idtr.limit, 0);
	assert_int_equal(s->cpl, 0);
	check_segment(s->ldtr, 0, 0, 0x82);
}

static void state_of_32_bits(void **state)
{
	const struct guest_state *s = state_of();

	(void)state;
	good_32();
	c32->eflags = 0x44;
	spoil = true;
	assert_int_equal(initialise(), 0);
	check_common(0xfff);
	assert_int_equal(s->cr0, CR0_PE | CR0_ET);
	assert_int_equal(s->cr4, CR4_PSE);
	assert_int_equal(s->efer, EFER_NXE);
	check_segment(s->cs, 0x10000, 0xfff, AR_CODE);
	check_segment(s->ds, 0x20000, 0x1fff, AR_DATA);
	check_segment(s->ss, 0x30000, 0x2fff, AR_DATA);
	check_segment(s->es, 0x40000, 0x3fff, AR_DATA);
	check_segment(s->tr, 0x50000, 0x99, AR_TSS);
	/* FS and GS are DS, but begin at 0. */
	check_segment(s->fs, 0, 0x1fff, AR_DATA);
	check_segment(s->gs, 0, 0x1fff, AR_DATA);
}

/* Segments with an attribute of 0 are not usable; a TSS of 0 is that after INIT. */
static void segments_left_out(void **state)
{
	(void)state;
	good_32();
	c32->ds_ar = c32->ss_ar = c32->es_ar = c32->tr_ar = 0;
	assert_int_equal(initialise(), 0);
	check_segment(state_of()->ds, 0x20000, 0, 0);
	check_segment(state_of()->gs, 0, 0, 0);
	check_segment(state_of()->tr, 0x50000, 0x67, AR_TSS);
}

static void state_of_64_bits(void **state)
{
	const struct guest_state *s = state_of();

	(void)state;
	good_64();
	c64->rflags = 0x44;
	spoil = true;
	assert_int_equal(initialise(), 0);
	check_common(UINT64_C(0xffff800000001234));
	assert_int_equal(s->cr0, CR0_PE | CR0_PG | CR0_ET);
	assert_int_equal(s->cr4, CR4_PAE);
	assert_int_equal(s->efer, EFER_LME | EFER_LMA | EFER_NXE);
	check_segment(s->cs, 0, 0xffffffff, 0xa9b);
	check_segment(s->ss, 0, 0xffffffff, AR_DATA);
	check_segment(s->ds, 0, 0xffffffff, AR_DATA);
	check_segment(s->es, 0, 0xffffffff, AR_DATA);
	check_segment(s->gs, 0, 0xffffffff, AR_DATA);
	check_segment(s->tr, 0, 0x67, AR_TSS);
}

/* A good state, but for one field: refused. And with that field as in `fine`: accepted. */
#define REFUSED(good, field, bad, fine)                                                            \
	do {                                                                                       \
		good();                                                                            \
		(field) = (bad);                                                                   \
		assert_int_equal(initialise(), -XEN_EINVAL);                                       \
		(field) = (fine);                                                                  \
		assert_int_equal(initialise(), 0);                                                 \
		d->vcpus[1]->initialised = false;                                                  \
	} while (0)

static void rules_of_a_segment(uint16_t *ar, uint32_t *limit, uint16_t good)
{
	static const uint16_t unused[] = {BIT(12), BIT(13), BIT(14), BIT(15)};

	for (unsigned i = 0; i < ARRAY_SIZE(unused); i++)
		REFUSED(good_32, *ar, good | unused[i], good);
	REFUSED(good_32, *ar, good & ~SEG_ATTR_P, good);
	REFUSED(good_32, *ar, good & ~SEG_ATTR_S, good);
	REFUSED(good_32, *ar, good ^ 8, good);    /* code for data, data for code */
	REFUSED(good_32, *ar, good | 0x20, good); /* not of ring 0 */
	REFUSED(good_32, *ar, good | 0x40, good);
	REFUSED(good_32, *ar, good & ~1u, good); /* not accessed */
	REFUSED(good_32, *ar, good | SEG_ATTR_L, good);
	/* In units of 4 KiB a limit ends in fff; in bytes it has 20 bits. */
	REFUSED(good_32, *limit, 0x10ffe, 0x10fff);
	REFUSED(good_32, *limit, 0x11000, 0xffffffff);
	good_32();
	*ar = good & ~SEG_ATTR_G;
	*limit = 0x100000;
	assert_int_equal(initialise(), -XEN_EINVAL);
	*limit = 0xfffff;
	assert_int_equal(initialise(), 0);
	d->vcpus[1]->initialised = false;
}

static void rules_of_segments(void **state)
{
	(void)state;
	rules_of_a_segment(&c32->cs_ar, &c32->cs_limit, AR_CODE);
	rules_of_a_segment(&c32->ds_ar, &c32->ds_limit, AR_DATA);
	rules_of_a_segment(&c32->ss_ar, &c32->ss_limit, AR_DATA);
	rules_of_a_segment(&c32->es_ar, &c32->es_limit, AR_DATA);
	REFUSED(good_32, c32->cs_ar, 0, AR_CODE); /* code is what it runs */
	REFUSED(good_32, c32->tr_ar, AR_TSS | BIT(13), AR_TSS);
	REFUSED(good_32, c32->tr_ar, 0x89, AR_TSS | SEG_ATTR_G); /* a TSS that is not busy */
}

static void rules_of_32_bits(void **state)
{
	(void)state;
	REFUSED(good_32, c.pad, 1, 0);
	REFUSED(good_32, c.mode, 2, VCPU_HVM_MODE_32B);
	REFUSED(good_32, c32->pad1, 1, 0);
	for (unsigned i = 0; i < 3; i++)
		REFUSED(good_32, c32->pad2[i], 1, 0);
	REFUSED(good_32, c32->eip, 0x1000, 0xfff); /* beyond the limit */
	REFUSED(good_32, c32->cr0, 0, CR0_PE);
	REFUSED(good_32, c32->cr4, CR4_VMXE, 0);
	REFUSED(good_32, c32->efer, BIT(12), EFER_NXE); /* SVME */
	for (unsigned bit = 3; bit < 22; bit++)
		if (bit == 3 || bit == 5 || bit == 15 || bit == 17)
			REFUSED(good_32, c32->eflags, 1u << bit, 0x46);
	REFUSED(good_32, c32->eflags, 1u << 22, 1u << 21);
	REFUSED(good_32, c32->eflags, 1u << 31, 0x46);
}

static void rules_of_64_bits(void **state)
{
	const uint64_t cr0 = CR0_PE | CR0_PG, efer = EFER_LME;

	(void)state;
	REFUSED(good_64, c64->cr0, CR0_PG, cr0);
	REFUSED(good_64, c64->cr0, CR0_PE, cr0);
	REFUSED(good_64, c64->cr4, 0, CR4_PAE);
	REFUSED(good_64, c64->efer, EFER_NXE, efer | EFER_LMA);
	REFUSED(good_64, c64->rip, UINT64_C(0x0000800000000000), UINT64_C(0x00007fffffffffff));
	REFUSED(good_64, c64->rip, UINT64_C(0xffff7fffffffffff), UINT64_C(0xffff800000000000));
	REFUSED(good_64, c64->cr3, BIT(guest_phys_bits), BIT(guest_phys_bits - 1));
	REFUSED(good_64, c64->cr3, BIT(63), 0);
	REFUSED(good_64, c64->rflags, BIT(32), BIT(21));
}

/* Nobody runs it while its state is set; then it waits for nothing but VCPUOP_up. */
static void held_meanwhile(void **state)
{
	struct vcpu *other = d->vcpus[1];

	(void)state;
	good_64();
	other->waits_sipi = other->halted = true;
	assert_int_equal(initialise(), 0);
	assert_true(fake_of(&other->hv)->held_then);
	assert_false(other->held);
	assert_false(other->waits_sipi);
	assert_false(other->halted);
	assert_int_equal(other->state, VCPU_DOWN);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
	assert_true(vcpu_may_run(other));
}

/* The back end has the last word; what it refuses can be asked for again. */
static void back_end_refuses(void **state)
{
	struct fake_vcpu *other = fake_of(&d->vcpus[1]->hv);

	(void)state;
	good_64();
	other->refuses_state = true;
	assert_int_equal(initialise(), -XEN_EINVAL);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), -XEN_EINVAL);
	other->refuses_state = false;
	assert_int_equal(initialise(), 0);
	assert_int_equal(initialise(), -XEN_EEXIST);
	/* The caller's own vCPU is the one that is loaded, as before. */
	assert_true(f->loads > 0);
	assert_int_equal(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, RAM_BYTES), -XEN_EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(state_of_32_bits), T(segments_left_out), T(state_of_64_bits), T(rules_of_segments),
	    T(rules_of_32_bits), T(rules_of_64_bits),  T(held_meanwhile),   T(back_end_refuses),
	};

	return cmocka_run_group_tests_name("vcpu_init", tests, NULL, NULL);
}
