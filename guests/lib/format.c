/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include "guests/lib/console.h"

struct sink {
	char *dst;
	size_t used, room;
};

struct spec {
	bool zero, left;
	int width;
	unsigned longs;
};

static void put(struct sink *s, char c)
{
	if (s->used < s->room)
		s->dst[s->used++] = c;
}

static void put_padded(struct sink *s, const struct spec *f, const char *text, int n)
{
	int pad = f->width - n;

	for (int i = 0; !f->left && i < pad; i++)
		put(s, f->zero ? '0' : ' ');
	for (int i = 0; i < n; i++)
		put(s, text[i]);
	for (int i = 0; f->left && i < pad; i++)
		put(s, ' ');
}

static void put_number(struct sink *s, const struct spec *f, uint64_t v, unsigned base, bool minus)
{
	char digits[24];
	int n = sizeof(digits);

	do
		digits[--n] = "0123456789abcdef"[v % base];
	while (v /= base);
	if (minus)
		digits[--n] = '-';
	put_padded(s, f, digits + n, (int)sizeof(digits) - n);
}

static void put_string(struct sink *s, const struct spec *f, const char *text)
{
	int n = 0;

	while (text[n])
		n++;
	put_padded(s, f, text, n);
}

static const char *parse_spec(const char *p, struct spec *f)
{
	*f = (struct spec){0};
	for (;; p++) {
		if (*p == '0')
			f->zero = true;
		else if (*p == '-')
			f->left = true;
		else
			break;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		f->width = f->width * 10 + (*p - '0');
	for (; *p == 'l' || *p == 'z'; p++)
		f->longs++;
	return p;
}

static void put_one(struct sink *s, const struct spec *f, char kind, va_list *ap)
{
	int64_t i;
	char c;

	switch (kind) {
	case 'd':
	case 'i':
		i = f->longs ? va_arg(*ap, int64_t) : va_arg(*ap, int);
		put_number(s, f, i < 0 ? -(uint64_t)i : (uint64_t)i, 10, i < 0);
		break;
	case 'u':
	case 'x':
		put_number(s, f, f->longs ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned),
		           kind == 'x' ? 16 : 10, false);
		break;
	case 'p':
		put_number(s, f, (uint64_t)va_arg(*ap, void *), 16, false);
		break;
	case 's':
		put_string(s, f, va_arg(*ap, const char *));
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		put_padded(s, f, &c, 1);
		break;
	default:
		put(s, kind);
	}
}

/* Returns the characters written; no NUL is added. */
size_t text_format(char *dst, size_t bytes, const char *fmt, va_list args)
{
	struct sink s = {dst, 0, bytes};
	struct spec f;
	va_list ap;

	va_copy(ap, args);
	for (const char *p = fmt; *p; p++) {
		if (*p != '%') {
			put(&s, *p);
			continue;
		}
		p = parse_spec(p + 1, &f);
		if (!*p)
			break;
		put_one(&s, &f, *p, &ap);
	}
	va_end(ap);
	return s.used;
}
