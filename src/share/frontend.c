/* Messages come over a stream, in any pieces; descriptors come with some byte of their message. */
#include "share/frontend.h"

#include "confine/rights.h"

#include <string.h>
#include <sys/socket.h>

/* 1: all bytes; 0: the end came before the first; -1. */
static int read_exactly(struct frontend_message *message, int socket, uint8_t *bytes, size_t size,
			struct annex_error **err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = rights_receive(socket, bytes + done, size - done, message->fds, &message->fd_count,
					     VHOST_TABLE_REGION_LIMIT, 0);

		if (got == -EMSGSIZE)
			return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: more than %u descriptors in a message",
				    VHOST_TABLE_REGION_LIMIT);
		if (got < 0 && got != -ECONNRESET)
			return fail_os(err, (int)got, "vhost-user: cannot receive");
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	if (done > 0 && done < size)
		return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: the connection ended in a message");
	return done == size;
}

static int receive(struct frontend_message *message, int socket, struct annex_error **err)
{
	uint8_t header[VHOST_HEADER_SIZE], payload[VHOST_PAYLOAD_LIMIT];
	int got = read_exactly(message, socket, header, sizeof(header), err);

	if (got <= 0)
		return got;
	if (vhost_read_header(&message->message, header, err) < 0)
		return -1;
	if (message->message.size > 0) {
		got = read_exactly(message, socket, payload, message->message.size, err);
		if (got == 0)
			return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: the connection ended in a message");
		if (got < 0)
			return -1;
	}
	return vhost_read_payload(&message->message, payload, message->fd_count, err) < 0 ? -1 : 1;
}

int frontend_receive(struct frontend_message *ret, int socket, struct annex_error **err)
{
	auto_frontend_message struct frontend_message message = {.fd_count = 0};
	int got = receive(&message, socket, err);

	if (got > 0) {
		*ret = message;
		message.fd_count = 0;
	}
	return got;
}

void frontend_clear(struct frontend_message *message)
{
	rights_close(message->fds, &message->fd_count);
}

int frontend_send(int socket, const uint8_t *bytes, size_t size, struct annex_error **err)
{
	while (size > 0) {
		ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);

		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (sent < 0 && errno != EINTR)
			return fail_os(err, errno, "vhost-user: cannot send");
		if (sent > 0) {
			bytes += sent;
			size -= (size_t)sent;
		}
	}
	return 0;
}
