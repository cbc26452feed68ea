/* SPDX-License-Identifier: MIT */
/* Formatting into memory: the part of snprintf that we use (see kernel/log.h). */
#include "kernel/log.h"

#include "kernel/string.h"

/* Where the text goes. `used` counts on past the end, so that the caller learns the need. */
struct sink {
	char *dst;
	size_t bytes, used;
};

/* One conversion, as written between % and its letter. */
struct spec {
	bool left, zero, plus, space, alternate;
	const char *sign;     /* what stands in front: "-", "0x", ... */
	int zeroes;           /* digits that the precision adds */
	int width, precision; /* precision -1: none given */
	int longs;            /* 0 int, 1 long, 2 long long, 3 size_t; -1 short, -2 char */
};

static void sink_char(struct sink *s, char c)
{
	if (s->used + 1 < s->bytes)
		s->dst[s->used] = c;
	s->used++;
}

static void sink_repeat(struct sink *s, char c, int n)
{
	while (n-- > 0)
		sink_char(s, c);
}

/* The sign and then `n` characters, padded as the spec says. */
static void sink_field(struct sink *s, const struct spec *f, const char *text, int n)
{
	int signs = (int)strlen(f->sign);
	int pad = f->width - signs - f->zeroes - n;

	if (!f->left && !f->zero)
		sink_repeat(s, ' ', pad);
	for (int i = 0; i < signs; i++)
		sink_char(s, f->sign[i]);
	if (!f->left && f->zero)
		sink_repeat(s, '0', pad);
	sink_repeat(s, '0', f->zeroes);
	for (int i = 0; i < n; i++)
		sink_char(s, text[i]);
	if (f->left)
		sink_repeat(s, ' ', pad);
}

/* letter: u, x or X */
static void format_number(struct sink *s, struct spec *f, char letter, uint64_t value)
{
	const char *digits = letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = letter == 'u' ? 10 : 16;
	char buffer[24];
	int n = 0;

	do {
		buffer[sizeof(buffer) - 1 - (size_t)n] = digits[value % base];
		value /= base;
		n++;
	} while (value);
	if (f->precision >= 0)
		f->zero = false; /* as C says: 0 is ignored with a precision */
	if (f->precision > n)
		f->zeroes = f->precision - n;
	sink_field(s, f, buffer + sizeof(buffer) - n, n);
}

static void format_signed(struct sink *s, struct spec *f, int64_t value)
{
	f->sign = value < 0 ? "-" : f->plus ? "+" : f->space ? " " : "";
	format_number(s, f, 'u', value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void format_string(struct sink *s, struct spec *f, const char *text)
{
	size_t n;

	if (!text)
		text = "(null)";
	n = f->precision >= 0 ? strnlen(text, (size_t)f->precision) : strlen(text);
	f->zero = false;
	sink_field(s, f, text, (int)n);
}

static const char *parse_flags(const char *p, struct spec *f)
{
	for (;; p++) {
		switch (*p) {
		case '-':
			f->left = true;
			break;
		case '0':
			f->zero = true;
			break;
		case '+':
			f->plus = true;
			break;
		case ' ':
			f->space = true;
			break;
		case '#':
			f->alternate = true;
			break;
		default:
			return p;
		}
	}
}

static const char *parse_count(const char *p, int *count, int star)
{
	if (*p == '*') {
		*count = star;
		return p + 1;
	}
	*count = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (*count < 10000)
			*count = *count * 10 + (*p - '0');
	return p;
}

static const char *parse_length(const char *p, struct spec *f)
{
	for (;; p++) {
		if (*p == 'l')
			f->longs++;
		else if (*p == 'h')
			f->longs--;
		else if (*p == 'z' || *p == 'j' || *p == 't')
			f->longs = 3;
		else
			return p;
	}
}

/* On x86-64, long, long long and size_t are one width; va_arg still wants the right kind. */
static int64_t arg_signed(const struct spec *f, va_list *ap)
{
	int64_t v = f->longs > 0 ? va_arg(*ap, long) : va_arg(*ap, int);

	return f->longs == -1 ? (short)v : f->longs <= -2 ? (signed char)v : v;
}

static uint64_t arg_unsigned(const struct spec *f, va_list *ap)
{
	uint64_t v = f->longs > 0 ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned);

	return f->longs == -1 ? (unsigned short)v : f->longs <= -2 ? (unsigned char)v : v;
}

static void format_one(struct sink *s, struct spec *f, char letter, va_list *ap)
{
	uint64_t u;
	char c;

	switch (letter) {
	case 'd':
	case 'i':
		format_signed(s, f, arg_signed(f, ap));
		break;
	case 'u':
		format_number(s, f, 'u', arg_unsigned(f, ap));
		break;
	case 'x':
	case 'X':
		u = arg_unsigned(f, ap);
		f->sign = f->alternate && u ? "0x" : "";
		format_number(s, f, letter, u);
		break;
	case 'p':
		f->sign = "0x";
		format_number(s, f, 'x', (uintptr_t)va_arg(*ap, void *));
		break;
	case 's':
		format_string(s, f, va_arg(*ap, const char *));
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		f->zero = false;
		sink_field(s, f, &c, 1);
		break;
	case '%':
		sink_char(s, '%');
		break;
	default: /* not ours: shown, so that it is seen */
		sink_char(s, '%');
		sink_char(s, letter);
	}
}

int text_vformat(char *dst, size_t bytes, const char *fmt, va_list ap)
{
	struct sink s = {.dst = dst, .bytes = bytes};
	va_list args;

	va_copy(args, ap);
	for (const char *p = fmt; *p; p++) {
		struct spec f = {.sign = "", .precision = -1};

		if (*p != '%') {
			sink_char(&s, *p);
			continue;
		}
		p = parse_flags(p + 1, &f);
		p = parse_count(p, &f.width, *p == '*' ? va_arg(args, int) : 0);
		if (f.width < 0) {
			f.left = true;
			f.width = -f.width;
		}
		if (*p == '.')
			p = parse_count(p + 1, &f.precision, p[1] == '*' ? va_arg(args, int) : 0);
		p = parse_length(p, &f);
		if (!*p)
			break;
		format_one(&s, &f, *p, &args);
	}
	va_end(args);
	if (bytes)
		dst[s.used < bytes ? s.used : bytes - 1] = '\0';
	return (int)s.used;
}

int text_format(char *dst, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = text_vformat(dst, bytes, fmt, ap);
	va_end(ap);
	return n;
}

unsigned text_distance(const char *a, const char *b)
{
	unsigned row[TEXT_DISTANCE_MAX + 1], n = (unsigned)strlen(b);

	if (n > TEXT_DISTANCE_MAX)
		return UINT32_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; *a; a++, i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned change = diagonal + (*a != b[j - 1]);
			unsigned step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < step ? change : step;
		}
	}
	return row[n];
}
