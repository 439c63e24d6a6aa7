/*
 * A state machine over whole lines:
 *
 *   GREETING     expects {"QMP": …}, then sends qmp_capabilities
 *   NEGOTIATING  expects the reply to that
 *   READY        replies and events
 *   ENDED        nothing any more
 *
 * Commands wait in a small array until the reply with their id comes. QEMU is our child, but it also parses what the
 * guest does: a message that is not understood breaks the link rather than being skipped.
 *
 * Callbacks may free the client: it is released when the outermost one has returned.
 */
#include "qemu/qmp.h"

#include "loop/stream.h"

#include <assert.h>
#include <string.h>

enum state { GREETING, NEGOTIATING, READY, ENDED };

struct pending {
	json_int_t id; /* 0: free */
	qmp_reply_fn *fn;
	void *data;
};

struct qmp {
	struct stream *stream;
	const struct qmp_callbacks *callbacks;
	void *data;
	enum state state;
	json_int_t last_id;
	struct pending pending[QMP_PENDING_LIMIT];
	unsigned depth;
	bool freed;
};

static void leave(struct qmp *qmp)
{
	if (--qmp->depth == 0 && qmp->freed)
		free(qmp);
}

bool qmp_is_ready(const struct qmp *qmp)
{
	return qmp->state == READY;
}

/* Everything owed fails, then the end is told. */
static void end(struct qmp *qmp, struct annex_error *err)
{
	auto_error struct annex_error *lost = NULL;

	if (qmp->state == ENDED)
		return;
	qmp->state = ENDED;
	fail(&lost, ANNEX_ERROR_SYSTEM, "QEMU's control link is gone");
	for (size_t i = 0; i < QMP_PENDING_LIMIT && !qmp->freed; i++) {
		struct pending pending = qmp->pending[i];

		qmp->pending[i] = (struct pending){0};
		if (pending.id && pending.fn)
			pending.fn(qmp, NULL, lost, pending.data);
	}
	if (!qmp->freed)
		qmp->callbacks->on_end(qmp, err, qmp->data);
}

static int send_command(struct qmp *qmp, const char *command, json_t *arguments, qmp_reply_fn *fn, void *data)
{
	auto_json json_t *owned = arguments, *message = NULL;
	auto_free char *line = NULL;
	struct pending *pending = NULL;
	size_t size;
	int result;

	for (size_t i = 0; i < QMP_PENDING_LIMIT && !pending; i++)
		pending = qmp->pending[i].id ? NULL : &qmp->pending[i];
	if (!pending)
		return -ENOBUFS;
	message = json_pack("{s:s, s:O*, s:I}", "execute", command, "arguments", owned, "id", qmp->last_id + 1);
	line = message ? json_dumps(message, JSON_COMPACT) : NULL;
	if (!line)
		return -ENOMEM;
	size = strlen(line);
	line[size] = '\n'; /* in place of the NUL */
	result = stream_write(qmp->stream, line, size + 1);
	if (result < 0)
		return result == -EPIPE ? -ENOTCONN : result;
	*pending = (struct pending){++qmp->last_id, fn, data};
	return 0;
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, qmp_reply_fn *fn, void *data)
{
	if (qmp->state == READY)
		return send_command(qmp, command, arguments, fn, data);
	json_decref(arguments);
	return -ENOTCONN;
}

static void on_negotiated(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	auto_error struct annex_error *wrong = NULL;

	(void)data;
	if (qmp->state == ENDED)
		return;
	if (!result) {
		fail(&wrong, ANNEX_ERROR_CORRUPT, "QEMU refuses its control link: %s", annex_error_message(err));
		end(qmp, wrong);
		return;
	}
	qmp->state = READY;
	qmp->callbacks->on_ready(qmp, qmp->data);
}

static int on_greeting(struct qmp *qmp, const json_t *message, struct annex_error **err)
{
	int result;

	if (!json_is_object(json_object_get(message, "QMP")))
		return fail(err, ANNEX_ERROR_CORRUPT, "QEMU's control link: no greeting");
	qmp->state = NEGOTIATING;
	result = send_command(qmp, "qmp_capabilities", NULL, on_negotiated, NULL);
	return result < 0 ? fail_os(err, result, "QEMU's control link") : 0;
}

static int on_event(struct qmp *qmp, const json_t *message, struct annex_error **err)
{
	const char *name = json_string_value(json_object_get(message, "event"));
	const json_t *body = json_object_get(message, "data");

	if (!name || (body && !json_is_object(body)))
		return fail(err, ANNEX_ERROR_CORRUPT, "QEMU's control link: a malformed event");
	qmp->callbacks->on_event(qmp, name, body, qmp->data);
	return 0;
}

static int on_reply(struct qmp *qmp, const json_t *message, struct annex_error **err)
{
	const json_t *id = json_object_get(message, "id"), *error = json_object_get(message, "error");
	const json_t *result = json_object_get(message, "return");
	const char *text = json_string_value(json_object_get(error, "desc"));
	auto_error struct annex_error *refused = NULL;
	struct pending *pending = NULL, taken;

	for (size_t i = 0; i < QMP_PENDING_LIMIT && json_is_integer(id) && !pending; i++) {
		if (qmp->pending[i].id && qmp->pending[i].id == json_integer_value(id))
			pending = &qmp->pending[i];
	}
	if (!pending || (result == NULL) == (error == NULL) || (error && !text))
		return fail(err, ANNEX_ERROR_CORRUPT, "QEMU's control link: an unexpected reply");
	taken = *pending;
	*pending = (struct pending){0};
	if (error)
		fail(&refused, ANNEX_ERROR_GUEST, "QEMU: %s", text);
	if (taken.fn)
		taken.fn(qmp, result, refused, taken.data);
	return 0;
}

static int on_message(struct qmp *qmp, const char *line, size_t size, struct annex_error **err)
{
	auto_json json_t *message = NULL;

	if (json_parse(&message, line, size, "QEMU's control link", err) < 0)
		return -1;
	if (qmp->state == GREETING)
		return on_greeting(qmp, message, err);
	if (json_object_get(message, "event"))
		return on_event(qmp, message, err);
	return on_reply(qmp, message, err);
}

static size_t on_data(struct stream *stream, const void *bytes, size_t size, void *data)
{
	const char *newline = memchr(bytes, '\n', size);
	auto_error struct annex_error *err = NULL;
	struct qmp *qmp = data;
	size_t length;

	(void)stream;
	if (qmp->state == ENDED)
		return size; /* broken: what follows has no meaning */
	if (!newline)
		return 0;
	length = (size_t)(newline - (const char *)bytes);
	qmp->depth++;
	if (on_message(qmp, bytes, length, &err) < 0 && !qmp->freed)
		end(qmp, err);
	leave(qmp);
	return length + 1;
}

static void on_end(struct stream *stream, int os, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct qmp *qmp = data;

	(void)stream;
	/* A child that dies with something unread in its socket looks like a reset: that is an end, too. */
	if (os && os != ECONNRESET && os != EPIPE)
		fail_os(&err, os, "QEMU's control link");
	qmp->depth++;
	end(qmp, err);
	leave(qmp);
}

static const struct stream_callbacks stream_callbacks = {.on_data = on_data, .on_end = on_end};

int qmp_new(struct qmp **ret, struct loop *loop, int fd, const struct qmp_callbacks *callbacks, void *data)
{
	struct qmp *qmp = calloc(1, sizeof(*qmp));
	int result;

	if (!qmp)
		return -ENOMEM;
	qmp->callbacks = callbacks;
	qmp->data = data;
	result = stream_new(&qmp->stream, loop,
			    &(struct stream_options){.fd_in = fd,
						     .fd_out = fd,
						     .callbacks = &stream_callbacks,
						     .data = qmp,
						     .read_cap = QMP_LINE_LIMIT,
						     .write_cap = QMP_WRITE_LIMIT});
	if (result < 0) {
		free(qmp);
		return result;
	}
	*ret = qmp;
	return 0;
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	assert(!qmp->freed);
	qmp->freed = true;
	stream_free(qmp->stream);
	qmp->depth++;
	leave(qmp);
}
