/*
 * A session has a connection of its own to the machine's supervisor, and a loop of its own, whose descriptor the caller
 * polls. Input is read only with credit for it and while little waits to be sent, and only once the program runs, so
 * that nothing is lost when there is no such program. What an output does not take at once waits in its flow, for which
 * no credit is given then; so one that blocks stops its own sender and nothing else. Credit is collected up to a
 * quarter of the window.
 *
 * Callbacks never free the session; failures are kept in `failure` and given by the next dispatch.
 */
#include "annex/session.h"

#include "base/time.h"
#include "lib/flow.h"
#include "lib/forwarding.h"
#include "lib/host.h"
#include "lib/machine.h"
#include "lib/share.h"
#include "lib/wait.h"
#include "machine/channel.h"
#include "machine/proxy.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

enum {
	STREAM = 1,              /* ours on this link */
	QUEUE_HIGH = 128 * 1024, /* input is not read while so much waits to be sent */
	CREDIT_AFTER = WIRE_WINDOW / 4,
	OPEN_MS = 300000, /* for a machine to start a program, slow as it may be */
};

struct output {
	struct annex_session *session;
	struct flow *flow;
	enum message_kind kind;
	uint32_t unreturned; /* passed on, not yet credited */
};

struct annex_session {
	struct annex_context *context;
	struct loop *loop;
	struct channel *channel;
	struct output outputs[2];
	int input; /* our copy, or -1 */
	struct loop_source *input_source;
	struct loop_source *first_turn;
	uint32_t credit;               /* bytes of input that may be sent */
	struct forwarding *forwarding; /* NULL: none */
	char *id;
	bool detached, opened, exited;
	int status;
	struct annex_error *failure;
};

static void watch_input(struct annex_session *session)
{
	bool wanted = session->opened && !session->exited && session->credit > 0 &&
		      channel_queued(session->channel) < QUEUE_HIGH;

	if (session->input_source)
		loop_source_watch(session->input_source, wanted ? EPOLLIN : 0);
}

static void end_input(struct annex_session *session)
{
	loop_source_free(TAKE(session->input_source));
	cleanup_close(&session->input);
	session->input = -1;
}

/* Nothing more comes. */
static void end(struct annex_session *session)
{
	session->exited = true;
	end_input(session);
	forwarding_finish(session->forwarding);
}

static void on_input(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct annex_session *session = data;
	char bytes[MESSAGE_DATA_MAX];
	ssize_t n = read(fd, bytes, session->credit < sizeof(bytes) ? session->credit : sizeof(bytes));

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_input(session);
		n = 0;
	}
	session->credit -= (uint32_t)n;
	channel_forward(session->channel, MESSAGE_INPUT, STREAM, bytes, (size_t)n);
	watch_input(session);
}

static void on_passed(struct flow *flow, uint32_t bytes, void *data)
{
	struct output *output = data;

	(void)flow;
	output->unreturned += bytes;
	if (output->unreturned < CREDIT_AFTER)
		return;
	channel_put(output->session->channel, MESSAGE_CREDIT, STREAM,
		    &(struct message_credit){output->kind, output->unreturned});
	output->unreturned = 0;
}

/* The program gets what it would have got from a pipe or a terminal of its own. A terminal that is gone says EIO: its
 * programs hang up, and may do what they do then; SIGPIPE would end them before. */
static void on_closed(struct flow *flow, int os, void *data)
{
	struct output *output = data;
	struct annex_session *session = output->session;

	(void)flow;
	if (os != EPIPE && !session->failure)
		fail_os(&session->failure, os, "cannot write the program's output");
	channel_put(session->channel, MESSAGE_SIGNAL, STREAM,
		    &(struct message_signal){.number = os == EIO ? SIGHUP : SIGPIPE});
}

static const struct flow_callbacks flow_callbacks = {on_passed, on_closed};

/* Handlers return 0, or -errno for a message that is no good. */
static int on_opened(struct annex_session *session, const struct message *message)
{
	struct message_opened opened;

	if (session->opened || message_get(&opened, message->kind, message->payload, message->size) < 0)
		return -EPROTO;
	session->id = strdup(opened.id);
	session->opened = true;
	session->exited = session->detached;
	watch_input(session);
	return session->id ? forwarding_run(session->forwarding) : -ENOMEM;
}

static int on_output(struct annex_session *session, const struct message *message)
{
	struct output *output = &session->outputs[message->kind == MESSAGE_ERRORS];

	return message->size > 0 ? flow_add(output->flow, message->payload, message->size) : 0;
}

static int on_credit(struct annex_session *session, const struct message *message)
{
	struct message_credit credit;

	if (message_get(&credit, message->kind, message->payload, message->size) < 0)
		return -EPROTO;
	if (credit.channel >= WIRE_CONNECTION_FIRST)
		return forwarding_handle(session->forwarding, message);
	if (credit.channel != MESSAGE_INPUT || credit.bytes > WIRE_WINDOW - session->credit)
		return -EPROTO;
	session->credit += credit.bytes;
	watch_input(session);
	return 0;
}

static int on_connection(struct annex_session *session, const struct message *message)
{
	return forwarding_handle(session->forwarding, message);
}

static int on_exit_status(struct annex_session *session, const struct message *message)
{
	struct message_exit how;

	if (message_get(&how, message->kind, message->payload, message->size) < 0)
		return -EPROTO;
	session->status = how.signal ? 128 + (int)(how.signal & 0x7f) : (int)(how.status & 0xff);
	end(session);
	return 0;
}

static int on_failure(struct annex_session *session, const struct message *message)
{
	struct message_failure failure;

	if (message_get(&failure, message->kind, message->payload, message->size) < 0)
		return -EPROTO;
	if (!session->failure)
		fail_relayed(&session->failure, failure.kind, (int)failure.os, failure.message, failure.hint);
	end(session);
	return 0;
}

static const struct {
	enum message_kind kind;
	int (*handle)(struct annex_session *session, const struct message *message);
} handlers[] = {
	{MESSAGE_OPENED, on_opened},      {MESSAGE_OUTPUT, on_output},       {MESSAGE_ERRORS, on_output},
	{MESSAGE_CREDIT, on_credit},      {MESSAGE_EXIT, on_exit_status},    {MESSAGE_FAILURE, on_failure},
	{MESSAGE_CONNECT, on_connection}, {MESSAGE_TRANSFER, on_connection}, {MESSAGE_DISCONNECT, on_connection},
};

static void on_message(struct channel *channel, const struct message *message, void *data)
{
	struct annex_session *session = data;
	int result = -EPROTO;

	(void)channel;
	if (session->exited)
		return;
	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind == message->kind)
			result = handlers[i].handle(session, message);
	}
	if (result == 0)
		return;
	if (!session->failure && result == -ENOMEM)
		fail_memory(&session->failure);
	else if (!session->failure)
		fail(&session->failure, ANNEX_ERROR_CORRUPT, "the supervisor sent %s out of place",
		     message_name(message->kind));
	session->exited = true;
}

static void on_end(struct channel *channel, int os, void *data)
{
	struct annex_session *session = data;

	(void)channel;
	(void)os;
	if (!session->exited && !session->failure)
		fail(&session->failure, ANNEX_ERROR_GUEST, "the connection to the machine was lost");
	end(session);
}

static void on_drained(struct channel *channel, void *data)
{
	struct annex_session *session = data;

	(void)channel;
	watch_input(session);
	forwarding_resume(session->forwarding);
}

static const struct channel_callbacks channel_callbacks = {on_message, on_end, on_drained};

static bool has_ended(const struct annex_session *session)
{
	return session->exited && flow_is_empty(session->outputs[0].flow) && flow_is_empty(session->outputs[1].flow) &&
	       forwarding_has_ended(session->forwarding);
}

/* Takes link_fd in any case. */
static int prepare(struct annex_session *session, int link_fd, const struct annex_session_options *options,
		   struct annex_error **err)
{
	const int fds[] = {options->output_fd, options->error_fd};
	auto_close int owned = link_fd;
	int result = loop_new(&session->loop);

	if (result == 0)
		result = channel_new(&session->channel, session->loop, link_fd, &channel_callbacks, session);
	if (result < 0)
		return fail_os(err, result, "cannot prepare the session");
	owned = -1;
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		struct output *output = &session->outputs[i];

		*output = (struct output){.session = session, .kind = i == 0 ? MESSAGE_OUTPUT : MESSAGE_ERRORS};
		result = flow_new(&output->flow, session->loop, session->detached ? -1 : fds[i], &flow_callbacks,
				  output);
		if (result < 0)
			return fail_os(err, result, "cannot write to descriptor %d", fds[i]);
	}
	if (options->input_fd < 0 || session->detached)
		return 0;
	session->input = fcntl(options->input_fd, F_DUPFD_CLOEXEC, 0);
	result = session->input < 0
			 ? -errno
			 : loop_add_fd(&session->input_source, session->loop, session->input, 0, on_input, session);
	return result < 0 ? fail_os(err, result, "cannot read descriptor %d", options->input_fd) : 0;
}

/* What of this host a session gets beside its streams. */
struct lent {
	bool agent, proxies, host_access;
};

/* `here` is the folder where nobody says one, if there is one. */
static int ask(struct annex_session *session, const struct annex_session_options *options, const char *here,
	       const struct lent *lent, struct annex_error **err)
{
	const char *const command[] = {options->shell_command, NULL};
	auto_host_login struct host_login login = {0};
	struct message_open open = {
		.argv = options->argv,
		.environment = options->environment,
		.user = options->user,
		.folder = options->folder ? options->folder : here,
		.rows = options->rows,
		.columns = options->columns,
		.forwards = forwarding_offers(session->forwarding),
	};
	int result;

	if (host_login_make(&login, options->terminal, err) < 0 ||
	    (lent->proxies && host_login_add_proxies(&login, lent->host_access, err) < 0))
		return -1;
	open.login = (const char *const *)login.variables.items;
	open.time_zone_rule = login.time_zone_rule;
	open.terminfo = (struct message_bytes){login.terminfo, login.terminfo_size};
	if (options->shell_command)
		open.argv = command;
	open.flags |= options->terminal ? OPEN_TERMINAL : 0u;
	open.flags |= options->detach ? OPEN_DETACH : 0u;
	open.flags |= options->shell_command || !options->argv || !*options->argv ? OPEN_SHELL : 0u;
	open.flags |= session->input < 0 ? OPEN_NO_INPUT : 0u;
	open.flags |= here ? OPEN_FOLDER_IF_THERE : 0u;
	open.flags |= options->user ? 0u : OPEN_DEFAULT_USER;
	result = channel_put(session->channel, MESSAGE_OPEN, STREAM, &open);
	if (result == -EMSGSIZE)
		return fail(err, ANNEX_ERROR_USAGE, "the arguments and the environment are too long");
	return result == -ENOMEM ? fail_memory(err) : 0;
}

static int give_failure(const struct annex_session *session, struct annex_error **err)
{
	const struct annex_error *failure = session->failure;

	return fail_relayed(err, annex_error_kind(failure), annex_error_errno(failure), annex_error_message(failure),
			    annex_error_hint(failure));
}

/* The program may have ended before the caller first polls; then nothing else would make the descriptor readable. */
static void on_first_turn(struct loop_source *source, void *data)
{
	(void)source;
	(void)data;
}

static int wait_opened(struct annex_session *session, struct annex_error **err)
{
	int result;

	while (!session->opened && !session->failure) {
		result = wait_fd(session->context, loop_fd(session->loop), POLLIN, OPEN_MS, err);
		if (result < 0)
			return -1;
		if (result == 0)
			return fail(err, ANNEX_ERROR_TIMEOUT, "the machine does not answer");
		loop_turn(session->loop, 0);
	}
	if (!session->opened)
		return give_failure(session, err);
	result = loop_add_timer(&session->first_turn, session->loop, 0, on_first_turn, session);
	return result < 0 ? fail_os(err, result, "cannot prepare the session") : 0;
}

/* A machine that is to be isolated, or not, is so from its next start on. */
static bool is_isolated(const struct annex_machine *machine, const struct machine_record *record)
{
	auto_machine_run struct machine_run run = {0};

	if (record->settings.isolate)
		return true;
	return machine_run_load(&run, &machine->paths, NULL) == 0 &&
	       json_is_true(json_object_get(run.settings, "isolate"));
}

/* The settings are those of now: the machine's handle may be older. */
static int find_lent(struct lent *ret, const struct annex_machine *machine, const struct annex_session_options *options,
		     struct annex_error **err)
{
	auto_machine_record struct machine_record record = {0};
	bool agent = options->ssh_agent > 0 || (options->ssh_agent < 0 && !options->detach && getenv("SSH_AUTH_SOCK"));
	bool proxies = proxies_are_set();

	*ret = (struct lent){0};
	if (!agent && !proxies)
		return 0;
	if (machine_record_load(&record, &machine->paths, err) < 0)
		return -1;
	if (is_isolated(machine, &record))
		return 0;
	ret->agent = agent && (options->ssh_agent > 0 || text_equal(record.settings.ssh_agent, "on"));
	ret->proxies = proxies;
	ret->host_access = text_equal(record.settings.host_access, "on");
	return 0;
}

API int annex_session_open(struct annex_session **ret, struct annex_machine *machine,
			   const struct annex_session_options *options, struct annex_error **err)
{
	struct annex_session_options chosen = ANNEX_SESSION_OPTIONS_INIT;
	struct annex_session *session = NULL;
	auto_link struct link *link = NULL;
	auto_free char *here = NULL;
	struct lent lent;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (forwarding_check(&chosen, err) < 0 || link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (!link) {
		fail(err, ANNEX_ERROR_BUSY, "machine '%s' is not running", machine->paths.name);
		return fail_hint(err, "annex start %s", machine->paths.name);
	}
	if ((!chosen.folder && share_folder(&here, machine, err) < 0) || find_lent(&lent, machine, &chosen, err) < 0)
		return -1;
	session = calloc(1, sizeof(*session));
	if (!session)
		return fail_memory(err);
	*session = (struct annex_session){
		.context = annex_context_ref(machine->context),
		.input = -1,
		.credit = WIRE_WINDOW,
		.detached = chosen.detach,
	};
	if (prepare(session, link_take_fd(link), &chosen, err) < 0 ||
	    forwarding_new(&session->forwarding, session->loop, session->channel, STREAM, &chosen, lent.agent, err) <
		    0 ||
	    ask(session, &chosen, here, &lent, err) < 0 || wait_opened(session, err) < 0) {
		annex_session_unref(session);
		return -1;
	}
	*ret = session;
	return 0;
}

API void annex_session_unref(struct annex_session *session)
{
	if (!session)
		return;
	end_input(session);
	loop_source_free(session->first_turn);
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		flow_free(session->outputs[i].flow);
	forwarding_free(session->forwarding);
	channel_free(session->channel);
	loop_free(session->loop);
	annex_error_free(session->failure);
	free(session->id);
	annex_context_unref(session->context);
	free(session);
}

API const char *annex_session_id(const struct annex_session *session)
{
	return session->id;
}

API int annex_session_fd(const struct annex_session *session)
{
	return loop_fd(session->loop);
}

API int annex_session_dispatch(struct annex_session *session, int *ret_ended, struct annex_error **err)
{
	loop_turn(session->loop, 0);
	if (has_ended(session) && session->failure)
		return give_failure(session, err);
	*ret_ended = has_ended(session);
	return 0;
}

API int annex_session_wait(struct annex_session *session, struct annex_error **err)
{
	int ended = has_ended(session);

	while (!ended) {
		if (wait_fd(session->context, loop_fd(session->loop), POLLIN, -1, err) < 0 ||
		    annex_session_dispatch(session, &ended, err) < 0)
			return -1;
	}
	return session->failure ? give_failure(session, err) : 0;
}

API int annex_session_status(const struct annex_session *session)
{
	return session->status;
}

static int tell(struct annex_session *session, enum message_kind kind, const void *body, struct annex_error **err)
{
	int result = session->exited ? 0 : channel_put(session->channel, kind, STREAM, body);

	return result == -ENOMEM ? fail_memory(err) : 0;
}

API int annex_session_signal(struct annex_session *session, int signal, struct annex_error **err)
{
	if (signal < 1 || signal > SIGRTMAX)
		return fail(err, ANNEX_ERROR_USAGE, "%d is no signal", signal);
	return tell(session, MESSAGE_SIGNAL, &(struct message_signal){.number = (uint32_t)signal}, err);
}

API int annex_session_resize(struct annex_session *session, unsigned rows, unsigned columns, struct annex_error **err)
{
	return tell(session, MESSAGE_RESIZE, &(struct message_resize){rows, columns}, err);
}
