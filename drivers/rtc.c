/* SPDX-License-Identifier: MIT */
/* The battery clock (MC146818 and its heirs), read once at boot. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/time.h"

#define PORT_INDEX 0x70
#define PORT_DATA  0x71

#define STATUS_A_UPDATE 0x80
#define STATUS_B_24H    0x02
#define STATUS_B_BINARY 0x04

enum {
	SECOND = 0,
	MINUTE = 2,
	HOUR = 4,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	STATUS_A = 10,
	STATUS_B = 11
};

static uint8_t rtc_register(uint8_t n)
{
	outb(PORT_INDEX, n);
	return inb(PORT_DATA);
}

static unsigned from_bcd(unsigned v)
{
	return (v >> 4) * 10 + (v & 15);
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static uint64_t days_before(unsigned year, unsigned month, unsigned day)
{
	static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	uint64_t days =
	    (uint64_t)(year - 1970) * 365 + (year - 1969) / 4 + before[month - 1] + day - 1;

	return days + (month > 2 && year % 4 == 0); /* 2000 to 2099: every fourth year leaps */
}

struct rtc_time {
	unsigned field[6]; /* second, minute, hour, day, month, year */
};

static struct rtc_time rtc_sample(void)
{
	static const uint8_t index[6] = {SECOND, MINUTE, HOUR, DAY, MONTH, YEAR};
	struct rtc_time t;

	for (unsigned i = 0; i < 100000 && (rtc_register(STATUS_A) & STATUS_A_UPDATE); i++)
		cpu_relax();
	for (unsigned i = 0; i < 6; i++)
		t.field[i] = rtc_register(index[i]);
	return t;
}

/* Read until two in a row agree: an update in between would mix two times. */
static struct rtc_time rtc_stable(void)
{
	struct rtc_time a = rtc_sample();

	for (unsigned i = 0; i < 10; i++) {
		struct rtc_time b = rtc_sample();

		if (!__builtin_memcmp(&a, &b, sizeof(a)))
			break;
		a = b;
	}
	return a;
}

uint64_t rtc_read(void)
{
	struct rtc_time t = rtc_stable();
	unsigned b = rtc_register(STATUS_B), hour = t.field[2] & 0x7f;
	bool pm = t.field[2] & 0x80;

	t.field[2] = hour;
	for (unsigned i = 0; i < 6 && !(b & STATUS_B_BINARY); i++)
		t.field[i] = from_bcd(t.field[i]);
	hour = t.field[2];
	if (!(b & STATUS_B_24H))
		hour = hour % 12 + (pm ? 12 : 0);
	if (t.field[4] < 1 || t.field[4] > 12 || t.field[3] < 1 || t.field[3] > 31)
		return 0;
	return ((days_before(2000 + t.field[5], t.field[4], t.field[3]) * 24 + hour) * 60 +
	        t.field[1]) *
	           60 +
	       t.field[0];
}
