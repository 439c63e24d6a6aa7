#include "machine/setting.h"

#include "machine/home.h"
#include "machine/network.h"
#include "machine/secret.h"
#include "machine/volume.h"
#include "network/publish.h"
#include "network/rule.h"

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

struct setting {
	const char *key;
	const char *help;
	int (*apply)(const struct setting *setting, void *field, const char *value, struct annex_error **err);
	size_t offset;
	uint64_t lowest, highest; /* of numbers and sizes */
	const char *words;        /* of choices, with a bar between them */
	bool at_once;             /* nothing of the virtual machine depends on it */
};

static int refuse(const struct setting *setting, const char *value, struct annex_error **err, const char *why)
{
	return fail(err, ANNEX_ERROR_USAGE, "%s=%s: %s", setting->key, value, why);
}

static int apply_number(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	uint64_t number = 0;

	if (text_to_u64(&number, value, 10) < 0)
		return refuse(setting, value, err, "not a whole number");
	if (number < setting->lowest || number > setting->highest)
		return fail(err, ANNEX_ERROR_USAGE, "%s=%s: must be between %llu and %llu", setting->key, value,
			    (unsigned long long)setting->lowest, (unsigned long long)setting->highest);
	*(uint64_t *)field = number;
	return 0;
}

static int apply_size(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	char lowest[TEXT_SIZE_BUFFER], highest[TEXT_SIZE_BUFFER];
	uint64_t size = 0;

	if (text_to_size(&size, value) < 0) {
		refuse(setting, value, err, "not a size");
		return fail_hint(err, "sizes are written 512M, 4G or 1.5g; a bare number is bytes");
	}
	if (size < setting->lowest || size > setting->highest)
		return fail(err, ANNEX_ERROR_USAGE, "%s=%s: must be between %s and %s", setting->key, value,
			    text_from_size(lowest, setting->lowest), text_from_size(highest, setting->highest));
	*(uint64_t *)field = size / 4096 * 4096;
	return 0;
}

static bool is_one_of(const char *words, const char *value)
{
	size_t length;

	for (const char *at = words; *at; at += length + (at[length] == '|')) {
		length = strcspn(at, "|");
		if (strlen(value) == length && strncmp(at, value, length) == 0)
			return true;
	}
	return false;
}

static int apply_choice(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	auto_text struct text list = {0};
	char *copy;

	if (is_one_of(setting->words, value)) {
		copy = strdup(value);
		if (!copy)
			return fail_memory(err);
		free(*(char **)field);
		*(char **)field = copy;
		return 0;
	}
	for (const char *at = setting->words; *at; at++) {
		if (*at == '|')
			text_add(&list, ", ");
		else
			text_add_char(&list, *at);
	}
	return fail(err, ANNEX_ERROR_USAGE, "%s=%s: must be one of %s", setting->key, value, list.data);
}

static int apply_text(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	char *copy;

	if (!*value)
		return refuse(setting, value, err, "must not be empty");
	copy = strdup(value);
	if (!copy)
		return fail_memory(err);
	free(*(char **)field);
	*(char **)field = copy;
	return 0;
}

static int apply_bool(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	return text_to_bool(field, value) < 0 ? refuse(setting, value, err, "must be true or false") : 0;
}

static void drop(struct text_list *list, size_t index)
{
	free(list->items[index]);
	memmove(&list->items[index], &list->items[index + 1], (list->count - index) * sizeof(*list->items));
	list->count--;
}

static void drop_variable(struct text_list *list, const char *name, size_t length)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->items[i], name, length) == 0 && list->items[i][length] == '=') {
			drop(list, i);
			return;
		}
	}
}

static int apply_environment(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	struct text_list *list = field;
	size_t length;

	if (*value == '-') {
		drop_variable(list, value + 1, strlen(value + 1));
		return 0;
	}
	length = strcspn(value, "=");
	if (length == 0 || value[length] != '=') {
		refuse(setting, value, err, "not of the form NAME=VALUE");
		return fail_hint(err, "annex set env=NAME=VALUE, or env=-NAME to remove it");
	}
	if (list->count >= SETTING_ENVIRONMENT_MAX)
		return refuse(setting, value, err, "too many variables");
	drop_variable(list, value, length);
	return text_list_add(list, value) < 0 ? fail_memory(err) : 0;
}

static int apply_target(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	auto_free char *target = NULL;

	if (!*value) {
		target = strdup("");
		if (!target)
			return fail_memory(err);
	} else if (volume_guest(&target, value, err) < 0) {
		fail_while(err, "%s=%s", setting->key, value);
		return fail_hint(err, "annex set home-target=/host; empty is the home's own path");
	}
	free(*(char **)field);
	*(char **)field = TAKE(target);
	return 0;
}

/*
 * Volumes are kept in the order of their places in the machine, masks in that of their names: what was changed and
 * changed back is what it was.
 */
typedef int compare_fn(const char *a, const char *b);

/* The first that isn't before `text`. */
static size_t find_place(const struct text_list *list, const char *text, compare_fn *compare)
{
	size_t index = 0;

	while (index < list->count && compare(list->items[index], text) < 0)
		index++;
	return index;
}

static bool is_at(const struct text_list *list, size_t index, const char *text, compare_fn *compare)
{
	return index < list->count && compare(list->items[index], text) == 0;
}

/* Takes `text`. */
static int insert(struct text_list *list, size_t index, char *text)
{
	if (text_list_add_owned(list, text) < 0)
		return -ENOMEM;
	memmove(&list->items[index + 1], &list->items[index], (list->count - 1 - index) * sizeof(*list->items));
	list->items[index] = text;
	return 0;
}

static void sort(struct text_list *list, compare_fn *compare)
{
	for (size_t i = 1; i < list->count; i++) {
		char *text = list->items[i];
		size_t k = i;

		for (; k > 0 && compare(list->items[k - 1], text) > 0; k--)
			list->items[k] = list->items[k - 1];
		list->items[k] = text;
	}
}

/* *ret is its one spelling, the caller's. */
static int read_rule(char **ret, const char *text, struct annex_error **err)
{
	struct rule rule;

	if (rule_parse(&rule, text, err) < 0)
		return -1;
	*ret = rule_text(&rule);
	return *ret ? 0 : fail_memory(err);
}

static int remove_volume(struct text_list *list, const char *value, struct annex_error **err)
{
	auto_free char *guest = NULL, *text = NULL;
	size_t index;

	if (volume_guest(&guest, value, err) < 0)
		return fail_hint(err, "volume=-GUEST removes the volume at GUEST");
	if (asprintf(&text, "/:%s", guest) < 0) {
		text = NULL;
		return fail_memory(err);
	}
	index = find_place(list, text, volume_compare);
	if (!is_at(list, index, text, volume_compare))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no volume at '%s'", guest);
	drop(list, index);
	return 0;
}

static int apply_volume(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	auto_volume struct volume volume = {0};
	auto_free char *text = NULL;
	struct text_list *list = field;
	size_t index;

	if (*value == '-')
		return remove_volume(list, value + 1, err);
	if (volume_parse(&volume, value, err) < 0)
		return -1;
	text = volume_text(&volume);
	if (!text)
		return fail_memory(err);
	index = find_place(list, text, volume_compare);
	if (is_at(list, index, text, volume_compare)) {
		free(list->items[index]);
		list->items[index] = TAKE(text);
		return 0;
	}
	if (list->count >= SETTING_VOLUMES_MAX)
		return refuse(setting, value, err, "too many volumes");
	return insert(list, index, TAKE(text)) < 0 ? fail_memory(err) : 0;
}

/* The order of published ports; each is as publish_text() has it. */
static int compare_published(const char *a, const char *b)
{
	struct publish parsed_a, parsed_b;

	if (publish_parse(&parsed_a, a, NULL) < 0 || publish_parse(&parsed_b, b, NULL) < 0)
		return strcmp(a, b); /* never so */
	return publish_compare(&parsed_a, &parsed_b);
}

static int remove_published(struct text_list *list, const char *value, struct annex_error **err)
{
	struct publish_pattern pattern;
	size_t before = list->count;

	if (publish_pattern_parse(&pattern, value, err) < 0)
		return fail_hint(err, "publish=-HOST removes the port that is published as HOST");
	for (size_t i = list->count; i-- > 0;) {
		struct publish publish;

		if (publish_parse(&publish, list->items[i], NULL) == 0 && publish_matches(&pattern, &publish))
			drop(list, i);
	}
	if (list->count < before)
		return 0;
	fail(err, ANNEX_ERROR_NOT_FOUND, "no port is published as '%s'", value);
	for (size_t i = 0; i < list->count; i++) {
		struct publish publish;

		/* A port of a range. */
		if (publish_parse(&publish, list->items[i], NULL) == 0 && publish_collides(&pattern.publish, &publish))
			return fail_hint(err, "it is part of publish=-%s", list->items[i]);
	}
	return -1;
}

/* *ret: the one whose place it takes, or list->count. USAGE for one that needs a part of another's ports. */
static int find_published(size_t *ret, const struct text_list *list, const struct publish *publish,
			  struct annex_error **err)
{
	unsigned ports = publish->count;

	*ret = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct publish other;

		if (publish_parse(&other, list->items[i], err) < 0)
			return -1;
		if (!publish_collides(&other, publish)) {
			ports += other.count;
		} else if (!publish_takes_place(publish, &other)) {
			auto_free char *text = publish_text(publish);

			fail(err, ANNEX_ERROR_USAGE, "it needs the same port of this host as '%s'", list->items[i]);
			return text ? fail_hint(err, "to take its place: publish=-%s publish=%s", list->items[i], text)
				    : -1;
		} else {
			*ret = i;
		}
	}
	return ports > PUBLISH_PORTS_MAX
		       ? fail(err, ANNEX_ERROR_USAGE, "a machine publishes %u ports at most", PUBLISH_PORTS_MAX)
		       : 0;
}

static int apply_publish(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	struct text_list *list = field;
	auto_free char *text = NULL;
	struct publish publish;
	size_t index;

	if (*value == '-')
		return remove_published(list, value + 1, err);
	if (publish_parse(&publish, value, err) < 0 || find_published(&index, list, &publish, err) < 0)
		return fail_while(err, "%s=%s", setting->key, value);
	text = publish_text(&publish);
	if (!text)
		return fail_memory(err);
	if (index < list->count)
		drop(list, index);
	index = find_place(list, text, compare_published);
	return insert(list, index, TAKE(text)) < 0 ? fail_memory(err) : 0;
}

static int apply_mask(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	auto_free char *home = NULL, *real = NULL, *mask = NULL;
	struct text_list *list = field;
	bool removes = *value == '-', is_there;
	size_t index;

	if (machine_home(&home, err) < 0)
		return -1;
	real = realpath(home, NULL);
	if (secret_parse(&mask, value + removes, (const char *const[]){home, real, NULL}, err) < 0)
		return -1;
	index = find_place(list, mask, strcmp);
	is_there = is_at(list, index, mask, strcmp);
	if (removes && !is_there)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no mask '%s'", mask);
	if (removes)
		drop(list, index);
	if (removes || is_there)
		return 0;
	if (list->count >= SETTING_MASKS_MAX)
		return refuse(setting, value, err, "too many masks");
	return insert(list, index, TAKE(mask)) < 0 ? fail_memory(err) : 0;
}

/* That a network of that name is there is checked where these are known. */
static int apply_network(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	if (!machine_network_is_uplink(value) && machine_network_check_name(value, err) < 0)
		return fail_while(err, "%s=%s", setting->key, value);
	return apply_text(setting, field, value, err);
}

static int apply_rule(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	struct text_list *list = field;
	bool removes = *value == '-', is_there;
	auto_free char *rule = NULL;
	size_t index;

	if (removes && !value[1]) {
		text_list_clear(list);
		return 0;
	}
	if (read_rule(&rule, value + removes, err) < 0)
		return -1;
	index = find_place(list, rule, strcmp);
	is_there = is_at(list, index, rule, strcmp);
	if (removes && !is_there)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no rule '%s'", rule);
	if (removes)
		drop(list, index);
	if (removes || is_there)
		return 0;
	if (list->count >= SETTING_ALLOW_MAX)
		return refuse(setting, value, err, "too many rules");
	return insert(list, index, TAKE(rule)) < 0 ? fail_memory(err) : 0;
}

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
	sort(&made.masks, strcmp);
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
		    find_published(&index, &checked, &publish, err) < 0)
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
	if (!is_one_of(mounts, settings->home_mount))
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
		if (!is_one_of(choices[i].words, choices[i].value))
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s: '%s' is not known", what, choices[i].key,
				    choices[i].value);
	}
	if (settings->allow.count > SETTING_ALLOW_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: too many rules", what);
	for (size_t i = 0; i < settings->allow.count; i++) {
		auto_free char *rule = NULL;

		if (read_rule(&rule, settings->allow.items[i], &cause) < 0)
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
	sort(&made.volumes, volume_compare);
	sort(&made.publish, compare_published);
	sort(&made.masks, strcmp);
	sort(&made.allow, strcmp);
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
