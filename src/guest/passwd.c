#include "guest/passwd.h"

#include "guest/account.h"
#include "guest/etcfile.h"
#include "guest/userdb.h"

#include <string.h>

/* Stands for a NUL byte: a line with one is malformed, and no reason to miss those behind it. */
enum { DAMAGED = 0x7f };

/* The text as one of the tables; nothing of it is freed. */
static void view(struct userdb *ret, enum userdb_file file, const char *text)
{
	*ret = (struct userdb){0};
	ret->tables[file].text = (struct text){.data = (char *)text, .size = strlen(text)};
}

void passwd_user_clear(struct passwd_user *user)
{
	free(user->name);
	free(user->home);
	free(user->shell);
	*user = (struct passwd_user){0};
}

static int take_user(struct passwd_user *ret, const struct entry *entry)
{
	auto_passwd_user struct passwd_user user = {.name = entry_copy(entry, PASSWD_NAME),
						    .home = entry_copy(entry, PASSWD_HOME),
						    .shell = entry_copy(entry, PASSWD_SHELL)};

	if (!entry_number(&user.uid, entry, PASSWD_UID) || !entry_number(&user.gid, entry, PASSWD_GID))
		return -ENOENT;
	if (!user.name || !user.home || !user.shell)
		return -ENOMEM;
	*ret = user;
	user = (struct passwd_user){0};
	return 0;
}

int passwd_by_name(struct passwd_user *ret, const char *passwd, const char *name)
{
	struct userdb db;
	struct entry entry;

	view(&db, USERDB_PASSWD, passwd);
	return userdb_find(&entry, &db, USERDB_PASSWD, name) ? take_user(ret, &entry) : -ENOENT;
}

int passwd_by_uid(struct passwd_user *ret, const char *passwd, uint32_t uid)
{
	struct userdb db;
	struct entry entry;

	view(&db, USERDB_PASSWD, passwd);
	return userdb_find_id(&entry, &db, USERDB_PASSWD, uid) ? take_user(ret, &entry) : -ENOENT;
}

bool passwd_group_by_name(uint32_t *ret_gid, const char *group, const char *name)
{
	struct userdb db;
	struct entry entry;

	view(&db, USERDB_GROUP, group);
	return userdb_find(&entry, &db, USERDB_GROUP, name) && entry_number(ret_gid, &entry, GROUP_GID);
}

size_t passwd_groups_of(uint32_t *ret, size_t limit, const char *group, const char *user, uint32_t gid)
{
	struct entry entry = {0};
	struct userdb db;
	size_t count = 0;
	uint32_t each = 0;

	if (limit == 0)
		return 0;
	view(&db, USERDB_GROUP, group);
	ret[count++] = gid;
	while (count < limit && userdb_next(&entry, &db, USERDB_GROUP)) {
		bool known = false;

		if (!entry_lists(&entry, GROUP_MEMBERS, user) || !entry_number(&each, &entry, GROUP_GID))
			continue;
		for (size_t i = 0; i < count; i++)
			known |= ret[i] == each;
		if (!known)
			ret[count++] = each;
	}
	return count;
}

int passwd_read(char **ret, const char *path, const char *otherwise, struct annex_error **err)
{
	auto_text struct text text = {0};
	bool there = false;

	if (etcfile_read(&text, &there, path, ACCOUNT_FILE_MAX, err) < 0)
		return -1;
	for (size_t i = 0; i < text.size; i++)
		text.data[i] = text.data[i] ? text.data[i] : DAMAGED;
	if (!there)
		text_add(&text, otherwise);
	*ret = text_take(&text);
	return *ret ? 0 : fail_memory(err);
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
