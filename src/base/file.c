#include "base/file.h"

#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>

int file_write_all(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = {.fd = fd, .events = POLLOUT};

			poll(&wait, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = pwrite(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

ssize_t file_read_full(int fd, void *bytes, size_t size)
{
	char *at = bytes;
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, at + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int read_all(char **ret, size_t *ret_size, int fd, size_t limit)
{
	auto_text struct text text = {0};
	char chunk[4096];
	ssize_t n;

	while ((n = file_read_full(fd, chunk, sizeof(chunk))) > 0) {
		if (text.size + (size_t)n > limit)
			return -EFBIG;
		text_add_bytes(&text, chunk, (size_t)n);
	}
	if (n < 0)
		return (int)n;
	if (!text_ok(&text))
		return -ENOMEM;
	if (ret_size)
		*ret_size = text.size;
	*ret = text_take(&text);
	return *ret ? 0 : -ENOMEM;
}

int file_read(char **ret, size_t *ret_size, int dir, const char *path, size_t limit)
{
	auto_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_all(ret, ret_size, fd, limit);
}

int file_read_regular(char **ret, size_t *ret_size, int dir, const char *path, size_t limit)
{
	auto_close int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	return S_ISREG(st.st_mode) ? read_all(ret, ret_size, fd, limit) : -EINVAL;
}

int file_open_regular(int dir, const char *path, int flags)
{
	/* Without O_NONBLOCK, a pipe of that name would be waited for. */
	auto_close int fd = openat(dir, path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && st.st_nlink == 1 ? TAKE_FD(fd) : -EINVAL;
}

static uint64_t contents_size(int fd)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;
	uint64_t size = 0;

	if (!folder) {
		close(fd);
		return 0;
	}
	while ((entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			size += file_tree_size(dirfd(folder), entry->d_name);
	}
	closedir(folder);
	return size;
}

uint64_t file_tree_size(int dir, const char *path)
{
	struct stat st;
	uint64_t size;
	int fd;

	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	size = (uint64_t)st.st_blocks * 512;
	if (!S_ISDIR(st.st_mode))
		return size;
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? size : size + contents_size(fd);
}

int file_sync_folder(int dir, const char *path)
{
	auto_close int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int sync_parent(int dir, const char *path)
{
	auto_free char *folder = strdup(path);
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (!slash)
		return file_sync_folder(dir, ".");
	slash[slash == folder] = '\0';
	return file_sync_folder(dir, folder);
}

/* Labels and access lists, as far as the file system lets us: without them the file serves, too. */
static void copy_attributes(int dir, const char *to_path, const char *from_path)
{
	auto_close int from = openat(dir, from_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	auto_close int to = openat(dir, to_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	char names[4096], value[4096];
	ssize_t size = from >= 0 ? flistxattr(from, names, sizeof(names)) : -1;

	for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
		ssize_t length = fgetxattr(from, name, value, sizeof(value));

		if (length >= 0)
			(void)!fsetxattr(to, name, value, (size_t)length, 0);
	}
}

/* `like`: whose mode and owner it gets; NULL: `mode`, and ours. */
static int write_new(int dir, const char *path, const void *bytes, size_t size, mode_t mode, const struct stat *like)
{
	auto_close int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, like ? 0600 : mode);
	int result;

	if (fd < 0)
		return -errno;
	if (like && (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 07777) < 0))
		return -errno;
	result = file_write_all(fd, bytes, size);
	if (result == 0 && fsync(fd) < 0)
		result = -errno;
	return result;
}

static int write_atomic(int dir, const char *path, const void *bytes, size_t size, mode_t mode, const struct stat *like)
{
	auto_free char *temporary = NULL;
	int result;

	if (asprintf(&temporary, "%s.%d.new", path, (int)getpid()) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	unlinkat(dir, temporary, 0);
	result = write_new(dir, temporary, bytes, size, mode, like);
	if (result == 0 && like)
		copy_attributes(dir, temporary, path);
	if (result == 0 && renameat(dir, temporary, dir, path) < 0)
		result = -errno;
	if (result < 0) {
		unlinkat(dir, temporary, 0);
		return result;
	}
	return sync_parent(dir, path);
}

int file_write_atomic(int dir, const char *path, const void *bytes, size_t size, mode_t mode)
{
	return write_atomic(dir, path, bytes, size, mode, NULL);
}

int file_replace(int dir, const char *path, const void *bytes, size_t size, mode_t mode)
{
	struct stat st;

	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		return write_atomic(dir, path, bytes, size, mode, &st);
	return write_atomic(dir, path, bytes, size, mode, NULL);
}

int file_make_folders(const char *path, mode_t mode)
{
	auto_free char *partial = strdup(path);

	if (!partial)
		return -ENOMEM;
	for (char *at = partial + 1; *partial && *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(partial, mode) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int remove_contents(int fd, dev_t device)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!folder) {
		result = -errno;
		close(fd);
		return result;
	}
	while (result == 0 && (entry = readdir(folder))) {
		struct stat st;
		int child;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			if (unlinkat(dirfd(folder), entry->d_name, 0) < 0 && errno != ENOENT)
				result = -errno;
			continue;
		}
		if (st.st_dev != device) {
			result = -EXDEV;
			break;
		}
		child = openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0 && errno == EACCES && fchmodat(dirfd(folder), entry->d_name, 0700, 0) == 0)
			child = openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		result = child < 0 ? -errno : remove_contents(child, device);
		if (result == 0 && unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR) < 0)
			result = -errno;
	}
	closedir(folder);
	return result;
}

int file_remove_tree(int dir, const char *path)
{
	struct stat st;
	int fd, result;

	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, path, 0) < 0 && errno != ENOENT ? -errno : 0;
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = remove_contents(fd, st.st_dev);
	if (result == 0 && unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		result = -errno;
	return result;
}

bool file_exists(int dir, const char *path)
{
	struct stat st;

	return fstatat(dir, path, &st, 0) == 0;
}

int file_lock(int dir, const char *path, int operation)
{
	auto_close int fd = openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, operation) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return TAKE_FD(fd);
}

int file_copy(int to, int from)
{
	enum { CHUNK = 1 << 17 };
	auto_free char *chunk = malloc(CHUNK);
	ssize_t n;

	if (!chunk)
		return -ENOMEM;
	while ((n = file_read_full(from, chunk, CHUNK)) > 0) {
		int result = file_write_all(to, chunk, (size_t)n);

		if (result < 0)
			return result;
	}
	return (int)n;
}

char *path_join(const char *folder, const char *name)
{
	char *joined;

	return asprintf(&joined, "%s%s%s", folder, text_ends(folder, "/") ? "" : "/", name) < 0 ? NULL : joined;
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *path_below(const char *folder, const char *path)
{
	size_t size = strlen(folder);

	if (size == 1) /* "/" */
		return path + 1;
	if (strncmp(path, folder, size) != 0)
		return NULL;
	return !path[size] ? path + size : path[size] == '/' ? path + size + 1 : NULL;
}
