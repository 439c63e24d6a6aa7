/*
 * A machine runs while its lock is held. Who wants to talk to its supervisor connects; where that fails, the lock
 * tells whether one is only about to listen (or to end), or none is there. Then what a killed one has left is cleaned
 * up, holding the lock, and a new one is started, which takes the lock itself: of several the losers say BUSY, and
 * their starters try to connect again. flock() can't be waited for together with anything else, so that is tried again
 * every RETRY_MS; it happens only in the moments of a start or an end.
 *
 * A supervisor closes its connections when it is done with everything: their end means that the lock is free, or, if
 * it was killed, will be at once.
 */
#include "lib/link.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/time.h"
#include "lib/machine.h"
#include "lib/wait.h"
#include "machine/lifecycle.h"
#include "machine/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum {
	RETRY_MS = 20,
	REPORT_MS = 1000,
	READ_AT_ONCE = 16384,
	FIRST_CLIENT_FD = 3,
};

struct link {
	struct annex_context *context;
	const struct machine_paths *paths;
	int fd;
	struct message_reader reader;
	struct text in; /* bytes from the supervisor, of which `used` are done with */
	size_t used;
	bool watching, known; /* asked for STATE; there was one */
	bool is_foreign;      /* the supervisor is of another version, and takes no request */
	struct link_state state;
	void (*report)(struct link *link); /* says every REPORT_MS that what is waited for goes on; or NULL */
};

void link_state_clear(struct link_state *state)
{
	free(state->waiting);
	free(state->failure);
	free(state->hint);
	free(state->accelerator);
	free(state->settings);
	free(state->shares);
	free(state->reasons);
	free(state->network);
	*state = (struct link_state){0};
}

static int make_link(struct link **ret, struct annex_context *context, const struct machine_paths *paths, int fd,
		     struct annex_error **err)
{
	auto_close int owned = fd;
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return fail_memory(err);
	*link = (struct link){.context = annex_context_ref(context), .paths = paths, .fd = TAKE_FD(owned)};
	*ret = link;
	return 0;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	cleanup_close(&link->fd);
	message_reader_clear(&link->reader);
	text_clear(&link->in);
	link_state_clear(&link->state);
	annex_context_unref(link->context);
	free(link);
}

int link_take_fd(struct link *link)
{
	return TAKE_FD(link->fd);
}

/* What we ask is short; a supervisor that does not even take that is broken. */
int link_ask(struct link *link, enum message_kind kind, const void *body, struct annex_error **err)
{
	auto_text struct text out = {0};
	ssize_t n;

	if (message_put(&out, kind, 0, body) < 0)
		return fail_memory(err);
	n = send(link->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		return errno == EPIPE || errno == ECONNRESET ? 0 : fail_os(err, errno, "cannot ask the supervisor");
	if (n < (ssize_t)out.size)
		return fail(err, ANNEX_ERROR_TIMEOUT, "the machine's supervisor does not answer");
	return 0;
}

static int watch(struct link *link, struct annex_error **err)
{
	if (link->watching)
		return 0;
	link->watching = true;
	return link_ask(link, MESSAGE_WATCH, NULL, err);
}

/* 1: got some; 0: the other side is gone. */
static int receive(struct link *link, int timeout_ms, struct annex_error **err)
{
	char bytes[READ_AT_ONCE];
	bool reports = link->report && timeout_ms < 0;
	int ready = wait_fd(link->context, link->fd, POLLIN, reports ? REPORT_MS : timeout_ms, err);
	ssize_t n;

	if (ready < 0)
		return -1;
	if (ready == 0 && reports) {
		link->report(link);
		return 1;
	}
	if (ready == 0)
		return fail(err, ANNEX_ERROR_TIMEOUT, "the machine's supervisor does not answer");
	n = recv(link->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n < 0 && errno != ECONNRESET)
		return fail_os(err, errno, "cannot hear the supervisor");
	if (n <= 0)
		return 0;
	if (link->used > 0)
		memmove(link->in.data, link->in.data + link->used, link->in.size - link->used);
	link->in.size -= link->used;
	link->used = 0;
	text_add_bytes(&link->in, bytes, (size_t)n);
	return text_ok(&link->in) ? 1 : fail_memory(err);
}

/* 1: a message, valid until the next call; 0: the supervisor is gone. */
static int next_message(struct link *link, struct message *ret, int timeout_ms, struct annex_error **err)
{
	size_t used = 0;
	int result;

	for (;;) {
		if (link->in.size > link->used) {
			switch (message_read(&link->reader, ret, (const uint8_t *)link->in.data + link->used,
					     link->in.size - link->used, &used)) {
			case FRAME_READY:
				link->used += used;
				return 1;
			case FRAME_BROKEN:
				return fail(err, ANNEX_ERROR_CORRUPT, "the supervisor sent what is no message");
			case FRAME_NEED_MORE:
				link->used += used;
				break;
			}
		}
		result = receive(link, timeout_ms, err);
		if (result <= 0)
			return result;
	}
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static int keep_state(struct link *link, const struct message_state *told, struct annex_error **err)
{
	auto_link_state struct link_state state = {
		.state = told->state,
		.failure_kind = told->failure_kind,
		.pid = told->pid,
		.vm_pid = told->vm_pid,
		.cpus = told->cpus,
		.memory = told->memory,
		.started = told->started,
		.restarts = told->restarts,
		.waiting = copy(told->waiting),
		.failure = copy(told->failure),
		.hint = copy(told->hint),
		.accelerator = copy(told->accelerator),
		.settings = copy(told->settings),
		.shares = copy(told->shares),
		.reasons = copy(told->reasons),
		.network = copy(told->network),
	};

	if (!state.waiting || !state.failure || !state.hint || !state.accelerator || !state.settings || !state.shares ||
	    !state.reasons || !state.network)
		return fail_memory(err);
	link_state_clear(&link->state);
	link->state = state;
	state = (struct link_state){0};
	link->known = true;
	return 0;
}

static int take_state(struct link *link, const struct message *message, struct annex_error **err)
{
	struct message_state told;

	if (message_get(&told, MESSAGE_STATE, message->payload, message->size) < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "the supervisor sent a state that is malformed");
	return keep_state(link, &told, err);
}

/* Wait for one message of this kind, which is valid until the next. 0: the supervisor is gone. */
int link_expect(struct link *link, struct message *ret, enum message_kind kind, int timeout_ms,
		struct annex_error **err)
{
	struct message_failure failure;
	struct message message;
	int result;

	for (;;) {
		result = next_message(link, &message, timeout_ms, err);
		if (result <= 0)
			return result;
		if (message.kind == MESSAGE_FAILURE &&
		    message_get(&failure, message.kind, message.payload, message.size) == 0)
			return fail_relayed(err, failure.kind, (int)failure.os, failure.message, failure.hint);
		if (message.kind == MESSAGE_STATE && take_state(link, &message, err) < 0)
			return -1;
		if (message.kind == kind) {
			*ret = message;
			return 1;
		}
	}
}

static int expect(struct link *link, enum message_kind kind, int timeout_ms, struct annex_error **err)
{
	struct message message;

	return link_expect(link, &message, kind, timeout_ms, err);
}

/* 1: it said HELLO; 0: it is gone. */
static int greet(struct link *link, bool and_watch, struct annex_error **err)
{
	struct message_hello hello;
	struct message message;
	int result;

	if (link_ask(link, MESSAGE_HELLO, &(struct message_hello){WIRE_VERSION, "client"}, err) < 0 ||
	    (and_watch && watch(link, err) < 0))
		return -1;
	result = link_expect(link, &message, MESSAGE_HELLO, LINK_ANSWER_MS, err);
	if (result > 0 && message_get(&hello, MESSAGE_HELLO, message.payload, message.size) == 0) {
		link->is_foreign = hello.version != WIRE_VERSION;
		message_clear(&hello, MESSAGE_HELLO);
	}
	return result;
}

/* A connected descriptor, or -1 when nobody listens there. */
static int connect_to(const char *path)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != getuid() && getuid() != 0))
		return -1;
	return TAKE_FD(fd);
}

/* Holding the lock: end what a killed supervisor has left. */
static void clean_up(const struct machine_paths *paths, const char *socket)
{
	auto_machine_run struct machine_run run = {0};

	if (machine_run_load(&run, paths, NULL) < 0)
		return;
	if (run.vm_pid > 1)
		(void)!spawn_kill_exact((pid_t)run.vm_pid, run.vm_start);
	session_list_lose(paths);
	unlink(paths->run);
	unlink(socket);
	if (run.socket)
		unlink(run.socket);
}

/* 1: nobody holds it; 0: somebody does. */
static int try_lock(const struct machine_paths *paths, const char *socket, struct annex_error **err)
{
	auto_close int lock = file_lock(AT_FDCWD, paths->lock, LOCK_EX | LOCK_NB);

	if (lock == -EWOULDBLOCK)
		return 0;
	if (lock < 0)
		return fail_os(err, lock, "cannot lock machine '%s'", paths->name);
	clean_up(paths, socket);
	return 1;
}

/* The process that we start is gone as soon as the supervisor has detached itself. */
static int start_supervisor(struct link **ret, struct annex_context *context, const struct machine_paths *paths,
			    struct annex_error **err)
{
	auto_text_list struct text_list argv = {0};
	auto_close int ours = -1, theirs = -1;
	int pair[2], status;
	pid_t pid = -1;

	if (machine_supervisor_argv(&argv, context, paths, false, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return fail_os(err, errno, "cannot start a supervisor");
	ours = pair[0];
	theirs = pair[1];
	if (spawn(&pid, NULL,
		  &(struct spawn_options){.argv = (const char *const *)argv.items,
					  .fds = (struct spawn_fd[]){{theirs, FIRST_CLIENT_FD}},
					  .fd_count = 1},
		  err) < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return make_link(ret, context, paths, TAKE_FD(ours), err);
}

/* What became of one attempt to have a link. */
enum attempt { ATTEMPT_FAILED = -1, ATTEMPT_AGAIN, ATTEMPT_LINKED, ATTEMPT_NONE, ATTEMPT_ENDING };

static enum attempt start_one(struct link **ret, struct annex_context *context, const struct machine_paths *paths,
			      struct annex_error **err)
{
	auto_link struct link *link = NULL;
	auto_error struct annex_error *cause = NULL;
	int result;

	if (start_supervisor(&link, context, paths, err) < 0)
		return ATTEMPT_FAILED;
	result = greet(link, true, &cause);
	if (result > 0 && !link->known)
		result = expect(link, MESSAGE_STATE, LINK_ANSWER_MS, &cause);
	if (result < 0 && annex_error_kind(cause) == ANNEX_ERROR_BUSY)
		return ATTEMPT_AGAIN;
	if (result < 0) {
		if (err)
			*err = TAKE(cause);
		return ATTEMPT_FAILED;
	}
	if (result == 0) {
		fail(err, ANNEX_ERROR_SYSTEM, "the machine's supervisor ended at once");
		fail_hint(err, "what it said is in %s", paths->log);
		return ATTEMPT_FAILED;
	}
	*ret = TAKE(link);
	return ATTEMPT_LINKED;
}

/* Those that have only just ended, or are about to, are of no use to who wants a machine that runs. */
static enum attempt join_one(struct link **ret, struct annex_context *context, const struct machine_paths *paths,
			     int fd, bool start, struct annex_error **err)
{
	auto_link struct link *link = NULL;
	int result;

	if (make_link(&link, context, paths, fd, err) < 0)
		return ATTEMPT_FAILED;
	result = greet(link, start, err);
	if (result > 0 && start)
		result = link->known ? 1 : expect(link, MESSAGE_STATE, LINK_ANSWER_MS, err);
	if (result < 0)
		return ATTEMPT_FAILED;
	if (result == 0)
		return ATTEMPT_AGAIN;
	*ret = TAKE(link);
	if (!start || (*ret)->state.state == MACHINE_STARTING || (*ret)->state.state == MACHINE_BOOTING ||
	    (*ret)->state.state == MACHINE_RUNNING || (*ret)->state.state == MACHINE_RESTARTING)
		return ATTEMPT_LINKED;
	return ATTEMPT_ENDING;
}

/* Who has started it may have another folder for sockets than we. */
static int find(const struct machine_paths *paths, const char *socket)
{
	auto_machine_run struct machine_run run = {0};
	int fd = connect_to(socket);

	if (fd >= 0 || machine_run_load(&run, paths, NULL) < 0 || !run.socket || strcmp(run.socket, socket) == 0)
		return fd;
	return connect_to(run.socket);
}

static enum attempt attempt(struct link **ret, struct annex_context *context, const struct machine_paths *paths,
			    const char *socket, bool start, struct annex_error **err)
{
	int fd = find(paths, socket), free_lock;

	if (fd >= 0)
		return join_one(ret, context, paths, fd, start, err);
	free_lock = try_lock(paths, socket, err);
	if (free_lock < 0)
		return ATTEMPT_FAILED;
	if (free_lock == 0)
		return ATTEMPT_AGAIN;
	return start ? start_one(ret, context, paths, err) : ATTEMPT_NONE;
}

/* Until the supervisor has closed the connection. */
static int wait_end(struct link *link, struct annex_error **err)
{
	struct message message;
	int result;

	while ((result = next_message(link, &message, -1, err)) > 0) {
		if (message.kind == MESSAGE_STATE && take_state(link, &message, err) < 0)
			return -1;
	}
	return result;
}

int link_open(struct link **ret, struct annex_context *context, const struct machine_paths *paths, bool start,
	      struct annex_error **err)
{
	auto_machine_record struct machine_record record = {0};
	auto_free char *socket = NULL;
	uint64_t end = time_monotonic_ms() + LINK_ANSWER_MS;

	if (machine_record_load(&record, paths, err) < 0 || machine_socket_path(&socket, paths, record.id, err) < 0)
		return -1;
	for (;;) {
		auto_link struct link *link = NULL;

		switch (attempt(&link, context, paths, socket, start, err)) {
		case ATTEMPT_FAILED:
			return -1;
		case ATTEMPT_LINKED:
		case ATTEMPT_NONE:
			*ret = TAKE(link);
			return 0;
		case ATTEMPT_ENDING:
			context_report(context, "boot", "waiting for the machine to stop first", 0, 0, false);
			if (wait_end(link, err) < 0)
				return -1;
			end = time_monotonic_ms() + LINK_ANSWER_MS;
			break;
		case ATTEMPT_AGAIN:
			if (time_monotonic_ms() > end)
				return fail(err, ANNEX_ERROR_BUSY,
					    "machine '%s' is held by a process that does not answer", paths->name);
			if (wait_fd(context, -1, 0, RETRY_MS, err) < 0)
				return -1;
			break;
		}
	}
}

static void report_boot(struct link *link)
{
	const struct link_state *state = &link->state;
	auto_free char *waiting = NULL;
	const char *text = state->state == MACHINE_STARTING  ? "starting the virtual machine"
			   : state->state == MACHINE_RUNNING ? "booted"
							     : "booting the kernel";

	/* What waits to be started again is started now, since somebody waits for it. */
	if (state->state == MACHINE_RESTARTING) {
		text = "starting the virtual machine";
	} else if (*state->waiting) {
		if (asprintf(&waiting, "waiting for %s", state->waiting) < 0)
			waiting = NULL;
		text = waiting ? waiting : state->waiting;
	}
	context_report(link->context, "boot", text, 0, 0, state->state == MACHINE_RUNNING);
}

int link_wait_running(struct link *link, struct annex_error **err)
{
	int result = watch(link, err);

	if (result == 0 && !link->known)
		result = expect(link, MESSAGE_STATE, LINK_ANSWER_MS, err);
	else if (result == 0)
		result = 1;
	if (result > 0 && link->state.state == MACHINE_RESTARTING && link_ask(link, MESSAGE_START, NULL, err) < 0)
		return -1;
	link->report = report_boot;
	for (; result > 0; result = expect(link, MESSAGE_STATE, -1, err)) {
		report_boot(link);
		switch ((enum machine_state)link->state.state) {
		case MACHINE_RUNNING:
			return 0;
		case MACHINE_FAILED:
			return fail_relayed(err, link->state.failure_kind, 0, link->state.failure, link->state.hint);
		case MACHINE_STOPPED:
			return fail(err, ANNEX_ERROR_BUSY, "it was stopped before it was up");
		default:
			break;
		}
	}
	if (result == 0)
		fail(err, ANNEX_ERROR_SYSTEM, "the machine's supervisor was killed");
	return -1;
}

/* Has somebody started the machine anew, before we found its lock free? */
static bool is_another(const struct link *link)
{
	auto_machine_run struct machine_run run = {0};

	return link->known && machine_run_load(&run, link->paths, NULL) == 0 && run.pid != link->state.pid;
}

/* Is it the supervisor that was stopped, as the same process, or one that somebody has started meanwhile? */
static bool is_the_same(const struct link *link, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !link->known ||
	       (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == (pid_t)link->state.pid);
}

static void report_stop(struct link *link)
{
	context_report(link->context, "stop", "stopping", 0, 0, false);
}

/* Every version obeys signals: the first stops the machine in order, further ones at once. One that doesn't is killed;
 * what it leaves is cleaned up with its lock. */
static int stop_foreign(struct link *link, int64_t timeout_ms, struct annex_error **err)
{
	auto_machine_run struct machine_run run = {0};
	uint64_t now = time_monotonic_ms(), force = timeout_ms < 0 ? UINT64_MAX : now + (uint64_t)timeout_ms;
	uint64_t next = now;
	int result;

	if (machine_run_load(&run, link->paths, err) < 0)
		return -1;
	while ((result = try_lock(link->paths, "", err)) == 0) {
		bool is_deaf = now >= force && now - force > LINK_ANSWER_MS;

		if (now >= next) {
			if (run.pid > 1)
				(void)!spawn_signal_exact((pid_t)run.pid, run.pid_start, is_deaf ? SIGKILL : SIGTERM);
			next = force > now ? force : now + REPORT_MS;
			report_stop(link);
		}
		if (wait_fd(link->context, -1, 0, RETRY_MS, err) < 0)
			return -1;
		now = time_monotonic_ms();
	}
	if (result < 0)
		return -1;
	context_report(link->context, "stop", "stopped", 0, 0, true);
	return 0;
}

int link_stop(struct link *link, int64_t timeout_ms, struct annex_error **err)
{
	auto_machine_record struct machine_record record = {0};
	auto_free char *socket = NULL;
	uint64_t end;
	int result;

	if (link->is_foreign)
		return stop_foreign(link, timeout_ms, err);
	if (machine_record_load(&record, link->paths, err) < 0 ||
	    machine_socket_path(&socket, link->paths, record.id, err) < 0)
		return -1;
	if (watch(link, err) < 0 || link_ask(link, MESSAGE_STOP, &(struct message_stop){timeout_ms}, err) < 0)
		return -1;
	link->report = report_stop;
	report_stop(link);
	if (wait_end(link, err) < 0)
		return -1;
	end = time_monotonic_ms() + LINK_ANSWER_MS;
	while ((result = try_lock(link->paths, "", err)) == 0 && !is_another(link)) {
		auto_close int again = find(link->paths, socket);

		if (again >= 0 && is_the_same(link, again))
			return 1;
		if (again >= 0)
			break;
		if (time_monotonic_ms() > end)
			return fail(err, ANNEX_ERROR_TIMEOUT, "the machine's supervisor has not ended");
		if (wait_fd(link->context, -1, 0, RETRY_MS, err) < 0)
			return -1;
	}
	if (result < 0)
		return -1;
	context_report(link->context, "stop", "stopped", 0, 0, true);
	return 0;
}

int link_state(struct link *link, struct link_state *ret, struct annex_error **err)
{
	int result = watch(link, err);

	if (result == 0)
		result = link->known ? 1 : expect(link, MESSAGE_STATE, LINK_ANSWER_MS, err);
	if (result == 0) /* it ended this moment */
		result = keep_state(link, &(struct message_state){.state = MACHINE_STOPPED}, err);
	if (result < 0)
		return -1;
	*ret = link->state;
	link->state = (struct link_state){0};
	link->known = false;
	link->watching = false;
	return 0;
}

int link_ask_usage(struct link *link, struct annex_error **err)
{
	return link_ask(link, MESSAGE_STATS, NULL, err);
}

int link_usage(struct link *link, struct message_usage *ret, int timeout_ms, struct annex_error **err)
{
	struct message message;
	int result;

	while ((result = next_message(link, &message, timeout_ms, err)) > 0) {
		if (message.kind != MESSAGE_USAGE)
			continue;
		if (message_get(ret, message.kind, message.payload, message.size) < 0)
			return fail(err, ANNEX_ERROR_CORRUPT, "the supervisor sent what is no USAGE");
		return 1;
	}
	return result;
}
