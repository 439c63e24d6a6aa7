#include "forward/socket.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 128 };

/* A path as system calls take it. */
struct address {
	struct sockaddr_un name;
	int folder; /* that a long one is reached by, or -1 */
};

static void address_clear(struct address *address)
{
	cleanup_close(&address->folder);
}
#define auto_address CLEANUP(address_clear)

static int find(struct address *ret, const char *path)
{
	const char *name = path_name(path);
	auto_free char *folder = NULL;
	int length;

	*ret = (struct address){.name.sun_family = AF_UNIX, .folder = -1};
	if (strlen(path) < sizeof(ret->name.sun_path)) {
		memcpy(ret->name.sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (strlen(name) > SOCKET_NAME_MAX)
		return -ENAMETOOLONG;
	folder = strndup(path, (size_t)(name - path));
	if (!folder)
		return -ENOMEM;
	ret->folder = open(*folder ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ret->folder < 0)
		return -errno;
	length = snprintf(ret->name.sun_path, sizeof(ret->name.sun_path), "/proc/self/fd/%d/%s", ret->folder, name);
	return length < (int)sizeof(ret->name.sun_path) ? 0 : -ENAMETOOLONG;
}

int socket_connect(int *ret, const char *path, int flags, unsigned timeout_s)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	struct timeval patience = {.tv_sec = (time_t)timeout_s};
	auto_address struct address at = {.folder = -1};
	int result;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	result = find(&at, path);
	if (result < 0)
		return result;
	if (connect(fd, (const struct sockaddr *)&at.name, sizeof(at.name)) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

int socket_remove_stale(const char *path)
{
	auto_close int fd = -EBADF;
	struct stat st;
	int result;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return -EEXIST;
	result = socket_connect(&fd, path, SOCK_NONBLOCK, 0);
	if (result != -ECONNREFUSED)
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

static int refuse(int os, const char *path, struct annex_error **err)
{
	if (os == EADDRINUSE) {
		fail(err, ANNEX_ERROR_EXISTS, "cannot make the socket %s: something is there", path);
		return fail_hint(err, "choose another path; only dead sockets of yours are replaced");
	}
	if (os == ENOENT)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "cannot make the socket %s: its folder is not there", path);
	if (os == ENAMETOOLONG)
		return fail(err, ANNEX_ERROR_USAGE, "cannot make the socket %s: its name is longer than %u bytes", path,
			    SOCKET_NAME_MAX);
	/* An errno in a session's error would be about its program. */
	return fail(err, ANNEX_ERROR_SYSTEM, "cannot make the socket %s: %s", path, strerror(os));
}

int socket_listen(int *ret, const char *path, struct annex_error **err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	auto_address struct address at = {.folder = -1};
	const struct sockaddr *address = (const struct sockaddr *)&at.name;
	int result;

	/* Its mode before it has a name is the name's: there is no moment in which others can connect. */
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return fail_os(err, errno, "cannot make a socket");
	result = find(&at, path);
	if (result < 0)
		return refuse(-result, path, err);
	result = bind(fd, address, sizeof(at.name)) < 0 ? errno : 0;
	if (result == EADDRINUSE && socket_remove_stale(path) == 0)
		result = bind(fd, address, sizeof(at.name)) < 0 ? errno : 0;
	if (result)
		return refuse(result, path, err);
	if (listen(fd, BACKLOG) < 0)
		return fail_os(err, errno, "cannot listen at %s", path);
	*ret = TAKE_FD(fd);
	return 0;
}

void socket_close(int *fd)
{
	if (*fd >= 0)
		shutdown(*fd, SHUT_RDWR);
	cleanup_close(fd);
	*fd = -1;
}

void socket_enlarge(int fd)
{
	static const int most = 4 << 20;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
}
