#include "guest/notify.h"

#include "base/text.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd;
	struct loop_source *source;
	pid_t pid;
	notify_fn *fn;
	void *data;
};

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(64 * sizeof(int))];
};

/* systemd counts how long a job has run, as in "job a.service/start running (7s / no limit)...". What is told on is
 * what it waits for, once, and not twice a second. */
static void cut_counter(char *status)
{
	size_t length = strlen(status);
	char *open = NULL;

	while (length > 0 && (status[length - 1] == '.' || status[length - 1] == ' '))
		status[--length] = '\0';
	if (length > 0 && status[length - 1] == ')')
		open = strrchr(status, '(');
	if (open && open > status && open[-1] == ' ')
		open[-1] = '\0';
}

void notify_parse(struct notify_news *ret, const char *message, size_t size)
{
	static const char status[] = "STATUS=", ready[] = "READY=1";
	const char *end = message + size;

	*ret = (struct notify_news){0};
	while (message < end) {
		const char *line_end = memchr(message, '\n', (size_t)(end - message));
		size_t length = (size_t)((line_end ? line_end : end) - message), skip = strlen(status);

		if (length == strlen(ready) && memcmp(message, ready, length) == 0)
			ret->ready = true;
		if (length > skip && memcmp(message, status, skip) == 0) {
			size_t count = length - skip < NOTIFY_STATUS_MAX - 1 ? length - skip : NOTIFY_STATUS_MAX - 1;

			for (size_t i = 0; i < count; i++)
				ret->status[i] = (unsigned char)message[skip + i] < ' ' ? ' ' : message[skip + i];
			ret->status[count] = '\0';
			cut_counter(ret->status);
		}
		message += length + 1;
	}
}

/* Descriptors that somebody sent along are closed. */
static pid_t sender(struct msghdr *message)
{
	struct ucred credentials = {0};

	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(at), sizeof(credentials));
		} else if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
			for (size_t i = 0; i < (at->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
				close(fd);
			}
		}
	}
	return credentials.pid;
}

static void on_message(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct notify *notify = data;
	union control control = {0};
	char bytes[NOTIFY_SIZE_MAX];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct notify_news news;
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	(void)source;
	(void)events;
	if (n < 0 || sender(&message) != notify->pid || !notify->pid || message.msg_flags & MSG_TRUNC)
		return;
	notify_parse(&news, bytes, (size_t)n);
	if (news.ready || news.status[0])
		notify->fn(&news, notify->data);
}

int notify_new(struct notify **ret, struct loop *loop, notify_fn *fn, void *data, struct annex_error **err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct notify *notify = calloc(1, sizeof(*notify));
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(NOTIFY_ADDRESS));
	int result = 0;

	if (!notify)
		return fail_memory(err);
	memcpy(address.sun_path + 1, &NOTIFY_ADDRESS[1], strlen(NOTIFY_ADDRESS) - 1);
	*notify = (struct notify){.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), .fn = fn, .data = data};
	if (notify->fd < 0 || setsockopt(notify->fd, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) < 0 ||
	    bind(notify->fd, (struct sockaddr *)&address, size) < 0)
		result = -errno;
	if (result == 0)
		result = loop_add_fd(&notify->source, loop, notify->fd, EPOLLIN, on_message, notify);
	if (result < 0) {
		notify_free(notify);
		return fail_os(err, result, "cannot listen on %s", NOTIFY_ADDRESS);
	}
	*ret = notify;
	return 0;
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	loop_source_free(notify->source);
	cleanup_close(&notify->fd);
	free(notify);
}

void notify_listen_to(struct notify *notify, pid_t pid)
{
	notify->pid = pid;
}
