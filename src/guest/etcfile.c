#include "guest/etcfile.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 8 };

int etcfile_read(struct text *ret, bool *ret_there, const char *path, size_t limit, struct annex_error **err)
{
	char *bytes = NULL;
	size_t size = 0;
	int result = file_read_regular(&bytes, &size, AT_FDCWD, path, limit);

	if (result == -EINVAL)
		return fail(err, ANNEX_ERROR_GUEST, "%s of the image is not a file", path);
	if (ret_there)
		*ret_there = result == 0;
	if (result == -EFBIG)
		return fail(err, ANNEX_ERROR_GUEST, "%s of the image is larger than %zu bytes", path, limit);
	if (result < 0 && result != -ENOENT)
		return fail_os(err, result, "cannot read %s of the image", path);
	text_clear(ret);
	*ret = (struct text){.data = bytes, .size = size, .capacity = bytes ? size + 1 : 0};
	return 0;
}

/* What a link means, from where it stands. */
static char *link_target(const char *path)
{
	char target[4096], *made;
	ssize_t size = readlink(path, target, sizeof(target) - 1);

	if (size <= 0)
		return NULL;
	target[size] = '\0';
	if (*target == '/')
		return strdup(target);
	return asprintf(&made, "%.*s/%s", (int)(path_name(path) - path), path, target) < 0 ? NULL : made;
}

/* Where a file is, or would be. */
static int follow(char **ret, const char *path)
{
	auto_free char *at = strdup(path);
	struct stat st;

	for (int i = 0; i <= LINKS_MAX; i++) {
		char *next;

		if (!at)
			return -ENOMEM;
		if (lstat(at, &st) < 0 || !S_ISLNK(st.st_mode)) {
			*ret = TAKE(at);
			return 0;
		}
		next = link_target(at);
		free(at);
		at = next;
	}
	return -ELOOP;
}

int etcfile_write(const char *path, const struct text *text, mode_t mode, struct annex_error **err)
{
	auto_free char *place = NULL;
	int result = text_ok(text) ? follow(&place, path) : -ENOMEM;

	if (result == 0)
		result = etcfile_make_parents(place);
	if (result == 0)
		result = file_replace(AT_FDCWD, place, text->data, text->size, mode);
	if (result == 0)
		return 0;
	fail_os(err, result, "cannot write %s of the image", path);
	return result == -ENOSPC ? fail_hint(err, "annex set disk=SIZE gives the machine a larger disk") : -1;
}

static int make_folders(const char *path, mode_t mode, unsigned links);

static int make_one(const char *path, mode_t mode, unsigned links)
{
	auto_free char *target = NULL;
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (errno != ENOENT || links >= LINKS_MAX)
		return -errno;
	target = link_target(path);
	return target ? make_folders(target, mode, links + 1) : -ENOENT;
}

static int make_folders(const char *path, mode_t mode, unsigned links)
{
	auto_free char *partial = strdup(path);
	int result = 0;

	if (!partial)
		return -ENOMEM;
	for (char *at = partial + 1; *partial && *at && result == 0; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		result = make_one(partial, 0755, links);
		*at = '/';
	}
	return result == 0 && *path ? make_one(path, mode, links) : result;
}

int etcfile_make_folders(const char *path, mode_t mode)
{
	return make_folders(path, mode, 0);
}

int etcfile_make_parents(const char *path)
{
	const char *name = path_name(path);
	auto_free char *parent = strndup(path, (size_t)(name - path));

	if (!parent)
		return -ENOMEM;
	while (text_ends(parent, "/"))
		parent[strlen(parent) - 1] = '\0';
	return *parent ? etcfile_make_folders(parent, 0755) : 0;
}
