/*
 * A base appears by rename, after it was synced: one that is there is complete. Its lock is a file of its own, which
 * stays for good, since a lock that can be removed can be held by two. Waiting for it goes in short steps, because
 * flock() can't be given up in between: the wait for another process that unpacks a large image must be cancellable.
 */
#include "store/base.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { WAIT_STEP_MS = 50 };

void base_file_name(char ret[BASE_FILE_NAME], const char *key, const char *ending)
{
	snprintf(ret, BASE_FILE_NAME, "%.64s%s", key, ending);
}

void base_key(char ret[BASE_KEY_TEXT], const char *const *diff_ids, size_t count)
{
	auto_text struct text text = {0};
	char digest[DIGEST_TEXT];

	text_printf(&text, "annex base %u\n", BASE_FORMAT);
	for (size_t i = 0; i < count; i++)
		text_printf(&text, "%s\n", diff_ids[i]);
	digest_of(digest, text.data, text.size);
	snprintf(ret, BASE_KEY_TEXT, "%s", digest_hex(digest));
}

bool base_key_of_file(char ret[BASE_KEY_TEXT], const char *name, const char *ending)
{
	if (strspn(name, "0123456789abcdef") != 64 || strcmp(name + 64, ending) != 0)
		return false;
	snprintf(ret, BASE_KEY_TEXT, "%.64s", name);
	return true;
}

char *base_path(const struct store *store, const char *key)
{
	char *path;

	return asprintf(&path, "%s/bases/%s%s", store->path, key, BASE_DISK) < 0 ? NULL : path;
}

static int find(struct stat *st, const struct store *store, const char *key)
{
	char name[BASE_FILE_NAME];

	base_file_name(name, key, BASE_DISK);
	return fstatat(store->bases, name, st, AT_SYMLINK_NOFOLLOW);
}

bool base_exists(const struct store *store, const char *key)
{
	struct stat st;

	return find(&st, store, key) == 0 && S_ISREG(st.st_mode);
}

uint64_t base_size(const struct store *store, const char *key)
{
	char layers[BASE_FILE_NAME];
	struct stat st;

	if (find(&st, store, key) < 0)
		return 0;
	base_file_name(layers, key, BASE_LAYERS);
	return (uint64_t)st.st_blocks * 512 + file_tree_size(store->bases, layers);
}

static int wait_for(int fd, int operation, base_wait_fn *waiting, void *data, struct annex_error **err)
{
	while (flock(fd, operation | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail_os(err, errno, "cannot lock a base disk");
		if (waiting && waiting(data) != 0)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		poll(NULL, 0, WAIT_STEP_MS);
	}
	return 0;
}

static int hold(int *ret_fd, struct store *store, const char *key, int operation, base_wait_fn *waiting, void *data,
		struct annex_error **err)
{
	auto_close int fd = -EBADF;
	char name[BASE_FILE_NAME];

	base_file_name(name, key, ".lock");
	fd = openat(store->bases, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_os(err, errno, "cannot open %s/bases/%s", store->path, name);
	if (wait_for(fd, operation, waiting, data, err) < 0)
		return -1;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int base_hold(int *ret_fd, struct store *store, const char *key, base_wait_fn *waiting, void *data,
	      struct annex_error **err)
{
	return hold(ret_fd, store, key, LOCK_SH, waiting, data, err);
}

int base_hold_alone(int *ret_fd, struct store *store, const char *key, base_wait_fn *waiting, void *data,
		    struct annex_error **err)
{
	return hold(ret_fd, store, key, LOCK_EX, waiting, data, err);
}

static int try_hold(int *ret_fd, struct store *store, const char *key, int operation)
{
	char name[BASE_FILE_NAME];
	int fd;

	base_file_name(name, key, ".lock");
	fd = file_lock(store->bases, name, operation | LOCK_NB);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int base_try_hold_alone(int *ret_fd, struct store *store, const char *key)
{
	return try_hold(ret_fd, store, key, LOCK_EX);
}

int base_try_hold(int *ret_fd, struct store *store, const char *key)
{
	return try_hold(ret_fd, store, key, LOCK_SH);
}

/* The disk first: indexes without one are garbage to everybody, a disk without indexes is not. */
int base_remove(struct store *store, const char *key)
{
	static const char *const endings[] = {BASE_DISK, BASE_DRAFT, BASE_LAYERS};
	char name[BASE_FILE_NAME];
	int result = 0;

	for (size_t i = 0; result == 0 && i < COUNT_OF(endings); i++) {
		base_file_name(name, key, endings[i]);
		result = file_remove_tree(store->bases, name);
	}
	return result;
}
