/*
 * A temporary folder is named after its process and the time that process started, so that a recycled pid is not taken
 * for the owner. The owner also holds a lock on the folder: two containers that share the store can't see each other's
 * processes, but they see each other's locks.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

int store_each_name(int dir, int (*fn)(const char *name, void *data), void *data)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	struct dirent *entry;
	DIR *folder;

	if (fd < 0)
		return -errno;
	folder = fdopendir(fd);
	if (!folder) {
		result = -errno;
		close(fd);
		return result;
	}
	while (result == 0 && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = fn(entry->d_name, data);
	}
	closedir(folder);
	return result;
}

/* "PID-START-…" */
static bool owner_lives(const char *name)
{
	auto_free char *copy = strdup(name);
	char *start = copy ? strchr(copy, '-') : NULL, *end = start ? strchr(start + 1, '-') : NULL;
	uint64_t pid, when;

	if (!copy)
		return true;
	if (!end)
		return false;
	*start = *end = '\0';
	if (text_to_u64(&pid, copy, 10) < 0 || text_to_u64(&when, start + 1, 10) < 0 || pid > INT32_MAX)
		return false;
	return spawn_start_time((pid_t)pid) == when;
}

static int sweep_one(const char *name, void *data)
{
	int dir = *(int *)data;
	auto_close int fd = -EBADF;

	if (owner_lives(name))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (file_remove_tree(dir, name) < 0)
		log_debug("cannot remove %s; the next who opens the store tries again", name);
	return 0;
}

static int open_folder(int *ret, const struct store *store, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(store->path, name);
	int result;

	if (!path)
		return fail_memory(err);
	result = file_make_folders(path, 0700);
	if (result < 0)
		return fail_os(err, result, "cannot make folder %s", path);
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? fail_os(err, errno, "cannot open folder %s", path) : 0;
}

int store_open(struct store **ret, const char *path, struct annex_error **err)
{
	auto_store struct store *store = calloc(1, sizeof(*store));
	auto_close int tmp = -EBADF;

	if (!store)
		return fail_memory(err);
	store->dir = store->records = store->blobs = store->bases = store->temporary_lock = -EBADF;
	store->path = strdup(path);
	if (!store->path)
		return fail_memory(err);
	if (open_folder(&store->dir, store, "", err) < 0 || open_folder(&store->records, store, "records", err) < 0 ||
	    open_folder(&store->blobs, store, "blobs/sha256", err) < 0 ||
	    open_folder(&store->bases, store, "bases", err) < 0 || open_folder(&tmp, store, "tmp", err) < 0)
		return -1;
	if (store_each_name(tmp, sweep_one, &tmp) < 0)
		return fail_os(err, errno, "cannot read %s/tmp", path);
	*ret = TAKE(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	if (store->temporary && file_remove_tree(AT_FDCWD, store->temporary) < 0)
		log_debug("cannot remove %s; the next who opens the store tries again", store->temporary);
	cleanup_close(&store->temporary_lock);
	cleanup_close(&store->dir);
	cleanup_close(&store->records);
	cleanup_close(&store->blobs);
	cleanup_close(&store->bases);
	free(store->temporary);
	free(store->path);
	free(store);
}

int store_temporary_folder(const char **ret, struct store *store, struct annex_error **err)
{
	auto_free char *path = NULL;

	if (store->temporary) {
		*ret = store->temporary;
		return 0;
	}
	if (asprintf(&path, "%s/tmp/%d-%llu-XXXXXX", store->path, (int)getpid(), spawn_start_time(getpid())) < 0) {
		path = NULL;
		return fail_memory(err);
	}
	if (!mkdtemp(path))
		return fail_os(err, errno, "cannot make a folder in %s/tmp", store->path);
	store->temporary = TAKE(path);
	store->temporary_lock = open(store->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->temporary_lock < 0 || flock(store->temporary_lock, LOCK_EX | LOCK_NB) < 0)
		return fail_os(err, errno, "cannot lock %s", store->temporary);
	*ret = store->temporary;
	return 0;
}

int store_lock(int *ret_fd, struct store *store, struct annex_error **err)
{
	int fd = file_lock(store->dir, "lock", LOCK_EX);

	if (fd < 0)
		return fail_os(err, fd, "cannot lock %s", store->path);
	*ret_fd = fd;
	return 0;
}
