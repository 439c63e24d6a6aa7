/*
 * A read-only share is bound from a second, read-only mount of the file system, so that it is read-only from its first
 * moment; the host's server keeps to it anyway.
 *
 * The kernel reads ahead 128 KiB of a FUSE file system by itself, of which each request costs a round trip through the
 * virtual machine's exits: READ_AHEAD_KB is what one request can carry.
 */
#include "guest/sharefs.h"

#include "base/file.h"
#include "base/log.h"
#include "guest/place.h"
#include "guest/tree.h"
#include "guest/unit.h"
#include "wire/message.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FOLDER    "/shares"
#define READ_ONLY "/shares-ro"

#define FLAGS (MS_NOSUID | MS_NODEV)

static const char READ_AHEAD_KB[] = "1024";

/* The kernel sets its own value when the server has answered the first request: stat() waits for that. */
static void read_ahead(void)
{
	char path[64];
	struct stat st;
	auto_close int fd = -1;

	if (stat(FOLDER, &st) < 0) {
		log_info("cannot look at the shares: %s", strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, READ_AHEAD_KB, strlen(READ_AHEAD_KB)) < 0)
		log_info("cannot write %s: %s", path, strerror(errno));
}

static int mount_failed(struct annex_error **err)
{
	if (errno == ENODEV) {
		fail(err, ANNEX_ERROR_UNSUPPORTED,
		     "the kernel has no driver for virtio-fs (virtiofs), by which files are shared");
		return fail_hint(err, "use a kernel with CONFIG_VIRTIO_FS, or home-mount=none and no volumes");
	}
	if (errno == EINVAL)
		return fail(err, ANNEX_ERROR_NOT_FOUND,
			    "the virtual machine has no virtio-fs device \"" WIRE_SHARE_TAG "\"");
	return fail_os(err, errno, "cannot mount the shares");
}

int sharefs_mount(struct annex_error **err)
{
	if ((mkdir(FOLDER, 0700) < 0 && errno != EEXIST) || (mkdir(READ_ONLY, 0700) < 0 && errno != EEXIST))
		return fail_os(err, errno, "cannot make " FOLDER);
	if (mount(WIRE_SHARE_TAG, FOLDER, "virtiofs", FLAGS, NULL) < 0)
		return mount_failed(err);
	if (mount(FOLDER, READ_ONLY, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, READ_ONLY, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FLAGS, NULL) < 0) {
		int os = errno;

		umount2(READ_ONLY, MNT_DETACH);
		umount2(FOLDER, MNT_DETACH);
		return fail_os(err, os, "cannot mount the shares read-only");
	}
	read_ahead();
	return 0;
}

void sharefs_unmount(void)
{
	auto_close int fd = open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !tree_is_mount(fd))
		return;
	if (syncfs(fd) < 0)
		log_info("not all could be written to the shares: %s", strerror(errno));
	if (umount2(READ_ONLY, MNT_DETACH) < 0 || umount2(FOLDER, MNT_DETACH) < 0)
		log_info("cannot unmount the shares: %s", strerror(errno));
}

void sharefs_refresh(void)
{
	if (mount(NULL, FOLDER, NULL, MS_REMOUNT | FLAGS, NULL) < 0)
		log_info("cannot make the shares writable: %s", strerror(errno));
}

void binding_clear(struct binding *binding)
{
	cleanup_close(&binding->tree);
	cleanup_close(&binding->links);
	*binding = (struct binding)BINDING_NONE;
}

int sharefs_open(struct binding *ret, const struct share *share, struct annex_error **err)
{
	auto_free char *path = path_join(share->read_only ? READ_ONLY : FOLDER, share->name);
	auto_binding struct binding binding = BINDING_NONE;
	struct stat st;

	if (!path)
		return fail_memory(err);
	binding.tree = tree_clone(path);
	if (binding.tree == -ENOENT)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "the host has no share \"%s\"", share->name);
	if (binding.tree < 0)
		return fail_os(err, binding.tree, "cannot open the share \"%s\"", share->name);
	if (fstat(binding.tree, &st) < 0)
		return fail_os(err, errno, "cannot look at the share \"%s\"", share->name);
	if (S_ISDIR(st.st_mode) == share->is_file)
		return fail(err, ANNEX_ERROR_USAGE, "the share \"%s\" is %s", share->name,
			    share->is_file ? "a folder, not a file" : "a file, not a folder");
	binding.links = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (binding.links < 0)
		return fail_os(err, errno, "cannot open /proc/self/fd");
	*ret = binding;
	binding = (struct binding)BINDING_NONE;
	return 0;
}

/* Its name is that of the path with links resolved, below the machine's root. */
static int keep_mounted(const struct binding *binding, int top, int target)
{
	char number[16], root[PATH_MAX], path[PATH_MAX];
	ssize_t skipped, length;

	snprintf(number, sizeof(number), "%d", top);
	skipped = readlinkat(binding->links, number, root, sizeof(root));
	snprintf(number, sizeof(number), "%d", target);
	length = readlinkat(binding->links, number, path, sizeof(path));
	if (skipped < 0 || length < 0)
		return -errno;
	if (skipped == 1) /* "/" */
		skipped = 0;
	if (length <= skipped || length >= (ssize_t)sizeof(path))
		return -ENAMETOOLONG;
	path[length] = '\0';
	return unit_keep_mounted(top, path + skipped);
}

int sharefs_bind(const struct binding *binding, const char *root, const struct share *share, struct annex_error **err)
{
	auto_close int top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), target = -1;
	int result;

	if (top < 0)
		return fail_os(err, errno, "cannot open the machine's root");
	if (place_make(&target, top, share->target, share->is_file, err) < 0)
		return -1;
	result = keep_mounted(binding, top, target);
	if (result < 0)
		log_info("systemd may unmount %s early: %s", share->target, strerror(-result));
	result = tree_attach(binding->tree, target);
	return result < 0 ? fail_os(err, result, "cannot bind it to %s", share->target) : 0;
}

bool sharefs_is_listed(const char *table, const struct share *share)
{
	enum { FIELDS_BEFORE = 3 }; /* what of the file system is mounted */
	size_t length = strlen(share->name), size;

	for (const char *line = table; *line; line += size + (line[size] == '\n')) {
		const char *field = line, *kind = strstr(line, " - virtiofs " WIRE_SHARE_TAG " ");

		size = strcspn(line, "\n");
		for (int i = 0; i < FIELDS_BEFORE; i++) {
			field += strcspn(field, " \n");
			field += *field == ' ';
		}
		if (kind && kind < line + size && field[0] == '/' && strncmp(field + 1, share->name, length) == 0 &&
		    field[length + 1] == ' ')
			return true;
	}
	return false;
}

/* Is it our file system that is mounted at the target? 0, or 1: nothing is; -errno. */
static int find_bound(const struct share *share, dev_t ours)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	dev_t device = 0;
	int result;

	if (root < 0)
		return -errno;
	fd = place_open(root, share->target);
	if (fd == -ENOENT || fd == -ENOTDIR || (fd >= 0 && !tree_is_mount(fd)))
		return 1;
	result = fd < 0 ? fd : tree_device(fd, &device);
	if (result < 0)
		return result;
	return device == ours ? 0 : -EXDEV;
}

/* By path: a descriptor of it would keep it in use. */
static int take_away(const struct share *share, dev_t ours, bool force, struct annex_error **err)
{
	int result = find_bound(share, ours);

	if (result == 0 && umount2(share->target, force ? MNT_DETACH : 0) < 0)
		result = -errno;
	if (result == -EBUSY)
		return fail(err, ANNEX_ERROR_BUSY, "%s is in use", share->target);
	if (result == -EXDEV && !force)
		return fail(err, ANNEX_ERROR_BUSY, "something else is mounted over %s", share->target);
	return result < 0 && result != -EXDEV ? fail_os(err, result, "cannot unmount %s", share->target) : 0;
}

int sharefs_unbind(int init_pidfd, const struct share *share, bool force, struct annex_error **err)
{
	auto_close int fs = open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fs < 0 || fstat(fs, &st) < 0)
		return fail_os(err, errno, "cannot look at the shares");
	if (setns(init_pidfd, CLONE_NEWNS) < 0)
		return fail_os(err, errno, "cannot enter the machine");
	if (take_away(share, st.st_dev, force, err) < 0)
		return -1;
	if (syncfs(fs) < 0)
		return fail_os(err, errno, "not all could be written to %s", share->target);
	return 0;
}
