/*
 * One call on the system's D-Bus, CreateSession, whose answer holds a descriptor: the session lasts as long as that is
 * open. Nothing else of the answers counts, so none is decoded. The call's arguments are the same in all versions of
 * systemd that have logind.
 */
#include "guest/logind.h"

#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define BUS   "/run/dbus/system_bus_socket"
#define USERS "/run/systemd/users"

enum { DELAY_MS = 1000, ANSWER_MS = 60000, PACKET_MAX = 4096, AUTHENTICATION_MAX = 512 };
enum { CALL = 1, PATH = 1, INTERFACE = 2, MEMBER = 3, DESTINATION = 6, SIGNATURE = 8 };

/* D-Bus. */

static void align(struct text *out, size_t size)
{
	while (out->size % size != 0)
		text_add_char(out, '\0');
}

static void put_number(struct text *out, uint32_t number)
{
	align(out, 4);
	for (unsigned i = 0; i < 4; i++)
		text_add_char(out, (char)(number >> (8 * i)));
}

static void put_string(struct text *out, const char *string)
{
	put_number(out, (uint32_t)strlen(string));
	text_add_bytes(out, string, strlen(string) + 1);
}

static void put_signature(struct text *out, const char *signature)
{
	text_add_char(out, (char)strlen(signature));
	text_add_bytes(out, signature, strlen(signature) + 1);
}

static void put_field(struct text *out, int code, const char *type, const char *value)
{
	align(out, 8);
	text_add_char(out, (char)code);
	put_signature(out, type);
	if (*type == 'g')
		put_signature(out, value);
	else
		put_string(out, value);
}

struct call {
	const char *destination, *path, *interface, *member, *signature;
	uint32_t serial;
};

static void put_call(struct text *out, const struct call *call, const struct text *body)
{
	auto_text struct text fields = {0}, head = {0};

	put_field(&fields, PATH, "o", call->path);
	put_field(&fields, INTERFACE, "s", call->interface);
	put_field(&fields, MEMBER, "s", call->member);
	put_field(&fields, DESTINATION, "s", call->destination);
	if (body->size > 0)
		put_field(&fields, SIGNATURE, "g", call->signature);
	text_add_bytes(&head, (const char[]){'l', CALL, 0, 1}, 4);
	put_number(&head, (uint32_t)body->size);
	put_number(&head, call->serial);
	put_number(&head, (uint32_t)fields.size);
	if (fields.data)
		text_add_bytes(&head, fields.data, fields.size);
	align(&head, 8);
	out->broken |= !text_ok(&fields) || !text_ok(&head) || !text_ok(body);
	if (out->broken)
		return;
	text_add_bytes(out, head.data, head.size);
	if (body->size > 0)
		text_add_bytes(out, body->data, body->size);
}

static void put_session(struct text *body, uint32_t pid, const struct logind_session *session)
{
	char terminal[32];

	snprintf(terminal, sizeof(terminal), "pts/%u", session->terminal);
	put_number(body, session->uid);
	put_number(body, pid);
	put_string(body, "annex"); /* service */
	put_string(body, "tty");   /* type */
	put_string(body, "user");  /* class */
	put_string(body, "");      /* desktop */
	put_string(body, "");      /* seat */
	put_number(body, 0);       /* virtual terminal */
	put_string(body, terminal);
	put_string(body, ""); /* display */
	put_number(body, 0);  /* it isn't remote; by whom, from where */
	put_string(body, "");
	put_string(body, "");
	put_number(body, 0); /* no properties: an empty list of structs, which begin at an eighth byte */
	align(body, 8);
}

void logind_put_calls(struct text *out, uint32_t pid, const struct logind_session *session)
{
	static const struct call hello = {
		"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", 1};
	static const struct call create = {
		"org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
		"CreateSession",          "uusssssussbssa(sv)",      2};
	auto_text struct text nothing = {0}, body = {0};

	put_session(&body, pid, session);
	put_call(out, &hello, &nothing);
	put_call(out, &create, &body);
}

/* The process that waits. */

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : TAKE_FD(fd);
}

/* Whether there is something to be read, or the end. */
static bool wait_for(int fd, int timeout_ms)
{
	struct pollfd place = {fd, POLLIN, 0};

	return poll(&place, 1, timeout_ms) > 0;
}

static bool authenticate(int fd)
{
	static const char request[] = "\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\n", last[] = "AGREE_UNIX_FD\r\n";
	char answer[AUTHENTICATION_MAX + 1];
	size_t size = 0;
	ssize_t n;

	if (file_write_all(fd, request, sizeof(request) - 1) < 0)
		return false;
	while (size < AUTHENTICATION_MAX && wait_for(fd, ANSWER_MS)) {
		n = read(fd, answer + size, AUTHENTICATION_MAX - size);
		if (n <= 0)
			return false;
		size += (size_t)n;
		answer[size] = '\0';
		if (strstr(answer, last))
			return file_write_all(fd, "BEGIN\r\n", 7) == 0;
	}
	return false;
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* The descriptor in an answer, -EAGAIN for an answer without one. */
static int receive(int fd)
{
	union control control = {0};
	char bytes[PACKET_MAX];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int passed;

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return -EAGAIN;
	memcpy(&passed, CMSG_DATA(header), sizeof(passed));
	return passed;
}

static int create_session(const struct logind_session *session)
{
	auto_text struct text calls = {0};
	auto_close int fd = connect_to(BUS);
	int result = -EAGAIN;

	logind_put_calls(&calls, (uint32_t)getpid(), session);
	if (fd < 0 || !text_ok(&calls) || !authenticate(fd) || file_write_all(fd, calls.data, calls.size) < 0)
		return -1;
	while (result == -EAGAIN && wait_for(fd, ANSWER_MS))
		result = receive(fd);
	return result;
}

_Noreturn void logind_main(int argc, char **argv)
{
	struct logind_session session = {0};
	char byte;

	prctl(PR_SET_NAME, LOGIND_PROGRAM);
	if (argc != 3 || text_to_u32(&session.uid, argv[1], 10) < 0 || text_to_u32(&session.terminal, argv[2], 10) < 0)
		_exit(2);
	/* What is over at once is not worth the work. From then on we stay until there is an answer: a scope whose only
	 * process has gone meanwhile would be a failed unit. */
	if (wait_for(STDIN_FILENO, DELAY_MS) || create_session(&session) < 0)
		_exit(0);
	while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* The session's side. */

static bool knows_user(uint32_t uid)
{
	char path[64];

	snprintf(path, sizeof(path), USERS "/%u", uid);
	return access(BUS, F_OK) == 0 && access(path, F_OK) == 0;
}

_Noreturn static void become_waiter(int self, int end, const struct logind_session *session)
{
	char uid[16], terminal[16];
	char *const argv[] = {(char[]){LOGIND_PROGRAM}, uid, terminal, NULL}, *const environment[] = {NULL};

	snprintf(uid, sizeof(uid), "%u", session->uid);
	snprintf(terminal, sizeof(terminal), "%u", session->terminal);
	/* By a second fork it is init's child, and not one that the session's program would find. */
	if (fork() == 0 && setsid() >= 0 && chdir("/") == 0 && dup2(end, STDIN_FILENO) >= 0)
		syscall(SYS_execveat, self, "", argv, environment, AT_EMPTY_PATH);
	_exit(0);
}

int logind_register(int self, const struct logind_session *session)
{
	auto_close int ours = -1, theirs = -1;
	int pair[2];
	pid_t pid;

	if (self < 0 || !knows_user(session->uid) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ours = pair[0];
	theirs = pair[1];
	pid = fork();
	if (pid == 0)
		become_waiter(self, theirs, session);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return pid > 0 ? TAKE_FD(ours) : -1;
}
