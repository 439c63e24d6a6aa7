/*
 * Three ways to an account with the host's id:
 *
 *   the image has one     It is adopted: it gets the host's name, its own group too, before the one that it has; its
 *                         other groups stay. Home and shell follow the name. Accounts of the system stay as they are.
 *   the name is another's A person's account becomes the host's user, as by usermod -u, and what is in its home with
 *                         it. One of the system stays as it is: services run as it. The user then has another name.
 *   neither               One is added.
 *
 * All that is decided once. Later starts only see to it that there is an account at all and that it can be lived in,
 * so that what the machine's owner changes stays.
 */
#include "guest/reconcile.h"

#include "guest/subid.h"
#include "guest/username.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_PERSON = 1000, NOBODY = 65534 };

/* Whose members may administer, or read the logs, without asking, where images have them. */
static const char *const joined[] = {"sudo", "wheel", "adm", "systemd-journal"};

void reconcile_clear(struct reconcile_result *result)
{
	free(result->name);
	free(result->home);
	free(result->old_home);
	*result = (struct reconcile_result){0};
}

bool reconcile_is_field(const char *text)
{
	for (const char *at = text; *at; at++) {
		if (*at == ':' || (unsigned char)*at < ' ' || *at == 0x7f)
			return false;
	}
	return true;
}

bool reconcile_is_home(const char *path)
{
	static const char *const none[] = {"/",    "/nonexistent", "/dev/null", "/var/empty",
					   "/bin", "/sbin",        "/usr/sbin"};

	for (size_t i = 0; i < COUNT_OF(none); i++) {
		if (strcmp(path, none[i]) == 0)
			return false;
	}
	return path[0] == '/' && reconcile_is_field(path);
}

static bool is_person(uint32_t uid)
{
	return uid >= FIRST_PERSON && uid != NOBODY;
}

static bool has(const struct userdb *db, enum userdb_file file, const char *name)
{
	struct entry entry;

	return userdb_find(&entry, db, file, name);
}

static void set_number(struct userdb *db, enum userdb_file file, const char *name, size_t field, uint32_t number)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", number);
	userdb_set(db, file, name, field, digits);
}

static char *PRINTF_LIKE(1, 2) format(const char *format, ...)
{
	va_list args;
	char *made;
	int length;

	va_start(args, format);
	length = vasprintf(&made, format, args);
	va_end(args);
	return length < 0 ? NULL : made;
}

/* Of two lines with one name the second is found by its number only, and changed by nobody. */
static bool is_named(const struct userdb *db, enum userdb_file file, const char *name, uint32_t id)
{
	size_t field = file == USERDB_GROUP ? GROUP_GID : PASSWD_UID;
	struct entry entry;
	uint32_t number = 0;

	return userdb_find(&entry, db, file, name) && entry_number(&number, &entry, field) && number == id;
}

/* The wanted name, or one that nobody has. */
static char *free_name(const struct userdb *db, enum userdb_file file, const char *wanted, uint32_t id)
{
	auto_free char *other = format("%.*s-host", USERNAME_MAX - 5, wanted);

	if (!has(db, file, wanted))
		return strdup(wanted);
	if (!other || !has(db, file, other))
		return TAKE(other);
	return format("annex-%u", id);
}

static int add(struct userdb *db, enum userdb_file file, char *line)
{
	if (!line)
		return -ENOMEM;
	userdb_add(db, file, line);
	free(line);
	return 0;
}

/* An image of nothing but a program has no accounts at all. */
static void ensure_root(struct userdb *db)
{
	struct entry entry;

	if (!userdb_find_id(&entry, db, USERDB_PASSWD, 0) && !has(db, USERDB_PASSWD, "root"))
		userdb_add(db, USERDB_PASSWD, "root:x:0:0:root:/root:/bin/sh");
	if (!userdb_find_id(&entry, db, USERDB_GROUP, 0) && !has(db, USERDB_GROUP, "root"))
		userdb_add(db, USERDB_GROUP, "root:x:0:");
}

static int ensure_group(struct userdb *db, const struct reconcile_wish *wish)
{
	auto_free char *name = NULL;
	struct entry entry;

	if (userdb_find_id(&entry, db, USERDB_GROUP, wish->gid))
		return 0;
	name = free_name(db, USERDB_GROUP, wish->group, wish->gid);
	if (!name)
		return -ENOMEM;
	if (db->tables[USERDB_GSHADOW].there && !has(db, USERDB_GSHADOW, name) &&
	    add(db, USERDB_GSHADOW, format("%s:!::", name)) < 0)
		return -ENOMEM;
	return add(db, USERDB_GROUP, format("%s:x:%u:", name, wish->gid));
}

/* What passwd says with an "x" stands in shadow; without it the account counts as locked. */
static int ensure_shadow(struct userdb *db, const char *name, uint32_t today)
{
	if (!db->tables[USERDB_SHADOW].there || has(db, USERDB_SHADOW, name))
		return 0;
	return add(db, USERDB_SHADOW, format("%s:!*:%u:0:99999:7:::", name, today));
}

static bool is_primary_of_others(const struct userdb *db, uint32_t gid, const char *name)
{
	struct entry entry = {0};
	uint32_t each = 0;

	while (userdb_next(&entry, db, USERDB_PASSWD)) {
		if (entry_number(&each, &entry, PASSWD_GID) && each == gid && !entry_is(&entry, PASSWD_NAME, name))
			return true;
	}
	return false;
}

/* The group of the account's own gets another name with it. */
static void name_group(struct userdb *db, const char *old, const struct reconcile_wish *wish)
{
	struct entry entry;
	uint32_t gid = 0;

	if (!userdb_find(&entry, db, USERDB_GROUP, old) || !entry_number(&gid, &entry, GROUP_GID) || gid != wish->gid ||
	    has(db, USERDB_GROUP, wish->group))
		return;
	userdb_copy(db, USERDB_GSHADOW, old, wish->group);
	userdb_copy(db, USERDB_GROUP, old, wish->group);
}

/* The old name stays, as another one for the same id: services, schedules and the image's own user may go by it. */
static void name_account(struct userdb *db, const char *old, const struct reconcile_wish *wish)
{
	static const enum userdb_file files[] = {USERDB_SUBUID, USERDB_SUBGID, USERDB_SHADOW, USERDB_PASSWD};

	userdb_join(db, old, wish->name);
	name_group(db, old, wish);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		userdb_copy(db, files[i], old, wish->name);
}

/* Another group becomes the account's first one. The old one is kept beside it, or, if nobody else has it, is it. */
static int set_group(struct userdb *db, const char *name, uint32_t old, bool renumber,
		     const struct reconcile_wish *wish)
{
	auto_free char *group = NULL;
	struct entry entry;

	if (old == wish->gid)
		return 0;
	set_number(db, USERDB_PASSWD, name, PASSWD_GID, wish->gid);
	if (!userdb_find_id(&entry, db, USERDB_GROUP, old))
		return 0;
	group = entry_copy(&entry, GROUP_NAME);
	if (!group)
		return -ENOMEM;
	if (!is_named(db, USERDB_GROUP, group, old))
		return 0;
	if (renumber && is_person(old) && !is_primary_of_others(db, old, name) &&
	    (strcmp(group, name) == 0 || strcmp(group, wish->group) == 0) &&
	    !userdb_find_id(&entry, db, USERDB_GROUP, wish->gid))
		set_number(db, USERDB_GROUP, group, GROUP_GID, wish->gid);
	else
		userdb_add_member(db, group, name);
	return 0;
}

static bool is_usual_home(const char *home, const char *name)
{
	return strncmp(home, "/home/", 6) == 0 && strcmp(home + 6, name) == 0;
}

/* Which home it has from now on, and what becomes of the one it had under its old name (NULL: it keeps that). */
static int set_home(struct reconcile_result *result, struct userdb *db, const char *old_name,
		    const struct reconcile_wish *wish)
{
	auto_free char *home = NULL;
	struct entry entry;
	bool lives;

	if (!userdb_find(&entry, db, USERDB_PASSWD, result->name))
		return 0;
	home = entry_copy(&entry, PASSWD_HOME);
	if (!home)
		return -ENOMEM;
	lives = reconcile_is_home(home);
	if (strcmp(home, wish->home) != 0 && (wish->home_is_shared || (!wish->is_settled && !lives) ||
					      (old_name && is_usual_home(home, old_name) && !wish->home_is_taken))) {
		userdb_set(db, USERDB_PASSWD, result->name, PASSWD_HOME, wish->home);
		if (!wish->home_is_shared && lives)
			result->old_home = TAKE(home);
		free(home);
		home = strdup(wish->home);
	}
	result->home = TAKE(home);
	return result->home ? 0 : -ENOMEM;
}

static void set_shell(struct userdb *db, const char *name, bool renamed, const struct reconcile_wish *wish)
{
	auto_free char *shell = NULL;
	struct entry entry;

	if (userdb_find(&entry, db, USERDB_PASSWD, name))
		shell = entry_copy(&entry, PASSWD_SHELL);
	if (shell && (renamed || !wish->shell_works(shell)))
		userdb_set(db, USERDB_PASSWD, name, PASSWD_SHELL, wish->shell);
}

static int take_home(struct reconcile_result *result, const struct userdb *db, const struct reconcile_wish *wish)
{
	struct entry entry;

	if (!userdb_find_id(&entry, db, USERDB_PASSWD, wish->uid))
		return 0;
	result->home = wish->home_is_shared ? strdup(wish->home) : entry_copy(&entry, PASSWD_HOME);
	return result->home ? 0 : -ENOMEM;
}

static int adopt(struct reconcile_result *result, struct userdb *db, char *name, const struct reconcile_wish *wish)
{
	bool is_hidden = !is_named(db, USERDB_PASSWD, name, wish->uid);
	bool settles = !wish->is_settled && !is_hidden && is_person(wish->uid);
	bool renames = settles && strcmp(name, wish->name) != 0 && !has(db, USERDB_PASSWD, wish->name);
	struct entry entry;
	uint32_t gid = 0;

	result->name = strdup(renames ? wish->name : name);
	if (!result->name)
		return -ENOMEM;
	if (renames)
		name_account(db, name, wish);
	if (settles && userdb_find(&entry, db, USERDB_PASSWD, result->name) && entry_number(&gid, &entry, PASSWD_GID) &&
	    set_group(db, result->name, gid, result->renumbered, wish) < 0)
		return -ENOMEM;
	if (settles && ensure_group(db, wish) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < COUNT_OF(joined) && settles; i++)
		userdb_add_member(db, joined[i], result->name);
	if (is_hidden)
		return take_home(result, db, wish);
	if (set_home(result, db, renames ? name : NULL, wish) < 0)
		return -ENOMEM;
	set_shell(db, result->name, renames, wish);
	return ensure_shadow(db, result->name, wish->today);
}

/* As usermod -u does. */
static int renumber(struct reconcile_result *result, struct userdb *db, const struct entry *entry,
		    const struct reconcile_wish *wish)
{
	struct reconcile_wish now = *wish;

	if (!entry_number(&result->old_uid, entry, PASSWD_UID) || !entry_number(&result->old_gid, entry, PASSWD_GID))
		return 0;
	result->renumbered = true;
	set_number(db, USERDB_PASSWD, wish->name, PASSWD_UID, wish->uid);
	now.is_settled = false;
	return adopt(result, db, (char *)wish->name, &now);
}

static int make(struct reconcile_result *result, struct userdb *db, const struct reconcile_wish *wish)
{
	auto_free char *name = free_name(db, USERDB_PASSWD, wish->name, wish->uid);

	if (!name || ensure_group(db, wish) < 0 || ensure_shadow(db, name, wish->today) < 0 ||
	    add(db, USERDB_PASSWD,
		format("%s:%s:%u:%u::%s:%s", name, db->tables[USERDB_SHADOW].there ? "x" : "*", wish->uid, wish->gid,
		       wish->home, wish->shell)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < COUNT_OF(joined); i++)
		userdb_add_member(db, joined[i], name);
	result->home = strdup(wish->home);
	result->name = TAKE(name);
	return result->home ? 0 : -ENOMEM;
}

int reconcile(struct reconcile_result *ret, struct userdb *db, const struct reconcile_wish *wish)
{
	auto_reconcile struct reconcile_result result = {0};
	auto_free char *name = NULL;
	struct entry entry;
	uint32_t uid = 0;
	int made;

	ensure_root(db);
	if (userdb_find_id(&entry, db, USERDB_PASSWD, wish->uid)) {
		name = entry_copy(&entry, PASSWD_NAME);
		made = name ? adopt(&result, db, name, wish) : -ENOMEM;
	} else if (userdb_find(&entry, db, USERDB_PASSWD, wish->name) && entry_number(&uid, &entry, PASSWD_UID) &&
		   is_person(uid) && is_person(wish->uid)) {
		made = renumber(&result, db, &entry, wish);
	} else {
		made = make(&result, db, wish);
	}
	if (made < 0)
		return made;
	if (wish->wants_subids || db->tables[USERDB_SUBUID].there || db->tables[USERDB_SUBGID].there)
		subid_add(db, result.name, wish->uid);
	if (!userdb_find_id(&entry, db, USERDB_PASSWD, wish->uid) || !entry_number(&result.gid, &entry, PASSWD_GID))
		result.gid = wish->gid;
	if (!userdb_ok(db))
		return -ENOMEM;
	*ret = result;
	result = (struct reconcile_result){0};
	return 0;
}
