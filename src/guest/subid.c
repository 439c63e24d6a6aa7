#include "guest/subid.h"

#include <stdio.h>

enum { PASSES = 64 }; /* over files in whose order ranges lie, two will do */

static bool is_owner(const struct entry *entry, const char *name, uint32_t uid)
{
	uint32_t number = 0;

	return entry_is(entry, 0, name) || (entry_number(&number, entry, 0) && number == uid);
}

static bool has_range(const struct userdb *db, enum userdb_file file, const char *name, uint32_t uid)
{
	struct entry entry = {0};

	while (userdb_next(&entry, db, file)) {
		if (is_owner(&entry, name, uid))
			return true;
	}
	return false;
}

/* Move a range behind another one that it overlaps. */
static bool move_behind(uint64_t *start, uint64_t from, uint64_t count)
{
	if (from >= *start + SUBID_COUNT || from + count <= *start)
		return false;
	*start = from + count;
	return true;
}

static bool move_behind_all(uint64_t *start, const struct userdb *db)
{
	static const enum userdb_file files[] = {USERDB_SUBUID, USERDB_SUBGID, USERDB_PASSWD, USERDB_GROUP};
	bool moved = false;

	for (size_t i = 0; i < COUNT_OF(files); i++) {
		bool is_range = files[i] == USERDB_SUBUID || files[i] == USERDB_SUBGID;
		struct entry entry = {0};
		uint32_t from = 0, count = 1;

		while (userdb_next(&entry, db, files[i])) {
			if (entry_number(&from, &entry, is_range ? 1 : 2) &&
			    (!is_range || entry_number(&count, &entry, 2)))
				moved |= move_behind(start, from, count);
		}
	}
	return moved;
}

/* Ids that neither file gives to anybody, so that the ranges are alike, and that no account or group has. */
static int find_free(uint32_t *ret, const struct userdb *db, uint32_t uid)
{
	uint64_t start = SUBID_FIRST;

	for (int i = 0; i < PASSES; i++) {
		if (!move_behind_all(&start, db) && !move_behind(&start, uid, 1)) {
			*ret = (uint32_t)start;
			return start + SUBID_COUNT <= UINT32_MAX ? 0 : -ENOENT;
		}
	}
	return -ENOENT;
}

void subid_add(struct userdb *db, const char *name, uint32_t uid)
{
	static const enum userdb_file files[] = {USERDB_SUBUID, USERDB_SUBGID};
	char line[600];
	uint32_t from = 0;

	if (find_free(&from, db, uid) < 0)
		return;
	snprintf(line, sizeof(line), "%s:%u:%d", name, from, SUBID_COUNT);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		if (!has_range(db, files[i], name, uid))
			userdb_add(db, files[i], line);
	}
}
