/* SPDX-License-Identifier: MIT */
/* Event channels and timers: what a way there and back costs. */
#ifndef GUEST_BENCH_TRIPS_H
#define GUEST_BENCH_TRIPS_H

/*
 *	event_masked	a send to a masked port of our own: nothing is delivered
 *	event_self	a send to ourselves, the upcall, its handler and its IRET
 *	event_pair	a send to the domain `peer`, which wakes, has its upcall, sends back
 *			and sleeps; we sleep meanwhile. Left out if peer is 0
 *	timer_set	set the one-shot timer far ahead
 *	timer_now	set it to a time that is past: until its upcall has returned
 *	timer_late	from the time it was set to, until its handler runs
 */
void trips_run(unsigned peer);

/* The other side of event_pair, in the domain `peer` that trips_run was told. */
void trips_echo(unsigned peer);

#endif
