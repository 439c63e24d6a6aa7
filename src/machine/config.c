/*
 * The configuration becomes the same texts that `annex set` takes, so that there is one check of each setting. jansson
 * doesn't tell where a value stands: a line is that of the first place where the key's name is followed by a colon,
 * behind that of what it lies in. A key that is written with escapes isn't found, and has the line of that.
 */
#include "machine/config.h"

#include "base/file.h"
#include "json/json.h"
#include "machine/setting.h"
#include "machine/volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct source {
	const char *path, *bytes;
	size_t size;
};

void config_clear(struct config *config)
{
	for (size_t i = 0; i < config->count; i++)
		free(config->entries[i].pair);
	free(config->entries);
	free(config->path);
	*config = (struct config){0};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the key stands behind `from`; `from` if it isn't found. */
static const char *find_key(const struct source *source, const char *from, const char *key)
{
	const char *end = source->bytes + source->size;
	size_t length = strlen(key);

	for (const char *at = from; (at = memchr(at, '"', (size_t)(end - at))); at++) {
		const char *behind = at + length + 2;

		if ((size_t)(end - at) < length + 2 || memcmp(at + 1, key, length) != 0 || at[length + 1] != '"')
			continue;
		while (behind < end && is_blank(*behind))
			behind++;
		if (behind < end && *behind == ':')
			return at;
	}
	return from;
}

static unsigned line_of(const struct source *source, const char *place)
{
	unsigned line = 1;

	for (const char *at = source->bytes; at < place; at++)
		line += *at == '\n';
	return line;
}

static int refuse(const struct source *source, const char *place, struct annex_error **err, const char *key,
		  const char *why)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "%s:%u: %s: %s", source->path, line_of(source, place), key, why);
}

/* Takes `pair`. */
static int add(struct config *config, char *pair, unsigned line, struct annex_error **err)
{
	struct config_entry *grown = reallocarray(config->entries, config->count + 1, sizeof(*grown));

	if (grown)
		config->entries = grown;
	if (!grown || !pair) {
		free(pair);
		return fail_memory(err);
	}
	config->entries[config->count++] = (struct config_entry){pair, line};
	return 0;
}

/* "key=value"; NULL: a type that no setting has, or memory ran out. */
static char *make_pair(const char *key, const json_t *value)
{
	char *made = NULL;
	int length = -1;

	if (json_is_string(value))
		length = asprintf(&made, "%s=%s", key, json_string_value(value));
	else if (json_is_integer(value))
		length = asprintf(&made, "%s=%lld", key, (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		length = asprintf(&made, "%s=%s", key, json_is_true(value) ? "true" : "false");
	return length < 0 ? NULL : made;
}

/* Nobody knows in which folder a file like this is read. */
static bool depends_on_folder(const char *key, const char *text)
{
	if (strcmp(key, "kernel") == 0)
		return strchr(text, '/') && *text != '/';
	if (strcmp(key, "volume") == 0 && volume_find_guest(text))
		return *text != '/' && *text != '-' && strncmp(text, "~/", 2) != 0 && strncmp(text, "~:", 2) != 0;
	return false;
}

static int take_one(struct config *config, const struct source *source, const char *place, const char *key,
		    const json_t *value, struct annex_error **err)
{
	if (json_is_string(value) && depends_on_folder(key, json_string_value(value)))
		return refuse(source, place, err, key, "must be an absolute path");
	return add(config, make_pair(key, value), line_of(source, place), err);
}

static int take_list(struct config *config, const struct source *source, const char *place, const char *key,
		     const json_t *list, struct annex_error **err)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return refuse(source, place, err, key, "must be a list of texts");
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return refuse(source, place, err, key, "must be a list of texts");
		if (take_one(config, source, place, key, item, err) < 0)
			return -1;
	}
	return 0;
}

static int take_setting(struct config *config, const struct source *source, const char *place, const char *key,
			const json_t *value, struct annex_error **err)
{
	if (!setting_exists(key)) {
		refuse(source, place, err, key, "there is no such setting");
		return fail_hint(err, "annex help set lists the settings");
	}
	if (setting_is_list(key))
		return take_list(config, source, place, key, value, err);
	if (!json_is_string(value) && !json_is_integer(value) && !json_is_boolean(value))
		return refuse(source, place, err, key, "must be a text, a whole number, true or false");
	return take_one(config, source, place, key, value, err);
}

static int take_defaults(struct config *config, const struct source *source, const char *place, const json_t *defaults,
			 struct annex_error **err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(defaults))
		return refuse(source, place, err, "defaults", "must be an object of settings");
	json_object_foreach((json_t *)defaults, key, value)
	{
		if (take_setting(config, source, find_key(source, place, key), key, value, err) < 0)
			return -1;
	}
	return 0;
}

static int take(struct config *config, const struct source *source, const json_t *root, struct annex_error **err)
{
	const json_t *version = json_object_get(root, "version"), *defaults = json_object_get(root, "defaults");
	const char *key;
	json_t *value;

	if (!json_is_object(root))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s:1: not a JSON object", source->path);
	if (!version)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s:1: version is missing, which is %d", source->path,
			    CONFIG_VERSION);
	if (!json_is_integer(version) || json_integer_value(version) != CONFIG_VERSION)
		return refuse(source, find_key(source, source->bytes, "version"), err, "version",
			      "not one that this annex knows, which is 1");
	json_object_foreach((json_t *)root, key, value)
	{
		if (strcmp(key, "version") != 0 && strcmp(key, "defaults") != 0)
			return refuse(source, find_key(source, source->bytes, key), err, key, "there is no such key");
	}
	return defaults ? take_defaults(config, source, find_key(source, source->bytes, "defaults"), defaults, err) : 0;
}

int config_parse(struct config *ret, const char *bytes, size_t size, const char *path, struct annex_error **err)
{
	struct source source = {path, bytes, size};
	auto_config struct config made = {0};
	auto_json json_t *root = NULL;
	json_error_t problem;

	root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
	if (!root)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s:%d: not JSON: %s", path, problem.line, problem.text);
	made.path = strdup(path);
	if (!made.path)
		return fail_memory(err);
	if (take(&made, &source, root, err) < 0)
		return -1;
	*ret = made;
	made = (struct config){0};
	return 0;
}

int config_load(struct config *ret, const char *folder, struct annex_error **err)
{
	auto_free char *path = path_join(folder, "config.json"), *bytes = NULL;
	size_t size = 0;
	int result;

	if (!path)
		return fail_memory(err);
	result = file_read(&bytes, &size, AT_FDCWD, path, CONFIG_LIMIT);
	if (result == -ENOENT) {
		*ret = (struct config){0};
		return 0;
	}
	return result < 0 ? fail_os(err, result, "cannot read %s", path) : config_parse(ret, bytes, size, path, err);
}
