#include "guest/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

void report_from_error(struct report *report, const struct annex_error *err)
{
	memset(report, 0, sizeof(*report));
	report->kind = err ? annex_error_kind(err) : ANNEX_ERROR_GUEST;
	report->os = err ? annex_error_errno(err) : 0;
	snprintf(report->message, sizeof(report->message), "%s", err ? annex_error_message(err) : "unknown error");
	if (err && annex_error_hint(err))
		snprintf(report->hint, sizeof(report->hint), "%s", annex_error_hint(err));
}

int report_to_error(const struct report *report, struct annex_error **err)
{
	return fail_relayed(err, report->kind, report->os, report->message, report->hint[0] ? report->hint : NULL);
}

int report_pair(int ret[2])
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		int os = errno;

		close(pair[0]);
		close(pair[1]);
		return -os;
	}
	ret[0] = pair[0];
	ret[1] = pair[1];
	return 0;
}

void report_send_error(int fd, const struct annex_error *err)
{
	struct report report;

	report_from_error(&report, err);
	if (send(fd, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		_exit(127); /* nobody is left to be told */
}

int report_send_fd(int fd, int passed, uint8_t tag)
{
	union control control = {0};
	struct iovec iov = {.iov_base = &tag, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &passed, sizeof(passed));
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

enum report_result report_receive(struct report *ret, int *ret_fd, int fd)
{
	union control control = {0};
	struct iovec iov = {.iov_base = ret, .iov_len = sizeof(*ret)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return REPORT_NOTHING;
	if (n <= 0)
		return REPORT_END;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
		ret->kind = *(const uint8_t *)ret;
		return REPORT_FD;
	}
	if ((size_t)n == sizeof(*ret))
		return REPORT_ERROR;
	return REPORT_END;
}
