/*
 * The child has a packet socket to be asked by, and a pipe to complain on. Its end is what the kernel tells; a child
 * that closes the socket, or answers what it was not asked, is made to end. Nothing here waits for it: it is asked only
 * when it has read what came before, so the socket has room for a first frame; others wait until it has read that.
 */
#include "confine/peer.h"

#include "base/log.h"
#include "confine/answer.h"
#include "confine/child.h"
#include "confine/rights.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct peer {
	const struct peer_callbacks *callbacks;
	void *data;
	const char *name;
	pid_t pid; /* 0: it has ended */
	int process, control, errors;
	struct loop_source *on_child, *on_control, *on_errors;
	bool asked;
	struct text out; /* frames that wait for room */
	size_t sent;     /* of them, bytes */
	struct message_reader reader;
	struct annex_error *why; /* it was made to end */
	struct text line;        /* the one that it is saying */
	struct text said;
	size_t logged;
};

static void kill_it(const struct peer *peer)
{
	if (peer->pid > 0)
		syscall(SYS_pidfd_send_signal, peer->process, SIGKILL, NULL, 0u);
}

void peer_end(struct peer *peer, const struct annex_error *why)
{
	if (!peer->why)
		(void)fail_relayed(&peer->why, annex_error_kind(why), annex_error_errno(why), annex_error_message(why),
				   annex_error_hint(why));
	kill_it(peer);
}

/* --- what it says on standard error --- */

/* Its own diagnostics begin like ours: "annex[PID] TIME: ". */
static const char *without_prefix(const char *line)
{
	const char *end = text_starts(line, "annex[") ? strstr(line, ": ") : NULL;

	return end ? end + 2 : line;
}

static void keep(struct peer *peer, const char *line)
{
	struct text *said = &peer->said;

	if (said->size > PEER_SAID_LIMIT) {
		memmove(said->data, said->data + said->size / 2, said->size - said->size / 2 + 1);
		said->size -= said->size / 2;
	}
	text_printf(said, "%s\n", line);
}

static void take_line(struct peer *peer)
{
	auto_text struct text clean = {0};
	const char *line;

	text_add_clean(&clean, peer->line.data ? peer->line.data : "", PEER_LINE_LIMIT);
	text_clear(&peer->line);
	if (!text_ok(&clean) || clean.size == 0)
		return;
	line = without_prefix(clean.data);
	keep(peer, line);
	if (peer->logged > PEER_LOG_LIMIT)
		return;
	peer->logged += clean.size;
	log_info("%s: %s%s", peer->name, line,
		 peer->logged > PEER_LOG_LIMIT ? " (it says too much: the rest is left out)" : "");
}

/* False: there is no more for now. */
static bool hear(struct peer *peer)
{
	char chunk[4096];
	ssize_t n = read(peer->errors, chunk, sizeof(chunk));

	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n')
			take_line(peer);
		else if (peer->line.size < PEER_LINE_LIMIT)
			text_add_char(&peer->line, chunk[i] ? chunk[i] : '?');
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		loop_source_watch(peer->on_errors, 0);
	return n > 0;
}

static void on_errors(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source, (void)fd, (void)events;
	(void)hear(data);
}

/* --- what it is asked --- */

/* As many frames as there is room for. -errno. */
static int flush(struct peer *peer)
{
	while (peer->sent < peer->out.size) {
		const uint8_t *at = (const uint8_t *)peer->out.data + peer->sent;
		struct frame frame;
		size_t size = 0;
		ssize_t sent;

		if (frame_parse(&frame, at, peer->out.size - peer->sent, &size) != FRAME_READY)
			return -EINVAL;
		sent = rights_send(peer->control, at, size, NULL, 0, MSG_DONTWAIT);
		if (sent == -EAGAIN) {
			loop_source_watch(peer->on_control, EPOLLIN | EPOLLOUT);
			return 0;
		}
		if (sent < 0)
			return (int)sent;
		peer->sent += size;
	}
	text_clear(&peer->out);
	peer->sent = 0;
	loop_source_watch(peer->on_control, EPOLLIN);
	return 0;
}

int peer_ask(struct peer *peer, const struct text *frames, const int *fds, unsigned fd_count, struct annex_error **err)
{
	struct frame frame;
	size_t first = 0;
	ssize_t sent;

	assert(!peer->asked && peer->out.size == 0);
	if (frame_parse(&frame, (const uint8_t *)frames->data, frames->size, &first) != FRAME_READY)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s can't be asked that", peer->name);
	text_add_bytes(&peer->out, frames->data + first, frames->size - first);
	if (!text_ok(&peer->out)) {
		text_clear(&peer->out);
		return fail_memory(err);
	}
	sent = rights_send(peer->control, frames->data, first, fds, fd_count, MSG_DONTWAIT);
	if (sent < 0)
		text_clear(&peer->out);
	if (sent >= 0)
		sent = flush(peer);
	if (sent < 0)
		return fail_os(err, (int)sent, "%s can't be asked", peer->name);
	peer->asked = true;
	return 0;
}

/* --- what it answers --- */

/* One packet. 1: it ends an answer, which is in *ret; 0: more comes; -1. */
static int take_packet(struct message *ret, struct peer *peer, const uint8_t *packet, ssize_t got,
		       struct annex_error **err)
{
	enum frame_result result;
	size_t used = 0;

	if (!peer->asked)
		return fail(err, ANNEX_ERROR_CORRUPT, "it answers what it was not asked");
	if (got < 0)
		return fail_os(err, (int)got, "its answer is none");
	result = message_read(&peer->reader, ret, packet, (size_t)got, &used);
	if (used != (size_t)got || result == FRAME_BROKEN)
		return fail(err, ANNEX_ERROR_CORRUPT, "an answer that is none");
	if (result == FRAME_READY)
		return 1;
	return peer->callbacks->on_message ? 0 : fail(err, ANNEX_ERROR_CORRUPT, "an answer that is too long");
}

/* The peer may be gone on success. */
static int take_answer(struct peer *peer, const struct message *message, struct annex_error **err)
{
	auto_error struct annex_error *refusal = NULL;
	bool plain = message->kind == MESSAGE_DONE || message->kind == MESSAGE_FAILURE || !peer->callbacks->on_message;

	if (plain && answer_decode(&refusal, message, err) < 0)
		return -1;
	peer->asked = false;
	if (!plain)
		return peer->callbacks->on_message(message, peer->data, err);
	peer->callbacks->on_answer(refusal, peer->data);
	return 0;
}

static void on_control(struct loop_source *source, int fd, uint32_t events, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct peer *peer = data;
	uint8_t packet[FRAME_MAX];
	struct message message;
	unsigned none = 0;
	ssize_t got;
	int result;

	if (events & EPOLLOUT && flush(peer) < 0) {
		loop_source_watch(source, 0);
		kill_it(peer); /* if it has not ended anyway */
		return;
	}
	got = rights_receive(fd, packet, sizeof(packet), NULL, &none, 0, MSG_DONTWAIT);
	if (got == -EAGAIN)
		return;
	if (got == 0 || got == -ECONNRESET) {
		loop_source_watch(source, 0);
		kill_it(peer);
		return;
	}
	result = take_packet(&message, peer, packet, got, &err);
	if (result > 0)
		result = take_answer(peer, &message, &err);
	if (result < 0) {
		(void)fail_while(&err, "%s makes no sense", peer->name);
		loop_source_watch(source, 0);
		peer_end(peer, err);
	}
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct peer *peer = data;
	auto_error struct annex_error *err = TAKE(peer->why);
	auto_free char *said = NULL;

	(void)source, (void)pid;
	peer->pid = 0;
	for (unsigned i = 0; i < 2 * PEER_SAID_LIMIT / 4096 && hear(peer); i++)
		;
	take_line(peer);
	loop_source_watch(peer->on_errors, 0);
	loop_source_watch(peer->on_control, 0);
	if (text_ok(&peer->said))
		said = child_complaint(peer->said.data);
	if (!err && status != 0)
		(void)child_death(peer->name, status == -1 ? 0 : status, said, "don't trust this machine", &err);
	peer->callbacks->on_ended(err, peer->data);
}

/* --- starting it --- */

struct ends {
	int control, errors;
};

static void close_ends(struct ends *ends)
{
	cleanup_close(&ends->control);
	cleanup_close(&ends->errors);
}

static int open_ends(struct peer *peer, struct ends *ends, struct annex_error **err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket");
	peer->control = pair[0];
	ends->control = pair[1];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	peer->errors = pair[0];
	ends->errors = pair[1];
	return 0;
}

static int run(struct peer *peer, const struct ends *ends, const struct peer_options *from, struct annex_error **err)
{
	auto_text_list struct text_list list = {0};
	auto_free struct spawn_fd *all = calloc(from->fd_count + 2, sizeof(*all));
	const struct spawn_options options = {
		.argv = (const char *const[]){from->program, NULL},
		.environment = child_environment(&list),
		.fds = all,
		.fd_count = from->fd_count + 2,
		.new_session = true,
		.parent_death_signal = SIGKILL,
	};

	if (!all || !options.environment)
		return fail_memory(err);
	all[0] = (struct spawn_fd){ends->control, PEER_FD};
	all[1] = (struct spawn_fd){ends->errors, STDERR_FILENO};
	if (from->fd_count > 0)
		memcpy(&all[2], from->fds, from->fd_count * sizeof(*from->fds));
	return spawn(&peer->pid, &peer->process, &options, err);
}

static int watch(struct peer *peer, struct loop *loop, struct annex_error **err)
{
	int result = loop_add_fd(&peer->on_control, loop, peer->control, EPOLLIN, on_control, peer);

	if (result == 0)
		result = loop_add_fd(&peer->on_errors, loop, peer->errors, EPOLLIN, on_errors, peer);
	if (result == 0)
		result = loop_add_child(&peer->on_child, loop, peer->pid, on_child, peer);
	return result < 0 ? fail_os(err, result, "cannot watch %s", peer->name) : 0;
}

int peer_start(struct peer **ret, struct loop *loop, const struct peer_options *options,
	       const struct peer_callbacks *callbacks, void *data, struct annex_error **err)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	CLEANUP(close_ends) struct ends ends = {-EBADF, -EBADF};

	if (!peer)
		return fail_memory(err);
	peer->process = peer->control = peer->errors = -EBADF;
	peer->name = options->name;
	peer->callbacks = callbacks;
	peer->data = data;
	if (open_ends(peer, &ends, err) < 0 || run(peer, &ends, options, err) < 0 || watch(peer, loop, err) < 0) {
		peer_free(peer);
		return -1;
	}
	*ret = peer;
	return 0;
}

pid_t peer_pid(const struct peer *peer)
{
	return peer->pid;
}

/* A process that hangs in the kernel (files of a server that is gone) is left behind, for whoever waits for ours. */
static void reap(const struct peer *peer)
{
	struct pollfd process = {.fd = peer->process, .events = POLLIN};

	if (peer->pid <= 0)
		return;
	kill_it(peer);
	if (poll(&process, 1, PEER_END_MS) > 0)
		waitpid(peer->pid, NULL, 0);
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	loop_source_free(peer->on_child);
	loop_source_free(peer->on_control);
	loop_source_free(peer->on_errors);
	reap(peer);
	cleanup_close(&peer->process);
	cleanup_close(&peer->control);
	cleanup_close(&peer->errors);
	annex_error_free(peer->why);
	text_clear(&peer->line);
	text_clear(&peer->said);
	text_clear(&peer->out);
	message_reader_clear(&peer->reader);
	free(peer);
}
