/* SPDX-License-Identifier: MIT */
/*
 * A guest's end of xenstore: messages through the ring page (xen/io/xs_wire.h). One
 * request at a time; events of watches that come meanwhile are kept, a few of them.
 */
#ifndef GUEST_STORE_H
#define GUEST_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "guests/lib/hypercall.h"
#include <xen/io/xs_wire.h>

extern struct xenstore_domain_interface *store_ring; /* NULL before store_init */

/* False where there is no store. */
bool store_init(void);

/* The answer of the last request: type (XS_ERROR: payload is its name), bytes, a NUL behind. */
extern uint32_t store_type, store_bytes;
extern char store_payload[XENSTORE_PAYLOAD_MAX + 1];

/* Send and wait for the answer. chunk: bytes that go into the ring at one time, 0: all. */
void store_ask(uint32_t type, uint32_t tx, const void *payload, uint32_t bytes, uint32_t chunk);
/* The same, for a payload of one string with its NUL; then whether it is no error. */
bool store_ask_path(uint32_t type, uint32_t tx, const char *path);
bool store_write(uint32_t tx, const char *path, const char *value);
bool store_watch(const char *path, const char *token);
/* Is the answer, or the error, this? */
bool store_answer_is(const char *text);

/* The next event of a watch: "PATH" and behind its NUL "TOKEN" in store_payload. */
void store_wait_event(void);

void store_notify(void);

#endif
