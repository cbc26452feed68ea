/* SPDX-License-Identifier: MIT */
/* console_io: writing lines. Reading is not offered. */
#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/sched.h"

#define CHUNK 256u /* bytes an entry; then the call goes on with the rest */

bool console_must_wait(struct vcpu *v)
{
	if (!log_crowded())
		return false;
	(void)log_pump(); /* rather than only wait for CPU 0 */
	sched_yield(v);
	return true;
}

int64_t hc_console_io(struct hypercall *h)
{
	char text[CHUNK];
	uint64_t count = (uint32_t)h->arg[1], n = min_u64(count, CHUNK);
	int64_t rc;

	if (h->arg[0] != CONSOLEIO_write)
		return -XEN_ENOSYS;
	if (console_must_wait(h->v))
		return HC_AGAIN;
	rc = guest_copy_in(&h->copy, text, h->arg[2], n);
	if (rc)
		return rc;
	n = console_chunk(text, n);
	console_write(h->d, text, n);
	if (n == count)
		return 0;
	hc_set_arg(h, 2, h->arg[2] + n);
	return hc_continue(h, 1, count - n);
}
