/* SPDX-License-Identifier: MIT */
/*
 * The one way from a hypercall to its caller's memory.
 *
 * Arguments are guest virtual addresses. The rules, each of them for safety:
 *   - a byte is fetched at most once in a hypercall; what was fetched is used,
 *     whatever another vCPU does to it meanwhile;
 *   - all output is reserved (walked, made writable and private, pinned)
 *     before the first side effect; writing it then cannot fail;
 *   - where memory is short the vCPU waits and the instruction is run again
 *     from its beginning, with no side effect having happened.
 */
#ifndef KERNEL_GUEST_COPY_H
#define KERNEL_GUEST_COPY_H

#include "kernel/domain.h"

#define COPY_MAX_PINS 8u

/*
 * "Not now": the vCPU waits for memory, or has more to do than one entry may.
 * A hypercall that returns it has no result; the guest's instruction pointer
 * stays and the call is made again.
 */
#define HC_AGAIN INT64_MIN

/* How much of .state is filled. */
enum copy_state { COPY_NO_STATE, COPY_PAGING, COPY_ALL_STATE };

/* One hypercall's (or one instruction's) view of its caller's memory. */
struct guest_copy {
	struct vcpu *v;
	bool wide; /* 64-bit addresses */
	enum copy_state have;
	unsigned access; /* GVA_* flags of every access; with .state */
	struct guest_state state;
	unsigned nr_pins;
	gfn_t pin[COPY_MAX_PINS];
	uint64_t fault_gva; /* after -XEN_EFAULT: where, and the page-fault error code */
	uint32_t fault_error;
	bool fault_is_page; /* it was a page fault, not memory that is not there */
};

/* Reserved output: at most two pages. */
struct guest_buffer {
	uint8_t *part[2];
	uint32_t bytes[2];
};

/* Sets only what it must: this is on the way of every hypercall. */
static inline void guest_copy_begin(struct guest_copy *c, struct vcpu *v, bool wide)
{
	c->v = v;
	c->wide = wide;
	c->have = COPY_NO_STATE;
	c->nr_pins = 0;
}

void guest_copy_unpin(struct guest_copy *c);

static inline void guest_copy_end(struct guest_copy *c)
{
	if (c->nr_pins)
		guest_copy_unpin(c);
}

/* Fetch the vCPU's state, once, all of it; the copies fetch what they need themselves. */
void guest_copy_state(struct guest_copy *c);

/* 0, -XEN_EFAULT or HC_AGAIN. */
int64_t guest_copy_in(struct guest_copy *c, void *dst, uint64_t gva, uint64_t bytes) must_check;

/* The same for bytes of an instruction; gva is linear. */
int64_t guest_copy_fetch(struct guest_copy *c, void *dst, uint64_t gva, uint64_t bytes) must_check;
/* Where an access (GVA_WRITE or 0) at a linear address leads. The same answers. */
int64_t guest_copy_translate(struct guest_copy *c, uint64_t gva, unsigned access,
                             uint64_t *gpa) must_check;

/* Reserve up to PAGE_SIZE bytes of output. 0, -XEN_EFAULT, -XEN_ENOMEM or HC_AGAIN. */
int64_t guest_copy_reserve(struct guest_copy *c, struct guest_buffer *b, uint64_t gva,
                           uint64_t bytes) must_check;
/* Write to what was reserved: all of it, or the first `bytes`. */
void guest_copy_out(const struct guest_buffer *b, const void *src, uint64_t bytes);

/* Write without a reservation: for an instruction, not for a hypercall with side effects. */
int64_t guest_copy_write(struct guest_copy *c, uint64_t gva, const void *src,
                         uint64_t bytes) must_check;

/*
 * Pin a long-lived area, by virtual address or by guest frame. The layout
 * stays where it is now, even if the guest maps the address elsewhere later.
 */
int64_t guest_area_pin(struct guest_copy *c, struct pinned_area *a, uint64_t gva,
                       uint32_t bytes) must_check;
void guest_area_unpin(struct space *s, struct pinned_area *a);
void guest_area_write(const struct pinned_area *a, uint32_t offset, const void *src,
                      uint32_t bytes);

/* Where the bytes come from: mm/, or a liar in a test. */
struct guest_memory_ops {
	enum mm_status (*read)(struct space *s, uint64_t gpa, void *dst, uint64_t bytes);
	enum mm_status (*write)(struct space *s, uint64_t gpa, const void *src, uint64_t bytes);
	enum mm_status (*pin)(struct space *s, gfn_t gfn, void **page);
	void (*unpin)(struct space *s, gfn_t gfn);
	/* mm_read_where; NULL: no walk is remembered, each byte comes through read(). */
	enum mm_status (*read_where)(struct space *s, uint64_t gpa, void *dst, unsigned bytes,
	                             const void **where);
};
extern const struct guest_memory_ops *guest_memory;
extern unsigned guest_phys_bits; /* MAXPHYADDR that guests are told */

#endif
