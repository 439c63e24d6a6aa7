#include "guest/cgroup.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT    "/sys/fs/cgroup"
#define MACHINE CGROUP_MACHINE

#define JOIN_TRIES 100u

static int put(const char *path, const char *text, struct annex_error **err)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return fail_os(err, errno, "cannot write %s", path);
	return 0;
}

/* Pass every controller that a group has on to its children. */
static int delegate(const char *group, struct annex_error **err)
{
	auto_free char *controllers = NULL;
	char path[128], word[64], *at, *name;
	int result;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", group);
	result = file_read(&controllers, NULL, AT_FDCWD, path, 4096);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", path);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
	at = controllers;
	while ((name = strsep(&at, " \n"))) {
		if (!*name)
			continue;
		snprintf(word, sizeof(word), "+%s", name);
		if (put(path, word, err) < 0)
			return -1;
	}
	return 0;
}

static int make(const char *path, struct annex_error **err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return fail_os(err, errno, "cannot make the control group %s", path);
	return 0;
}

/* Depth first; what still has processes stays. */
static void remove_tree(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder) {
		cleanup_close(&fd);
		return;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_tree(dirfd(folder), entry->d_name);
	}
	closedir(folder);
	unlinkat(dir, name, AT_REMOVEDIR);
}

int cgroup_prepare(struct annex_error **err)
{
	return delegate(ROOT, err);
}

int cgroup_reset(struct annex_error **err)
{
	remove_tree(AT_FDCWD, MACHINE);
	return make(MACHINE, err);
}

int cgroup_enter_as_init(struct annex_error **err)
{
	/* The namespace's root is the group that its maker is in. */
	if (put(MACHINE "/cgroup.procs", "0", err) < 0)
		return -1;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return fail_os(err, errno, "cannot make a control group namespace");
	if (make(MACHINE "/init.scope", err) < 0 || make(MACHINE "/annex", err) < 0 ||
	    put(MACHINE "/init.scope/cgroup.procs", "0", err) < 0)
		return -1;
	return delegate(MACHINE, err);
}

/* -ENOENT or -ENODEV: the group was swept away meanwhile, as nobody was in it yet. */
static int join(const char *group)
{
	auto_close int dir =
		mkdir(group, 0755) < 0 && errno != EEXIST ? -1 : open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;
}

int cgroup_enter_as_session(unsigned number, struct annex_error **err)
{
	char path[128];
	int result = -ENOENT;

	snprintf(path, sizeof(path), MACHINE "/annex/%u", number);
	if (make(MACHINE "/annex", err) < 0)
		return -1;
	/* It is swept each time that a session ends. */
	for (unsigned tries = 0; tries < JOIN_TRIES; tries++) {
		result = join(path);
		if (result != -ENOENT && result != -ENODEV)
			break;
	}
	return result < 0 ? fail_os(err, result, "cannot enter the control group %s", path) : 0;
}

void cgroup_sweep(void)
{
	DIR *folder = opendir(MACHINE "/annex");
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
	}
	if (folder)
		closedir(folder);
}
