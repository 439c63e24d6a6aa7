/*
 * The flow control is that of a session's flows (wire/message.h): the socket is read only while the peer has given
 * credit for it and the link has room; what comes is written, or waits here for no more than a window, and credit for
 * it is given when it is written or nobody is left to read it. So whoever stops reading stops its own sender only. A
 * window grows, where the rules let it, while all that comes is written at once, and shrinks to what it was while not.
 *
 * A socket whose other end is closed says so by EPOLLHUP, and goes on to give what was written to it before. While its
 * end is already told, EPOLLHUP alone is watched for: whoever writes to it on the peer's side is to learn that nobody
 * reads any more. TCP has no such state: there an error is the end of both directions, and told as a reset.
 */
#include "forward/connection.h"

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { CREDIT_PART = 4 }; /* of the window is collected before it is given */

struct connection *connection_new(uint32_t number, uint32_t forward, bool ours, const struct connection_rules *rules,
				  const struct forward_link *link, void *link_data)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	assert(rules->chunk <= MESSAGE_DATA_MAX && rules->chunk <= rules->window && rules->window <= rules->widest);
	if (connection)
		*connection = (struct connection){.number = number,
						  .forward = forward,
						  .ours = ours,
						  .rules = rules,
						  .link = link,
						  .link_data = link_data,
						  .fd = -1,
						  .window = rules->window,
						  .credit = rules->window};
	return connection;
}

static void let_go(struct connection *connection)
{
	loop_source_free(connection->source);
	connection->source = NULL;
	cleanup_close(&connection->fd);
	connection->fd = -1;
	text_clear(&connection->queue);
	connection->start = 0;
}

void connection_free(struct connection *connection)
{
	if (!connection)
		return;
	let_go(connection);
	free(connection);
}

static size_t waiting(const struct connection *connection)
{
	return connection->queue.size - connection->start;
}

/* Bytes of credit that are given beside those that are due, or kept back from them. */
static int64_t change_window(struct connection *connection)
{
	uint32_t least = connection->rules->window, more = connection->rules->widest - connection->window,
		 less = connection->window - least;

	if (waiting(connection) == 0)
		return more < connection->window ? more : connection->window;
	return -(int64_t)(less < connection->due ? less : connection->due);
}

static void give_credit(struct connection *connection, size_t bytes)
{
	int64_t change;

	connection->due += (uint32_t)bytes;
	if (connection->due < connection->window / CREDIT_PART || connection->done || connection->got_done)
		return;
	change = change_window(connection);
	connection->window = (uint32_t)(connection->window + change);
	connection->due = (uint32_t)(connection->due + change);
	if (connection->due > 0)
		connection->link->send(
			MESSAGE_CREDIT,
			&(struct message_credit){.channel = connection->number, .bytes = connection->due},
			connection->link_data);
	connection->due = 0;
}

static bool all_passed(const struct connection *connection)
{
	return connection->read_ended && connection->write_ended && waiting(connection) == 0;
}

static void set_reset(struct connection *connection, bool by_close)
{
	const struct linger linger = {.l_onoff = by_close};

	if (connection->fd >= 0 && connection->reset_by_close != by_close)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	connection->reset_by_close = by_close;
}

static void close_socket(struct connection *connection)
{
	if (connection->rules->resets)
		set_reset(connection, !all_passed(connection));
	let_go(connection);
}

void connection_guard(struct connection *connection)
{
	set_reset(connection, true);
}

void connection_abort(struct connection *connection)
{
	close_socket(connection);
	connection_free(connection);
}

static void finish(struct connection *connection)
{
	close_socket(connection);
	if (connection->done)
		return;
	connection->done = true;
	connection->link->send(MESSAGE_DISCONNECT, &(struct message_disconnect){connection->number},
			       connection->link_data);
}

static void watch(struct connection *connection)
{
	uint32_t events = waiting(connection) > 0 || connection->connecting ? EPOLLOUT : 0;

	if (!connection->source)
		return;
	if (connection->read_ended)
		events |= EPOLLHUP;
	else if (!connection->got_done && connection->credit > 0 && !connection->held && !connection->connecting)
		events |= EPOLLIN;
	loop_source_watch(connection->source, events);
}

/* What follows from how both directions stand. */
static void settle(struct connection *connection)
{
	bool written = waiting(connection) == 0;

	if (connection->got_done ? written || connection->connecting
				 : connection->read_ended && (connection->deaf || (connection->write_ended && written)))
		finish(connection);
	watch(connection);
}

static void become_deaf(struct connection *connection)
{
	size_t dropped = waiting(connection);

	connection->deaf = true;
	text_clear(&connection->queue);
	connection->start = 0;
	give_credit(connection, dropped);
}

/* The socket is broken, or its other end is. */
static void lose(struct connection *connection)
{
	if (connection->rules->resets)
		finish(connection);
	else
		become_deaf(connection);
}

/* How much is taken at once. When it is broken, it is lost by then. */
static size_t write_some(struct connection *connection, const char *bytes, size_t size)
{
	size_t written = 0;
	ssize_t n;

	while (written < size) {
		n = send(connection->fd, bytes + written, size - written, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			lose(connection);
			return size;
		}
		written += (size_t)n;
	}
	return written;
}

static void flush(struct connection *connection)
{
	size_t written;

	if (connection->connecting)
		return;
	if (waiting(connection) > 0) {
		written = write_some(connection, connection->queue.data + connection->start, waiting(connection));
		if (connection->deaf || connection->done)
			return;
		connection->start += written;
		if (waiting(connection) > 0) {
			give_credit(connection, written);
			return;
		}
		text_clear(&connection->queue);
		connection->start = 0;
		give_credit(connection, written);
	}
	if (connection->write_ended && !connection->deaf)
		shutdown(connection->fd, SHUT_WR);
}

static void tell_end(struct connection *connection, uint8_t *frame)
{
	connection->read_ended = true;
	connection->link->send_data(MESSAGE_TRANSFER, frame + FRAME_HEADER, TRANSFER_HEADER, connection->link_data);
}

static void receive(struct connection *connection)
{
	uint8_t frame[FRAME_HEADER + TRANSFER_HEADER + MESSAGE_DATA_MAX];
	size_t size = connection->credit < connection->rules->chunk ? connection->credit : connection->rules->chunk;
	ssize_t n = recv(connection->fd, frame + FRAME_HEADER + TRANSFER_HEADER, size, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	message_put_connection(frame + FRAME_HEADER, connection->number);
	if (n < 0) /* reset: with what it had not read */
		lose(connection);
	if (n <= 0 && !connection->done)
		tell_end(connection, frame);
	if (n <= 0)
		return;
	connection->credit -= (uint32_t)n;
	connection->link->send_data(MESSAGE_TRANSFER, frame + FRAME_HEADER, TRANSFER_HEADER + (size_t)n,
				    connection->link_data);
}

static void on_connected(struct connection *connection)
{
	int os = 0;
	socklen_t size = sizeof(os);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &os, &size) < 0 || os) {
		finish(connection);
		return;
	}
	connection->connecting = false;
	flush(connection);
}

static bool may_receive(struct connection *connection)
{
	if (connection->read_ended || connection->got_done || connection->credit == 0 || connection->held)
		return false;
	connection->held = !connection->link->has_room(connection, connection->link_data);
	return !connection->held;
}

static void move(struct connection *connection, uint32_t events)
{
	bool broken = events & (EPOLLHUP | EPOLLERR);

	if (connection->connecting) {
		on_connected(connection);
		return;
	}
	if (waiting(connection) > 0 && (broken || events & EPOLLOUT))
		flush(connection);
	if (connection->done)
		return;
	if (connection->read_ended && broken)
		lose(connection);
	else if ((broken || events & EPOLLIN) && may_receive(connection))
		receive(connection);
}

static void on_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct connection *connection = data;

	(void)source;
	(void)fd;
	move(connection, events);
	settle(connection);
	connection->moved(connection, connection->data);
}

static void attach(struct connection *connection, struct loop *loop, int fd)
{
	connection->fd = fd;
	if (fd < 0 || connection->done || loop_add_fd(&connection->source, loop, fd, 0, on_event, connection) < 0) {
		finish(connection);
		return;
	}
	flush(connection);
	settle(connection);
}

void connection_attach(struct connection *connection, struct loop *loop, int fd)
{
	attach(connection, loop, fd);
}

void connection_attach_connecting(struct connection *connection, struct loop *loop, int fd)
{
	connection->connecting = true;
	attach(connection, loop, fd);
}

void connection_poll(struct connection *connection)
{
	if (connection->fd < 0 || connection->connecting || !may_receive(connection))
		return;
	receive(connection);
	settle(connection);
}

void connection_resume(struct connection *connection)
{
	connection->held = false;
	watch(connection);
}

static void take_bytes(struct connection *connection, const char *bytes, size_t size)
{
	size_t written = 0;

	if (connection->fd >= 0 && !connection->connecting && waiting(connection) == 0)
		written = write_some(connection, bytes, size);
	if (connection->done)
		return;
	if (connection->start >= connection->window) { /* a reader that never quite catches up */
		memmove(connection->queue.data, connection->queue.data + connection->start, waiting(connection));
		connection->queue.size -= connection->start;
		connection->start = 0;
	}
	if (written < size)
		text_add_bytes(&connection->queue, bytes + written, size - written);
	give_credit(connection, written);
	if (!text_ok(&connection->queue))
		finish(connection);
}

bool connection_take(struct connection *connection, const void *bytes, size_t size)
{
	if (connection->got_done || connection->write_ended || size > MESSAGE_DATA_MAX ||
	    waiting(connection) + connection->due + size > connection->window)
		return false;
	connection->write_ended = size == 0;
	if (connection->done)
		return true;
	if (connection->deaf)
		give_credit(connection, size);
	else if (size > 0)
		take_bytes(connection, bytes, size);
	else if (connection->fd >= 0)
		flush(connection);
	settle(connection);
	return true;
}

bool connection_credit(struct connection *connection, uint32_t bytes)
{
	if (connection->got_done || bytes > connection->rules->widest - connection->credit)
		return false;
	connection->credit += bytes;
	watch(connection);
	return true;
}

bool connection_take_done(struct connection *connection)
{
	if (connection->got_done)
		return false;
	connection->got_done = true;
	settle(connection);
	return true;
}

bool connection_is_over(const struct connection *connection)
{
	return connection->done && connection->got_done;
}

bool connection_has_unsent(const struct connection *connection)
{
	struct pollfd other = {.fd = connection->fd};

	return connection->fd >= 0 && !connection->read_ended && !connection->got_done && poll(&other, 1, 0) > 0 &&
	       other.revents & POLLHUP;
}

bool connection_has_unwritten(const struct connection *connection)
{
	return waiting(connection) > 0;
}
