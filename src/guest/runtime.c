#include "guest/runtime.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

bool runtime_folder(char ret[RUNTIME_PATH_MAX], const char *root, uint32_t uid, uint32_t gid)
{
	char path[PATH_MAX];
	auto_close int all = -1, fd = -1;
	struct stat st;
	bool made;

	snprintf(ret, RUNTIME_PATH_MAX, "/run/user/%u", uid);
	snprintf(path, sizeof(path), "%s/run/user", root);
	mkdir(path, 0755);
	all = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (all < 0)
		return false;
	snprintf(path, sizeof(path), "%u", uid);
	made = mkdirat(all, path, 0700) == 0;
	fd = openat(all, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (made && fchown(fd, uid, gid) < 0))
		return false;
	return fstat(fd, &st) == 0 && st.st_uid == uid && (st.st_mode & 077) == 0;
}

bool runtime_has_bus(const char *root, const char *folder)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s/bus", root, folder);
	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}
