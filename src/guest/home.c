#include "guest/home.h"

#include "base/file.h"
#include "guest/etcfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SKEL_DEPTH_MAX = 16, HOME_DEPTH_MAX = 256 };

#define SKEL "/etc/skel"

struct owner {
	uint32_t uid, gid;
};

static bool is_placeholder(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = NULL;
	struct stat st;
	size_t count = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0)
		return false;
	folder = fdopendir(fd);
	if (!folder)
		return false;
	fd = -1; /* the stream has it */
	while (count <= 2 && readdir(folder))
		count++;
	closedir(folder);
	return count == 2;
}

bool home_is_taken(const char *path, uint32_t uid)
{
	struct stat st;

	return lstat(path, &st) == 0 && !is_placeholder(path) && st.st_uid != uid;
}

/* What /etc/skel has. */

static int copy_tree(int to, int from, const struct owner *owner, unsigned depth);

static int copy_link(int to, int from, const char *name, const struct owner *owner)
{
	char target[4096];
	ssize_t length = readlinkat(from, name, target, sizeof(target) - 1);

	if (length < 0)
		return -errno;
	target[length] = '\0';
	return symlinkat(target, to, name) < 0 || fchownat(to, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

static int finish(int fd, mode_t mode, const struct owner *owner)
{
	return fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, mode) < 0 ? -errno : 0;
}

static int copy_file(int to, int from, const char *name, mode_t mode, const struct owner *owner)
{
	auto_close int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_close int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result = out < 0 ? -errno : file_copy(out, in);

	return result < 0 ? result : finish(out, mode, owner);
}

static int copy_folder(int to, int from, const char *name, mode_t mode, const struct owner *owner, unsigned depth)
{
	auto_close int in = -1, out = -1;
	int result;

	if (depth >= SKEL_DEPTH_MAX)
		return 0;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	out = in < 0 ? -1 : openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	result = out < 0 ? -errno : copy_tree(out, TAKE_FD(in), owner, depth + 1);
	return result < 0 ? result : finish(out, mode, owner);
}

/* Takes `from`. */
static int copy_tree(int to, int from, const struct owner *owner, unsigned depth)
{
	DIR *folder = fdopendir(from);
	struct dirent *entry;
	int result = 0;

	if (!folder) {
		result = -errno;
		close(from);
		return result;
	}
	while (result == 0 && (entry = readdir(folder))) {
		const char *name = entry->d_name;
		struct stat st;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(dirfd(folder), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISLNK(st.st_mode))
			result = copy_link(to, dirfd(folder), name, owner);
		else if (S_ISREG(st.st_mode))
			result = copy_file(to, dirfd(folder), name, st.st_mode & 0777, owner);
		else if (S_ISDIR(st.st_mode))
			result = copy_folder(to, dirfd(folder), name, st.st_mode & 0777, owner, depth);
	}
	closedir(folder);
	return result;
}

/* Made beside its place, and moved there when it is whole. */
static int make_at(const char *path, const struct owner *owner)
{
	auto_free char *beside = NULL;
	auto_close int from = -1, to = -1;
	int result = etcfile_make_parents(path);

	if (asprintf(&beside, "%s.annex-new", path) < 0) {
		beside = NULL;
		return -ENOMEM;
	}
	if (result == 0)
		result = file_remove_tree(AT_FDCWD, beside);
	if (result < 0)
		return result;
	if (mkdir(beside, 0700) < 0)
		return -errno;
	from = open(SKEL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = open(beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (from >= 0 && to >= 0)
		result = copy_tree(to, TAKE_FD(from), owner, 0);
	if (result < 0)
		return result;
	/* Its files are on the disk before it has its name: with that it counts as made. */
	if (to < 0 || fchown(to, owner->uid, owner->gid) < 0 || syncfs(to) < 0 || rename(beside, path) < 0)
		return -errno;
	return 0;
}

int home_make(bool *ret_made, const char *path, uint32_t uid, uint32_t gid, struct annex_error **err)
{
	struct owner owner = {uid, gid};
	struct stat st;
	int result;

	if (lstat(path, &st) == 0 && !is_placeholder(path)) {
		*ret_made = false;
		return 0;
	}
	result = make_at(path, &owner);
	if (result < 0)
		return fail_os(err, result, "cannot make the home folder %s", path);
	*ret_made = true;
	return 0;
}

/* What a link at one path has in it that leads to another one. */
static const char *from_beside(const char *from, const char *to)
{
	size_t size = (size_t)(path_name(to) - to);

	return (size_t)(path_name(from) - from) == size && strncmp(from, to, size) == 0 ? path_name(to) : to;
}

int home_move(const char *from, const char *to)
{
	struct stat st;
	int result;

	if (lstat(from, &st) < 0 || !S_ISDIR(st.st_mode) || (lstat(to, &st) == 0 && !is_placeholder(to)))
		return 0;
	result = etcfile_make_parents(to);
	if (result == 0 && (rename(from, to) < 0 || symlink(from_beside(from, to), from) < 0))
		result = -errno;
	return result;
}

/* Owners. */

static void give(int at, const char *name, const uint32_t from[2], const uint32_t to[2], dev_t device, unsigned depth);

static void give_contents(int fd, const uint32_t from[2], const uint32_t to[2], dev_t device, unsigned depth)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;

	if (!folder) {
		close(fd);
		return;
	}
	while ((entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			give(dirfd(folder), entry->d_name, from, to, device, depth);
	}
	closedir(folder);
}

/* A change of the owner takes set-id bits away, which are given back. */
static void give(int at, const char *name, const uint32_t from[2], const uint32_t to[2], dev_t device, unsigned depth)
{
	struct stat st;
	int fd;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
		return;
	if (S_ISDIR(st.st_mode) && depth < HOME_DEPTH_MAX) {
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			give_contents(fd, from, to, device, depth + 1);
	}
	if (st.st_uid != from[0] && st.st_gid != from[1])
		return;
	if (fchownat(at, name, st.st_uid == from[0] ? to[0] : st.st_uid, st.st_gid == from[1] ? to[1] : st.st_gid,
		     AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISLNK(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)))
		fchmodat(at, name, st.st_mode & 07777, 0);
}

void home_give(const char *path, const uint32_t from[2], const uint32_t to[2])
{
	struct stat st;

	if (lstat(path, &st) == 0)
		give(AT_FDCWD, path, from, to, st.st_dev, 0);
}
