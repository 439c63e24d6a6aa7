#include "machine/apply.h"

#include "machine/home.h"
#include "machine/network.h"
#include "machine/secret.h"
#include "machine/volume.h"
#include "network/rule.h"

#include <stdio.h>
#include <string.h>

static int refuse(const struct setting *setting, const char *value, struct annex_error **err, const char *why)
{
	return fail(err, ANNEX_ERROR_USAGE, "%s=%s: %s", setting->key, value, why);
}

int apply_number(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

int apply_size(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

bool apply_is_one_of(const char *words, const char *value)
{
	size_t length;

	for (const char *at = words; *at; at += length + (at[length] == '|')) {
		length = strcspn(at, "|");
		if (strlen(value) == length && strncmp(at, value, length) == 0)
			return true;
	}
	return false;
}

int apply_choice(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	auto_text struct text list = {0};
	char *copy;

	if (apply_is_one_of(setting->words, value)) {
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

int apply_text(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

int apply_bool(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

int apply_environment(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

int apply_target(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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

void apply_sort(struct text_list *list, compare_fn *compare)
{
	for (size_t i = 1; i < list->count; i++) {
		char *text = list->items[i];
		size_t k = i;

		for (; k > 0 && compare(list->items[k - 1], text) > 0; k--)
			list->items[k] = list->items[k - 1];
		list->items[k] = text;
	}
}

int apply_read_rule(char **ret, const char *text, struct annex_error **err)
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

int apply_volume(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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
int apply_compare_published(const char *a, const char *b)
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

int apply_find_published(size_t *ret, const struct text_list *list, const struct publish *publish,
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

int apply_publish(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	struct text_list *list = field;
	auto_free char *text = NULL;
	struct publish publish;
	size_t index;

	if (*value == '-')
		return remove_published(list, value + 1, err);
	if (publish_parse(&publish, value, err) < 0 || apply_find_published(&index, list, &publish, err) < 0)
		return fail_while(err, "%s=%s", setting->key, value);
	text = publish_text(&publish);
	if (!text)
		return fail_memory(err);
	if (index < list->count)
		drop(list, index);
	index = find_place(list, text, apply_compare_published);
	return insert(list, index, TAKE(text)) < 0 ? fail_memory(err) : 0;
}

int apply_mask(const struct setting *setting, void *field, const char *value, struct annex_error **err)
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
int apply_network(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	if (!machine_network_is_uplink(value) && machine_network_check_name(value, err) < 0)
		return fail_while(err, "%s=%s", setting->key, value);
	return apply_text(setting, field, value, err);
}

int apply_rule(const struct setting *setting, void *field, const char *value, struct annex_error **err)
{
	struct text_list *list = field;
	bool removes = *value == '-', is_there;
	auto_free char *rule = NULL;
	size_t index;

	if (removes && !value[1]) {
		text_list_clear(list);
		return 0;
	}
	if (apply_read_rule(&rule, value + removes, err) < 0)
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
