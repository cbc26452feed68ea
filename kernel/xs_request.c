/* SPDX-License-Identifier: MIT */
/*
 * Requests: what each type wants, and what it is answered (docs/misc/xenstore.txt of
 * Xen). The payload was copied out of the ring once and nobody can change it any more. Errors
 * are those that xenstored gives.
 */
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/xen_abi.h"
#include "kernel/xs_conn.h"
#include "mm/leaf/assert.h"
#include "mm/leaf/bits.h"

/* One request under way. */
struct xs_call {
	struct xs_conn *c;
	struct xs_store *store; /* the tree, or a transaction's copy */
	struct xs_tx *tx;
	const char *payload;
	size_t length;
};

typedef int xs_handler(struct xs_call *q);

/* ---- answers ---- */

static void reply(struct xs_conn *c, const char *bytes, size_t n)
{
	struct xs_message *m = &c->out;

	ASSERT(m->head.len + n <= XENSTORE_PAYLOAD_MAX);
	memcpy(m->payload + m->head.len, bytes, n);
	m->head.len += (uint32_t)n;
}

static void reply_begin(struct xs_conn *c, uint32_t type)
{
	c->out.sent = 0;
	c->out.head = c->in.head;
	c->out.head.type = type;
	c->out.head.len = 0;
}

static void reply_end(struct xs_conn *c)
{
	c->out.bytes = (uint32_t)sizeof(c->out.head) + c->out.head.len;
}

static int reply_text(struct xs_call *q, const char *text)
{
	reply(q->c, text, strlen(text) + 1);
	return 0;
}

static int reply_ok(struct xs_call *q)
{
	return reply_text(q, "OK");
}

static const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
	    {XEN_EINVAL, "EINVAL"},
            {XEN_EACCES, "EACCES"},
            {XEN_EEXIST, "EEXIST"},
	    {XEN_ENOENT, "ENOENT"},
            {XEN_ENOMEM, "ENOMEM"},
            {XEN_ENOSPC, "ENOSPC"},
	    {XEN_ENOSYS, "ENOSYS"},
            {XEN_EBUSY,  "EBUSY" },
            {XEN_EAGAIN, "EAGAIN"},
	    {XEN_E2BIG,  "E2BIG" },
            {XEN_EPERM,  "EPERM" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].error == error)
			return names[i].name;
	return "EINVAL";
}

/* ---- payloads ---- */

/* The next string, which must end in a NUL; false: there is none. */
static bool take_string(struct xs_call *q, const char **text, size_t *length)
{
	const char *end = q->length ? memchr(q->payload, '\0', q->length) : NULL;

	if (!end)
		return false;
	*text = q->payload;
	*length = (size_t)(end - q->payload);
	q->payload += *length + 1;
	q->length -= *length + 1;
	return true;
}

static int take_path(struct xs_call *q, struct xs_path *p)
{
	const char *text;
	size_t length;

	if (!take_string(q, &text, &length))
		return -XEN_EINVAL;
	return xs_path_parse(q->c->domain, text, length, p);
}

/* A path, and nothing behind it. */
static int take_only_path(struct xs_call *q, struct xs_path *p)
{
	int rc = take_path(q, p);

	return !rc && q->length ? -XEN_EINVAL : rc;
}

static bool decimal(const char *text, size_t length, uint32_t *n)
{
	*n = 0;
	if (length == 0 || length > 5)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*n = *n * 10 + (uint32_t)(text[i] - '0');
	}
	return true;
}

static int take_domid(struct xs_call *q, uint32_t *id)
{
	const char *text;
	size_t length;

	if (!take_string(q, &text, &length) || q->length || !decimal(text, length, id))
		return -XEN_EINVAL;
	return 0;
}

/* ---- nodes ---- */

static int call_find(struct xs_call *q, struct xs_path *p)
{
	int rc = take_only_path(q, p);

	return rc ? rc : xs_store_find(q->store, p->text, p->length);
}

static int call_read(struct xs_call *q)
{
	struct xs_path p;
	int i = call_find(q, &p);
	struct xs_string value;

	if (i < 0)
		return i;
	value = q->store->node[i].value;
	xs_string_get(&q->store->strings.heap, value, q->c->out.payload);
	q->c->out.head.len = value.length;
	return 0;
}

static int call_directory(struct xs_call *q)
{
	const struct xs_store *s = q->store;
	struct xs_message *m = &q->c->out;
	struct xs_path p;
	int i = call_find(q, &p);

	if (i < 0)
		return i;
	for (unsigned n = s->node[i].child; n; n = s->node[n].next) {
		struct xs_string name = s->node[n].name;

		if (m->head.len + name.length + 1u > XENSTORE_PAYLOAD_MAX)
			return -XEN_E2BIG;
		xs_string_get(&s->strings.heap, name, m->payload + m->head.len);
		m->payload[m->head.len + name.length] = '\0';
		m->head.len += name.length + 1u;
	}
	return 0;
}

/* Something was done to a node: those who watch it hear of it, in a transaction later. */
static int call_changed(struct xs_call *q, const struct xs_path *p, int rc, bool gone)
{
	if (rc < 0)
		return rc;
	if (rc == 0 && !q->tx)
		xs_watch_fire(&q->c->watches, p->text, p->length, gone);
	return reply_ok(q);
}

static int call_write(struct xs_call *q)
{
	struct xs_path p;
	int rc = take_path(q, &p);

	if (!rc)
		rc = xs_store_write(q->store, XS_GUEST, p.text, p.length, q->payload, q->length);
	return call_changed(q, &p, rc, false);
}

static int call_mkdir(struct xs_call *q)
{
	struct xs_path p;
	int rc = take_only_path(q, &p);

	if (!rc)
		rc = xs_store_make(q->store, XS_GUEST, p.text, p.length);
	return call_changed(q, &p, rc, false);
}

static int call_rm(struct xs_call *q)
{
	struct xs_path p;
	int rc = take_only_path(q, &p);

	if (!rc)
		rc = xs_store_remove(q->store, XS_GUEST, p.text, p.length);
	return call_changed(q, &p, rc, true);
}

/* The first entry says who owns the node and what all others may do (wiki.xen.org, XenBus). */
static int call_get_perms(struct xs_call *q)
{
	struct xs_path p;
	int i = call_find(q, &p);
	const struct xs_node *n;
	char text[16];

	if (i < 0)
		return i;
	n = &q->store->node[i];
	if (n->perms.length) {
		xs_string_get(&q->store->strings.heap, n->perms, q->c->out.payload);
		q->c->out.head.len = n->perms.length;
		return 0;
	}
	if (!(n->flags & XS_OWNED))
		(void)reply_text(q, "n0");
	text_format(text, sizeof(text), "%c%u", n->flags & XS_OWNED ? 'n' : 'r', q->c->domain);
	return reply_text(q, text);
}

/* "r12": what may be done, and by whom. */
static bool perm_entry(const char *text, size_t length, uint32_t *id)
{
	return length > 1 && memchr("nrwb", text[0], 4) && decimal(text + 1, length - 1, id);
}

static int check_perms(const struct xs_call *q)
{
	struct xs_call rest = *q;
	const char *text;
	size_t length;
	unsigned n = 0;
	uint32_t id;

	if (q->length > XS_PERMS_TEXT_MAX)
		return -XEN_ENOSPC;
	for (; rest.length; n++) {
		if (!take_string(&rest, &text, &length) || !perm_entry(text, length, &id))
			return -XEN_EINVAL;
		if (n == 0 && id != q->c->domain)
			return -XEN_EPERM; /* a node is not given away */
	}
	return n == 0 ? -XEN_EINVAL : n > XS_PERMS_MAX ? -XEN_ENOSPC : 0;
}

static int call_set_perms(struct xs_call *q)
{
	struct xs_path p;
	int rc = take_path(q, &p);

	if (!rc)
		rc = check_perms(q);
	if (!rc)
		rc = xs_store_set_perms(q->store, p.text, p.length, q->payload, q->length);
	return call_changed(q, &p, rc, false);
}

/* ---- watches ---- */

static int take_watch(struct xs_call *q, struct xs_path *p, const char **token, size_t *length)
{
	int rc = take_path(q, p);

	return rc ? rc : take_string(q, token, length) ? 0 : -XEN_EINVAL;
}

static int call_watch(struct xs_call *q)
{
	struct xs_path p;
	const char *token = NULL;
	size_t length = 0;
	int rc = take_watch(q, &p, &token, &length);

	if (!rc)
		rc = xs_watch_add(&q->c->watches, &p, token, length);
	return rc ? rc : reply_ok(q);
}

static int call_unwatch(struct xs_call *q)
{
	struct xs_path p;
	const char *token = NULL;
	size_t length = 0;
	int rc = take_watch(q, &p, &token, &length);

	if (!rc)
		rc = xs_watch_remove(&q->c->watches, &p, token, length);
	return rc ? rc : reply_ok(q);
}

static int call_reset_watches(struct xs_call *q)
{
	xs_watch_init(&q->c->watches);
	xs_tx_reset(&q->c->txs);
	return reply_ok(q);
}

/* ---- transactions ---- */

static int call_tx_start(struct xs_call *q)
{
	uint32_t id;
	char text[16];
	int error;

	if (q->tx)
		return -XEN_EBUSY;
	id = xs_tx_start(&q->c->txs, q->store, &error);
	if (!id)
		return error;
	text_format(text, sizeof(text), "%u", id);
	return reply_text(q, text);
}

static int call_tx_end(struct xs_call *q)
{
	const char *text;
	size_t length;
	int rc = 0;

	if (!take_string(q, &text, &length) || q->length || length != 1 ||
	    (text[0] != 'T' && text[0] != 'F'))
		return -XEN_EINVAL;
	if (!q->tx)
		return -XEN_ENOENT;
	if (text[0] == 'F')
		xs_tx_drop(&q->c->txs, q->tx);
	else /* the request has been read: its payload is free to work in */
		rc = xs_tx_commit(&q->c->txs, q->tx, q->c->store, &q->c->watches, q->c->in.payload);
	return rc ? rc : reply_ok(q);
}

/* ---- domains ---- */

static int call_domain_path(struct xs_call *q)
{
	uint32_t id;
	char home[XS_HOME_BYTES];
	int rc = take_domid(q, &id);

	if (rc)
		return rc;
	(void)xs_home((domid_t)id, home);
	return reply_text(q, home);
}

/* Of another domain no more is told than that it is no business of the caller. */
static int call_introduced(struct xs_call *q)
{
	uint32_t id;
	int rc = take_domid(q, &id);

	if (rc)
		return rc;
	return reply_text(q, id == q->c->domain || id == DOMID_SELF ? "T" : "F");
}

static int call_forbidden(struct xs_call *q)
{
	(void)q;
	return -XEN_EACCES;
}

/* ---- which ---- */

static xs_handler *const handlers[] = {
    [XS_CONTROL] = call_forbidden,
    [XS_DIRECTORY] = call_directory,
    [XS_READ] = call_read,
    [XS_GET_PERMS] = call_get_perms,
    [XS_WATCH] = call_watch,
    [XS_UNWATCH] = call_unwatch,
    [XS_TRANSACTION_START] = call_tx_start,
    [XS_TRANSACTION_END] = call_tx_end,
    [XS_INTRODUCE] = call_forbidden,
    [XS_RELEASE] = call_forbidden,
    [XS_GET_DOMAIN_PATH] = call_domain_path,
    [XS_WRITE] = call_write,
    [XS_MKDIR] = call_mkdir,
    [XS_RM] = call_rm,
    [XS_SET_PERMS] = call_set_perms,
    [XS_IS_DOMAIN_INTRODUCED] = call_introduced,
    [XS_RESUME] = call_forbidden,
    [XS_SET_TARGET] = call_forbidden,
    [XS_RESET_WATCHES] = call_reset_watches,
    [XS_DIRECTORY_PART] = NULL, /* directories here fit into one answer, or are refused */
};

static xs_handler *handler_of(uint32_t type)
{
	return type < ARRAY_SIZE(handlers) ? handlers[type] : NULL;
}

/* Watches have nothing to do with transactions: the number is not looked at. */
static bool ignores_tx(uint32_t type)
{
	return type == XS_WATCH || type == XS_UNWATCH || type == XS_RESET_WATCHES;
}

void xs_request(struct xs_conn *c)
{
	const struct xsd_sockmsg *head = &c->in.head;
	struct xs_call q = {c, c->store, NULL, c->in.payload, head->len};
	xs_handler *handler = handler_of(head->type);
	int rc = handler ? 0 : -XEN_ENOSYS;

	ASSERT(head->len <= XENSTORE_PAYLOAD_MAX && c->out.bytes == c->out.sent);
	reply_begin(c, head->type);
	if (!rc && head->tx_id && !ignores_tx(head->type)) {
		q.tx = xs_tx_find(&c->txs, head->tx_id);
		rc = q.tx ? 0 : -XEN_ENOENT;
		if (q.tx)
			q.store = q.tx->copy;
	}
	if (!rc)
		rc = handler(&q);
	if (rc) {
		reply_begin(c, XS_ERROR);
		(void)reply_text(&q, error_name(-rc));
	}
	reply_end(c);
	c->in.bytes = 0;
	c->requests++;
}

bool xs_next_event(struct xs_conn *c)
{
	size_t n = xs_watch_take(&c->watches, c->domain, c->out.payload);

	ASSERT(c->out.bytes == c->out.sent);
	if (!n)
		return false;
	c->out.sent = 0;
	c->out.head = (struct xsd_sockmsg){.type = XS_WATCH_EVENT, .len = (uint32_t)n};
	reply_end(c);
	c->events++;
	return true;
}
