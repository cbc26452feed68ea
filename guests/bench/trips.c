/* SPDX-License-Identifier: MIT */
#include "guests/bench/trips.h"
#include "guests/bench/samples.h"
#include "guests/lib/clock.h"
#include "guests/lib/cpu.h"
#include "guests/lib/event.h"
#include "guests/lib/tap.h"

#define OFFERS 16u /* ports of the peer among which the one is that it offers to us */

static volatile uint64_t handled_at;

static void note_time(unsigned port)
{
	(void)port;
	handled_at = rdtsc();
}

static long send(unsigned port)
{
	struct evtchn_send s = {.port = port};

	return hypercall_evtchn(EVTCHNOP_send, &s);
}

/* ---- to ourselves ---- */

static void trip_self(const char *name, unsigned port, uint32_t upcalls)
{
	uint32_t before = event_count[port];
	long failed = 0;

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t t = rdtsc();

		failed |= send(port);
		sample_take(i, rdtsc() - t);
		event_shared->evtchn_pending[0] = 0; /* of the masked one */
	}
	tap_ok(!failed && event_count[port] - before == upcalls, "%s: %u upcalls", name,
	       event_count[port] - before);
	sample_report(name, SAMPLES, 1);
}

static void trips_self(void)
{
	struct evtchn_bind_ipi b = {.vcpu = 0};

	tap_is(hypercall_evtchn(EVTCHNOP_bind_ipi, &b), 0, "a port of our own");
	__atomic_fetch_or(&event_shared->evtchn_mask[0], UINT64_C(1) << b.port, __ATOMIC_SEQ_CST);
	trip_self("event_masked", b.port, 0);
	__atomic_fetch_and(&event_shared->evtchn_mask[0], ~(UINT64_C(1) << b.port),
	                   __ATOMIC_SEQ_CST);
	trip_self("event_self", b.port, SAMPLES);
}

/* ---- to another domain and back ---- */

/* The peer offers; it may not have come so far yet. */
static unsigned pair_bind(unsigned peer)
{
	for (unsigned ms = 0; ms < 1000; ms++) {
		for (unsigned port = 1; port < OFFERS; port++) {
			struct evtchn_bind_interdomain b = {.remote_dom = (domid_t)peer,
			                                    .remote_port = port};

			if (!hypercall_evtchn(EVTCHNOP_bind_interdomain, &b))
				return b.local_port;
		}
		clock_sleep_ms(1);
	}
	return 0;
}

static void trip_pair(unsigned peer)
{
	unsigned port = pair_bind(peer);
	long failed = 0;

	if (!tap_ok(port, "domain %u has a port for us", peer))
		return;
	clock_sleep_ms(10); /* the event of the binding is over, and the peer asleep */
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint32_t seen = event_count[port];
		uint64_t t = rdtsc();

		failed |= send(port);
		event_wait(&event_count[port], seen);
		sample_take(i, rdtsc() - t);
	}
	tap_is(failed, 0, "each was sent");
	sample_report("event_pair", SAMPLES, 1);
}

void trips_echo(unsigned peer)
{
	struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = (domid_t)peer};
	uint32_t seen, answered = 0;
	long failed = 0;

	tap_is(hypercall_evtchn(EVTCHNOP_alloc_unbound, &a), 0, "a port is offered");
	seen = event_count[a.port];
	while (answered < SAMPLES) {
		event_wait(&event_count[a.port], seen);
		seen = event_count[a.port];
		failed |= send(a.port);
		answered++;
	}
	tap_is(failed, 0, "each was answered");
}

/* ---- timers ---- */

static void trip_timer_set(void)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t at = clock_ns() + CLOCK_S, t = rdtsc();

		clock_timer(at);
		sample_take(i, rdtsc() - t);
	}
	sample_report("timer_set", SAMPLES, 1);
}

static void trip_timer_now(void)
{
	uint32_t before = event_count[clock_port()];

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t at = clock_ns(), t = rdtsc();

		clock_timer(at);
		while (event_count[clock_port()] == before + i)
			;
		sample_take(i, rdtsc() - t);
	}
	sample_report("timer_now", SAMPLES, 1);
}

static void trip_timer_late(void)
{
	uint64_t hz = clock_hz();

	event_handler(clock_port(), note_time);
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint32_t seen = event_count[clock_port()];
		uint64_t t = rdtsc(), wait = CLOCK_MS / 10;

		clock_timer(clock_ns() + wait);
		while (event_count[clock_port()] == seen)
			;
		sample_take(i, handled_at - t - wait * hz / CLOCK_S);
	}
	event_handler(clock_port(), 0);
	sample_report("timer_late", SAMPLES, 1);
}

void trips_run(unsigned peer)
{
	trips_self();
	trip_timer_set();
	trip_timer_now();
	trip_timer_late();
	if (peer)
		trip_pair(peer);
}
