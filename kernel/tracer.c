/* SPDX-License-Identifier: MIT */
/*
 * The trace on its way out of the machine (docs/trace.md).
 *
 *	any CPU: mm/trace.c --put--> the ring of this CPU --+
 *	                                                    +--CPU 0--> packet --> port
 *	any CPU: mm/trace.c --put--> the ring of that CPU --+
 *
 * A ring has one writer, its CPU (which nothing interrupts in the hypervisor), and one reader,
 * CPU 0. It never waits: a record that finds its ring full is lost, and counted. Writes
 * of guests' pages are not lost that way: mm/trace.c asks for room first, and does not
 * go on without.
 *
 * Records carry the low bits of a count of all records, drawn as they are put. The reader
 * takes them in that order, so that the stream is in order however many CPUs there are; but for
 * one that has drawn its number and is not yet in its ring.
 *
 * The port takes what it can take at once. An emulator's debug console takes everything; a
 * serial line takes 16 bytes, and then nothing for a millisecond: ticks come late then, and say
 * when they came.
 */
#include "kernel/tracer.h"

#include "kernel/machine.h"
#include "kernel/string.h"
#include "mm/trace.h"

#define RING_ORDER 5u /* pages: 8192 records a CPU */
#define RING_SLOTS ((PAGE_SIZE << RING_ORDER) / sizeof(struct trace_record))
#define RING_SPARE 1024u /* left for events while a pass fills the ring */
#define STEP_PAGES 4096u
#define POLL_NS    UINT64_C(2000000) /* at most so long at a time, about */
#define LEAST_MS   10u
#define MOST_MS    60000u

struct ring {
	_Atomic uint64_t put, taken; /* records, ever */
	_Atomic uint64_t lost;
	struct trace_record *slot;
	mfn_t frames;
} __attribute__((aligned(64)));

static struct ring rings[MAX_CPUS];
static _Atomic uint32_t serial;

bool tracer_active;

/* CPU 0's. */
static struct {
	bool on, in_pass;
	uint64_t period_ns, next_ns, pass_ns, ticks, told_lost, records, bytes;
	const char *port;
	uint16_t serial; /* of the next record that is taken, if none is missing */
	struct {
		struct trace_packet head;
		struct trace_record record[TRACE_PACKET_RECORDS];
	} packet;
	size_t packet_bytes, sent;
	uint32_t packets;
} tracer;

/* ---- into the rings ---- */

static void ring_put(struct trace_record r)
{
	struct ring *ring = &rings[machine_cpu()];
	uint64_t at = atomic_load_explicit(&ring->put, memory_order_relaxed);

	if (at - atomic_load_explicit(&ring->taken, memory_order_acquire) >= RING_SLOTS) {
		atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
		return;
	}
	r.serial = (uint16_t)atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed);
	ring->slot[at % RING_SLOTS] = r;
	atomic_store_explicit(&ring->put, at + 1, memory_order_release);
}

static uint64_t ring_waiting(struct ring *ring)
{
	return atomic_load_explicit(&ring->put, memory_order_acquire) -
	       atomic_load_explicit(&ring->taken, memory_order_relaxed);
}

static bool ring_room(void)
{
	return ring_waiting(&rings[machine_cpu()]) + TRACE_CHUNK + RING_SPARE <= RING_SLOTS;
}

static uint64_t rings_lost(void)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < machine_cpus(); i++)
		lost += atomic_load_explicit(&rings[i].lost, memory_order_relaxed);
	return lost;
}

static void rings_free(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		if (rings[i].slot) {
			frame_free(rings[i].frames, RING_ORDER);
			rings[i].slot = NULL;
		}
}

static bool rings_make(void)
{
	for (unsigned i = 0; i < machine_cpus(); i++) {
		mfn_t frames = frame_alloc(RING_ORDER, FRAME_HYPERVISOR, 0);

		if (!mfn_valid(frames)) {
			rings_free();
			return false;
		}
		rings[i] = (struct ring){.slot = env_frame(frames), .frames = frames};
	}
	return true;
}

/* ---- out of them ---- */

/* The ring whose oldest record is the next one; NULL: all are empty. */
static struct ring *ring_next(void)
{
	struct ring *best = NULL;
	uint16_t least = 0;

	for (unsigned i = 0; i < machine_cpus(); i++) {
		struct ring *ring = &rings[i];
		uint16_t ahead;

		if (!ring->slot || !ring_waiting(ring))
			continue;
		ahead = (uint16_t)(ring->slot[ring->taken % RING_SLOTS].serial - tracer.serial);
		if (!best || (int16_t)ahead < (int16_t)least) {
			best = ring;
			least = ahead;
		}
	}
	return best;
}

static void packet_take(struct ring *ring)
{
	struct trace_record r = ring->slot[ring->taken % RING_SLOTS];

	atomic_store_explicit(&ring->taken, ring->taken + 1, memory_order_release);
	tracer.packet.record[tracer.packet.head.records++] = r;
	tracer.serial = (uint16_t)(r.serial + 1);
}

/* Fill the packet; false: nothing waits. */
static bool packet_make(void)
{
	struct trace_packet *head = &tracer.packet.head;
	struct ring *ring;
	const uint32_t *word = (const uint32_t *)tracer.packet.record;

	*head = (struct trace_packet){.magic = TRACE_MAGIC, .version = TRACE_VERSION};
	while (head->records < TRACE_PACKET_RECORDS && (ring = ring_next()))
		packet_take(ring);
	if (!head->records)
		return false;
	head->number = tracer.packets++;
	for (unsigned i = 0; i < 4u * head->records; i++)
		head->sum += word[i];
	tracer.packet_bytes = sizeof(*head) + head->records * sizeof(struct trace_record);
	tracer.sent = 0;
	tracer.records += head->records;
	return true;
}

/* Send some; false: nothing waits, or the port takes nothing now. */
static bool packet_send(void)
{
	size_t n;

	if (tracer.sent == tracer.packet_bytes && !packet_make())
		return false;
	n = machine_trace_send((const uint8_t *)&tracer.packet + tracer.sent,
	                       tracer.packet_bytes - tracer.sent);
	tracer.sent += n;
	tracer.bytes += n;
	return n;
}

/* ---- ticks ---- */

static void tracer_tick_end(void)
{
	uint64_t lost = rings_lost(), now = machine_ns();

	if (lost != tracer.told_lost)
		trace_put(TRACE_LOST, 0, 0, lost);
	tracer.told_lost = lost;
	trace_put(TRACE_TICK, 0, tracer.ticks++, tracer.pass_ns);
	tracer.in_pass = false;
	tracer.next_ns += tracer.period_ns;
	if (tracer.next_ns < now) /* late: the next one at once, no more than one */
		tracer.next_ns = now;
}

static void tracer_work(void)
{
	if (!tracer.on)
		return;
	if (!tracer.in_pass && machine_ns() >= tracer.next_ns) {
		tracer.in_pass = true;
		tracer.pass_ns = machine_ns();
	}
	if (tracer.in_pass && trace_step(STEP_PAGES))
		tracer_tick_end();
}

bool tracer_poll_slow(void)
{
	uint64_t end = machine_ns() + POLL_NS;
	bool sent;

	do {
		tracer_work();
		sent = packet_send();
	} while ((sent || tracer.in_pass) && machine_ns() < end);
	if (!tracer.on && !sent && tracer.sent == tracer.packet_bytes && !ring_next()) {
		tracer_active = false;
		rings_free();
	}
	return sent || tracer.in_pass;
}

/* ---- on and off ---- */

const char *tracer_start(uint64_t ms)
{
	static const struct trace_sink sink = {ring_put, ring_room};
	enum mm_status st;

	if (tracer_active)
		return "a trace is under way; `trace off` ends it";
	if (ms < LEAST_MS || ms > MOST_MS)
		return "a tick is 10 to 60000 milliseconds";
	memset(&tracer, 0, sizeof(tracer));
	tracer.port = machine_trace_port();
	if (!tracer.port)
		return "there is no port for it: give the machine a debug console at port 0xe9, or "
		       "a "
		       "second serial port (trace.port= on the command line)";
	if (!rings_make())
		return "not enough free memory for its rings";
	atomic_store(&serial, 0);
	st = trace_start(&sink);
	if (st != MM_OK) {
		rings_free();
		return st == MM_NOMEM ? "not enough free memory for a bit a page"
		                      : "no guest can run here";
	}
	tracer.period_ns = ms * 1000000;
	tracer.next_ns = machine_ns();
	tracer.on = tracer_active = true;
	return NULL;
}

void tracer_stop(void)
{
	if (!tracer.on)
		return;
	trace_put(TRACE_STOP, 0, 0, machine_ns());
	trace_stop();
	tracer.on = tracer.in_pass = false;
}

struct tracer_view tracer_look(void)
{
	struct tracer_view v = {
	    .on = tracer.on,
	    .active = tracer_active,
	    .ms = tracer.period_ns / 1000000,
	    .ticks = tracer.ticks,
	    .records = tracer.records,
	    .lost = rings_lost(),
	    .bytes = tracer.bytes,
	    .port = tracer.port ? tracer.port : "none",
	};

	for (unsigned i = 0; i < machine_cpus(); i++)
		v.waiting += rings[i].slot ? ring_waiting(&rings[i]) : 0;
	return v;
}
