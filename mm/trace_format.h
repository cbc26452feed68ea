/* SPDX-License-Identifier: MIT */
/*
 * The raw form of a trace, as it leaves the machine: what mm/ was told, in records of 16
 * bytes, in packets. docs/trace.md explains it; tools/quire_tools/trace_raw.py reads it.
 * Little-endian. Who changes anything here gives it another version.
 */
#ifndef MM_TRACE_FORMAT_H
#define MM_TRACE_FORMAT_H

#include "mm/leaf/types.h"

#define TRACE_VERSION 1u

enum trace_type {
	TRACE_START = 1, /* gfn: frames of RAM; value: the trace's number, drawn at random */
	TRACE_CREATE,    /* a domain; gfn: its pages; value: share group << 48 | most pages */
	TRACE_DESTROY,
	TRACE_WRITE,    /* written since the last tick; value: its content's fingerprint now */
	TRACE_POPULATE, /* a first write was served */
	TRACE_BREAK,    /* a write to a shared page was served; value: 1 if without a copy */
	TRACE_OUT,      /* given back; value: pages from gfn on */
	TRACE_TICK,     /* the writes before it are as of now; gfn: its number; value: ns */
	TRACE_LOST,     /* value: records that found no room, in all */
	TRACE_STOP,     /* value: ns */
	TRACE_TYPES
};

/* Fingerprints of the constant pages; every other content has another value. */
#define TRACE_ZERO UINT64_C(0)
#define TRACE_ONES UINT64_C(1)

struct trace_record {
	uint8_t type;
	uint8_t domid;   /* 0: the machine */
	uint16_t serial; /* counts the records of all CPUs; the sink fills it in */
	uint32_t gfn;
	uint64_t value;
};

_Static_assert(sizeof(struct trace_record) == 16, "a trace record is 16 bytes");

#define TRACE_MAGIC          0x43525451u /* "QTRC" */
#define TRACE_PACKET_RECORDS 64u

/* Then `records` records. A reader that meets anything else looks for the next magic. */
struct trace_packet {
	uint32_t magic;
	uint16_t version;
	uint16_t records;
	uint32_t number; /* counts packets since START */
	uint32_t sum;    /* of all 32-bit words of the records, mod 2^32 */
};

_Static_assert(sizeof(struct trace_packet) == 16, "a packet's head is 16 bytes");

#endif
