/* SPDX-License-Identifier: MIT */
/* See guest_copy.h. The walk of the caller's tables is arch/x86_64/guest/gva.c. */
#include "kernel/guest_copy.h"
#include "arch/x86_64/guest/gva.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"

#define RFLAGS_AC BIT(18)

static const struct guest_memory_ops guest_memory_real = {mm_read, mm_write, mm_pin, mm_unpin,
                                                          mm_read_where};
const struct guest_memory_ops *guest_memory = &guest_memory_real;
unsigned guest_phys_bits = 40;

static struct space *copy_space(const struct guest_copy *c)
{
	return &c->v->domain->space;
}

void guest_copy_unpin(struct guest_copy *c)
{
	while (c->nr_pins)
		guest_memory->unpin(copy_space(c), c->pin[--c->nr_pins]);
}

/* What a refusal of mm/ means to the caller of the hypercall. */
static int64_t copy_error(struct guest_copy *c, enum mm_status st)
{
	switch (st) {
	case MM_OK:
		return 0;
	case MM_NOMEM:
		vcpu_wait_memory(c->v);
		return HC_AGAIN;
	case MM_LIMIT:
		return -XEN_ENOMEM;
	default:
		return -XEN_EFAULT;
	}
}

/* ---- the tables' memory, for gva_walk ---- */

struct copy_tables {
	struct space *space;
	struct gva_memo *memo; /* takes the walk down; NULL: nobody does */
};

static enum mm_status copy_read_entry(void *arg, uint64_t gpa, void *dst, unsigned bytes)
{
	struct copy_tables *t = arg;
	const void *where;
	uint64_t value = 0;
	enum mm_status st;

	if (!t->memo)
		return guest_memory->read(t->space, gpa, dst, bytes);
	st = guest_memory->read_where(t->space, gpa, dst, bytes, &where);
	if (st != MM_OK)
		return st;
	memcpy(&value, dst, bytes);
	gva_memo_step(t->memo, where, value, bytes);
	return MM_OK;
}

/* The page is pinned for the moment: an exchange needs the frame itself. */
static enum mm_status copy_exchange(void *arg, uint64_t gpa, uint64_t old, uint64_t new_value,
                                    unsigned bytes, bool *done)
{
	struct space *space = ((struct copy_tables *)arg)->space;
	void *page;
	uint32_t old32 = (uint32_t)old;
	enum mm_status st = guest_memory->pin(space, gfn_of_addr(gpa), &page);
	void *entry;

	if (st != MM_OK)
		return st;
	entry = (uint8_t *)page + (gpa & ~PAGE_MASK);
	if (bytes == 4)
		*done = __atomic_compare_exchange_n((uint32_t *)entry, &old32, (uint32_t)new_value,
		                                    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		*done = __atomic_compare_exchange_n((uint64_t *)entry, &old, new_value, false,
		                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	guest_memory->unpin(space, gfn_of_addr(gpa));
	return MM_OK;
}

static void copy_state_filled(struct guest_copy *c, enum copy_state have)
{
	c->access = c->v->hv.regs.rflags & RFLAGS_AC ? GVA_AC : 0;
	if (c->state.cpl == 3)
		c->access |= GVA_USER;
	c->have = have;
}

void guest_copy_state(struct guest_copy *c)
{
	if (c->have == COPY_ALL_STATE)
		return;
	hvm->vcpu_get_state(&c->v->hv, &c->state);
	copy_state_filled(c, COPY_ALL_STATE);
}

static void copy_paging(struct guest_copy *c)
{
	if (c->have != COPY_NO_STATE)
		return;
	hvm->vcpu_get_paging(&c->v->hv, &c->state);
	copy_state_filled(c, COPY_PAGING);
}

/* memo: takes it down, may be NULL. */
static int64_t copy_walk(struct guest_copy *c, uint64_t gva, unsigned access, uint64_t *gpa,
                         struct gva_memo *memo)
{
	struct copy_tables tables = {copy_space(c), memo};
	struct gva_memory m = {copy_read_entry, copy_exchange, &tables, guest_phys_bits};
	struct gva_walk walk;
	enum gva_status st;

	copy_paging(c);
	c->fault_gva = gva;
	c->fault_is_page = false; /* it may lead to where there is no memory */
	st = gva_walk(&m, &c->state, gva, c->access | access, &walk);
	*gpa = walk.gpa;
	if (st == GVA_OK)
		return 0;
	if (st == GVA_NOMEM)
		return copy_error(c, MM_NOMEM);
	c->fault_error = walk.error;
	c->fault_is_page = st == GVA_FAULT;
	return -XEN_EFAULT;
}

static uint64_t copy_chunk(uint64_t gva, uint64_t bytes)
{
	return min_u64(bytes, PAGE_SIZE - (gva & ~PAGE_MASK));
}

/* Addresses of 32-bit callers wrap at 4 GiB, as theirs do. */
static uint64_t copy_address(const struct guest_copy *c, uint64_t gva)
{
	return c->wide ? gva : (uint32_t)gva;
}

/* ---- reads; within one page, the last walks are remembered (gva_memo.h) ---- */

/* False: nothing is remembered, or no longer true. Each byte that counts is read once. */
static bool copy_remembered(struct guest_copy *c, const struct gva_memo *m, uint8_t *to,
                            uint64_t gva, uint64_t n, unsigned access)
{
	uint64_t generation = gva_memo_generation(copy_space(c));

	copy_paging(c);
	if (!gva_memo_holds(m, gva, c->state.cr3, gva_rules(&c->state, c->access | access),
	                    generation))
		return false;
	memcpy(to, m->at + gva % PAGE_SIZE, n);
	atomic_thread_fence(memory_order_acquire);
	return gva_memo_generation(copy_space(c)) == generation;
}

static int64_t copy_and_remember(struct guest_copy *c, struct gva_memo *m, uint8_t *to,
                                 uint64_t gva, uint64_t n, unsigned access)
{
	const void *where;
	uint64_t gpa;
	int64_t rc;

	gva_memo_begin(m, copy_space(c));
	rc = copy_walk(c, gva, access, &gpa, m);
	if (!rc)
		rc = copy_error(
		    c, guest_memory->read_where(copy_space(c), gpa, to, (unsigned)n, &where));
	if (!rc)
		gva_memo_end(m, gva, c->state.cr3, gva_rules(&c->state, c->access | access), where);
	return rc;
}

static int64_t copy_read_page(struct guest_copy *c, uint8_t *to, uint64_t gva, uint64_t n,
                              unsigned access)
{
	struct gva_memo *m = &c->v->memo[gva / PAGE_SIZE % VCPU_MEMOS];
	uint64_t gpa;
	int64_t rc;

	if (guest_memory->read_where)
		return copy_remembered(c, m, to, gva, n, access)
		           ? 0
		           : copy_and_remember(c, m, to, gva, n, access);
	rc = copy_walk(c, gva, access, &gpa, NULL);
	return rc ? rc : copy_error(c, guest_memory->read(copy_space(c), gpa, to, n));
}

static int64_t copy_read(struct guest_copy *c, void *dst, uint64_t gva, uint64_t bytes,
                         unsigned access)
{
	uint8_t *to = dst;

	while (bytes) {
		uint64_t at = copy_address(c, gva), n = copy_chunk(at, bytes);
		int64_t rc = copy_read_page(c, to, at, n, access);

		if (rc)
			return rc;
		to += n;
		gva += n;
		bytes -= n;
	}
	return 0;
}

int64_t guest_copy_in(struct guest_copy *c, void *dst, uint64_t gva, uint64_t bytes)
{
	return copy_read(c, dst, gva, bytes, 0);
}

int64_t guest_copy_fetch(struct guest_copy *c, void *dst, uint64_t gva, uint64_t bytes)
{
	return copy_read(c, dst, gva, bytes, GVA_FETCH);
}

int64_t guest_copy_translate(struct guest_copy *c, uint64_t gva, unsigned access, uint64_t *gpa)
{
	return copy_walk(c, copy_address(c, gva), access, gpa, NULL);
}

int64_t guest_copy_write(struct guest_copy *c, uint64_t gva, const void *src, uint64_t bytes)
{
	const uint8_t *from = src;

	while (bytes) {
		uint64_t at = copy_address(c, gva), n = copy_chunk(at, bytes), gpa;
		int64_t rc = copy_walk(c, at, GVA_WRITE, &gpa, NULL);

		if (!rc)
			rc = copy_error(c, guest_memory->write(copy_space(c), gpa, from, n));
		if (rc)
			return rc;
		from += n;
		gva += n;
		bytes -= n;
	}
	return 0;
}

static int64_t copy_pin_page(struct guest_copy *c, uint64_t gva, gfn_t *gfn, uint8_t **page)
{
	uint64_t gpa;
	void *base;
	int64_t rc = copy_walk(c, gva, GVA_WRITE, &gpa, NULL);

	if (!rc)
		rc = copy_error(c, guest_memory->pin(copy_space(c), gfn_of_addr(gpa), &base));
	if (rc)
		return rc;
	*gfn = gfn_of_addr(gpa);
	*page = (uint8_t *)base + (gpa & ~PAGE_MASK);
	return 0;
}

int64_t guest_copy_reserve(struct guest_copy *c, struct guest_buffer *b, uint64_t gva,
                           uint64_t bytes)
{
	ASSERT(bytes <= PAGE_SIZE);
	b->bytes[0] = b->bytes[1] = 0;
	for (unsigned i = 0; bytes; i++) {
		uint64_t at = copy_address(c, gva), n = copy_chunk(at, bytes);
		int64_t rc;

		ASSERT(i < 2 && c->nr_pins < COPY_MAX_PINS);
		rc = copy_pin_page(c, at, &c->pin[c->nr_pins], &b->part[i]);
		if (rc)
			return rc;
		c->nr_pins++;
		b->bytes[i] = (uint32_t)n;
		gva += n;
		bytes -= n;
	}
	return 0;
}

void guest_copy_out(const struct guest_buffer *b, const void *src, uint64_t bytes)
{
	const uint8_t *from = src;

	ASSERT(bytes <= b->bytes[0] + b->bytes[1]);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t n = min_u64(bytes, b->bytes[i]);

		if (n)
			memcpy(b->part[i], from, n);
		from += n;
		bytes -= n;
	}
}

int64_t guest_area_pin(struct guest_copy *c, struct pinned_area *a, uint64_t gva, uint32_t bytes)
{
	uint64_t at = copy_address(c, gva), first = copy_chunk(at, bytes);
	uint8_t *start;
	int64_t rc;

	*a = (struct pinned_area){.wide = c->wide, .bytes = bytes};
	rc = copy_pin_page(c, at, &a->gfn[0], &start);
	if (rc)
		return rc;
	a->offset = (uint32_t)((uintptr_t)start & ~PAGE_MASK);
	a->page[0] = start - a->offset;
	if (first < bytes) {
		at = copy_address(c, gva + first);
		rc = copy_pin_page(c, at, &a->gfn[1], &a->page[1]);
		if (rc) {
			guest_memory->unpin(copy_space(c), a->gfn[0]);
			return rc;
		}
	}
	a->set = true;
	return 0;
}

void guest_area_unpin(struct space *s, struct pinned_area *a)
{
	if (!a->set)
		return;
	guest_memory->unpin(s, a->gfn[0]);
	if (a->page[1])
		guest_memory->unpin(s, a->gfn[1]);
	a->set = false;
}

void guest_area_write(const struct pinned_area *a, uint32_t offset, const void *src, uint32_t bytes)
{
	const uint8_t *from = src;

	ASSERT(a->set && offset + bytes <= a->bytes);
	while (bytes) {
		uint32_t at = a->offset + offset;
		uint8_t *page = a->page[at >> PAGE_SHIFT];
		uint32_t n = (uint32_t)copy_chunk(at, bytes);

		memcpy(page + (at & ~PAGE_MASK), from, n);
		from += n;
		offset += n;
		bytes -= n;
	}
}
