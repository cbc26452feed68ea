/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86_64/svm/svm_exit.h"
#include "mm/space.h"

/* Kind and length for each code on a CPU that has next-RIP save (APM vol. 2, appendix C). */
static void codes(void **state)
{
	static const struct {
		uint64_t code;
		enum exit_kind kind;
		unsigned length;
	} rows[] = {
	    {SVM_INTR,           EXIT_INTERRUPT,   0},
	    {SVM_NMI,            EXIT_NMI,         0},
	    {SVM_SMI,            EXIT_NMI,         0},
	    {SVM_INIT,           EXIT_NMI,         0},
	    {SVM_VINTR,          EXIT_WINDOW,      0},
	    {SVM_EXCEPTION + 1,  EXIT_EXCEPTION,   0},
	    {SVM_EXCEPTION + 17, EXIT_EXCEPTION,   0},
	    {SVM_EXCEPTION + 18, EXIT_EXCEPTION,   0},
	    {SVM_RDPMC,          EXIT_GP,          0},
	    {SVM_CPUID,          EXIT_CPUID,       3},
	    {SVM_INVD,           EXIT_CACHE,       3},
	    {SVM_WBINVD,         EXIT_CACHE,       3},
	    {SVM_PAUSE,          EXIT_PAUSE,       3},
	    {SVM_HLT,            EXIT_HLT,         3},
	    {SVM_INVLPGA,        EXIT_UNDEFINED,   0},
	    {SVM_MSR,            EXIT_MSR_READ,    3},
	    {SVM_TASK_SWITCH,    EXIT_TASK_SWITCH, 0},
	    {SVM_SHUTDOWN,       EXIT_SHUTDOWN,    0},
	    {SVM_VMRUN,          EXIT_UNDEFINED,   0},
	    {SVM_VMMCALL,        EXIT_HYPERCALL,   3},
	    {SVM_VMLOAD,         EXIT_UNDEFINED,   0},
	    {SVM_VMSAVE,         EXIT_UNDEFINED,   0},
	    {SVM_STGI,           EXIT_UNDEFINED,   0},
	    {SVM_CLGI,           EXIT_UNDEFINED,   0},
	    {SVM_SKINIT,         EXIT_UNDEFINED,   0},
	    {SVM_ICEBP,          EXIT_EXCEPTION,   3},
	    {SVM_MONITOR,        EXIT_UNDEFINED,   0},
	    {SVM_MWAIT,          EXIT_UNDEFINED,   0},
	    {SVM_MWAIT_ARMED,    EXIT_UNDEFINED,   0},
	    {SVM_XSETBV,         EXIT_XSETBV,      3},
	    {SVM_RDPRU,          EXIT_UNDEFINED,   0},
	    {SVM_INVLPGB,        EXIT_UNDEFINED,   0},
	    {SVM_MCOMMIT,        EXIT_UNDEFINED,   0},
	    {SVM_NPF,            EXIT_MEMORY,      0},
	    {SVM_RDTSC,          EXIT_UNKNOWN,     0},
	    {0x403,              EXIT_UNKNOWN,     0},
	    {0x12345,            EXIT_UNKNOWN,     0},
	    {SVM_INVALID,        EXIT_BAD_STATE,   0},
	    {~UINT64_C(0),       EXIT_BAD_STATE,   0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct svm_raw raw = {
		    .code = rows[i].code, .rip = 0x1000, .next_rip = 0x1003, .has_next_rip = true};
		struct vmexit x;

		if (svm_exit_decode(&raw, &x) != SVM_DONE || x.kind != rows[i].kind ||
		    x.length != rows[i].length)
			fail_msg("code %#lx: kind %u length %u", rows[i].code, x.kind, x.length);
		assert_int_equal(x.hw_reason, rows[i].code);
	}
}

/* Without next-RIP save, or with one that makes no sense, the bytes decide. */
static void length_is_asked_for(void **state)
{
	const uint64_t codes_[] = {SVM_CPUID, SVM_HLT,    SVM_VMMCALL, SVM_MSR,
	                           SVM_INVD,  SVM_XSETBV, SVM_ICEBP,   SVM_WBINVD};
	struct vmexit x;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(codes_); i++) {
		struct svm_raw raw = {.code = codes_[i], .rip = 0x1000, .next_rip = 0x1003};

		assert_int_equal(svm_exit_decode(&raw, &x), SVM_NEEDS_INSN);
		raw.has_next_rip = true;
		raw.next_rip = 0x1000;
		assert_int_equal(svm_exit_decode(&raw, &x), SVM_NEEDS_INSN);
		raw.next_rip = 0x1010;
		assert_int_equal(svm_exit_decode(&raw, &x), SVM_NEEDS_INSN);
	}
}

/* XSETBV exits at any privilege; above 0 it is #GP, with nothing to skip. */
static void xsetbv_needs_privilege(void **state)
{
	struct svm_raw raw = {.code = SVM_XSETBV, .cpl = 3};
	struct vmexit x;

	(void)state;
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_int_equal(x.kind, EXIT_GP);
}

/* Nested page fault (15.25.6): address in EXITINFO2, and bit 33 tells a guest page-table walk. */
static void nested_page_fault(void **state)
{
	static const struct {
		uint64_t info;
		unsigned access;
	} rows[] = {
	    {NPF_USER | NPF_FINAL,                           FAULT_READ                    },
	    {NPF_USER | NPF_FINAL | NPF_WRITE,               FAULT_WRITE                   },
	    {NPF_USER | NPF_FINAL | NPF_WRITE | NPF_PRESENT, FAULT_WRITE                   },
	    {NPF_USER | NPF_FINAL | NPF_FETCH,               FAULT_EXEC                    },
	    {NPF_USER | NPF_WALK | NPF_WRITE,                FAULT_WRITE | FAULT_GUEST_WALK},
	    {NPF_USER | NPF_WALK,                            FAULT_READ | FAULT_GUEST_WALK },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct svm_raw raw = {.code = SVM_NPF, .info1 = rows[i].info, .info2 = 0x123456789};
		struct vmexit x;

		assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
		assert_int_equal(x.memory.gpa, 0x123456789);
		assert_int_equal(x.memory.access, rows[i].access);
		assert_false(x.memory.misconfigured);
	}
}

/* A reserved bit in our own nested tables is our bug. */
static void reserved_bit_is_misconfigured(void **state)
{
	struct svm_raw raw = {.code = SVM_NPF, .info1 = NPF_RSVD | NPF_PRESENT};
	struct vmexit x;

	(void)state;
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_true(x.memory.misconfigured);
}

/* Port I/O (15.10.2): direction, size, string, repeat and port in EXITINFO1, next RIP in 2. */
static void port_io(void **state)
{
	struct svm_raw raw = {.code = SVM_IOIO, .rip = 0x1000, .info2 = 0x1002};
	struct vmexit x;

	(void)state;
	raw.info1 = UINT64_C(0x3f8) << 16 | IOIO_SZ8;
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_int_equal(x.kind, EXIT_IO);
	assert_int_equal(x.length, 2);
	assert_int_equal(x.io.port, 0x3f8);
	assert_int_equal(x.io.bytes, 1);
	assert_false(x.io.in || x.io.string || x.io.rep);
	raw.info1 = UINT64_C(0xcfc) << 16 | IOIO_SZ32 | IOIO_IN | IOIO_STR | IOIO_REP;
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_int_equal(x.io.port, 0xcfc);
	assert_int_equal(x.io.bytes, 4);
	assert_true(x.io.in && x.io.string && x.io.rep);
}

/* #DB brings the status bits of DR6, #AC its error code; #DB by INT1 has no status bit. */
static void exceptions(void **state)
{
	struct svm_raw raw = {.code = SVM_EXCEPTION + 1, .dr6 = 0xffff4ff2};
	struct vmexit x;

	(void)state;
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_int_equal(x.exception.vector, 1);
	assert_int_equal(x.exception.dr6, 0x4002);
	assert_false(x.exception.has_error);
	raw = (struct svm_raw){.code = SVM_EXCEPTION + 17, .info1 = 0};
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_DONE);
	assert_true(x.exception.has_error);
	raw = (struct svm_raw){.code = SVM_ICEBP, .dr6 = 0xffff4ff2};
	assert_int_equal(svm_exit_decode(&raw, &x), SVM_NEEDS_INSN);
	assert_int_equal(x.exception.vector, 1);
	assert_int_equal(x.exception.dr6, 0);
}

static bool finish(uint64_t code, uint64_t info1, const char *bytes, unsigned n, uint64_t cr0,
                   struct vmexit *x)
{
	struct svm_raw raw = {.code = code, .info1 = info1};
	struct guest_regs r = {
	    .gpr = {[RBX] = 0x1122334455667788, [R9] = 0xb}
        };
	struct insn in;
	enum svm_answer answer = svm_exit_decode(&raw, x);

	assert_int_not_equal(answer, SVM_DONE);
	if (insn_decode((const uint8_t *)bytes, n, 64, &in) != INSN_OK)
		in.kind = INSN_NONE;
	return svm_exit_finish(&raw, &in, &r, cr0, 0x000e, x);
}

/* Bytes that belong to another instruction than the one that exited have been changed by
 * another vCPU: nothing is done. */
static void changed_bytes_do_nothing(void **state)
{
	struct vmexit x;

	(void)state;
	assert_true(finish(SVM_CPUID, 0, "\x0f\xa2", 2, 0, &x));
	assert_int_equal(x.length, 2);
	assert_false(finish(SVM_CPUID, 0, "\x0f\x32", 2, 0, &x));
	assert_false(finish(SVM_CPUID, 0, "\x90\x90", 2, 0, &x));
	assert_false(finish(SVM_MSR, 0, "\x0f\x30", 2, 0, &x));
	assert_false(finish(SVM_MSR, 1, "\x0f\x32", 2, 0, &x));
	assert_true(finish(SVM_MSR, 1, "\x0f\x30", 2, 0, &x));
	assert_false(finish(SVM_VMMCALL, 0, "\x0f\x01\xc1", 3, 0, &x));
	assert_false(finish(SVM_CR_WRITE + 4, 0, "\x0f\x22\xc3", 3, 0, &x));
	assert_false(finish(SVM_CR_WRITE + 4, 0, "\x0f\x06", 2, 0, &x));
	assert_true(finish(SVM_CPUID, 0, "\xf0\x0f\xa2", 3, 0, &x));
	assert_int_equal(x.kind, EXIT_UNDEFINED);
	assert_int_equal(x.length, 0);
	/* QEMU 7.2 reports INVD as WBINVD */
	assert_true(finish(SVM_WBINVD, 0, "\x0f\x08", 2, 0, &x));
}

/* The short cut answers as the decoder does, or not at all; for all pairs of first bytes. */
static void plain_is_what_the_decoder_says(void **state)
{
	static const struct {
		uint64_t code, info1;
	} exits[] = {
	    {SVM_VMMCALL, 0},
            {SVM_CPUID,   0},
            {SVM_MSR,     0},
	    {SVM_MSR,     1},
            {SVM_HLT,     0},
            {SVM_WBINVD,  0}
        };
	unsigned hits = 0;

	(void)state;
	for (unsigned e = 0; e < ARRAY_SIZE(exits); e++)
		for (uint32_t b = 0; b < 0x10000; b++) {
			uint32_t word = 0xd9u << 16 | b;
			uint8_t bytes[15] = {(uint8_t)b, (uint8_t)(b >> 8), 0xd9};
			struct vmexit x, y;
			struct insn in;
			struct svm_raw raw = {.code = exits[e].code, .info1 = exits[e].info1};

			if (!svm_exit_plain(raw.code, raw.info1, word, &x))
				continue;
			assert_true(svm_exit_may_be_plain(raw.code));
			assert_int_equal(svm_exit_decode(&raw, &y), SVM_NEEDS_INSN);
			assert_int_equal(x.kind, y.kind);
			assert_int_equal(x.hw_reason, y.hw_reason);
			hits++;
			for (unsigned mode = 16; mode <= 64; mode *= 2) {
				assert_int_equal(insn_decode(bytes, 15, mode, &in), INSN_OK);
				assert_true(svm_exit_matches(exits[e].code, &in));
				assert_int_equal(in.length, x.length);
			}
		}
	assert_int_equal(hits, 4 + 256);
}

/* Reads of CR0 and CR4 are for the back end, by MOV, and of CR0 by SMSW. The others do not exit. */
static void control_register_reads(void **state)
{
	const struct insn mov = {.kind = INSN_MOV_FROM_CR}, smsw = {.kind = INSN_SMSW};

	(void)state;
	for (unsigned n = 0; n < 16; n++) {
		struct svm_raw raw = {.code = SVM_CR_READ + n};
		bool own = n == 0 || n == 4;
		struct vmexit x;

		assert_int_equal(svm_exit_decode(&raw, &x) == SVM_OWN, own);
		assert_int_equal(svm_exit_matches(raw.code, &mov), own);
		assert_int_equal(svm_exit_matches(raw.code, &smsw), n == 0);
	}
}

/* The value that the guest wants in CR0: MOV takes the register, CLTS clears TS, LMSW changes
 * the low four bits and cannot clear PE. */
static void control_register_values(void **state)
{
	struct vmexit x;

	(void)state;
	assert_true(finish(SVM_CR_WRITE + 4, 0, "\x0f\x22\xe3", 3, 0, &x));
	assert_int_equal(x.kind, EXIT_CR_WRITE);
	assert_int_equal(x.cr.number, 4);
	assert_int_equal(x.cr.value, 0x1122334455667788);
	assert_true(finish(SVM_CR_WRITE + 8, 0, "\x45\x0f\x22\xc1", 4, 0, &x));
	assert_int_equal(x.cr.number, 8);
	assert_int_equal(x.cr.value, 0xb);
	assert_true(finish(SVM_CR_WRITE, 0, "\x0f\x06", 2, 0x8005003b, &x));
	assert_int_equal(x.cr.value, 0x80050033);
	assert_true(finish(SVM_CR_WRITE, 0, "\x0f\x01\xf0", 3, 0x80050033, &x));
	assert_int_equal(x.cr.value, 0x8005003f);
	assert_true(finish(SVM_CR_WRITE, 0, "\x0f\x01\xf0", 3, 0x60000010, &x));
	assert_int_equal(x.cr.value, 0x6000001e);
}

/* An interrupted delivery is repeated with its error code; INTn, INT3 and INTO are executed
 * again instead (15.20). */
static void interrupted_events(void **state)
{
	uint64_t pf = EVENT_VALID | EVENT_TYPE_EXCEPTION | EVENT_HAS_ERROR | 14 | UINT64_C(6) << 32;

	(void)state;
	assert_int_equal(svm_exit_event(0), 0);
	assert_int_equal(svm_exit_event(14 | EVENT_TYPE_EXCEPTION), 0);
	assert_int_equal(svm_exit_event(pf), pf);
	assert_int_equal(svm_exit_event(EVENT_VALID | 0x30 | UINT64_C(99) << 32),
	                 EVENT_VALID | 0x30);
	assert_int_equal(svm_exit_event(EVENT_VALID | EVENT_TYPE_NMI | 2),
	                 EVENT_VALID | EVENT_TYPE_NMI | 2);
	assert_int_equal(svm_exit_event(EVENT_VALID | EVENT_TYPE_SOFTWARE | 0x80), 0);
	assert_int_equal(svm_exit_event(EVENT_VALID | EVENT_TYPE_EXCEPTION | 3), 0);
	assert_int_equal(svm_exit_event(EVENT_VALID | EVENT_TYPE_EXCEPTION | 4), 0);
}

/* An interrupt needs IF and no shadow, nothing else does. */
static void who_takes_an_event(void **state)
{
	const uint64_t intr = EVENT_VALID | EVENT_TYPE_INTR | 0xf3, on = BIT(9) | 2,
	               off = BITS(8, 1);
	const uint64_t others[] = {
	    0,
	    0xf3, /* what is not valid is no event */
	    EVENT_VALID | EVENT_TYPE_NMI | 2,
	    EVENT_VALID | EVENT_TYPE_EXCEPTION | 14,
	};

	(void)state;
	assert_true(svm_event_is_interrupt(intr));
	assert_true(svm_event_fits(intr, on, 0));
	assert_true(svm_event_fits(intr, on, ~STATE_SHADOW));
	assert_false(svm_event_fits(intr, off, 0));
	assert_false(svm_event_fits(intr, on, STATE_SHADOW));
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		assert_false(svm_event_is_interrupt(others[i]));
		assert_true(svm_event_fits(others[i], off, STATE_SHADOW));
	}
}

/* What is packed is unpacked the same. */
static void pack_round_trip(void **state)
{
	const struct hvm_event events[] = {
	    {EVENT_INTERRUPT, 0xf3, false, 0     },
	    {EVENT_NMI,       2,    false, 0     },
	    {EVENT_EXCEPTION, 13,   true,  0xfff8},
	    {EVENT_EXCEPTION, 6,    false, 0     },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		uint64_t word = svm_event_pack(&events[i]);
		struct hvm_event e = svm_event_unpack(word);

		assert_true(word & EVENT_VALID);
		assert_int_equal(e.type, events[i].type);
		assert_int_equal(e.vector, events[i].vector);
		assert_int_equal(e.has_error, events[i].has_error);
		assert_int_equal(e.error, events[i].error);
		assert_int_equal(svm_exit_event(word), word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(codes),
	    cmocka_unit_test(length_is_asked_for),
	    cmocka_unit_test(xsetbv_needs_privilege),
	    cmocka_unit_test(nested_page_fault),
	    cmocka_unit_test(reserved_bit_is_misconfigured),
	    cmocka_unit_test(port_io),
	    cmocka_unit_test(exceptions),
	    cmocka_unit_test(changed_bytes_do_nothing),
	    cmocka_unit_test(plain_is_what_the_decoder_says),
	    cmocka_unit_test(control_register_reads),
	    cmocka_unit_test(control_register_values),
	    cmocka_unit_test(interrupted_events),
	    cmocka_unit_test(who_takes_an_event),
	    cmocka_unit_test(pack_round_trip),
	};

	return cmocka_run_group_tests_name("svm_exit", tests, NULL, NULL);
}
