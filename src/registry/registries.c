#include "registry/registries.h"

#include "base/file.h"
#include "base/text.h"
#include "json/json.h"
#include "registry/place.h"
#include "registry/toml.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SYSTEM_FILE   "/etc/containers/registries.conf"
#define SYSTEM_FOLDER "/etc/containers/registries.conf.d"

static void entry_clear(struct registries_entry *entry)
{
	for (size_t i = 0; i < entry->mirror_count; i++)
		free(entry->mirrors[i].location);
	free(entry->mirrors);
	free(entry->file);
	free(entry->prefix);
	free(entry->location);
	*entry = (struct registries_entry){0};
}

void registries_clear(struct registries *registries)
{
	for (size_t i = 0; i < registries->count; i++)
		entry_clear(&registries->entries[i]);
	free(registries->entries);
	*registries = (struct registries){0};
}

static int bad(const char *file, const char *what, const char *text, struct annex_error **err)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s '%.200s'", file, what, text);
}

/* Without slashes at its end. */
static int check_location(char *location, const char *file, struct annex_error **err)
{
	size_t length = strlen(location);

	if (strstr(location, "://"))
		return bad(file, "leave out the part up to :// of the location", location, err);
	while (length > 0 && location[length - 1] == '/')
		location[--length] = '\0';
	return length > 0 ? 0 : fail(err, ANNEX_ERROR_CORRUPT, "%s: a location is empty", file);
}

static int check_prefix(char *prefix, const char *file, struct annex_error **err)
{
	if (check_location(prefix, file, err) < 0)
		return -1;
	if (!strchr(prefix, '*') || (text_starts(prefix, "*.") && prefix[2] && !strpbrk(prefix + 2, "*/@:")))
		return 0;
	return bad(file, "only whole sub-domains, as in *.example.com, can be left open:", prefix, err);
}

struct mirror_fields {
	char *location, *pull;
	bool insecure;
};
static const struct json_row mirror_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "location", struct mirror_fields, location, true),
	JSON_ROW(JSON_ROW_TEXT, "pull-from-mirror", struct mirror_fields, pull, false),
	JSON_ROW(JSON_ROW_BOOL, "insecure", struct mirror_fields, insecure, false),
};

static void mirror_fields_clear(struct mirror_fields *fields)
{
	json_clear(fields, mirror_rows, COUNT_OF(mirror_rows));
}

static int decode_mirror(struct registries_mirror *ret, const json_t *value, bool digest_only, const char *file,
			 struct annex_error **err)
{
	static const char *const names[] = {"all", "digest-only", "tag-only"};
	CLEANUP(mirror_fields_clear) struct mirror_fields fields = {0};
	enum registries_pull pull = REGISTRIES_PULL_ALL;

	if (json_decode(&fields, value, mirror_rows, COUNT_OF(mirror_rows), file, err) < 0 ||
	    check_location(fields.location, file, err) < 0)
		return -1;
	while (fields.pull && !text_equal(fields.pull, names[pull])) {
		if (++pull == COUNT_OF(names))
			return bad(file, "pull-from-mirror can't be", fields.pull, err);
	}
	*ret = (struct registries_mirror){TAKE(fields.location), fields.insecure,
					  digest_only ? REGISTRIES_PULL_DIGEST_ONLY : pull};
	return 0;
}

struct fields {
	char *prefix, *location;
	bool insecure, blocked, digest_only;
	json_t *mirrors;
};
static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "prefix", struct fields, prefix, false),
	JSON_ROW(JSON_ROW_TEXT, "location", struct fields, location, false),
	JSON_ROW(JSON_ROW_BOOL, "insecure", struct fields, insecure, false),
	JSON_ROW(JSON_ROW_BOOL, "blocked", struct fields, blocked, false),
	JSON_ROW(JSON_ROW_BOOL, "mirror-by-digest-only", struct fields, digest_only, false),
	JSON_ROW(JSON_ROW_VALUE, "mirror", struct fields, mirrors, false),
};

static void fields_clear(struct fields *fields)
{
	json_clear(fields, rows, COUNT_OF(rows));
}

static int decode_mirrors(struct registries_entry *entry, const struct fields *fields, struct annex_error **err)
{
	size_t count = json_array_size(fields->mirrors);

	if (!fields->mirrors)
		return 0;
	if (!json_is_array(fields->mirrors) || count > REGISTRIES_MIRROR_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: mirrors are not a list of at most %u", entry->file,
			    REGISTRIES_MIRROR_LIMIT);
	entry->mirrors = calloc(count + 1, sizeof(*entry->mirrors));
	if (!entry->mirrors)
		return fail_memory(err);
	for (; entry->mirror_count < count; entry->mirror_count++) {
		if (decode_mirror(&entry->mirrors[entry->mirror_count],
				  json_array_get(fields->mirrors, entry->mirror_count), fields->digest_only,
				  entry->file, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_entry(struct registries_entry *entry, const json_t *value, const char *file, struct annex_error **err)
{
	CLEANUP(fields_clear) struct fields fields = {0};

	if (json_decode(&fields, value, rows, COUNT_OF(rows), file, err) < 0)
		return -1;
	if (fields.location && check_location(fields.location, file, err) < 0)
		return -1;
	if (!fields.prefix && !fields.location)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: a registry has neither prefix nor location", file);
	if (fields.prefix && check_prefix(fields.prefix, file, err) < 0)
		return -1;
	entry->file = strdup(file);
	entry->prefix = fields.prefix ? TAKE(fields.prefix) : strdup(fields.location);
	entry->location = TAKE(fields.location);
	entry->insecure = fields.insecure;
	entry->blocked = fields.blocked;
	if (!entry->file || !entry->prefix)
		return fail_memory(err);
	return decode_mirrors(entry, &fields, err);
}

/* Takes what the entry holds, also on failure. */
static int add(struct registries *registries, struct registries_entry *entry, struct annex_error **err)
{
	struct registries_entry *grown;

	for (size_t i = 0; i < registries->count; i++) {
		if (text_equal(registries->entries[i].prefix, entry->prefix)) {
			entry_clear(&registries->entries[i]);
			registries->entries[i] = *entry;
			return 0;
		}
	}
	if (registries->count == REGISTRIES_ENTRY_LIMIT) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s: more than %u registries", entry->file, REGISTRIES_ENTRY_LIMIT);
		entry_clear(entry);
		return -1;
	}
	grown = reallocarray(registries->entries, registries->count + 1, sizeof(*grown));
	if (!grown) {
		entry_clear(entry);
		return fail_memory(err);
	}
	registries->entries = grown;
	grown[registries->count++] = *entry;
	return 0;
}

static int add_value(struct registries *registries, const json_t *value, const char *file, struct annex_error **err)
{
	struct registries_entry entry = {0};

	if (decode_entry(&entry, value, file, err) < 0) {
		entry_clear(&entry);
		return -1;
	}
	return add(registries, &entry, err);
}

static int add_list(struct registries *registries, const json_t *list, const char *file, struct annex_error **err)
{
	const json_t *value;
	size_t i;

	if (list && !json_is_array(list))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: registry is not an array of tables", file);
	json_array_foreach(list, i, value)
	{
		if (add_value(registries, value, file, err) < 0)
			return -1;
	}
	return 0;
}

/* The format's first version: [registries.block] and [registries.insecure] with lists of registries. */
static int add_first_version(struct registries *registries, const json_t *root, const char *name, const char *file,
			     struct annex_error **err)
{
	const json_t *list = json_object_get(json_object_get(json_object_get(root, "registries"), name), "registries");
	const json_t *value;
	size_t i;

	if (list && !json_is_array(list))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: registries.%s.registries is not a list", file, name);
	json_array_foreach(list, i, value)
	{
		bool block = strcmp(name, "block") == 0;
		auto_json json_t *made =
			json_pack("{s:O, s:b, s:b}", "location", value, "blocked", block, "insecure", !block);

		if (!made)
			return fail_memory(err);
		if (add_value(registries, made, file, err) < 0)
			return -1;
	}
	return 0;
}

int registries_add(struct registries *registries, const char *bytes, size_t size, const char *file,
		   struct annex_error **err)
{
	auto_json json_t *root = NULL;

	if (toml_parse(&root, bytes, size, file, err) < 0 ||
	    add_list(registries, json_object_get(root, "registry"), file, err) < 0 ||
	    add_first_version(registries, root, "insecure", file, err) < 0 ||
	    add_first_version(registries, root, "block", file, err) < 0)
		return -1;
	return 0;
}

/* 1: read, 0: it is not there. */
static int add_file(struct registries *registries, const char *file, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, AT_FDCWD, file, TOML_SIZE_LIMIT);

	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	if (result < 0)
		return fail_os(err, result, "cannot read %s", file);
	return registries_add(registries, bytes, size, file, err) < 0 ? -1 : 1;
}

static int is_drop_in(const struct dirent *entry)
{
	return text_ends(entry->d_name, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct registries *registries, const char *folder, struct annex_error **err)
{
	struct dirent **names = NULL;
	int count = scandir(folder, &names, is_drop_in, by_name), result = 0;

	if (count < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (count < 0)
		return fail_os(err, errno, "cannot read folder %s", folder);
	if (count > (int)REGISTRIES_FILE_LIMIT)
		result = fail(err, ANNEX_ERROR_CORRUPT, "%s: more than %u files", folder, REGISTRIES_FILE_LIMIT);
	for (int i = 0; i < count; i++) {
		auto_free char *file = path_join(folder, names[i]->d_name);

		if (result == 0 && !file)
			result = fail_memory(err);
		if (result == 0 && add_file(registries, file, err) < 0)
			result = -1;
		free(names[i]);
	}
	free(names);
	return result;
}

/* NULL in *ret: there is no such place. */
static int user_place(char **ret, const char *name, struct annex_error **err)
{
	return place_config(ret, name) == -ENOMEM ? fail_memory(err) : 0;
}

int registries_load(struct registries *ret, struct annex_error **err)
{
	auto_registries struct registries made = {0};
	auto_free char *user = NULL, *user_folder = NULL;
	const char *only = getenv("CONTAINERS_REGISTRIES_CONF");
	int result;

	if (user_place(&user, "containers/registries.conf", err) < 0 ||
	    user_place(&user_folder, "containers/registries.conf.d", err) < 0)
		return -1;
	if (only && *only) {
		result = add_file(&made, only, err);
		if (result == 0)
			return fail(err, ANNEX_ERROR_NOT_FOUND,
				    "%s, which CONTAINERS_REGISTRIES_CONF names, does not exist", only);
	} else {
		result = user ? add_file(&made, user, err) : 0;
		if (result == 0)
			result = add_file(&made, SYSTEM_FILE, err);
	}
	if (result < 0 || add_folder(&made, SYSTEM_FOLDER, err) < 0 ||
	    (user_folder && add_folder(&made, user_folder, err) < 0))
		return -1;
	*ret = made;
	made = (struct registries){0};
	return 0;
}

/* How much of the name the prefix stands for; 0: it is none of it. */
static size_t match(const char *prefix, const char *name)
{
	size_t length = strlen(prefix), host;

	if (*prefix != '*') {
		if (strncmp(name, prefix, length) != 0)
			return 0;
	} else {
		prefix++;
		host = strcspn(name, "/:@");
		if (host < --length || memcmp(name + host - length, prefix, length) != 0)
			return 0;
		length = host;
	}
	return !name[length] || strchr("/:@", name[length]) ? length : 0;
}

const struct registries_entry *registries_find(size_t *ret_length, const struct registries *registries,
					       const char *name)
{
	const struct registries_entry *best = NULL;

	for (size_t i = 0; i < registries->count; i++) {
		const struct registries_entry *entry = &registries->entries[i];
		size_t length = match(entry->prefix, name);

		if (!length || (best && strlen(best->prefix) >= strlen(entry->prefix)))
			continue;
		best = entry;
		*ret_length = length;
	}
	return best;
}
