#pragma once
#include "guest/entry.h"

/*
 * The texts of the image's account files, and changes of them in memory: what a change is not about stays as it is,
 * byte for byte, in its order; comments and malformed lines too, of which none is ever taken for an account. Pure.
 */
enum userdb_file { /* in the order in which they are written: an account is there when all of it is */
		   USERDB_SUBUID,
		   USERDB_SUBGID,
		   USERDB_GSHADOW,
		   USERDB_SHADOW,
		   USERDB_GROUP,
		   USERDB_PASSWD,
		   USERDB_COUNT,
};

struct userdb_table {
	struct text text;
	bool there; /* the image has the file */
	bool changed;
};

struct userdb {
	struct userdb_table tables[USERDB_COUNT];
};
void userdb_clear(struct userdb *db);
#define auto_userdb CLEANUP(userdb_clear)
bool userdb_ok(const struct userdb *db); /* false: memory ran out */
bool userdb_changed(const struct userdb *db);

/* Fields of passwd and group. */
enum { PASSWD_NAME, PASSWD_PASSWORD, PASSWD_UID, PASSWD_GID, PASSWD_GECOS, PASSWD_HOME, PASSWD_SHELL };
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS };

/* The first well-formed line of that name, or number (of a user or group). It lies in the file's text, until that is
 * changed. */
bool userdb_find(struct entry *ret, const struct userdb *db, enum userdb_file file, const char *name);
bool userdb_find_id(struct entry *ret, const struct userdb *db, enum userdb_file file, uint32_t id);
/* The next well-formed one. */
bool userdb_next(struct entry *entry, const struct userdb *db, enum userdb_file file);

/* Add a line: at the end, but before the lines that include others ("+::::::", NIS), behind which nothing counts. */
void userdb_add(struct userdb *db, enum userdb_file file, const char *line);
/* Set a field of the first well-formed line of that name; nothing when there is none. */
void userdb_set(struct userdb *db, enum userdb_file file, const char *name, size_t field, const char *value);
/* A line like that of one name for another one, before it: of two with the same number it is the one that is found.
 * Nothing when there is a line of that name already. */
void userdb_copy(struct userdb *db, enum userdb_file file, const char *old, const char *name);
/* Into all lists of members that have a name already. */
void userdb_join(struct userdb *db, const char *old, const char *name);
/* To a group, by its name, in group and gshadow. */
void userdb_add_member(struct userdb *db, const char *group, const char *name);
