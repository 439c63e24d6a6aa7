/*
 * All descriptors that arrive are owned at once, so that none is lost when what came with them turns out to be bad.
 */
#include "confine/rights.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define CONTROL_SPACE CMSG_SPACE(sizeof(int[RIGHTS_LIMIT]))

ssize_t rights_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count, int flags)
{
	_Alignas(struct cmsghdr) char control[CONTROL_SPACE] = {0};
	struct iovec part = {(void *)bytes, size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	assert(count <= RIGHTS_LIMIT);
	if (count > 0) {
		struct cmsghdr *rights;

		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	}
	do {
		sent = sendmsg(socket, &header, flags | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static bool own(const struct msghdr *header, int *fds, unsigned *count, unsigned limit)
{
	bool fit = !(header->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR((struct msghdr *)header, part)) {
		size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < here; i++) {
			auto_close int fd = -EBADF;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
			if (*count == limit)
				fit = false;
			else
				fds[(*count)++] = TAKE_FD(fd);
		}
	}
	return fit;
}

ssize_t rights_receive(int socket, void *bytes, size_t size, int *fds, unsigned *count, unsigned limit, int flags)
{
	_Alignas(struct cmsghdr) char control[CONTROL_SPACE];
	struct iovec part = {bytes, size};
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t got;

	assert(limit <= RIGHTS_LIMIT);
	do {
		got = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (!own(&header, fds, count, limit) || header.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	return got;
}

void rights_close(int *fds, unsigned *count)
{
	for (unsigned i = 0; i < *count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*count = 0;
}
