#include "guest/share.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static int take_flags(struct share *share, const char *flags, size_t count)
{
	bool is_folder = false;

	for (size_t i = 0; i < count; i++) {
		switch (flags[i]) {
		case 'd':
			is_folder = true;
			break;
		case 'f':
			share->is_file = true;
			break;
		case 'r':
			share->read_only = true;
			break;
		case 'h':
			share->is_home = true;
			break;
		default:
			return -EINVAL;
		}
	}
	return is_folder != share->is_file ? 0 : -EINVAL;
}

static bool is_name(const char *name, size_t size)
{
	return size > 0 && size <= SHARE_NAME_MAX && name[0] != '.' && !memchr(name, '/', size);
}

/* More than the root, and nothing in it that leads back. */
static bool is_target(const char *path)
{
	bool deep = false;

	if (path[0] != '/' || strlen(path) > SHARE_TARGET_MAX || strchr(path, '\n'))
		return false;
	for (size_t size; *path; path += size) {
		path += strspn(path, "/");
		size = strcspn(path, "/");
		if (strncmp(path, "..", size) == 0 && size > 0 && size <= 2)
			return false;
		deep |= size > 0;
	}
	return deep;
}

int share_parse(struct share *ret, const char *text, struct annex_error **err)
{
	size_t name = strcspn(text, " ");
	const char *flags = text + name + (text[name] == ' ');
	size_t count = strcspn(flags, " ");
	const char *target = flags + count + (flags[count] == ' ');
	auto_share struct share share = {0};

	if (!is_name(text, name) || take_flags(&share, flags, count) < 0 || !is_target(target))
		return fail(err, ANNEX_ERROR_GUEST, "malformed share \"%.200s\"", text);
	share.name = strndup(text, name);
	share.target = strdup(target);
	if (!share.name || !share.target)
		return fail_memory(err);
	*ret = share;
	share = (struct share){0};
	return 0;
}

void share_clear(struct share *share)
{
	free(share->name);
	free(share->target);
	*share = (struct share){0};
}

bool share_is_modules(const struct share *share)
{
	struct utsname system;
	char path[sizeof("/lib/modules/") + sizeof(system.release)];

	if (uname(&system) < 0)
		return false;
	snprintf(path, sizeof(path), "/lib/modules/%s", system.release);
	return strcmp(share->target, path) == 0;
}

bool share_has_home(const char *const *texts)
{
	for (; texts && *texts; texts++) {
		auto_share struct share share = {0};

		if (share_parse(&share, *texts, NULL) == 0 && share.is_home)
			return true;
	}
	return false;
}
