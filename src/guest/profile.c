/*
 * Distributions set PATH anew in /etc/profile, where an image's ENV is forgotten: /usr/local/go/bin and the like would
 * be missing in login shells. Folders that stand before the standard ones in the image's PATH go to the front, in
 * their order, others to the end.
 */
#include "guest/profile.h"

#include "base/file.h"
#include "guest/etcfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/etc/profile.d"
#define NAME   FOLDER "/annex.sh"

static const char *const standard[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",        "/usr/bin",
				       "/sbin",           "/bin",           "/usr/local/games", "/usr/games"};

static bool is_standard(const char *folder)
{
	for (size_t i = 0; i < COUNT_OF(standard); i++) {
		if (text_equal(standard[i], folder))
			return true;
	}
	return false;
}

static bool counts(const char *folder)
{
	return folder[0] == '/' && !strchr(folder, '\n') && !is_standard(folder);
}

static void add_quoted(struct text *out, const char *folder)
{
	text_add_char(out, '\'');
	for (; *folder; folder++) {
		if (*folder == '\'')
			text_add(out, "'\\''");
		else
			text_add_char(out, *folder);
	}
	text_add_char(out, '\'');
}

static void add_folder(struct text *out, const char *folder, bool front)
{
	auto_text struct text quoted = {0};
	const char *path = "\"$PATH\"";

	add_quoted(&quoted, folder);
	out->broken |= !text_ok(&quoted);
	if (!out->broken)
		text_printf(out, "case \":$PATH:\" in *:%s:*) ;; *) PATH=%s:%s ;; esac\n", quoted.data,
			    front ? quoted.data : path, front ? path : quoted.data);
}

static int split(struct text_list *ret, const char *path)
{
	auto_free char *copy = strdup(path);
	char *at = copy, *folder;

	if (!copy)
		return -ENOMEM;
	while ((folder = strsep(&at, ":"))) {
		if (text_list_add(ret, folder) < 0)
			return -ENOMEM;
	}
	return 0;
}

void profile_make(struct text *out, const char *path)
{
	auto_text_list struct text_list folders = {0};
	size_t first = 0;
	bool any = false;

	if (split(&folders, path) < 0) {
		out->broken = true;
		return;
	}
	while (first < folders.count && !is_standard(folders.items[first]))
		first++;
	for (size_t i = 0; i < folders.count; i++)
		any |= counts(folders.items[i]);
	if (!any)
		return;
	text_add(out, ETCFILE_OURS "# Folders of the image's PATH that /etc/profile doesn't know.\n");
	/* The front is filled from its last folder on. */
	for (size_t i = first; i > 0; i--) {
		if (counts(folders.items[i - 1]))
			add_folder(out, folders.items[i - 1], true);
	}
	for (size_t i = first; i < folders.count; i++) {
		if (counts(folders.items[i]))
			add_folder(out, folders.items[i], false);
	}
	text_add(out, "export PATH\n");
}

int profile_write(const char *root, const char *path, struct annex_error **err)
{
	auto_text struct text made = {0};
	auto_free char *now = NULL;
	char name[PATH_MAX];
	int result;

	if (path)
		profile_make(&made, path);
	if (!text_ok(&made))
		return fail_memory(err);
	snprintf(name, sizeof(name), "%s" FOLDER, root);
	if (!file_exists(AT_FDCWD, name))
		return 0;
	snprintf(name, sizeof(name), "%s" NAME, root);
	result = file_read_regular(&now, NULL, AT_FDCWD, name, PROFILE_FILE_MAX);
	if (result < 0 && result != -ENOENT)
		return fail_os(err, result, "cannot read " NAME);
	if (text_equal(now ? now : "", made.size ? made.data : "") || (now && !text_starts(now, ETCFILE_OURS)))
		return 0;
	if (made.size > 0)
		result = file_write_atomic(AT_FDCWD, name, made.data, made.size, 0644);
	else
		result = unlink(name) < 0 ? -errno : 0;
	return result < 0 ? fail_os(err, result, "cannot write " NAME) : 0;
}
