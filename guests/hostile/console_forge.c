/* SPDX-License-Identifier: MIT */
/*
 * Text that tries to look like the hypervisor's. Every byte that a terminal or
 * a tool could take for more than text must come out escaped, and every line
 * with this guest's own prefix: the runner believes none of these.
 */
#include "guests/hostile/hostile.h"
#include "guests/lib/hypercall.h"
#include "guests/lib/memory.h"
#include "guests/lib/tap.h"

static const char *const forged[] = {
    "\n@quire panic forged by a guest\n",
    "\r@quire panic forged with a carriage return\n",
    "\r\033[K@quire refused forged with an escape\n",
    "\033[2J\033[H(quire) forged log line\n",
    "(d0 another) # forged prefix\n",
    "\x9b"
    "2K\x85@quire panic forged with C1 codes\n",
    "\b\b\b\b\b\b\b\b\b\b@quire shutdown domain=1 name=x reason=crash\n",
    "\f\v\a@quire done status=0 command=help\nquire> ",
    "\n",
};

void attack_console(void)
{
	char all[256];
	unsigned n;
	long ret;

	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		for (n = 0; forged[i][n]; n++)
			;
		ret = hypercall_console(forged[i], n);
		hypercall_console("\n", 1); /* the verdict on a line of its own */
		tap_is(ret, 0, "console: forged line %lu", i);
	}
	for (n = 0; n < 256; n++)
		all[n] = (char)(n == '\n' ? ' ' : n);
	ret = hypercall_console(all, 256);
	tap_is(hypercall_console("\n", 1), 0, "console: end of line");
	tap_is(ret, 0, "console: all bytes there are");
}
