/* SPDX-License-Identifier: MIT */
/*
 * Ports. There is no device behind any of them: a read gives all ones, a write
 * goes nowhere. The exceptions: port 0xE9 prints a byte on the guest's console;
 * port 0x42, a timer's counter, reads 0, or Linux waits 50,000 reads for it to move;
 * and the two sleep registers of the guest's ACPI tables, of which S5 powers it off.
 *
 * String instructions: INS stores ones, a page at most at a time, and the
 * instruction runs again for the rest; OUTS reads memory only for port 0xE9,
 * CHUNK bytes at a time, and is done at once for all others. The address size is
 * taken from the code segment: a prefix that changes it is not decoded.
 */
#include "kernel/exit.h"
#include "arch/x86_64/guest/acpi_tables.h"
#include "kernel/guest_copy.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"

#define PORT_CONSOLE 0xe9u
#define PORT_PIT_2   0x42u
#define RFLAGS_DF    BIT(10)
#define CHUNK        256u

static uint32_t io_ones(unsigned bytes)
{
	return bytes == 4 ? UINT32_MAX : (1u << bytes * 8) - 1;
}

/* Registers that are there and have nothing to say. */
static bool io_reads_zero(uint16_t port)
{
	return port == PORT_PIT_2 || port == ACPI_PORT_SLEEP_CONTROL ||
	       port == ACPI_PORT_SLEEP_STATUS;
}

static void io_in(struct vcpu *v, const struct vmexit *x)
{
	uint32_t ones = io_ones(x->io.bytes), value = io_reads_zero(x->io.port) ? 0 : ones;
	uint64_t *rax = &v->hv.regs.gpr[RAX];

	/* 32-bit results clear the upper half, shorter ones keep it (SDM vol. 1, 3.4.1.1). */
	*rax = x->io.bytes == 4 ? value : (*rax & ~(uint64_t)ones) | value;
}

/* ---- strings ---- */

struct string_io {
	const struct vmexit *x;
	struct guest_copy copy;
	uint64_t mask;  /* of the address size */
	uint64_t base;  /* of the segment */
	unsigned index; /* RSI or RDI */
	uint64_t count;
	bool down;
};

static void string_begin(struct string_io *io, struct vcpu *v, const struct vmexit *x)
{
	unsigned mode = hvm->vcpu_mode(&v->hv);
	bool wide = mode & VCPU_MODE_64;

	io->x = x;
	guest_copy_begin(&io->copy, v, wide);
	guest_copy_state(&io->copy);
	io->index = x->io.in ? RDI : RSI;
	io->mask = wide                                         ? UINT64_MAX
	           : io->copy.state.cs.attributes & SEG_ATTR_DB ? UINT32_MAX
	                                                        : UINT16_MAX;
	io->base = wide ? 0 : x->io.in ? io->copy.state.es.base : io->copy.state.ds.base;
	io->count = x->io.rep ? v->hv.regs.gpr[RCX] & io->mask : 1;
	io->down = v->hv.regs.rflags & RFLAGS_DF;
}

static void string_set(uint64_t *reg, uint64_t value, uint64_t mask)
{
	*reg = mask == UINT16_MAX ? (*reg & ~mask) | (value & mask) : value & mask;
}

/* n elements are done: move the registers; the instruction is over with the last. */
static void string_advance(struct string_io *io, struct vcpu *v, uint64_t n)
{
	uint64_t *gpr = v->hv.regs.gpr, bytes = n * io->x->io.bytes;

	string_set(&gpr[io->index], io->down ? gpr[io->index] - bytes : gpr[io->index] + bytes,
	           io->mask);
	if (io->x->io.rep)
		string_set(&gpr[RCX], io->count - n, io->mask);
	if (n == io->count)
		hvm->vcpu_skip(&v->hv, io->x);
}

/* A page fault of the instruction, as its CPU would raise it. */
static void string_fault(struct string_io *io, struct vcpu *v, int64_t rc)
{
	if (rc == HC_AGAIN)
		return;
	if (!io->copy.fault_is_page) {
		domain_crash(v, "string I/O at address 0x%lx, where it has no memory",
		             (unsigned long)io->copy.fault_gva);
		return;
	}
	io->copy.state.cr2 = io->copy.fault_gva;
	if (hvm->vcpu_set_state(&v->hv, &io->copy.state))
		exit_raise(v, VECTOR_PF, true, io->copy.fault_error);
	else
		domain_crash(v, "string I/O faulted in a state that cannot be resumed");
}

/* How many elements one exit may handle. Downwards one by one: it is rare. */
static uint64_t string_chunk(const struct string_io *io)
{
	return io->down ? 1 : min_u64(io->count, CHUNK / io->x->io.bytes);
}

static void string_in(struct string_io *io, struct vcpu *v)
{
	uint8_t ones[CHUNK];
	uint64_t n = string_chunk(io);
	uint64_t at = io->base + (v->hv.regs.gpr[RDI] & io->mask);
	int64_t rc;

	memset(ones, io->x->io.port == PORT_PIT_2 ? 0 : 0xff, sizeof(ones));
	rc = guest_copy_write(&io->copy, at, ones, n * io->x->io.bytes);
	if (rc)
		string_fault(io, v, rc);
	else
		string_advance(io, v, n);
}

static void string_out(struct string_io *io, struct vcpu *v)
{
	char text[CHUNK];
	uint64_t n = string_chunk(io);
	uint64_t at = io->base + (v->hv.regs.gpr[RSI] & io->mask);
	int64_t rc;

	if (io->x->io.port != PORT_CONSOLE || io->x->io.bytes != 1) {
		string_advance(io, v, io->count);
		return;
	}
	if (console_must_wait(v))
		return;
	rc = guest_copy_in(&io->copy, text, at, n);
	if (rc) {
		string_fault(io, v, rc);
		return;
	}
	n = console_chunk(text, n);
	console_write(v->domain, text, n);
	string_advance(io, v, n);
}

static void io_string(struct vcpu *v, const struct vmexit *x)
{
	struct string_io io;

	string_begin(&io, v, x);
	if (io.count == 0)
		hvm->vcpu_skip(&v->hv, x);
	else if (x->io.in)
		string_in(&io, v);
	else
		string_out(&io, v);
	guest_copy_end(&io.copy);
}

/* False: not now, the same instruction again. */
static bool io_out(struct vcpu *v, const struct vmexit *x)
{
	uint8_t value = (uint8_t)v->hv.regs.gpr[RAX];
	char c = (char)value;

	if (x->io.bytes != 1)
		return true;
	if (x->io.port == PORT_CONSOLE) {
		if (console_must_wait(v))
			return false;
		console_write(v->domain, &c, 1);
	}
	if (x->io.port == ACPI_PORT_SLEEP_CONTROL && (value & ACPI_SLEEP_ENABLE) &&
	    ACPI_SLEEP_TYPE(value) == ACPI_SLEEP_S5)
		domain_shutdown(v->domain, SHUTDOWN_POWEROFF_);
	return true;
}

void exit_io(struct vcpu *v, const struct vmexit *x)
{
	ASSERT(x->io.bytes == 1 || x->io.bytes == 2 || x->io.bytes == 4);
	if (x->io.string) {
		io_string(v, x);
		return;
	}
	if (x->io.in)
		io_in(v, x);
	else if (!io_out(v, x))
		return;
	hvm->vcpu_skip(&v->hv, x);
}
