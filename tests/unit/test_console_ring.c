/* SPDX-License-Identifier: MIT */
/*
 * The PV console: what a guest writes into its ring is shown once and in order, what
 * is typed reaches it, and no index that it writes makes us look elsewhere or for long.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "kernel/evtchn.h"
#include "kernel/hypercall.h"
#include "tests/host/env.h"
#include "tests/host/fake_hvm.h"
#include "tests/host/machine.h"

#include <xen/io/console.h>

#define PAGES 1024u
#define ARGS  UINT64_C(0x8000)

static struct domain *d;
static struct vcpu *v;
static struct xencons_interface *ring;

static int start(void **state)
{
	(void)state;
	fake_start(1);
	d = fake_domain(1, PAGES, 2);
	v = d->vcpus[0];
	v->initialised = true;
	vcpu_start(v);
	assert_true(special_make_ring(d, SPECIAL_CONSOLE));
	ring = (void *)d->special[SPECIAL_CONSOLE].page;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	assert_string_equal(mm_audit().first, "");
	fake_domain_free(d);
	fake_stop();
	return 0;
}

static int64_t call(uint64_t nr, uint64_t op, const void *args, uint64_t bytes)
{
	const struct vmexit x = {.kind = EXIT_HYPERCALL, .length = 3};
	struct fake_vcpu *f = fake_of(&v->hv);

	assert_int_equal(mm_write(&d->space, ARGS, args, bytes), MM_OK);
	for (unsigned entries = 0; entries < 100; entries++) {
		v->hv.regs.gpr[RAX] = nr;
		v->hv.regs.gpr[RDI] = op;
		v->hv.regs.gpr[RSI] = ARGS;
		f->skips = 0;
		exit_dispatch(v, &x);
		if (f->skips)
			return (int64_t)v->hv.regs.gpr[RAX];
	}
	fail();
	return 0;
}

static int64_t ring_bell(void)
{
	uint32_t port = d->special[SPECIAL_CONSOLE].port;

	return call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &port, sizeof(port));
}

static uint64_t param(uint32_t index)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};

	assert_int_equal(call(__HYPERVISOR_hvm_op, HVMOP_get_param, &p, sizeof(p)), 0);
	assert_int_equal(mm_read(&d->space, ARGS, &p, sizeof(p)), MM_OK);
	return p.value;
}

static void say(const char *text)
{
	uint32_t prod = ring->out_prod;

	for (; *text; text++)
		ring->out[MASK_XENCONS_IDX(prod++, ring->out)] = *text;
	ring->out_prod = prod;
}

static void is_pending(bool yes)
{
	uint16_t port = d->special[SPECIAL_CONSOLE].port;

	assert_int_equal(!!(d->shared_info[2048 + port / 8] & BIT(port % 8)), yes);
	d->shared_info[2048 + port / 8] = 0;
}

/* The parameters name the page, outside of RAM, and the port. The store has none here. */
static void where_it_is(void **state)
{
	(void)state;
	assert_int_equal(param(HVM_PARAM_CONSOLE_PFN), 0xfefff);
	assert_int_equal(param(HVM_PARAM_CONSOLE_EVTCHN), 1);
	assert_int_equal(param(HVM_PARAM_STORE_PFN), 0);
	assert_int_equal(param(HVM_PARAM_STORE_EVTCHN), 0);
	assert_int_equal(p2m_lookup(&d->space, GFN(0xfefff)).type, P2M_FOREIGN);
}

static void what_is_written_is_shown(void **state)
{
	(void)state;
	say("hello\r\nwor");
	assert_int_equal(ring_bell(), 0);
	assert_string_equal(host_console, "(d1 fake1) hello\n");
	assert_int_equal(ring->out_cons, ring->out_prod);
	is_pending(true); /* there is room again */
	assert_int_equal(ring_bell(), 0);
	is_pending(false); /* nothing was taken, nothing is told */
	say("ld\n");
	assert_int_equal(ring_bell(), 0);
	assert_string_equal(host_console, "(d1 fake1) hello\n(d1 fake1) world\n");
}

/* A full ring, around the end of the 32 bits of an index, comes in pieces of one call. */
static void a_full_ring(void **state)
{
	char text[2049], *line = host_console;

	(void)state;
	d->ring_out = ring->out_cons = ring->out_prod = UINT32_MAX - 1000;
	memset(text, 'x', sizeof(text));
	for (unsigned i = 63; i < 2048; i += 64)
		text[i] = '\n';
	text[2048] = '\0';
	say(text);
	assert_true(console_ring_drain(d));
	assert_int_equal(ring_bell(), 0);
	for (unsigned i = 0; i < 32; i++, line = strchr(line, '\n') + 1)
		assert_int_equal(strspn(line + strlen("(d1 fake1) "), "x"), 63);
	assert_string_equal(line, "");
	assert_int_equal(ring->out_cons, ring->out_prod);
}

/* Indices that cannot be: nothing is shown, and what is written from there on is. */
static void impossible_indices(void **state)
{
	static const uint32_t bad[] = {2049, 0x80000000, UINT32_MAX, 5000};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		ring->out_prod = d->ring_out + bad[i];
		ring->out_cons = bad[i] ^ 77;
		assert_int_equal(ring_bell(), 0);
		assert_string_equal(host_console, "");
		assert_int_equal(ring->out_cons, ring->out_prod);
	}
	say("again\n");
	assert_int_equal(ring_bell(), 0);
	assert_string_equal(host_console, "(d1 fake1) again\n");
}

static void what_is_typed_arrives(void **state)
{
	char many[3000] = {0};

	(void)state;
	assert_int_equal(console_ring_type(d, "ls\r", 3), 3);
	is_pending(true);
	assert_memory_equal(ring->in, "ls\r", 3);
	assert_int_equal(ring->in_prod, 3);
	ring->in_cons = 3;
	assert_int_equal(console_ring_type(d, many, sizeof(many)), 1024);
	is_pending(true);
	assert_int_equal(console_ring_type(d, many, 1), 0); /* full */
	is_pending(false);
	ring->in_cons = 5;
	assert_int_equal(console_ring_type(d, many, 9), 2);
	ring->in_cons = 1u << 30; /* impossible */
	assert_int_equal(console_ring_type(d, many, 9), 0);
	ring->in_prod = 0; /* ours is what counts */
	ring->in_cons = d->ring_in;
	assert_int_equal(console_ring_type(d, "z", 1), 1);
	assert_int_equal(ring->in[(d->ring_in - 1) & 1023], 'z');
}

/* The port may be moved between vCPUs and closed; a closed one rings no bell. */
static void the_port(void **state)
{
	struct evtchn_bind_vcpu b = {.port = 1, .vcpu = 1};
	struct evtchn_status s = {.dom = DOMID_SELF, .port = 1};
	uint32_t port = 1;

	(void)state;
	assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_vcpu, &b, sizeof(b)), 0);
	assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_status, &s, sizeof(s)), 0);
	assert_int_equal(mm_read(&d->space, ARGS, &s, sizeof(s)), MM_OK);
	assert_int_equal(s.status, EVTCHNSTAT_interdomain);
	assert_int_equal(s.vcpu, 1);
	assert_int_equal(s.u.interdomain.dom, 0);
	assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &port, 4), 0);
	assert_int_equal(param(HVM_PARAM_CONSOLE_EVTCHN), 0);
	say("unheard\n");
	assert_int_equal(call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &port, 4), -XEN_EINVAL);
	assert_string_equal(host_console, "");
	assert_int_equal(console_ring_type(d, "x", 1), 1);
}

static bool goes_on(const struct vmexit *x, uint64_t nr, uint64_t op, uint64_t arg)
{
	struct fake_vcpu *f = fake_of(&v->hv);

	v->hv.regs.gpr[RAX] = nr;
	v->hv.regs.gpr[RDI] = op;
	v->hv.regs.gpr[RSI] = arg;
	v->hv.regs.gpr[RDX] = ARGS;
	f->skips = 0;
	exit_dispatch(v, x);
	return f->skips;
}

/* The operator's line is behind: whichever way a guest prints, it makes its call again until there is room. */
static void the_line_is_behind(void **state)
{
	const struct vmexit call = {.kind = EXIT_HYPERCALL, .length = 3};
	const struct vmexit out = {
	    .kind = EXIT_IO, .length = 1, .io = {.port = 0xe9, .bytes = 1}
        };
	uint32_t port = d->special[SPECIAL_CONSOLE].port;

	(void)state;
	say("ring\n");
	for (unsigned round = 0; round < 2; round++) {
		bool room = round == 1;

		host_output_room = room ? 20000 : 100;
		assert_int_equal(mm_write(&d->space, ARGS, "call\n", 5), MM_OK);
		assert_int_equal(goes_on(&call, __HYPERVISOR_console_io, CONSOLEIO_write, 5), room);
		assert_int_equal(goes_on(&out, '\n', 0, 0), room);
		assert_int_equal(mm_write(&d->space, ARGS, &port, 4), MM_OK);
		assert_int_equal(goes_on(&call, __HYPERVISOR_event_channel_op, EVTCHNOP_send, ARGS),
		                 room);
		assert_int_equal(ring->out_cons, room ? 5 : 0);
		assert_string_equal(host_console,
		                    room ? "(d1 fake1) call\n(d1 fake1) \n(d1 fake1) ring\n" : "");
	}
	host_output_room = SIZE_MAX;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
	    T(where_it_is),        T(what_is_written_is_shown), T(a_full_ring),
	    T(impossible_indices), T(what_is_typed_arrives),    T(the_port),
	    T(the_line_is_behind),
	};

	return cmocka_run_group_tests_name("console_ring", tests, NULL, NULL);
}
