#include "machine/setting.h"

#include "machine/apply.h"
#include "machine/secret.h"
#include "machine/volume.h"
#include "network/publish.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_U64, "cpus", struct machine_settings, cpus, true),
	JSON_ROW(JSON_ROW_U64, "memory", struct machine_settings, memory, true),
	JSON_ROW(JSON_ROW_U64, "disk", struct machine_settings, disk, true),
	JSON_ROW(JSON_ROW_TEXT, "home-mount", struct machine_settings, home_mount, false),
	JSON_ROW(JSON_ROW_TEXT, "home-target", struct machine_settings, home_target, false),
	JSON_ROW(JSON_ROW_TEXTS, "volume", struct machine_settings, volumes, false),
	JSON_ROW(JSON_ROW_TEXTS, "publish", struct machine_settings, publish, false),
	JSON_ROW(JSON_ROW_TEXTS, "env", struct machine_settings, environment, false),
	JSON_ROW(JSON_ROW_TEXT, "init", struct machine_settings, init, true),
	JSON_ROW(JSON_ROW_TEXT, "kernel", struct machine_settings, kernel, true),
	JSON_ROW(JSON_ROW_BOOL, "virtualization", struct machine_settings, virtualization, false),
	JSON_ROW(JSON_ROW_TEXT, "accel", struct machine_settings, accel, true),
	JSON_ROW(JSON_ROW_TEXT, "network", struct machine_settings, network, true),
	JSON_ROW(JSON_ROW_TEXTS, "mask", struct machine_settings, masks, false),
	JSON_ROW(JSON_ROW_BOOL, "autostart", struct machine_settings, autostart, false),
	JSON_ROW(JSON_ROW_TEXT, "restart", struct machine_settings, restart, false),
	JSON_ROW(JSON_ROW_TEXT, "ssh-agent", struct machine_settings, ssh_agent, false),
	JSON_ROW(JSON_ROW_BOOL, "service", struct machine_settings, service, false),
	JSON_ROW(JSON_ROW_TEXT, "host-access", struct machine_settings, host_access, false),
	JSON_ROW(JSON_ROW_BOOL, "isolate", struct machine_settings, isolate, false),
	JSON_ROW(JSON_ROW_TEXTS, "allow", struct machine_settings, allow, false),
	JSON_ROW(JSON_ROW_TEXT, "ca", struct machine_settings, ca, false),
};

static const char mounts[] = "rw|ro|none";
static const char switches[] = "on|off";
static const char restarts[] = "no|on-failure|always";

static const char truths[] = "true|false";

#define AT(field) offsetof(struct machine_settings, field)

static const struct setting settings_table[] = {
	{"cpus", "number of virtual processors", apply_number, AT(cpus), 1, SETTING_CPUS_MAX, NULL, false},
	{"memory", "memory, such as 2G", apply_size, AT(memory), SETTING_MEMORY_MIN, 1ull << 42, NULL, false},
	{"disk", "size of the disk, such as 64G; it can only grow", apply_size, AT(disk), SETTING_DISK_MIN,
	 SETTING_DISK_MAX, NULL, false},
	{"home-mount", "rw, ro or none: whether the machine has the user's home", apply_choice, AT(home_mount), 0, 0,
	 mounts, false},
	{"home-target", "where the machine has it; empty: at its own path", apply_target, AT(home_target), 0, 0, NULL,
	 false},
	{"volume", "HOST:GUEST[:ro][,cache=none]: a folder or file of the host; -GUEST removes it", apply_volume,
	 AT(volumes), 0, 0, NULL, false},
	{"publish", "[IP:]HOST:GUEST[/udp]: a port of the machine on this host; -HOST removes it", apply_publish,
	 AT(publish), 0, 0, NULL, false},
	{"env", "NAME=VALUE for every program of the machine; -NAME removes it", apply_environment, AT(environment), 0,
	 0, NULL, false},
	{"init", "auto, image (the image's own) or builtin", apply_choice, AT(init), 0, 0, "auto|image|builtin", false},
	{"kernel", "an installed kernel's name, a kernel file's path, or default", apply_text, AT(kernel), 0, 0, NULL,
	 false},
	{"virtualization", "true: virtual machines can run inside", apply_bool, AT(virtualization), 0, 0, truths,
	 false},
	{"accel", "auto, kvm or tcg (emulation)", apply_choice, AT(accel), 0, 0, "auto|kvm|tcg", false},
	{"network", "auto, passt, slirp, none, or the name of a network (annex network list)", apply_network,
	 AT(network), 0, 0, "auto|passt|slirp|none", false},
	{"mask", "a path of the home that the machine doesn't see; -PATH removes it", apply_mask, AT(masks), 0, 0, NULL,
	 false},
	{"autostart", "true: it starts with the host, or as you log in (by systemd)", apply_bool, AT(autostart), 0, 0,
	 truths, true},
	{"restart", "no, on-failure or always: whether it is started again when it ends", apply_choice, AT(restart), 0,
	 0, restarts, true},
	{"ssh-agent", "on or off: whether sessions can use the SSH agent of who runs them", apply_choice, AT(ssh_agent),
	 0, 0, switches, true},
	{"service", "true: the built-in init runs the image's entrypoint and command", apply_bool, AT(service), 0, 0,
	 truths, false},
	{"host-access", "on or off: whether the machine reaches what listens on this host", apply_choice,
	 AT(host_access), 0, 0, switches, false},
	{"isolate", "true: it has nothing of this host but its volumes, and reaches nothing but what allow says",
	 apply_bool, AT(isolate), 0, 0, truths, false},
	{"allow", "HOST[:PORT] or a range of addresses that an isolated machine reaches; -RULE removes it, - all",
	 apply_rule, AT(allow), 0, 0, NULL, false},
	{"ca", "on or off: whether it trusts the CA certificates that were added to this host", apply_choice, AT(ca), 0,
	 0, switches, false},
};

static const char *const live[] = {"cpus", "disk", "memory", "host-access", "allow"};

bool setting_is_live(const char *key)
{
	for (size_t i = 0; i < COUNT_OF(live); i++) {
		if (strcmp(live[i], key) == 0)
			return true;
	}
	return false;
}

const char *setting_key(size_t index)
{
	return index < COUNT_OF(settings_table) ? settings_table[index].key : NULL;
}

const char *setting_help(size_t index)
{
	return index < COUNT_OF(settings_table) ? settings_table[index].help : NULL;
}

const char *setting_words(size_t index)
{
	return index < COUNT_OF(settings_table) ? settings_table[index].words : NULL;
}

static const struct setting *find(const char *key, size_t length)
{
	for (size_t i = 0; i < COUNT_OF(settings_table); i++) {
		if (strlen(settings_table[i].key) == length && strncmp(settings_table[i].key, key, length) == 0)
			return &settings_table[i];
	}
	return NULL;
}

bool setting_exists(const char *key)
{
	return find(key, strlen(key)) != NULL;
}

bool setting_is_at_once(const char *key)
{
	const struct setting *setting = find(key, strlen(key));

	return setting && setting->at_once;
}

bool setting_is_list(const char *key)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (strcmp(rows[i].name, key) == 0)
			return rows[i].type == JSON_ROW_TEXTS;
	}
	return false;
}

static int refuse_key(const char *key, size_t length, struct annex_error **err)
{
	auto_text struct text keys = {0};

	for (size_t i = 0; i < COUNT_OF(settings_table); i++)
		text_printf(&keys, "%s%s", i ? ", " : "", settings_table[i].key);
	fail(err, ANNEX_ERROR_USAGE, "there is no setting '%.*s'", (int)length, key);
	return fail_hint(err, "the settings are %s", keys.data);
}

int settings_apply(struct machine_settings *settings, const char *pair, struct annex_error **err)
{
	const struct setting *setting;
	size_t length = strcspn(pair, "=");

	if (pair[length] != '=') {
		fail(err, ANNEX_ERROR_USAGE, "'%s' is not of the form KEY=VALUE", pair);
		return fail_hint(err, "annex set -n NAME memory=4G");
	}
	setting = find(pair, length);
	if (!setting)
		return refuse_key(pair, length, err);
	return setting->apply(setting, (char *)settings + setting->offset, pair + length + 1, err);
}

int settings_reset(struct machine_settings *settings, const struct machine_settings *from, const char *key,
		   struct annex_error **err)
{
	auto_json json_t *ours = settings_encode(settings), *theirs = settings_encode(from);
	struct machine_settings made = {0};

	if (!setting_exists(key))
		return refuse_key(key, strlen(key), err);
	if (!ours || !theirs || json_object_set(ours, key, json_object_get(theirs, key)) < 0)
		return fail_memory(err);
	if (settings_decode(&made, ours, "settings", err) < 0)
		return -1;
	settings_clear(settings);
	*settings = made;
	return 0;
}

int settings_default(struct machine_settings *ret, struct annex_error **err)
{
	auto_settings struct machine_settings made = {0};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * page / 4;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	made.cpus = cpus < 1 ? 1 : cpus > (long)SETTING_CPUS_MAX ? SETTING_CPUS_MAX : (uint64_t)cpus;
	made.memory = memory < 1ull << 30   ? 1ull << 30
		      : memory > 8ull << 30 ? 8ull << 30
					    : memory / (1u << 20) * (1u << 20);
	made.disk = 64ull << 30;
	made.home_mount = strdup("rw");
	made.home_target = strdup("");
	made.init = strdup("auto");
	made.kernel = strdup("default");
	made.accel = strdup("auto");
	made.network = strdup("auto");
	made.restart = strdup("no");
	made.ssh_agent = strdup("on");
	made.host_access = strdup("on");
	made.ca = strdup("on");
	if (!made.home_mount || !made.home_target || !made.init || !made.kernel || !made.accel || !made.network ||
	    !made.restart || !made.ssh_agent || !made.host_access || !made.ca)
		return fail_memory(err);
	if (secret_defaults(&made.masks, err) < 0)
		return -1;
	apply_sort(&made.masks, strcmp);
	*ret = made;
	made = (struct machine_settings){0};
	return 0;
}

/* Each is well-formed, and none needs another's port of the host. */
static int check_published(const struct machine_settings *settings, struct annex_error **err)
{
	auto_text_list struct text_list checked = {0};

	for (size_t i = 0; i < settings->publish.count; i++) {
		struct publish publish;
		size_t index;

		if (publish_parse(&publish, settings->publish.items[i], err) < 0 ||
		    apply_find_published(&index, &checked, &publish, err) < 0)
			return -1;
		if (index < checked.count)
			return fail(err, ANNEX_ERROR_USAGE, "'%s' is there twice", settings->publish.items[i]);
		if (text_list_add(&checked, settings->publish.items[i]) < 0)
			return fail_memory(err);
	}
	return 0;
}

/* What decides on access to the host's files is checked again: a word that isn't understood must not mean more. */
static int check_files(const struct machine_settings *settings, const char *what, struct annex_error **err)
{
	const char *const none[] = {NULL};
	auto_error struct annex_error *cause = NULL;
	int result = 0;

	if (settings->volumes.count > SETTING_VOLUMES_MAX || settings->masks.count > SETTING_MASKS_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: too many volumes or masks", what);
	for (size_t i = 0; result == 0 && i < settings->volumes.count; i++) {
		auto_volume struct volume volume = {0};

		result = volume_parse(&volume, settings->volumes.items[i], &cause);
	}
	for (size_t i = 0; result == 0 && i < settings->masks.count; i++) {
		auto_free char *mask = NULL;

		result = secret_parse(&mask, settings->masks.items[i], none, &cause);
	}
	if (result == 0)
		result = check_published(settings, &cause);
	if (result == 0 && *settings->home_target) {
		auto_free char *target = NULL;

		result = volume_guest(&target, settings->home_target, &cause);
	}
	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s", what, annex_error_message(cause));
	if (!apply_is_one_of(mounts, settings->home_mount))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: home-mount: '%s' is not known", what, settings->home_mount);
	return 0;
}

/* The same for what decides on what it reaches. */
static int check_words(const struct machine_settings *settings, const char *what, struct annex_error **err)
{
	const struct {
		const char *key, *words, *value;
	} choices[] = {
		{"restart", restarts, settings->restart},
		{"ssh-agent", switches, settings->ssh_agent},
		{"host-access", switches, settings->host_access},
		{"ca", switches, settings->ca},
	};
	auto_error struct annex_error *cause = NULL;

	for (size_t i = 0; i < COUNT_OF(choices); i++) {
		if (!apply_is_one_of(choices[i].words, choices[i].value))
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s: '%s' is not known", what, choices[i].key,
				    choices[i].value);
	}
	if (settings->allow.count > SETTING_ALLOW_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: too many rules", what);
	for (size_t i = 0; i < settings->allow.count; i++) {
		auto_free char *rule = NULL;

		if (apply_read_rule(&rule, settings->allow.items[i], &cause) < 0)
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: allow: %s: %s", what, settings->allow.items[i],
				    annex_error_message(cause));
	}
	return 0;
}

/* What an older annex hasn't written. */
static int fill_in(struct machine_settings *settings, struct annex_error **err)
{
	const struct {
		char **field;
		const char *value;
	} texts[] = {
		{&settings->home_mount, "rw"}, {&settings->home_target, ""},   {&settings->restart, "no"},
		{&settings->ssh_agent, "on"},  {&settings->host_access, "on"}, {&settings->ca, "on"},
	};

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		if (!*texts[i].field)
			*texts[i].field = strdup(texts[i].value);
		if (!*texts[i].field)
			return fail_memory(err);
	}
	return 0;
}

int settings_decode(struct machine_settings *ret, const json_t *object, const char *what, struct annex_error **err)
{
	auto_settings struct machine_settings made = {0};

	if (json_decode(&made, object, rows, COUNT_OF(rows), what, err) < 0 || fill_in(&made, err) < 0 ||
	    check_words(&made, what, err) < 0)
		return -1;
	if (!json_object_get(object, "mask") && secret_defaults(&made.masks, err) < 0)
		return -1;
	if (check_files(&made, what, err) < 0)
		return -1;
	apply_sort(&made.volumes, volume_compare);
	apply_sort(&made.publish, apply_compare_published);
	apply_sort(&made.masks, strcmp);
	apply_sort(&made.allow, strcmp);
	*ret = made;
	made = (struct machine_settings){0};
	return 0;
}

void settings_isolate(json_t *settings)
{
	static const struct {
		const char *key, *value;
	} overruled[] = {{"home-mount", "none"}, {"ssh-agent", "off"}, {"host-access", "off"}};

	if (!json_is_true(json_object_get(settings, "isolate")))
		return;
	for (size_t i = 0; i < COUNT_OF(overruled); i++)
		json_object_set_new(settings, overruled[i].key, json_string(overruled[i].value));
}

json_t *settings_encode(const struct machine_settings *settings)
{
	return json_encode(settings, rows, COUNT_OF(rows));
}

int settings_copy(struct machine_settings *ret, const struct machine_settings *from, struct annex_error **err)
{
	auto_json json_t *encoded = settings_encode(from);

	return encoded ? settings_decode(ret, encoded, "settings", err) : fail_memory(err);
}

void settings_clear(struct machine_settings *settings)
{
	json_clear(settings, rows, COUNT_OF(rows));
}
