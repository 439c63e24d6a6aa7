#include "kernel/filetree.h"

#include "base/digest.h"
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

static int list_folder(struct text_list *list, int dir, const char *path, unsigned depth, struct annex_error **err);

static int list_entry(struct text_list *list, int dir, const char *parent, const char *name, unsigned depth,
		      struct annex_error **err)
{
	auto_free char *path = *parent ? path_join(parent, name) : strdup(name);
	struct stat st;

	if (!path)
		return fail_memory(err);
	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_os(err, errno, "cannot read %s", path);
	if (S_ISDIR(st.st_mode))
		return list_folder(list, dir, path, depth + 1, err);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (list->count == FILETREE_FILES_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %u files", FILETREE_FILES_LIMIT);
	return text_list_add_owned(list, TAKE(path)) < 0 ? fail_memory(err) : 0;
}

static int list_folder(struct text_list *list, int dir, const char *path, unsigned depth, struct annex_error **err)
{
	CLEANUP(cleanup_folder) DIR *folder = NULL;
	auto_close int fd = -1;
	struct dirent *entry;

	if (depth > FILETREE_DEPTH_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: folders nested too deep", path);
	fd = openat(dir, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	folder = fd < 0 ? NULL : fdopendir(fd);
	if (!folder)
		return fail_os(err, errno, "cannot read %s", *path ? path : "the folder");
	fd = -EBADF; /* the stream's */
	while ((entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (list_entry(list, dir, path, entry->d_name, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int filetree_list(struct text_list *ret, int dir, struct annex_error **err)
{
	auto_text_list struct text_list list = {0};

	if (list_folder(&list, dir, "", 0, err) < 0)
		return -1;
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), compare);
	*ret = list;
	list = (struct text_list){0};
	return 0;
}

static int make_parents(int dir, const char *path)
{
	auto_free char *partial = strdup(path);

	if (!partial)
		return -ENOMEM;
	for (char *at = partial; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdirat(dir, partial, 0755) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

int filetree_create(int dir, const char *path)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, path, flags, 0644), result;

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	result = make_parents(dir, path);
	if (result < 0)
		return result;
	fd = openat(dir, path, flags, 0644);
	return fd < 0 ? -errno : fd;
}

static int copy_file(int to, int from, const char *path, struct annex_error **err)
{
	auto_close int in = openat(from, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out = -1;
	int result;

	if (in < 0)
		return fail_os(err, errno, "cannot read %s", path);
	out = filetree_create(to, path);
	if (out < 0)
		return fail_os(err, out, "cannot write %s", path);
	result = file_copy(out, in);
	return result < 0 ? fail_os(err, result, "cannot copy %s", path) : 0;
}

int filetree_copy(int to, int from, struct annex_error **err)
{
	auto_text_list struct text_list files = {0};

	if (filetree_list(&files, from, err) < 0)
		return -1;
	for (size_t i = 0; i < files.count; i++) {
		if (copy_file(to, from, files.items[i], err) < 0)
			return -1;
	}
	return 0;
}

int filetree_measure(char *ret_digest, uint64_t *ret_size, int dir, struct annex_error **err)
{
	auto_text_list struct text_list files = {0};
	auto_digest struct digest *digest = NULL;
	char one[DIGEST_TEXT];
	uint64_t size = 0;

	if (filetree_list(&files, dir, err) < 0)
		return -1;
	if (digest_new(&digest) < 0)
		return fail_memory(err);
	for (size_t i = 0; i < files.count; i++) {
		int result = digest_of_file(one, dir, files.items[i]);
		struct stat st;

		if (result < 0 || fstatat(dir, files.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail_os(err, result < 0 ? result : errno, "cannot read %s", files.items[i]);
		size += (uint64_t)st.st_blocks * 512;
		digest_add(digest, files.items[i], strlen(files.items[i]) + 1);
		digest_add(digest, one, sizeof(one));
	}
	digest_finish(digest, ret_digest);
	*ret_size = size;
	return 0;
}
