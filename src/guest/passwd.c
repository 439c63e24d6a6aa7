#include "guest/passwd.h"

#include <string.h>

enum { FIELDS_MAX = 9 };

/* One line, as a copy that is cut into fields. */
struct line {
	char *copy;
	char *fields[FIELDS_MAX];
	size_t count;
};

static void line_clear(struct line *line)
{
	free(line->copy);
	*line = (struct line){0};
}

/* Cut the line at *at and move on; false at the end or when memory ran out (*ret_broken). */
static bool line_next(struct line *line, const char **at, bool *ret_broken)
{
	size_t length = strcspn(*at, "\n");
	char *rest, *field;

	line_clear(line);
	if (!**at)
		return false;
	line->copy = strndup(*at, length);
	*ret_broken = !line->copy;
	if (!line->copy)
		return false;
	*at += length + ((*at)[length] == '\n');
	rest = line->copy;
	while (line->count < FIELDS_MAX && (field = strsep(&rest, ":")))
		line->fields[line->count++] = field;
	return true;
}

void passwd_user_clear(struct passwd_user *user)
{
	free(user->name);
	free(user->home);
	free(user->shell);
	*user = (struct passwd_user){0};
}

/* A passwd line's numbers; false when it is not one. */
static bool read_ids(uint32_t *ret_uid, uint32_t *ret_gid, const struct line *line)
{
	return line->count == 7 && line->fields[0][0] && line->fields[0][0] != '#' &&
	       text_to_u32(ret_uid, line->fields[2], 10) == 0 && text_to_u32(ret_gid, line->fields[3], 10) == 0;
}

static int find_user(struct passwd_user *ret, const char *passwd, const char *name, uint32_t wanted)
{
	CLEANUP(line_clear) struct line line = {0};
	uint32_t uid = 0, gid = 0;
	bool broken = false;

	while (line_next(&line, &passwd, &broken)) {
		auto_passwd_user struct passwd_user user = {0};

		if (!read_ids(&uid, &gid, &line) || (name ? strcmp(line.fields[0], name) != 0 : uid != wanted))
			continue;
		user = (struct passwd_user){.name = strdup(line.fields[0]),
					    .uid = uid,
					    .gid = gid,
					    .home = strdup(line.fields[5]),
					    .shell = strdup(line.fields[6])};
		if (!user.name || !user.home || !user.shell)
			return -ENOMEM;
		*ret = user;
		user = (struct passwd_user){0};
		return 0;
	}
	return broken ? -ENOMEM : -ENOENT;
}

int passwd_by_name(struct passwd_user *ret, const char *passwd, const char *name)
{
	return find_user(ret, passwd, name, 0);
}

int passwd_by_uid(struct passwd_user *ret, const char *passwd, uint32_t uid)
{
	return find_user(ret, passwd, NULL, uid);
}

void passwd_set_home(struct text *out, const char *passwd, const char *name, const char *home)
{
	CLEANUP(line_clear) struct line line = {0};
	const char *at = passwd;
	bool broken = false;

	while (line_next(&line, &at, &broken)) {
		uint32_t uid = 0, gid = 0;
		const char *gecos = line.fields[4];

		if (read_ids(&uid, &gid, &line) && strcmp(line.fields[0], name) == 0)
			text_printf(out, "%s:%s:%u:%u:%s:%s:%s\n", name, line.fields[1], uid, gid, gecos, home,
				    line.fields[6]);
		else
			text_add_bytes(out, passwd, (size_t)(at - passwd));
		passwd = at;
	}
	out->broken |= broken;
}

static bool read_group(uint32_t *ret_gid, const struct line *line)
{
	return line->count >= 3 && line->fields[0][0] && text_to_u32(ret_gid, line->fields[2], 10) == 0;
}

bool passwd_group_by_name(uint32_t *ret_gid, const char *group, const char *name)
{
	CLEANUP(line_clear) struct line line = {0};
	bool broken = false;
	uint32_t gid = 0;

	while (line_next(&line, &group, &broken)) {
		if (read_group(&gid, &line) && strcmp(line.fields[0], name) == 0) {
			*ret_gid = gid;
			return true;
		}
	}
	return false;
}

bool passwd_group_has_gid(const char *group, uint32_t gid)
{
	CLEANUP(line_clear) struct line line = {0};
	bool broken = false;
	uint32_t each = 0;

	while (line_next(&line, &group, &broken)) {
		if (read_group(&each, &line) && each == gid)
			return true;
	}
	return false;
}

static bool lists(char *members, const char *user)
{
	char *member;

	while ((member = strsep(&members, ","))) {
		if (strcmp(member, user) == 0)
			return true;
	}
	return false;
}

size_t passwd_groups_of(uint32_t *ret, size_t limit, const char *group, const char *user, uint32_t gid)
{
	CLEANUP(line_clear) struct line line = {0};
	bool broken = false;
	size_t count = 0;
	uint32_t each = 0;

	if (limit == 0)
		return 0;
	ret[count++] = gid;
	while (count < limit && line_next(&line, &group, &broken)) {
		bool known = false;

		if (line.count < 4 || !read_group(&each, &line) || !lists(line.fields[3], user))
			continue;
		for (size_t i = 0; i < count; i++)
			known |= ret[i] == each;
		if (!known)
			ret[count++] = each;
	}
	return count;
}

bool passwd_is_field(const char *text)
{
	for (const char *at = text; *at; at++) {
		if (*at == ':' || (unsigned char)*at < ' ')
			return false;
	}
	return true;
}

bool passwd_has_name(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		if (strncmp(text, name, length) == 0 && text[length] == ':')
			return true;
	}
	return false;
}

void passwd_append(struct text *text, const char *line)
{
	if (text->size > 0 && text->data[text->size - 1] != '\n')
		text_add_char(text, '\n');
	text_add(text, line);
	text_add_char(text, '\n');
}

static int resolve_user(struct passwd_user *ret, const char *name, const char *passwd, struct annex_error **err)
{
	uint32_t uid = 0;
	bool number = text_to_u32(&uid, name, 10) == 0 && uid != UINT32_MAX;
	int result = passwd_by_name(ret, passwd, name);

	if (result == -ENOENT && number)
		result = passwd_by_uid(ret, passwd, uid);
	if (result == -ENOENT && number) {
		*ret = (struct passwd_user){.name = strdup(name), .uid = uid, .home = strdup("/"), .shell = strdup("")};
		result = ret->name && ret->home && ret->shell ? 0 : -ENOMEM;
	}
	if (result == -ENOENT)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no user %s in the machine", name);
	return result < 0 ? fail_memory(err) : 0;
}

static int resolve_group(uint32_t *ret, const char *name, const char *group, struct annex_error **err)
{
	if (passwd_group_by_name(ret, group, name) || (text_to_u32(ret, name, 10) == 0 && *ret != UINT32_MAX))
		return 0;
	return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no group %s in the machine", name);
}

int passwd_resolve(struct passwd_identity *ret, const char *spec, const char *passwd, const char *group,
		   struct annex_error **err)
{
	auto_passwd_user struct passwd_user user = {0};
	const char *colon = strchr(spec, ':');
	auto_free char *name = colon ? strndup(spec, (size_t)(colon - spec)) : strdup(spec);

	if (!name)
		return fail_memory(err);
	if (!*name || (colon && !colon[1]))
		return fail(err, ANNEX_ERROR_USAGE, "\"%s\" is not USER or USER:GROUP", spec);
	if (resolve_user(&user, name, passwd, err) < 0 ||
	    (colon && resolve_group(&user.gid, colon + 1, group, err) < 0))
		return -1;
	if (colon) {
		ret->groups[0] = user.gid;
		ret->group_count = 1;
	} else {
		ret->group_count = passwd_groups_of(ret->groups, PASSWD_GROUPS_MAX, group, user.name, user.gid);
	}
	ret->user = user;
	user = (struct passwd_user){0};
	return 0;
}
