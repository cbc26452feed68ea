/* SPDX-License-Identifier: MIT */
/*
 * The PV console (xen/io/console.h): two rings of bytes in a page that guest and
 * hypervisor share. Whatever the guest writes into it, we read each index once,
 * keep our own two indices to ourselves, and mask every place in the ring.
 *
 * The guest rings our event channel after it wrote; its bytes are taken then,
 * CHUNK of them an entry, and go the way of all that guests print (console.c).
 */
#include "kernel/domain.h"

#include <xen/io/console.h>

#define CHUNK 256u

ASSERT_STATIC(sizeof(struct xencons_interface) == 1024 + 2048 + 16);

static struct xencons_interface *ring_of(struct domain *d)
{
	return (struct xencons_interface *)(void *)d->special[SPECIAL_CONSOLE].page;
}

/* Copy what waits, at most CHUNK bytes; ring_lock held. An impossible index: nothing waits. */
static uint32_t ring_take(struct domain *d, char text[CHUNK], uint32_t *waiting)
{
	struct xencons_interface *r = ring_of(d);
	uint32_t prod = __atomic_load_n(&r->out_prod, __ATOMIC_ACQUIRE), n;

	*waiting = prod - d->ring_out;
	if (*waiting > sizeof(r->out)) {
		d->ring_out = prod;
		*waiting = 0;
	}
	n = *waiting < CHUNK ? *waiting : CHUNK;
	for (uint32_t i = 0; i < n; i++)
		text[i] = r->out[MASK_XENCONS_IDX(d->ring_out + i, r->out)];
	n = (uint32_t)console_chunk(text, n);
	d->ring_out += n;
	__atomic_store_n(&r->out_cons, d->ring_out, __ATOMIC_RELEASE);
	return n;
}

bool console_ring_drain(struct domain *d)
{
	uint32_t waiting, n;
	char text[CHUNK];

	if (!ring_of(d))
		return false;
	spin_lock(&d->ring_lock);
	n = ring_take(d, text, &waiting);
	console_write(d, text, n);
	spin_unlock(&d->ring_lock);
	if (waiting > n)
		return true;
	if (n) /* some guests sleep until there is room again */
		evtchn_send_port(d, d->special[SPECIAL_CONSOLE].port);
	return false;
}

size_t console_ring_type(struct domain *d, const char *bytes, size_t n)
{
	struct xencons_interface *r = ring_of(d);
	uint32_t used;

	if (!r)
		return 0;
	spin_lock(&d->ring_lock);
	used = d->ring_in - __atomic_load_n(&r->in_cons, __ATOMIC_ACQUIRE);
	n = used > sizeof(r->in) ? 0 : min_u64(n, sizeof(r->in) - used);
	for (size_t i = 0; i < n; i++)
		r->in[MASK_XENCONS_IDX(d->ring_in + i, r->in)] = bytes[i];
	d->ring_in += (uint32_t)n;
	__atomic_store_n(&r->in_prod, d->ring_in, __ATOMIC_RELEASE);
	spin_unlock(&d->ring_lock);
	if (n)
		evtchn_send_port(d, d->special[SPECIAL_CONSOLE].port);
	return n;
}
