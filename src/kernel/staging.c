#include "kernel/staging.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "kernel/depmod.h"
#include "kernel/kmod.h"
#include "kernel/vmlinux.h"
#include "kernel/filetree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TEMPORARY ".tmp-"

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

/* With the lock held. What can't be removed is left for the next time. */
static void remove_leftovers(const char *root)
{
	CLEANUP(cleanup_folder) DIR *folder = opendir(root);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (text_starts(entry->d_name, TEMPORARY) && file_remove_tree(dirfd(folder), entry->d_name) < 0)
			continue;
	}
}

int staging_begin(struct staging *ret, const char *root, struct annex_error **err)
{
	auto_staging struct staging staging = STAGING_NONE;
	auto_free char *lock = path_join(root, "lock");
	int result = file_make_folders(root, 0755);

	if (result < 0)
		return fail_os(err, result, "cannot make the folder %s", root);
	staging.root = strdup(root);
	if (!lock || !staging.root)
		return fail_memory(err);
	staging.lock = file_lock(AT_FDCWD, lock, LOCK_EX);
	if (staging.lock < 0)
		return fail_os(err, staging.lock, "cannot lock %s", lock);
	remove_leftovers(root);
	if (asprintf(&staging.path, "%s/" TEMPORARY "%d", root, (int)getpid()) < 0) {
		staging.path = NULL;
		return fail_memory(err);
	}
	if (mkdir(staging.path, 0755) < 0)
		return fail_os(err, errno, "cannot make the folder %s", staging.path);
	staging.dir = open(staging.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (staging.dir < 0)
		return fail_os(err, errno, "cannot open %s", staging.path);
	*ret = staging;
	staging = (struct staging)STAGING_NONE;
	return 0;
}

void staging_clear(struct staging *staging)
{
	cleanup_close(&staging->dir);
	if (staging->path && file_remove_tree(AT_FDCWD, staging->path) < 0)
		remove_leftovers(staging->root);
	cleanup_close(&staging->lock); /* last: the lock covers what was removed */
	kernel_record_clear(&staging->record);
	free(staging->root);
	free(staging->path);
	*staging = (struct staging)STAGING_NONE;
}

static int write_file(struct staging *staging, const char *name, const void *bytes, size_t size,
		      struct annex_error **err)
{
	auto_close int fd = filetree_create(staging->dir, name);
	int result = fd < 0 ? fd : file_write_all(fd, bytes, size);

	return result < 0 ? fail_os(err, result, "cannot write %s/%s", staging->path, name) : 0;
}

int staging_add_image(struct staging *staging, const void *bytes, size_t size, struct annex_error **err)
{
	auto_vmlinux struct vmlinux image = {0};
	struct kernel_record *record = &staging->record;
	bool boxed;

	if (vmlinux_parse(&image, bytes, size, vmlinux_host_machine(), err) < 0)
		return -1;
	boxed = image.boxed && !image.pvh;
	if (write_file(staging, "vmlinux", image.plain ? image.plain : bytes, image.plain ? image.plain_size : size,
		       err) < 0)
		return -1;
	if (boxed && write_file(staging, "vmlinuz", bytes, size, err) < 0)
		return -1;
	record->pvh = image.pvh;
	record->virtio = image.virtio;
	record->release = strdup(image.release);
	record->image = strdup(boxed ? "vmlinuz" : "vmlinux");
	return record->release && record->image ? 0 : fail_memory(err);
}

/* "lib/modules/RELEASE" below the staged folder, or with `absolute` its whole path. */
static char *modules_path(const struct staging *staging, bool absolute)
{
	char *path;

	return asprintf(&path, "%s%slib/modules/%s", absolute ? staging->path : "", absolute ? "/" : "",
			staging->record.release) < 0
		       ? NULL
		       : path;
}

int staging_copy_modules(struct staging *staging, const char *from, struct annex_error **err)
{
	auto_close int source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1;
	auto_free char *path = modules_path(staging, true);
	int result;

	if (!path)
		return fail_memory(err);
	if (source < 0 && (errno == ENOENT || errno == ENOTDIR))
		return fail(err, errno == ENOENT ? ANNEX_ERROR_NOT_FOUND : ANNEX_ERROR_USAGE, "%s: %s", from,
			    errno == ENOENT ? "there is no such folder" : "it is not a folder");
	if (source < 0)
		return fail_os(err, errno, "cannot read %s", from);
	if (!file_exists(source, "modules.order") && !file_exists(source, "modules.builtin"))
		return fail(err, ANNEX_ERROR_USAGE, "%s: it holds no modules (lib/modules/RELEASE is meant)", from);
	result = file_make_folders(path, 0755);
	to = result < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return fail_os(err, result < 0 ? result : errno, "cannot make the folder %s", path);
	return filetree_copy(to, source, err) < 0 ? fail_while(err, "%s", from) : 0;
}

/* Boot needs the texts; without the binary indexes the kernel is one that machines can be used with, too. */
static int complete_modules(struct staging *staging, struct annex_error **err)
{
	auto_error struct annex_error *not_indexed = NULL;
	auto_free char *path = modules_path(staging, true), *dep = path ? path_join(path, "modules.dep") : NULL;

	if (!dep)
		return fail_memory(err);
	if (!file_exists(AT_FDCWD, path))
		return 0;
	if (depmod_check_release(path, staging->record.release, err) < 0)
		return -1;
	if (!file_exists(AT_FDCWD, dep) && depmod_write(path, err) < 0)
		return -1;
	if (!kmod_is_indexed(path) && kmod_index(path, staging->record.release, &not_indexed) < 0)
		log_debug("%s", annex_error_message(not_indexed));
	return 0;
}

/* Is the kernel that has the name already this one? */
static bool is_same(const struct staging *staging, const char *path)
{
	auto_kernel_record struct kernel_record there = {0};

	return kernel_record_read(&there, path, NULL) == 0 && text_equal(there.content, staging->record.content) &&
	       text_equal(there.modules, staging->record.modules);
}

/* Exchanging leaves no moment without the kernel; where the file system can't, it is moved out of the way first. */
static int replace(const struct staging *staging, const char *path)
{
	auto_free char *old = NULL;

	if (renameat2(AT_FDCWD, staging->path, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST && renameat2(AT_FDCWD, staging->path, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
		return 0;
	if (rename(staging->path, path) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (asprintf(&old, "%s-old", staging->path) < 0) {
		old = NULL;
		return -ENOMEM;
	}
	if (rename(path, old) < 0 || rename(staging->path, path) < 0)
		return -errno;
	return file_remove_tree(AT_FDCWD, old);
}

int staging_publish(struct staging *staging, const char *name, struct annex_error **err)
{
	struct kernel_record *record = &staging->record;
	auto_free char *path = path_join(staging->root, name);
	char content[DIGEST_TEXT];
	int result;

	if (!path)
		return fail_memory(err);
	if (complete_modules(staging, err) < 0 || filetree_measure(content, &record->size, staging->dir, err) < 0)
		return -1;
	record->version = KERNEL_RECORD_VERSION;
	record->installed = time_realtime_ns() / 1000000000;
	record->content = strdup(content);
	if (!record->content)
		return fail_memory(err);
	if (is_same(staging, path))
		return 0;
	if (kernel_record_write(record, staging->dir, err) < 0)
		return -1;
	if (syncfs(staging->dir) < 0)
		return fail_os(err, errno, "cannot write %s", staging->path);
	result = replace(staging, path);
	if (result == 0)
		result = file_sync_folder(AT_FDCWD, staging->root);
	return result < 0 ? fail_os(err, result, "cannot make %s", path) : 0;
}

int staging_read_file(char **ret, size_t *ret_size, const char *path, struct annex_error **err)
{
	struct stat st;
	int result;

	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? fail(err, ANNEX_ERROR_NOT_FOUND, "%s: there is no such file", path)
			       : fail_os(err, errno, "cannot read %s", path);
	if (S_ISDIR(st.st_mode))
		return fail(err, ANNEX_ERROR_USAGE, "%s: it is a folder, not a kernel", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > VMLINUX_FILE_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "%s: it is not a Linux kernel", path);
	result = file_read(ret, ret_size, AT_FDCWD, path, VMLINUX_FILE_LIMIT);
	if (result == -EACCES) {
		fail_os(err, result, "cannot read %s", path);
		return fail_hint(err,
				 "some distributions keep kernels readable by root only: sudo install -m 644 %s COPY",
				 path);
	}
	return result < 0 ? fail_os(err, result, "cannot read %s", path) : 0;
}
