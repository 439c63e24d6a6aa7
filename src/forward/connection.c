/*
 * The flow control is that of a session's flows (wire/message.h): the socket is read only while the peer has given
 * credit for it and the link has room; what comes is written, or waits here for no more than a window, and credit for
 * it is given when it is written or nobody is left to read it. So whoever stops reading stops its own sender only.
 *
 * A socket whose other end is closed says so by EPOLLHUP, and goes on to give what was written to it before. While its
 * end is already told, EPOLLHUP alone is watched for: whoever writes to it on the peer's side is to learn that nobody
 * reads any more.
 */
#include "forward/connection.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { CREDIT_STEP = WIRE_CONNECTION_WINDOW / 4 };

struct connection *connection_new(uint32_t number, uint32_t forward, bool ours, const struct forward_link *link,
				  void *link_data)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection)
		*connection = (struct connection){.number = number,
						  .forward = forward,
						  .ours = ours,
						  .link = link,
						  .link_data = link_data,
						  .fd = -1,
						  .credit = WIRE_CONNECTION_WINDOW};
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

static void give_credit(struct connection *connection, size_t bytes)
{
	connection->due += (uint32_t)bytes;
	if (connection->due < CREDIT_STEP || connection->done || connection->got_done)
		return;
	connection->link->send(MESSAGE_CREDIT,
			       &(struct message_credit){.channel = connection->number, .bytes = connection->due},
			       connection->link_data);
	connection->due = 0;
}

static void finish(struct connection *connection)
{
	let_go(connection);
	if (connection->done)
		return;
	connection->done = true;
	connection->link->send(MESSAGE_DISCONNECT, &(struct message_disconnect){connection->number},
			       connection->link_data);
}

static void watch(struct connection *connection)
{
	uint32_t events = waiting(connection) > 0 ? EPOLLOUT : 0;

	if (!connection->source)
		return;
	if (connection->read_ended)
		events |= EPOLLHUP;
	else if (!connection->got_done && connection->credit > 0 && connection->link->has_room(connection->link_data))
		events |= EPOLLIN;
	loop_source_watch(connection->source, events);
}

/* What follows from how both directions stand. */
static void settle(struct connection *connection)
{
	bool written = waiting(connection) == 0;

	if (connection->got_done ? written
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

/* How much is taken at once; what nobody reads any more is. */
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
			become_deaf(connection);
			return size;
		}
		written += (size_t)n;
	}
	return written;
}

static void flush(struct connection *connection)
{
	size_t written;

	if (waiting(connection) > 0) {
		written = write_some(connection, connection->queue.data + connection->start, waiting(connection));
		if (!connection->deaf) {
			connection->start += written;
			give_credit(connection, written);
		}
	}
	if (waiting(connection) > 0)
		return;
	connection->queue.size = connection->start = 0;
	if (connection->write_ended && !connection->deaf)
		shutdown(connection->fd, SHUT_WR);
}

static void receive(struct connection *connection)
{
	uint8_t payload[TRANSFER_HEADER + MESSAGE_DATA_MAX];
	size_t size = connection->credit < MESSAGE_DATA_MAX ? connection->credit : MESSAGE_DATA_MAX;
	ssize_t n = recv(connection->fd, payload + TRANSFER_HEADER, size, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) /* reset: with what it had not read */
		become_deaf(connection);
	if (n <= 0) {
		connection->read_ended = true;
		n = 0;
	}
	connection->credit -= (uint32_t)n;
	message_put_connection(payload, connection->number);
	connection->link->send_data(MESSAGE_TRANSFER, payload, TRANSFER_HEADER + (size_t)n, connection->link_data);
}

static void on_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct connection *connection = data;
	bool broken = events & (EPOLLHUP | EPOLLERR);

	(void)source;
	(void)fd;
	if (waiting(connection) > 0 && (broken || events & EPOLLOUT))
		flush(connection);
	if (connection->read_ended && broken)
		become_deaf(connection);
	else if (!connection->read_ended && !connection->got_done && connection->credit > 0 &&
		 connection->link->has_room(connection->link_data) && (broken || events & EPOLLIN))
		receive(connection);
	settle(connection);
	connection->moved(connection, connection->data);
}

void connection_attach(struct connection *connection, struct loop *loop, int fd)
{
	connection->fd = fd;
	if (fd < 0 || connection->done || loop_add_fd(&connection->source, loop, fd, 0, on_event, connection) < 0) {
		finish(connection);
		return;
	}
	flush(connection);
	settle(connection);
}

void connection_resume(struct connection *connection)
{
	watch(connection);
}

bool connection_take(struct connection *connection, const void *bytes, size_t size)
{
	size_t written = 0;

	if (connection->got_done || connection->write_ended || size > MESSAGE_DATA_MAX ||
	    waiting(connection) + connection->due + size > WIRE_CONNECTION_WINDOW)
		return false;
	connection->write_ended = size == 0;
	if (connection->done)
		return true;
	if (connection->deaf) {
		give_credit(connection, size);
	} else if (size == 0) {
		if (connection->fd >= 0)
			flush(connection);
	} else {
		if (connection->fd >= 0 && waiting(connection) == 0)
			written = write_some(connection, bytes, size);
		give_credit(connection, written);
		if (connection->start >= WIRE_CONNECTION_WINDOW) { /* a reader that never quite catches up */
			memmove(connection->queue.data, connection->queue.data + connection->start,
				waiting(connection));
			connection->queue.size -= connection->start;
			connection->start = 0;
		}
		text_add_bytes(&connection->queue, (const char *)bytes + written, size - written);
		if (!text_ok(&connection->queue))
			finish(connection);
	}
	settle(connection);
	return true;
}

bool connection_credit(struct connection *connection, uint32_t bytes)
{
	if (connection->got_done || bytes > WIRE_CONNECTION_WINDOW - connection->credit)
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
