#include "guest/userdb.h"

#include <string.h>

/* How many fields a line has, and which are numbers or lists of names. */
static const struct kind {
	size_t least, most;
	size_t numbers[2];
	size_t lists[2];
} kinds[USERDB_COUNT] = {
	[USERDB_SUBUID] = {3, 3, {1, 2}, {0, 0}},
	[USERDB_SUBGID] = {3, 3, {1, 2}, {0, 0}},
	[USERDB_GSHADOW] = {4, 4, {0, 0}, {2, 3}},
	[USERDB_SHADOW] = {2, 9, {0, 0}, {0, 0}},
	[USERDB_GROUP] = {3, 4, {GROUP_GID, 0}, {GROUP_MEMBERS, 0}},
	[USERDB_PASSWD] = {7, 7, {PASSWD_UID, PASSWD_GID}, {0, 0}},
};

void userdb_clear(struct userdb *db)
{
	for (size_t i = 0; i < USERDB_COUNT; i++)
		text_clear(&db->tables[i].text);
	*db = (struct userdb){0};
}

bool userdb_ok(const struct userdb *db)
{
	bool ok = true;

	for (size_t i = 0; i < USERDB_COUNT; i++)
		ok &= !db->tables[i].text.broken;
	return ok;
}

bool userdb_changed(const struct userdb *db)
{
	bool changed = false;

	for (size_t i = 0; i < USERDB_COUNT; i++)
		changed |= db->tables[i].changed;
	return changed;
}

static bool is_include(const struct entry *entry)
{
	return entry->size > 0 && (*entry->at == '+' || *entry->at == '-');
}

static bool is_well_formed(const struct entry *entry, enum userdb_file file)
{
	const struct kind *kind = &kinds[file];
	uint32_t number = 0;

	if (entry->count < kind->least || entry->count > kind->most || entry->fields[0].size == 0 ||
	    *entry->at == '#' || is_include(entry) || memchr(entry->at, '\0', entry->size))
		return false;
	for (size_t i = 0; i < COUNT_OF(kind->numbers); i++) {
		if (kind->numbers[i] > 0 && !entry_number(&number, entry, kind->numbers[i]))
			return false;
	}
	return true;
}

bool userdb_next(struct entry *entry, const struct userdb *db, enum userdb_file file)
{
	while (entry_next(entry, &db->tables[file].text)) {
		if (is_well_formed(entry, file))
			return true;
	}
	return false;
}

bool userdb_find(struct entry *ret, const struct userdb *db, enum userdb_file file, const char *name)
{
	struct entry entry = {0};

	while (userdb_next(&entry, db, file)) {
		if (entry_is(&entry, 0, name)) {
			*ret = entry;
			return true;
		}
	}
	return false;
}

bool userdb_find_id(struct entry *ret, const struct userdb *db, enum userdb_file file, uint32_t id)
{
	struct entry entry = {0};
	uint32_t number = 0;

	while (userdb_next(&entry, db, file)) {
		if (entry_number(&number, &entry, kinds[file].numbers[0]) && number == id) {
			*ret = entry;
			return true;
		}
	}
	return false;
}

/* Replace bytes of a file's text, which lie in it. */
static void splice(struct userdb_table *table, const char *at, size_t size, const char *with)
{
	struct text made = {0};
	size_t before = (size_t)(at - table->text.data);

	text_add_bytes(&made, table->text.data, before);
	text_add(&made, with);
	text_add_bytes(&made, at + size, table->text.size - before - size);
	text_clear(&table->text);
	table->text = made;
	table->changed = true;
}

void userdb_add(struct userdb *db, enum userdb_file file, const char *line)
{
	struct userdb_table *table = &db->tables[file];
	struct entry entry = {0};
	struct text made = {0};
	bool added = false;

	while (entry_next(&entry, &table->text)) {
		if (!added && is_include(&entry)) {
			text_add(&made, line);
			text_add_char(&made, '\n');
			added = true;
		}
		text_add_bytes(&made, entry.at, (size_t)(entry.next - entry.at));
	}
	if (!added) {
		if (made.size > 0 && made.data[made.size - 1] != '\n')
			text_add_char(&made, '\n');
		text_add(&made, line);
		text_add_char(&made, '\n');
	}
	made.broken |= table->text.broken;
	text_clear(&table->text);
	table->text = made;
	table->there = table->changed = true;
}

void userdb_set(struct userdb *db, enum userdb_file file, const char *name, size_t field, const char *value)
{
	struct entry entry;

	if (!userdb_find(&entry, db, file, name) || field >= entry.count || entry_is(&entry, field, value))
		return;
	splice(&db->tables[file], entry.fields[field].at, entry.fields[field].size, value);
}

/* In the lists of a file: a name behind all others where one is already. */
static void join_in(struct userdb *db, enum userdb_file file, const char *old, const char *name)
{
	struct userdb_table *table = &db->tables[file];
	const char *from = table->text.data;
	struct entry entry = {0};
	struct text made = {0};

	while (userdb_next(&entry, db, file)) {
		for (size_t i = 0; i < COUNT_OF(kinds[file].lists); i++) {
			size_t field = kinds[file].lists[i];
			const char *end;

			if (field == 0 || !entry_lists(&entry, field, old) || entry_lists(&entry, field, name))
				continue;
			end = entry.fields[field].at + entry.fields[field].size;
			text_add_bytes(&made, from, (size_t)(end - from));
			text_add_char(&made, ',');
			text_add(&made, name);
			from = end;
		}
	}
	if (from == table->text.data)
		return;
	text_add_bytes(&made, from, (size_t)(table->text.data + table->text.size - from));
	made.broken |= table->text.broken;
	text_clear(&table->text);
	table->text = made;
	table->changed = true;
}

void userdb_join(struct userdb *db, const char *old, const char *name)
{
	join_in(db, USERDB_GSHADOW, old, name);
	join_in(db, USERDB_GROUP, old, name);
}

void userdb_copy(struct userdb *db, enum userdb_file file, const char *old, const char *name)
{
	auto_text struct text line = {0};
	struct entry entry;

	if (userdb_find(&entry, db, file, name) || !userdb_find(&entry, db, file, old))
		return;
	text_add(&line, name);
	text_add_bytes(&line, entry.at + entry.fields[0].size, entry.size - entry.fields[0].size);
	text_add_char(&line, '\n');
	if (text_ok(&line))
		splice(&db->tables[file], entry.at, 0, line.data);
	db->tables[file].text.broken |= line.broken;
}

static void add_member(struct userdb *db, enum userdb_file file, size_t field, const char *group, const char *name)
{
	auto_text struct text more = {0};
	struct entry entry;

	if (!userdb_find(&entry, db, file, group) || field >= entry.count || entry_lists(&entry, field, name))
		return;
	if (entry.fields[field].size > 0)
		text_add_char(&more, ',');
	text_add(&more, name);
	if (text_ok(&more))
		splice(&db->tables[file], entry.fields[field].at + entry.fields[field].size, 0, more.data);
	db->tables[file].text.broken |= more.broken;
}

void userdb_add_member(struct userdb *db, const char *group, const char *name)
{
	add_member(db, USERDB_GSHADOW, 3, group, name);
	add_member(db, USERDB_GROUP, GROUP_MEMBERS, group, name);
}
