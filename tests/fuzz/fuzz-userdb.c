#include "guest/reconcile.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool works(const char *path)
{
	return path[0] == '/';
}

/* The files, with a line of "%" between one and the next. */
static void fill(struct userdb *db, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < USERDB_COUNT && size > 0; i++) {
		const uint8_t *end = memmem(data, size, "%\n", 2);
		size_t length = end ? (size_t)(end - data) : size, used = end ? length + 2 : size;

		text_add_bytes(&db->tables[i].text, data, length);
		db->tables[i].there = true;
		data += used;
		size -= used;
	}
}

/* All lines of one text that are malformed, in the order of another one, which may have more. */
static void keeps(const struct text *before, const struct text *after)
{
	struct entry old = {0}, now = {0};

	while (entry_next(&old, before)) {
		bool found = false;

		if (memchr(old.at, ':', old.size))
			continue;
		while (!found && entry_next(&now, after))
			found = now.size == old.size && memcmp(now.at, old.at, old.size) == 0;
		assert(found);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reconcile_wish wish = {.name = "ada",
				      .group = "ada",
				      .uid = 1000,
				      .gid = 1001,
				      .home = "/home/ada",
				      .shell = "/bin/sh",
				      .wants_subids = size % 2,
				      .home_is_shared = size % 3 == 0,
				      .is_settled = size % 5 == 0,
				      .shell_works = works};
	auto_reconcile struct reconcile_result first = {0}, second = {0};
	auto_userdb struct userdb db = {0}, before = {0};
	struct entry entry;

	fill(&db, data, size);
	fill(&before, data, size);
	assert(reconcile(&first, &db, &wish) == 0);
	assert(userdb_find_id(&entry, &db, USERDB_PASSWD, wish.uid));
	assert(entry_is(&entry, PASSWD_NAME, first.name) && first.home);
	for (size_t i = 0; i < USERDB_COUNT; i++) {
		keeps(&before.tables[i].text, &db.tables[i].text);
		db.tables[i].changed = false;
	}
	assert(reconcile(&second, &db, &wish) == 0);
	assert(!userdb_changed(&db) && strcmp(first.name, second.name) == 0 && strcmp(first.home, second.home) == 0);
	return 0;
}
