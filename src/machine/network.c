#include "machine/network.h"

#include "base/file.h"
#include "json/json.h"
#include "machine/name.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1u

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct machine_network, version, true),
	JSON_ROW(JSON_ROW_TEXT, "name", struct machine_network, name, true),
	JSON_ROW(JSON_ROW_TEXT, "uplink", struct machine_network, uplink, true),
	JSON_ROW(JSON_ROW_TIME, "created", struct machine_network, created, true),
};

void machine_network_clear(struct machine_network *network)
{
	json_clear(network, rows, COUNT_OF(rows));
}

bool machine_network_is_uplink(const char *setting)
{
	static const char *const words[] = {"auto", "passt", "slirp", "none"};

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strcmp(setting, words[i]) == 0)
			return true;
	}
	return false;
}

int machine_network_check_name(const char *name, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;
	const char *why;

	if (machine_network_is_uplink(name) || strcmp(name, MACHINE_NETWORK_DEFAULT) == 0 ||
	    strcmp(name, "host") == 0) {
		fail(err, ANNEX_ERROR_USAGE, "network name '%s' is invalid: it means something else", name);
		return fail_hint(err, "choose a name such as 'work' or 'lab-2'");
	}
	if (machine_name_check(name, &cause) == 0)
		return 0;
	why = strstr(annex_error_message(cause), "is invalid: ");
	fail(err, ANNEX_ERROR_USAGE, "network name '%s' %s", name, why ? why : "is invalid");
	return fail_hint(err, "choose a name such as 'work' or 'lab-2'");
}

static char *record_path(const char *data, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/networks/%s.json", data, name) < 0 ? NULL : path;
}

static int load(struct machine_network *ret, const char *data, const char *name, bool is_set, struct annex_error **err)
{
	auto_machine_network struct machine_network made = {0};
	auto_error struct annex_error *cause = NULL;
	auto_free char *path = NULL;
	auto_json json_t *value = NULL;

	if (machine_network_check_name(name, err) < 0)
		return -1;
	path = record_path(data, name);
	if (!path)
		return fail_memory(err);
	if (json_read_file(&value, AT_FDCWD, path, &cause) < 0) {
		if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND) {
			fail(err, ANNEX_ERROR_NOT_FOUND, "there is no network '%s'", name);
			return fail_hint(err,
					 is_set ? "annex network list; to make it: annex network create %s"
						: "annex network list",
					 name);
		}
		if (err)
			*err = TAKE(cause);
		return -1;
	}
	if (json_decode(&made, value, rows, COUNT_OF(rows), path, err) < 0)
		return -1;
	if (made.version != VERSION)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: version %llu is of another annex", path,
			    (unsigned long long)made.version);
	if (strcmp(made.name, name) != 0 || !machine_network_is_uplink(made.uplink))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: name or uplink is malformed", path);
	*ret = made;
	made = (struct machine_network){0};
	return 0;
}

int machine_network_load(struct machine_network *ret, const char *data, const char *name, struct annex_error **err)
{
	return load(ret, data, name, false, err);
}

int machine_network_load_set(struct machine_network *ret, const char *data, const char *name, struct annex_error **err)
{
	return load(ret, data, name, true, err);
}

int machine_network_resolve(struct machine_network *ret, const char *data, const char *setting,
			    struct annex_error **err)
{
	auto_machine_network struct machine_network made = {0};

	if (!machine_network_is_uplink(setting))
		return machine_network_load_set(ret, data, setting, err);
	made.version = VERSION;
	made.name = strdup(strcmp(setting, "none") == 0 ? "" : MACHINE_NETWORK_DEFAULT);
	made.uplink = strdup(setting);
	if (!made.name || !made.uplink)
		return fail_memory(err);
	*ret = made;
	made = (struct machine_network){0};
	return 0;
}

int machine_network_save(const struct machine_network *network, const char *data, struct annex_error **err)
{
	struct machine_network whole = *network;
	auto_free char *folder = path_join(data, "networks"), *path = record_path(data, network->name);
	auto_json json_t *value = NULL;
	int result;

	whole.version = VERSION;
	value = json_encode(&whole, rows, COUNT_OF(rows));
	if (!folder || !path || !value)
		return fail_memory(err);
	result = file_make_folders(folder, 0700);
	if (result < 0)
		return fail_os(err, result, "cannot make folder %s", folder);
	if (file_exists(AT_FDCWD, path)) {
		fail(err, ANNEX_ERROR_EXISTS, "a network named '%s' exists", network->name);
		return fail_hint(err, "annex network inspect %s", network->name);
	}
	return json_write_file(AT_FDCWD, path, value, err);
}

int machine_network_remove(const char *data, const char *name, struct annex_error **err)
{
	auto_free char *folder = path_join(data, "networks"), *path = record_path(data, name);
	int result;

	if (!folder || !path)
		return fail_memory(err);
	if (unlink(path) < 0)
		return fail_os(err, errno, "cannot remove %s", path);
	result = file_sync_folder(AT_FDCWD, folder);
	return result < 0 ? fail_os(err, result, "cannot remove %s", path) : 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int machine_network_names(struct text_list *ret, const char *data, struct annex_error **err)
{
	auto_free char *folder = path_join(data, "networks");
	auto_text_list struct text_list names = {0};
	struct dirent *entry;
	int result = 0;
	DIR *open;

	if (!folder)
		return fail_memory(err);
	open = opendir(folder);
	if (!open && errno != ENOENT)
		return fail_os(err, errno, "cannot read %s", folder);
	while (open && result == 0 && (entry = readdir(open))) {
		auto_free char *name = NULL;

		if (!text_ends(entry->d_name, ".json"))
			continue;
		name = strndup(entry->d_name, strlen(entry->d_name) - strlen(".json"));
		if (!name)
			result = -ENOMEM;
		else if (machine_network_check_name(name, NULL) == 0)
			result = text_list_add_owned(&names, TAKE(name));
	}
	if (open)
		closedir(open);
	if (result < 0)
		return fail_memory(err);
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_texts);
	*ret = names;
	names = (struct text_list){0};
	return 0;
}
