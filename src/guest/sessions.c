/*
 * The sessions by their streams, and the messages that come for them. One whose host has gone has no stream any more,
 * and waits in the first slot for its end.
 */
#include "guest/sessions.h"

#include "base/log.h"
#include "guest/forwarding.h"
#include "guest/process.h"
#include "guest/session.h"
#include "guest/terminal.h"

#include <assert.h>
#include <signal.h>

enum { SIGNAL_MAX = 64 };

static struct session **find_slot(struct sessions *sessions, uint16_t stream)
{
	struct session **slot = &sessions->slots[stream % SESSIONS_SLOTS];

	while (*slot && (*slot)->stream != stream)
		slot = &(*slot)->next;
	return slot;
}

void sessions_add(struct sessions *sessions, struct session *session)
{
	struct session **slot = find_slot(sessions, session->stream);

	assert(!*slot);
	*slot = session;
	sessions->count++;
}

static void take_out(struct session *session)
{
	struct session **slot = &session->all->slots[session->stream % SESSIONS_SLOTS];

	while (*slot != session)
		slot = &(*slot)->next;
	*slot = session->next;
}

void sessions_remove(struct session *session)
{
	take_out(session);
	session->all->count--;
}

/* Messages. */

static void protest(struct sessions *sessions, const struct message *message, const char *what)
{
	auto_error struct annex_error *err = NULL;

	log_info("%s on stream %u: %s", message_name(message->kind), message->stream, what);
	fail(&err, ANNEX_ERROR_GUEST, "%s on stream %u: %s", message_name(message->kind), message->stream, what);
	link_send_error(sessions->link, 0, err);
}

static void handle_open(struct sessions *sessions, struct session *session, const struct message *message,
			const void *body)
{
	struct message_open open = *(const struct message_open *)body;
	auto_error struct annex_error *err = NULL;

	if (open.flags & OPEN_DETACH) /* nobody is there to look at a terminal */
		open.flags &= ~(uint32_t)OPEN_TERMINAL;
	if (session || message->stream == 0)
		protest(sessions, message, "the stream is in use");
	else if (session_open(sessions, message->stream, &open, &err) < 0)
		link_send_error(sessions->link, message->stream, err);
}

static void handle_input(struct sessions *sessions, struct session *session, const struct message *message,
			 const void *body)
{
	(void)body;
	if (message->size == 0)
		input_finish(&session->input);
	else if (!input_put(&session->input, message->payload, message->size))
		protest(sessions, message, "past the window, or behind its end");
}

static void handle_resize(struct sessions *sessions, struct session *session, const struct message *message,
			  const void *body)
{
	const struct message_resize *resize = body;

	(void)sessions;
	(void)message;
	session->rows = resize->rows;
	session->columns = resize->columns;
	if (session->terminal >= 0)
		terminal_resize(session->terminal, resize->rows, resize->columns);
}

static void handle_signal(struct sessions *sessions, struct session *session, const struct message *message,
			  const void *body)
{
	const struct message_signal *sent = body;
	int number = (int)sent->number;

	if (sent->number < 1 || sent->number > SIGNAL_MAX) {
		protest(sessions, message, "there is no such signal");
		return;
	}
	session->asked |= number == SIGKILL;
	if (sent->all)
		process_signal_session(session->leader, session->pid <= 0, number);
	else if (session->pid <= 0)
		return;
	else if (session->terminal >= 0)
		terminal_signal(session->terminal, session->pid, number);
	else if (kill(-session->pid, number) < 0)
		kill(session->pid, number);
}

static void handle_hangup(struct sessions *sessions, struct session *session, const struct message *message,
			  const void *body)
{
	(void)sessions;
	(void)message;
	(void)body;
	session_hang_up(session);
}

static void handle_connection(struct sessions *sessions, struct session *session, const struct message *message,
			      const void *body)
{
	(void)body;
	/* Its forwards may be closed while something for them is on its way. */
	if (session->forwarding && !forwarding_handle(session->forwarding, message))
		protest(sessions, message, "out of place");
}

static void handle_credit(struct sessions *sessions, struct session *session, const struct message *message,
			  const void *body)
{
	const struct message_credit *credit = body;

	if (credit->channel >= WIRE_CONNECTION_FIRST) {
		handle_connection(sessions, session, message, NULL);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++) {
		if ((uint32_t)session->outputs[i].kind != credit->channel)
			continue;
		if (!output_credit(&session->outputs[i], credit->bytes))
			protest(sessions, message, "past the window");
		return;
	}
	protest(sessions, message, "there is no such flow");
}

union body {
	struct message_open open;
	struct message_resize resize;
	struct message_signal signal;
	struct message_credit credit;
};

typedef void handle_fn(struct sessions *sessions, struct session *session, const struct message *message,
		       const void *body);

static const struct handler {
	enum message_kind kind;
	handle_fn *fn;
	bool data; /* its payload is data, or none */
} handlers[] = {
	{MESSAGE_OPEN, handle_open, false},
	{MESSAGE_INPUT, handle_input, true},
	{MESSAGE_RESIZE, handle_resize, false},
	{MESSAGE_SIGNAL, handle_signal, false},
	{MESSAGE_HANGUP, handle_hangup, true},
	{MESSAGE_CREDIT, handle_credit, false},
	{MESSAGE_CONNECT, handle_connection, true},
	{MESSAGE_TRANSFER, handle_connection, true},
	{MESSAGE_DISCONNECT, handle_connection, true},
};

bool sessions_handle(struct sessions *sessions, const struct message *message)
{
	const struct handler *handler = NULL;
	struct session *session = message->stream != 0 ? *find_slot(sessions, message->stream) : NULL;
	union body body;

	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind == message->kind)
			handler = &handlers[i];
	}
	if (!handler)
		return false;
	/* A session may have ended while a message to it was on its way. */
	if (!session && message->kind != MESSAGE_OPEN)
		return true;
	if (handler->data) {
		handler->fn(sessions, session, message, NULL);
		return true;
	}
	if (message_get(&body, message->kind, message->payload, message->size) < 0) {
		protest(sessions, message, "malformed");
		return true;
	}
	handler->fn(sessions, session, message, &body);
	message_clear(&body, message->kind);
	return true;
}

/* All of them. */

int sessions_new(struct sessions **ret, struct loop *loop, struct link *link, void (*on_empty)(void *data), void *data)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));

	if (!sessions)
		return -ENOMEM;
	*sessions = (struct sessions){.loop = loop, .link = link, .init_pidfd = -1, .on_empty = on_empty, .data = data};
	*ret = sessions;
	return 0;
}

static void for_each(struct sessions *sessions, void (*fn)(struct session *session))
{
	for (size_t i = 0; i < SESSIONS_SLOTS; i++) {
		for (struct session *session = sessions->slots[i], *next; session; session = next) {
			next = session->next;
			fn(session);
		}
	}
}

void sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return;
	for_each(sessions, session_free);
	free(sessions);
}

void sessions_set_machine(struct sessions *sessions, int init_pidfd, const struct message_config *config)
{
	sessions->init_pidfd = init_pidfd;
	sessions->inits += init_pidfd >= 0;
	sessions->config = config;
	if (init_pidfd < 0) /* some were killed just before */
		for_each(sessions, session_check_end);
}

static void resume(struct session *session)
{
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		output_resume(&session->outputs[i]);
	if (session->forwarding)
		forwarding_resume(session->forwarding);
}

void sessions_resume(struct sessions *sessions)
{
	for_each(sessions, resume);
}

static void abandon(struct session *session)
{
	struct sessions *all = session->all;

	take_out(session);
	session->stream = 0;
	session->next = all->slots[0];
	all->slots[0] = session;
	for (size_t i = 0; i < COUNT_OF(session->outputs) && session->flags & OPEN_DETACH; i++)
		output_discard(&session->outputs[i]);
	session_hang_up(session);
}

void sessions_abandon(struct sessions *sessions)
{
	for_each(sessions, abandon);
}

static void finish(struct session *session)
{
	session_close_report(session);
	session_end_outputs(session);
	session_close_forwarding(session);
	if (session->pid > 0) { /* not reaped yet, but as dead as the namespace it lived in */
		session->pid = 0;
		session->status = SIGKILL;
	}
	session_check_end(session);
}

void sessions_finish(struct sessions *sessions)
{
	for_each(sessions, finish);
}

size_t sessions_count(const struct sessions *sessions)
{
	return sessions->count;
}

bool sessions_has_child(const struct sessions *sessions, pid_t pid)
{
	for (size_t i = 0; i < SESSIONS_SLOTS; i++) {
		for (struct session *session = sessions->slots[i]; session; session = session->next) {
			if (session->pid == pid)
				return true;
		}
	}
	return false;
}
