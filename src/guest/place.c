/*
 * The image decides what its paths mean, and so, while it runs, does whoever is root in the machine. All look-ups are
 * the kernel's, with the machine's root as the root (openat2, RESOLVE_IN_ROOT), and what is made is made in a folder
 * that was found so. A link to nowhere is not followed for making what it names.
 */
#include "guest/place.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { TRIES = 16 }; /* while others rename in there */

int place_open(int root, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	long fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			return -errno;
	}
	return fd < 0 ? -EAGAIN : (int)fd;
}

/* In a folder of the host an entry of root's would be in its user's way. */
static int hand_over(int folder, const char *name)
{
	struct statfs system;
	struct stat st;

	if (fstatfs(folder, &system) < 0 || fstat(folder, &st) < 0)
		return -errno;
	if ((unsigned long)system.f_type != FUSE_SUPER_MAGIC)
		return 0;
	return fchownat(folder, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make(int folder, const char *name, bool is_file)
{
	int result = is_file ? mknodat(folder, name, S_IFREG | 0644, 0) : mkdirat(folder, name, 0755);

	return result < 0 ? -errno : hand_over(folder, name);
}

/* Open the path, and make its last part in `folder` if it is missing. */
static int open_or_make(int folder, int root, const char *path, const char *name, bool is_file,
			struct annex_error **err)
{
	int fd = place_open(root, path), result;

	if (fd != -ENOENT)
		return fd < 0 ? fail_os(err, fd, "cannot open %s in the machine", path) : fd;
	result = make(folder, name, is_file);
	if (result < 0 && result != -EEXIST)
		return fail_os(err, result, "cannot make %s in the machine", path);
	fd = place_open(root, path);
	if (fd == -ENOENT)
		return fail(err, ANNEX_ERROR_USAGE, "%s is a link to nowhere in the machine", path);
	return fd < 0 ? fail_os(err, fd, "cannot open %s in the machine", path) : fd;
}

static int step(int *folder, int root, const char *path, const char *name, bool is_file, struct annex_error **err)
{
	auto_close int fd = open_or_make(*folder, root, path, name, is_file, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return fail_os(err, errno, "cannot look at %s in the machine", path);
	if (S_ISDIR(st.st_mode) == is_file)
		return fail(err, ANNEX_ERROR_USAGE, "%s is %s in the machine", path,
			    is_file ? "a folder, not a file," : "a file, not a folder,");
	cleanup_close(folder);
	*folder = TAKE_FD(fd);
	return 0;
}

int place_make(int *ret, int root, const char *path, bool is_file, struct annex_error **err)
{
	auto_free char *copy = strdup(path);
	auto_close int folder = place_open(root, "/");

	if (!copy)
		return fail_memory(err);
	if (folder < 0)
		return fail_os(err, folder, "cannot open the machine's root");
	/* Each part in turn: the path up to there is looked up whole, so that links before it count. */
	for (char *name = copy + strspn(copy, "/"), *end; *name; name = end) {
		char kept;
		bool last;

		end = name + strcspn(name, "/");
		kept = *end;
		last = end[strspn(end, "/")] == '\0';
		*end = '\0';
		if (step(&folder, root, copy, name, last && is_file, err) < 0)
			return -1;
		*end = kept;
		end += strspn(end, "/");
	}
	*ret = TAKE_FD(folder);
	return 0;
}
