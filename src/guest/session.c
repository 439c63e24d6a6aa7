/*
 * A session owns one input and up to two outputs. Each output is a channel that is read only while the host has given
 * credit for it and the link's queue has room: memory is bounded by the windows whatever is written or not read, and
 * one session that stalls has no part in another's flow. A terminal is one channel and the input, on two descriptors of
 * its other side.
 *
 * Life: OPEN forks; the child reports an error, or executes the program, which closes its end of the report socket
 * (OPENED); output flows; the child ends; the channels end; EXIT. Where the machine's init ends, the kernel has killed
 * all sessions, and they end the same way.
 */
#include "guest/session.h"

#include "base/log.h"
#include "guest/cgroup.h"
#include "guest/launch.h"
#include "guest/process.h"
#include "guest/report.h"
#include "guest/terminal.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { SLOTS = 1024, CREDIT_STEP = WIRE_WINDOW / 4, SIGNAL_MAX = 64 };

struct channel {
	struct session *session;
	enum message_kind kind;
	int fd; /* -1: ended */
	struct loop_source *source;
	uint32_t credit;
};

struct session {
	struct sessions *all;
	struct session *next; /* in its slot */
	uint16_t stream;
	unsigned number;
	uint32_t flags;
	pid_t pid; /* 0: it has ended */
	int status;
	bool opened, hung_up;
	struct loop_source *child;
	int report;
	struct loop_source *report_source;
	struct annex_error *failure;
	struct channel channels[2];

	int in; /* -1: closed */
	struct loop_source *in_source;
	struct text in_queue;
	size_t in_start;
	bool in_end;            /* nothing follows the queue */
	char in_last;           /* the last byte written */
	uint32_t in_credit_due; /* written and not yet given back */

	int terminal; /* the other side's descriptor, or -1; its own, like those of channel and input */
	uint32_t rows, columns;
	struct loop_source *grace;
};

struct sessions {
	struct loop *loop;
	struct link *link;
	int init_pidfd;
	const struct message_config *config;
	unsigned last_number;
	size_t count;
	void (*on_empty)(void *data);
	void *data;
	struct session *slots[SLOTS];
};

static struct session **find_slot(struct sessions *sessions, uint16_t stream)
{
	struct session **slot = &sessions->slots[stream % SLOTS];

	while (*slot && (*slot)->stream != stream)
		slot = &(*slot)->next;
	return slot;
}

static void close_watched(int *fd, struct loop_source **source)
{
	loop_source_free(*source);
	*source = NULL;
	cleanup_close(fd);
	*fd = -1;
}

static void session_free(struct session *session)
{
	struct session **slot = find_slot(session->all, session->stream);

	if (*slot == session) {
		*slot = session->next;
		session->all->count--;
	}
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		close_watched(&session->channels[i].fd, &session->channels[i].source);
	close_watched(&session->in, &session->in_source);
	close_watched(&session->report, &session->report_source);
	cleanup_close(&session->terminal);
	loop_source_free(session->grace);
	loop_source_free(session->child);
	text_clear(&session->in_queue);
	annex_error_free(session->failure);
	free(session);
}

static void send(struct session *session, enum message_kind kind, const void *body)
{
	link_send(session->all->link, kind, session->stream, body);
}

/* Tell the end, if it has come. The session may be gone then. */
static void check_end(struct session *session)
{
	struct sessions *all = session->all;
	struct message_exit message = {0};

	if (session->pid > 0 || session->report >= 0)
		return;
	for (size_t i = 0; i < COUNT_OF(session->channels); i++) {
		if (session->channels[i].fd >= 0)
			return;
	}
	if (session->failure) {
		link_send_error(session->all->link, session->stream, session->failure);
	} else {
		if (WIFSIGNALED(session->status))
			message.signal = (uint32_t)WTERMSIG(session->status);
		else
			message.status = (uint32_t)WEXITSTATUS(session->status);
		send(session, MESSAGE_EXIT, &message);
	}
	session_free(session);
	cgroup_sweep();
	if (all->count == 0)
		all->on_empty(all->data);
}

/* Output. */

static void channel_end(struct channel *channel)
{
	struct session *session = channel->session;

	if (channel->fd < 0)
		return;
	close_watched(&channel->fd, &channel->source);
	if (session->opened && !session->hung_up)
		link_send_data(session->all->link, channel->kind, session->stream, "", 0);
}

static bool channel_stalled(const struct channel *channel)
{
	return channel->credit == 0 || !link_has_room(channel->session->all->link);
}

static void channel_watch(struct channel *channel)
{
	if (channel->source)
		loop_source_watch(channel->source, channel->session->opened && !channel_stalled(channel) ? EPOLLIN : 0);
}

static void on_output(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct channel *channel = data;
	struct session *session = channel->session;
	size_t size = channel->credit < MESSAGE_DATA_MAX ? channel->credit : MESSAGE_DATA_MAX;
	char bytes[MESSAGE_DATA_MAX];
	ssize_t n;

	(void)source;
	(void)events;
	if (channel_stalled(channel)) {
		channel_watch(channel);
		return;
	}
	n = read(fd, bytes, size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a terminal that nobody has open any more says EIO */
		channel_end(channel);
		check_end(session);
		return;
	}
	link_send_data(session->all->link, channel->kind, session->stream, bytes, (size_t)n);
	channel->credit -= (uint32_t)n;
	if (session->grace)
		loop_timer_restart(session->grace, SESSION_GRACE_MS);
	channel_watch(channel);
}

static void on_grace(struct loop_source *source, void *data)
{
	struct session *session = data;
	bool stalled = false;

	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		stalled |= session->channels[i].fd >= 0 && channel_stalled(&session->channels[i]);
	if (stalled) { /* by the reader; it is waited for */
		loop_timer_restart(source, SESSION_GRACE_MS);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		channel_end(&session->channels[i]);
	check_end(session);
}

/* Input. */

static void give_credit(struct session *session, size_t bytes)
{
	session->in_credit_due += (uint32_t)bytes;
	if (session->in_credit_due < CREDIT_STEP)
		return;
	send(session, MESSAGE_CREDIT,
	     &(struct message_credit){.channel = MESSAGE_INPUT, .bytes = session->in_credit_due});
	session->in_credit_due = 0;
}

static size_t in_size(const struct session *session)
{
	return session->in_queue.size - session->in_start;
}

/* Nobody reads any more: what still comes is taken and dropped. */
static void in_close(struct session *session)
{
	size_t dropped = in_size(session);

	close_watched(&session->in, &session->in_source);
	text_clear(&session->in_queue);
	session->in_start = 0;
	give_credit(session, dropped);
}

static void in_flush(struct session *session)
{
	while (session->in >= 0 && in_size(session) > 0) {
		const char *bytes = session->in_queue.data + session->in_start;
		ssize_t n = write(session->in, bytes, in_size(session));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			in_close(session);
			return;
		}
		if (n <= 0)
			break;
		session->in_last = bytes[n - 1];
		session->in_start += (size_t)n;
		give_credit(session, (size_t)n);
	}
	if (in_size(session) == 0) {
		text_clear(&session->in_queue);
		session->in_start = 0;
		if (session->in_end)
			close_watched(&session->in, &session->in_source);
	}
	if (session->in_source)
		loop_source_watch(session->in_source, in_size(session) > 0 ? EPOLLOUT : 0);
}

static void on_input_room(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	in_flush(data);
}

/* A terminal's input is not closed, its end is typed. */
static void in_finish(struct session *session)
{
	size_t count = 0;
	char key, last = session->in_last;

	if (session->in_end)
		return;
	session->in_end = true;
	if (session->flags & OPEN_TERMINAL && session->terminal >= 0) {
		if (in_size(session) > 0)
			last = session->in_queue.data[session->in_queue.size - 1];
		key = terminal_end_of_input(session->terminal, &count, last);
		while (count-- > 0)
			text_add_char(&session->in_queue, key);
	}
	if (session->in >= 0)
		in_flush(session);
}

/* The other side of the terminal, when the child has sent it. */
static void take_terminal(struct session *session, int fd)
{
	struct channel *channel = &session->channels[0];
	bool ended = session->in_end;
	int result = 0;

	if (session->hung_up) {
		close(fd);
		return;
	}
	session->terminal = fd;
	channel->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	session->in = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (channel->fd < 0 || session->in < 0)
		result = -errno;
	if (result == 0)
		result = loop_add_fd(&channel->source, session->all->loop, channel->fd, 0, on_output, channel);
	if (result == 0)
		result = loop_add_fd(&session->in_source, session->all->loop, session->in, 0, on_input_room, session);
	if (result < 0) {
		log_info("session %u: %s", session->number, strerror(-result));
		return;
	}
	terminal_resize(fd, session->rows, session->columns);
	session->in_end = false;
	if (ended)
		in_finish(session);
	in_flush(session);
}

/* Beginning and end. */

static void opened(struct session *session)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", session->number);
	session->opened = true;
	send(session, MESSAGE_OPENED, &(struct message_opened){.id = id});
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		channel_watch(&session->channels[i]);
}

static void read_report(struct session *session)
{
	struct report report;
	int fd = -1;

	for (;;) {
		switch (report_receive(&report, &fd, session->report)) {
		case REPORT_NOTHING:
			return;
		case REPORT_FD:
			if (session->terminal < 0)
				take_terminal(session, fd);
			else
				close(fd);
			continue;
		case REPORT_ERROR:
			report_to_error(&report, &session->failure);
			break;
		case REPORT_END:
			opened(session);
			break;
		}
		break;
	}
	close_watched(&session->report, &session->report_source);
	if (session->failure) {
		for (size_t i = 0; i < COUNT_OF(session->channels); i++)
			channel_end(&session->channels[i]);
	}
	check_end(session);
}

static void on_report(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	read_report(data);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct session *session = data;
	bool output = false;

	(void)source;
	(void)pid;
	session->pid = 0;
	session->status = status;
	in_close(session);
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		output |= session->channels[i].fd >= 0;
	/* The report's end may still be on its way in this turn, and it may bring the terminal. */
	if ((output || session->report >= 0) && !session->grace &&
	    loop_add_timer(&session->grace, session->all->loop, SESSION_GRACE_MS, on_grace, session) < 0)
		log_info("session %u: out of memory", session->number);
	check_end(session);
}

static void hang_up(struct session *session)
{
	if (session->hung_up || session->flags & OPEN_DETACH)
		return;
	session->hung_up = true;
	in_close(session);
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		channel_end(&session->channels[i]);
	/* The last close of a terminal's other side hangs up all that is on it; without a terminal we say so. */
	cleanup_close(&session->terminal);
	session->terminal = -1;
	if (session->pid > 0) {
		if (kill(-session->pid, SIGHUP) < 0)
			kill(session->pid, SIGHUP);
		kill(-session->pid, SIGCONT);
	}
	check_end(session);
}

/* Opening. */

struct pipes {
	int ours[3], theirs[3];
};

static void pipes_clear(struct pipes *pipes)
{
	for (size_t i = 0; i < COUNT_OF(pipes->ours); i++) {
		cleanup_close(&pipes->ours[i]);
		cleanup_close(&pipes->theirs[i]);
	}
}

static int make_pipes(struct pipes *pipes, uint32_t flags)
{
	if (flags & (OPEN_TERMINAL | OPEN_DETACH))
		return 0;
	for (int i = 0; i < 3; i++) {
		int pair[2];

		if (i == 0 && flags & OPEN_NO_INPUT)
			continue;
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		pipes->ours[i] = pair[i == 0];
		pipes->theirs[i] = pair[i != 0];
		if (fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int watch_pipes(struct session *session, struct pipes *pipes)
{
	struct loop *loop = session->all->loop;
	int result = 0;

	for (int i = 0; i < 2 && result == 0; i++) {
		struct channel *channel = &session->channels[i];

		channel->fd = pipes->ours[i + 1];
		pipes->ours[i + 1] = -1;
		if (channel->fd >= 0)
			result = loop_add_fd(&channel->source, loop, channel->fd, 0, on_output, channel);
	}
	session->in = pipes->ours[0];
	pipes->ours[0] = -1;
	if (session->in >= 0 && result == 0)
		result = loop_add_fd(&session->in_source, loop, session->in, 0, on_input_room, session);
	return result;
}

static int start(struct session *session, const struct message_open *open, struct pipes *pipes)
{
	struct sessions *all = session->all;
	int pair[2], result = report_pair(pair);
	pid_t pid;

	if (result < 0)
		return result;
	session->report = pair[0];
	pid = process_fork_into(all->init_pidfd);
	if (pid == 0)
		launch(&(struct launch){.open = open,
					.config = all->config,
					.init_pidfd = all->init_pidfd,
					.number = session->number,
					.report = pair[1],
					.in = pipes->theirs[0],
					.out = pipes->theirs[1],
					.errors = pipes->theirs[2]});
	cleanup_close(&pair[1]);
	if (pid < 0)
		return pid;
	session->pid = pid;
	result = loop_add_child(&session->child, all->loop, pid, on_child, session);
	if (result == 0)
		result = loop_add_fd(&session->report_source, all->loop, session->report, EPOLLIN, on_report, session);
	if (result == 0)
		result = watch_pipes(session, pipes);
	if (result < 0)
		kill(pid, SIGKILL);
	return result;
}

static struct session *session_new(struct sessions *sessions, uint16_t stream, const struct message_open *open)
{
	struct session *session = calloc(1, sizeof(*session));
	struct session **slot = find_slot(sessions, stream);

	if (!session)
		return NULL;
	assert(!*slot);
	*session = (struct session){.all = sessions,
				    .stream = stream,
				    .number = ++sessions->last_number,
				    .flags = open->flags,
				    .report = -1,
				    .in = -1,
				    .terminal = -1,
				    .rows = open->rows,
				    .columns = open->columns};
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		session->channels[i] = (struct channel){.session = session,
							.kind = i == 0 ? MESSAGE_OUTPUT : MESSAGE_ERRORS,
							.fd = -1,
							.credit = WIRE_WINDOW};
	*slot = session;
	sessions->count++;
	return session;
}

static int open_session(struct sessions *sessions, uint16_t stream, const struct message_open *open,
			struct annex_error **err)
{
	CLEANUP(pipes_clear) struct pipes pipes = {{-1, -1, -1}, {-1, -1, -1}};
	struct session *session;
	int result;

	if (sessions->init_pidfd < 0)
		return fail(err, ANNEX_ERROR_BUSY, "the machine's init is not running");
	if (sessions->count >= SESSIONS_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "the machine has %u sessions, which is the most it can have",
			    SESSIONS_MAX);
	session = session_new(sessions, stream, open);
	if (!session)
		return fail_memory(err);
	result = make_pipes(&pipes, open->flags);
	if (result == 0)
		result = start(session, open, &pipes);
	if (result < 0) {
		session_free(session);
		return fail_os(err, result, "cannot start a session");
	}
	if (open->flags & (OPEN_NO_INPUT | OPEN_DETACH))
		in_finish(session);
	return 0;
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
	else if (open_session(sessions, message->stream, &open, &err) < 0)
		link_send_error(sessions->link, message->stream, err);
}

static void handle_input(struct sessions *sessions, struct session *session, const struct message *message,
			 const void *body)
{
	(void)body;
	if (message->size == 0) {
		in_finish(session);
		return;
	}
	if (session->in_end || in_size(session) + session->in_credit_due + message->size > WIRE_WINDOW) {
		protest(sessions, message, session->in_end ? "behind its end" : "more than the window allows");
		return;
	}
	/* Before the child has sent its terminal there is nowhere to write to, and nothing is lost yet. */
	if (session->in < 0 && !(session->flags & OPEN_TERMINAL && session->terminal < 0 && session->pid > 0)) {
		give_credit(session, message->size);
		return;
	}
	text_add_bytes(&session->in_queue, message->payload, message->size);
	if (!text_ok(&session->in_queue))
		in_close(session);
	else
		in_flush(session);
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
	if (session->pid <= 0)
		return;
	if (session->terminal >= 0)
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
	hang_up(session);
}

static void handle_credit(struct sessions *sessions, struct session *session, const struct message *message,
			  const void *body)
{
	const struct message_credit *credit = body;

	for (size_t i = 0; i < COUNT_OF(session->channels); i++) {
		struct channel *channel = &session->channels[i];

		if ((uint32_t)channel->kind != credit->channel)
			continue;
		if (credit->bytes > WIRE_WINDOW - channel->credit) {
			protest(sessions, message, "more than the window allows");
			return;
		}
		channel->credit += credit->bytes;
		channel_watch(channel);
		return;
	}
	protest(sessions, message, "there is no such channel");
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
	bool bare, without_session;
} handlers[] = {
	{MESSAGE_OPEN, handle_open, false, true},      {MESSAGE_INPUT, handle_input, true, false},
	{MESSAGE_RESIZE, handle_resize, false, false}, {MESSAGE_SIGNAL, handle_signal, false, false},
	{MESSAGE_HANGUP, handle_hangup, true, false},  {MESSAGE_CREDIT, handle_credit, false, false},
};

bool sessions_handle(struct sessions *sessions, const struct message *message)
{
	const struct handler *handler = NULL;
	struct session *session = *find_slot(sessions, message->stream);
	union body body;

	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind == message->kind)
			handler = &handlers[i];
	}
	if (!handler)
		return false;
	/* A session may have ended while a message to it was on its way. */
	if (!session && !handler->without_session)
		return true;
	if (!handler->bare && message_get(&body, message->kind, message->payload, message->size) < 0) {
		protest(sessions, message, "malformed");
		return true;
	}
	handler->fn(sessions, session, message, &body);
	if (!handler->bare)
		message_clear(&body, message->kind);
	return true;
}

int sessions_new(struct sessions **ret, struct loop *loop, struct link *link, void (*on_empty)(void *data), void *data)
{
	struct sessions *sessions = calloc(1, sizeof(*sessions));

	if (!sessions)
		return -ENOMEM;
	sessions->loop = loop;
	sessions->link = link;
	sessions->init_pidfd = -1;
	sessions->on_empty = on_empty;
	sessions->data = data;
	*ret = sessions;
	return 0;
}

static void for_each(struct sessions *sessions, void (*fn)(struct session *session))
{
	for (size_t i = 0; i < SLOTS; i++) {
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
	sessions->config = config;
}

static void resume(struct session *session)
{
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		channel_watch(&session->channels[i]);
}

void sessions_resume(struct sessions *sessions)
{
	for_each(sessions, resume);
}

void sessions_hang_up(struct sessions *sessions)
{
	for_each(sessions, hang_up);
}

static void finish(struct session *session)
{
	if (session->report >= 0)
		close_watched(&session->report, &session->report_source);
	for (size_t i = 0; i < COUNT_OF(session->channels); i++)
		channel_end(&session->channels[i]);
	if (session->pid > 0) { /* not reaped yet, but as dead as the namespace it lived in */
		session->pid = 0;
		session->status = SIGKILL;
	}
	check_end(session);
}

void sessions_finish(struct sessions *sessions)
{
	for_each(sessions, finish);
}

bool sessions_has_child(const struct sessions *sessions, pid_t pid)
{
	for (size_t i = 0; i < SLOTS; i++) {
		for (struct session *session = sessions->slots[i]; session; session = session->next) {
			if (session->pid == pid)
				return true;
		}
	}
	return false;
}

size_t sessions_count(const struct sessions *sessions)
{
	return sessions->count;
}
