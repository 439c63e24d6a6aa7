/*
 * Messages come over a stream, in any pieces; descriptors come with some byte of their message. All descriptors that
 * arrive are owned at once, so that none is lost when the message turns out to be bad.
 */
#include "share/frontend.h"

#include <string.h>
#include <sys/socket.h>

/* More than any message may have: then the kernel would throw some away, and say so. */
#define CONTROL_SPACE CMSG_SPACE(sizeof(int[VHOST_TABLE_REGION_LIMIT]))

static int too_many(struct annex_error **err)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: more than %u descriptors in a message",
		    VHOST_TABLE_REGION_LIMIT);
}

static int own_descriptors(struct frontend_message *message, struct msghdr *header, struct annex_error **err)
{
	bool fit = !(header->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			auto_close int fd = -EBADF;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
			if (message->fd_count == VHOST_TABLE_REGION_LIMIT)
				fit = false;
			else
				message->fds[message->fd_count++] = TAKE_FD(fd);
		}
	}
	return fit ? 0 : too_many(err);
}

/* 1: all bytes; 0: the end came before the first; -1. */
static int read_exactly(struct frontend_message *message, int socket, uint8_t *bytes, size_t size,
			struct annex_error **err)
{
	size_t done = 0;

	while (done < size) {
		_Alignas(struct cmsghdr) char control[CONTROL_SPACE];
		struct iovec part = {bytes + done, size - done};
		struct msghdr header = {
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != ECONNRESET)
			return fail_os(err, errno, "vhost-user: cannot receive");
		if (got <= 0)
			break;
		if (own_descriptors(message, &header, err) < 0)
			return -1;
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
	for (unsigned i = 0; i < message->fd_count; i++)
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	message->fd_count = 0;
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
