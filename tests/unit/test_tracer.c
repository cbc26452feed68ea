/* SPDX-License-Identifier: MIT */
/*
 * The way of a trace out of the machine (kernel/tracer.c): whole packets, in order, however little
 * the port takes; nobody waits; what is lost is counted and told.
 */
#include "kernel/tracer.h"
#include "mm/trace.h"
#include "tests/host/machine.h"
#include "tests/unit/mm_test.h"

static struct space guest;
static bool port_there;

const char *machine_trace_port(void)
{
	return port_there ? "port of the tests" : NULL;
}

static int setup(void **state)
{
	(void)state;
	host_machine_reset(2);
	host_start(&(struct host_config){.frames = 8192, .cpus = 2});
	host_set_cpu(0);
	host_trace_bytes = 0;
	host_trace_takes = SIZE_MAX;
	port_there = true;
	memset(&guest, 0, sizeof(guest));
	make_space(&guest, 1, 600);
	return 0;
}

static void poll_all(void)
{
	for (unsigned i = 0; i < 100000 && tracer_poll(); i++)
		;
}

static int teardown(void **state)
{
	(void)state;
	tracer_stop();
	host_trace_takes = SIZE_MAX;
	poll_all();
	(void)tracer_poll();
	guest_leave_all();
	host_stop();
	return 0;
}

static void later(uint64_t ms)
{
	for (unsigned c = 0; c < 2; c++)
		host_now_ns[c] += ms * 1000000;
}

/* ---- what came out ---- */

static struct trace_record got[65536];
static unsigned nr_got;

static void take_packet(const uint8_t *at, uint32_t number, size_t *bytes)
{
	struct trace_packet head;
	uint32_t sum = 0, word;

	memcpy(&head, at, sizeof(head));
	assert_int_equal(head.magic, TRACE_MAGIC);
	assert_int_equal(head.version, TRACE_VERSION);
	assert_int_equal(head.number, number);
	assert_in_range(head.records, 1, TRACE_PACKET_RECORDS);
	*bytes = sizeof(head) + head.records * sizeof(got[0]);
	for (size_t i = sizeof(head); i < *bytes; i += 4) {
		memcpy(&word, at + i, 4);
		sum += word;
	}
	assert_int_equal(sum, head.sum);
	memcpy(&got[nr_got], at + sizeof(head), head.records * sizeof(got[0]));
	nr_got += head.records;
}

/* Every packet is whole and good, and records are in the order of their numbers. */
static void take_all(void)
{
	uint32_t number = 0;
	size_t bytes;

	nr_got = 0;
	for (size_t at = 0; at < host_trace_bytes; at += bytes)
		take_packet(host_trace + at, number++, &bytes);
	for (unsigned i = 1; i < nr_got; i++)
		assert_true((int16_t)(got[i].serial - got[i - 1].serial) > 0);
}

static unsigned count(enum trace_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nr_got; i++)
		n += got[i].type == type;
	return n;
}

static void finish(void)
{
	tracer_stop();
	while (tracer_active)
		(void)tracer_poll();
	take_all();
}

static void write_pages(unsigned cpu, unsigned n, uint64_t value)
{
	host_set_cpu(cpu);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(guest_write(cpu, &guest, PAGE(i), value + i), VERDICT_RESUME);
	guest_leave_all();
	host_set_cpu(0);
}

/* ---- */

static void test_ticks(void **state)
{
	(void)state;
	write_pages(0, 10, 1);
	assert_null(tracer_start(100));
	poll_all();
	later(40);
	poll_all();
	write_pages(0, 2, 50);
	later(70);
	poll_all();
	finish();
	assert_int_equal(got[0].type, TRACE_START);
	assert_int_equal(got[1].type, TRACE_CREATE);
	assert_int_equal(count(TRACE_TICK), 2);
	assert_int_equal(count(TRACE_WRITE), 12);
	assert_int_equal(count(TRACE_LOST), 0);
	assert_int_equal(got[nr_got - 1].type, TRACE_STOP);
	assert_int_equal(got[nr_got - 2].type, TRACE_TICK);
	assert_int_equal(got[nr_got - 2].value, 110000000);
}

/* A port that takes a few bytes at a time, or none for a while. */
static void test_slow_port(void **state)
{
	(void)state;
	host_trace_takes = 0;
	write_pages(0, 300, 1);
	assert_null(tracer_start(100));
	poll_all();
	host_trace_takes = 7;
	for (unsigned i = 0; i < 20000; i++)
		(void)tracer_poll();
	finish();
	assert_int_equal(count(TRACE_WRITE), 300);
	assert_int_equal(count(TRACE_TICK), 1);
}

/* Records of two CPUs come out in the order in which they were put. */
static void test_two_cpus(void **state)
{
	unsigned populates = 0;

	(void)state;
	assert_null(tracer_start(100));
	for (unsigned i = 0; i < 100; i++) {
		host_set_cpu(i % 3 == 0);
		assert_int_equal(guest_write(0, &guest, PAGE(i), 1), VERDICT_RESUME);
	}
	guest_leave_all();
	host_set_cpu(0);
	finish();
	for (unsigned i = 0; i < nr_got; i++)
		if (got[i].type == TRACE_POPULATE)
			assert_int_equal(got[i].gfn, populates++);
	assert_int_equal(populates, 100);
}

/* The port takes nothing: events are lost and counted, pages' contents are not. */
static void test_full_ring(void **state)
{
	struct tracer_view v;
	unsigned rounds = 0;
	gfn_t gfn = GFN(599);

	(void)state;
	host_trace_takes = 0;
	assert_null(tracer_start(100));
	while (tracer_look().lost < 10 && rounds++ < 100000) {
		assert_int_equal(balloon_out(&guest, &gfn, 1, 0), 1);
		assert_int_equal(balloon_in(&guest, &gfn, 1, 0), 1);
	}
	v = tracer_look();
	assert_in_range(v.lost, 10, 11);
	assert_true(v.waiting > 1000);
	write_pages(0, 20, 1);
	host_trace_takes = SIZE_MAX;
	poll_all();
	finish();
	assert_int_equal(count(TRACE_WRITE), 21); /* and the page that came back */
	assert_int_equal(count(TRACE_LOST), 1);
	for (unsigned i = 0; i < nr_got; i++)
		if (got[i].type == TRACE_LOST)
			assert_int_equal(got[i].value, tracer_look().lost);
}

static void test_refusals(void **state)
{
	uint64_t free = host_free_frames();

	(void)state;
	assert_non_null(strstr(tracer_start(5), "milliseconds"));
	port_there = false;
	assert_non_null(strstr(tracer_start(100), "port"));
	port_there = true;
	host_fail_alloc(2);
	assert_non_null(strstr(tracer_start(100), "rings"));
	host_fail_alloc(3);
	assert_non_null(strstr(tracer_start(100), "a bit a page"));
	host_fail_alloc(0);
	assert_int_equal(host_free_frames(), free);
	assert_false(tracer_active);
	assert_null(tracer_start(100));
	assert_non_null(strstr(tracer_start(100), "under way"));
	finish();
	assert_int_equal(host_free_frames(), free); /* and everything comes back */
	assert_false(tracer_poll());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_ticks, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slow_port, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_two_cpus, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_full_ring, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
