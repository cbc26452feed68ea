/* SPDX-License-Identifier: MIT */
/* See hvm_event.h. */
#include "arch/x86_64/hvm_event.h"
#include "mm/leaf/bits.h"

#define VECTOR_DF 8u
#define VECTOR_PF 14u
#define VECTOR_VE 20u

/* #DE #TS #NP #SS #GP #CP (SDM vol. 3, table 6-4) */
#define CONTRIBUTORY (BIT(0) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(21))
/* #DF #TS #NP #SS #GP #PF #AC #CP, and AMD's #VC #SX (APM vol. 2, table 8-1) */
#define WITH_ERROR                                                                                 \
	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21) | BIT(29) |  \
	 BIT(30))

enum event_class { BENIGN, CONTRIB, PAGE, DOUBLE };

static enum event_class event_class(const struct hvm_event *e)
{
	if (e->type != EVENT_EXCEPTION || e->vector >= 32)
		return BENIGN;
	if (e->vector == VECTOR_DF)
		return DOUBLE;
	if (e->vector == VECTOR_PF || e->vector == VECTOR_VE)
		return PAGE;
	return CONTRIBUTORY & BIT(e->vector) ? CONTRIB : BENIGN;
}

bool hvm_event_pushes_error(unsigned vector)
{
	return vector < 32 && (WITH_ERROR & BIT(vector));
}

enum event_merge hvm_event_merge(const struct hvm_event *first, const struct hvm_event *second,
                                 struct hvm_event *out)
{
	enum event_class a = first ? event_class(first) : BENIGN;
	enum event_class b = event_class(second);
	bool faulting = b == CONTRIB || b == PAGE;

	if (a == DOUBLE && (faulting || b == DOUBLE))
		return EVENT_TRIPLE_FAULT;
	if ((a == CONTRIB && b == CONTRIB) || (a == PAGE && faulting)) {
		*out = (struct hvm_event){EVENT_EXCEPTION, VECTOR_DF, true, 0};
		return EVENT_DOUBLE_FAULT;
	}
	*out = *second;
	return EVENT_SECOND;
}
