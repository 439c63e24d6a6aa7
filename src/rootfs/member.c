/*
 * Names in layers, by the OCI image specification: ".wh.NAME" hides NAME, ".wh..wh..opq" hides all that lower layers
 * put into the folder. Other names with the prefix ".wh..wh." are left-overs of AUFS. A folder cannot bear the prefix.
 */
#include "rootfs/member.h"

#include "base/text.h"
#include "rootfs/rootfs.h"

#include <stdio.h>
#include <string.h>

static const char whiteout[] = ".wh.", internal[] = ".wh..wh.", opaque[] = ".wh..wh..opq";

/* Append the components before `end` to `folder`; the last one is left in *ret_last. */
static int split(struct text *folder, char **ret_last, char *path, struct annex_error **err)
{
	char *last = NULL, *component;

	while ((component = strsep(&path, "/"))) {
		if (!*component || strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0)
			return fail(err, ANNEX_ERROR_CORRUPT, "the name climbs by \"..\"");
		if (strlen(component) > ROOTFS_NAME)
			return fail(err, ANNEX_ERROR_CORRUPT, "a name is longer than %d bytes", ROOTFS_NAME);
		if (last) {
			if (folder->size)
				text_add_char(folder, '/');
			text_add(folder, last);
		}
		last = component;
	}
	*ret_last = last;
	return 0;
}

/* Is there a component before the last that starts with the prefix? */
static bool has_folder(const char *folder, const char *prefix)
{
	for (const char *at = folder; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (text_starts(at, prefix))
			return true;
	}
	return false;
}

static int classify(enum member_kind *ret, const char **name, const char *folder, struct annex_error **err)
{
	const char *hidden = *name;

	if (has_folder(folder, internal)) {
		*ret = MEMBER_IGNORED;
		*name = NULL;
		return 0;
	}
	if (has_folder(folder, whiteout))
		return fail(err, ANNEX_ERROR_CORRUPT, "a whiteout is used as a folder");
	if (!text_starts(hidden, whiteout)) {
		*ret = MEMBER_ENTRY;
		return 0;
	}
	if (text_starts(hidden, internal)) {
		*ret = strcmp(hidden, opaque) == 0 ? MEMBER_OPAQUE : MEMBER_IGNORED;
		*name = NULL;
		return 0;
	}
	hidden += strlen(whiteout);
	if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "a whiteout without a name");
	*ret = MEMBER_WHITEOUT;
	*name = hidden;
	return 0;
}

int member_parse(struct member *ret, const char *path, struct annex_error **err)
{
	auto_member struct member member = {.kind = MEMBER_ROOT};
	auto_text struct text folder = {0};
	auto_free char *copy = NULL;
	char *last = NULL;
	const char *name;

	if (strlen(path) >= ROOTFS_PATH)
		return fail(err, ANNEX_ERROR_CORRUPT, "a path is longer than %d bytes", ROOTFS_PATH - 1);
	copy = strdup(path);
	if (!copy)
		return fail_memory(err);
	if (split(&folder, &last, copy, err) < 0)
		return -1;
	member.folder = text_take(&folder);
	if (!member.folder)
		return fail_memory(err);
	name = last;
	if (last && classify(&member.kind, &name, member.folder, err) < 0)
		return -1;
	if (name && !(member.name = strdup(name)))
		return fail_memory(err);
	*ret = member;
	member = (struct member){0};
	return 0;
}

const char *member_path(char *buffer, const struct member *member)
{
	const char *name = member->name ? member->name : "";

	snprintf(buffer, ROOTFS_PATH, "%s%s%s", member->folder, *member->folder && *name ? "/" : "", name);
	return buffer;
}

void member_clear(struct member *member)
{
	free(member->folder);
	free(member->name);
	*member = (struct member){0};
}
