/* annex set and annex set-default. */
#include "base/text.h"
#include "cli/help.h"
#include "cli/machines.h"
#include "cli/output.h"
#include "cli/printable.h"

#include <stdio.h>
#include <string.h>

struct set_options {
	struct option_list settings;
	const char *name;
	const char *progress;
	bool now;
};
#define AT(field) offsetof(struct set_options, field)

enum { SHOWN_ITEMS = 8 }; /* of a list */

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_FLAG, 0, "now", AT(now), NULL, "restart the machine if it runs and the change needs it",
	 COMPLETES_NOTHING},
	PROGRESS_ROW(struct set_options),
	{OPTION_WORDS, 0, NULL, AT(settings), "KEY=VALUE", "the settings, see below; none: show them",
	 COMPLETES_SETTING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* Why what a running machine could have taken over waits. The machine may have said it. */
static void tell_reasons(const json_t *reasons, const struct option_list *settings)
{
	for (size_t i = 0; i < settings->count; i++) {
		const char *word = settings->words[i];
		auto_free char *key = strndup(word, strcspn(word, "="));
		const char *reason = key ? json_string_value(json_object_get(reasons, key)) : NULL;
		auto_text struct text shown = {0};

		if (reason)
			printable_add(&shown, reason);
		if (reason && text_ok(&shown))
			fprintf(stderr, "%s: %s\n", word, shown.data);
	}
}

/* Say which of them wait for a restart: a running machine takes some over at once. */
static int tell_pending(struct cli *cli, struct annex_machine *machine, const struct option_list *settings,
			struct annex_error **err)
{
	auto_free char *text = NULL;
	auto_json json_t *array = json_array();
	const json_t *pending, *reasons;
	bool any = false;

	if (annex_machine_describe(&text, machine, err) < 0 || output_json_append(array, text, err) < 0)
		return -1;
	pending = json_object_get(json_array_get(array, 0), "pending");
	reasons = json_object_get(json_array_get(array, 0), "pendingReasons");
	progress_clear(cli->progress);
	tell_reasons(reasons, settings);
	for (size_t i = 0; i < settings->count; i++) {
		const char *word = settings->words[i];
		auto_free char *key = strndup(word, strcspn(word, "="));

		if (!key)
			return fail_memory(err);
		if (!json_object_get(pending, key))
			continue;
		fprintf(stderr, "%s%s", any ? ", " : "", word);
		any = true;
	}
	if (any)
		fprintf(stderr, " will take effect after 'annex restart %s'\n", annex_machine_name(machine));
	return 0;
}

static bool names_key(const struct option_list *settings, const char *key)
{
	for (size_t i = 0; i < settings->count; i++) {
		if (text_starts(settings->words[i], key))
			return true;
	}
	return false;
}

static int change(struct cli *cli, struct annex_machine *machine, const struct set_options *wanted,
		  struct annex_error **err)
{
	int pending = 0;

	if (annex_machine_set(machine, wanted->settings.words, &pending, err) < 0 ||
	    (names_key(&wanted->settings, "autostart=") && machines_tell_autostart(cli, machine, err) < 0))
		return -1;
	if (!pending)
		return 0;
	if (wanted->now)
		return annex_machine_stop(machine, -1, err) < 0 ? -1 : machines_start(cli, machine, err);
	return tell_pending(cli, machine, &wanted->settings, err);
}

static const struct output_column columns[] = {{"SETTING", false}, {"VALUE", false}, {"PENDING", false}};

/* As `set` takes it; sizes in their largest unit, and of long lists only how long. */
static void add_value(struct text *text, const char *key, const json_t *value)
{
	static const char units[] = "KMGT";
	unsigned long long number = (unsigned long long)json_integer_value(value), unit = 0;
	size_t count = json_array_size(value);

	if (json_is_boolean(value))
		text_add(text, json_is_true(value) ? "true" : "false");
	if (json_is_string(value))
		text_add(text, json_string_value(value));
	if (json_is_integer(value)) {
		bool is_size = text_equal(key, "memory") || text_equal(key, "disk");

		for (; is_size && unit < strlen(units) && number && number % 1024 == 0; unit++)
			number /= 1024;
		text_printf(text, "%llu%.*s", number, unit ? 1 : 0, units + (unit ? unit - 1 : 0));
	}
	if (count > SHOWN_ITEMS)
		text_printf(text, "%zu of them", count);
	for (size_t i = 0; i < count && count <= SHOWN_ITEMS; i++)
		text_printf(text, "%s%s", i ? " " : "", json_string_value(json_array_get(value, i)));
}

static int add_row(struct libscols_table *table, const char *key, const json_t *value, const json_t *waits,
		   struct annex_error **err)
{
	auto_text struct text now = {0}, then = {0};
	const char *cells[] = {key, "", ""};

	add_value(&now, key, value);
	add_value(&then, key, waits);
	if (!text_ok(&now) || !text_ok(&then))
		return fail_memory(err);
	cells[1] = now.size ? now.data : "";
	cells[2] = then.size ? then.data : waits ? "(none)" : "";
	return output_table_row(table, cells, err);
}

static int show(struct annex_machine *machine, struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	auto_free char *text = NULL;
	const json_t *object;
	const char *key;

	if (annex_machine_describe(&text, machine, err) < 0 || output_json_append(array, text, err) < 0 ||
	    output_table_new(&table, columns, COUNT_OF(columns), err) < 0)
		return -1;
	object = json_array_get(array, 0);
	for (size_t i = 0; (key = annex_setting_key(i)); i++) {
		if (add_row(table, key, json_object_get(json_object_get(object, "settings"), key),
			    json_object_get(json_object_get(object, "pending"), key), err) < 0)
			return -1;
	}
	return output_table_print(table, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct set_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;

	progress_set_mode(cli->progress, wanted->progress);
	if (machines_open(&machine, cli, NULL, wanted->name, err) < 0)
		return -1;
	if (!wanted->settings.count && wanted->now)
		return fail(err, ANNEX_ERROR_USAGE, "set: --now goes with settings only");
	if (!wanted->settings.count)
		return show(machine, err);
	if (change(cli, machine, wanted, err) == 0)
		return 0;
	/* Of what was to be removed. */
	if (annex_error_kind(*err) == ANNEX_ERROR_NOT_FOUND)
		fail_hint(err, "annex set -n %s", annex_machine_name(machine));
	return fail_while(err, "set %s", annex_machine_name(machine));
}

static void add_help(struct text *text)
{
	const char *key;

	text_add(text, "\nSettings:\n");
	for (size_t i = 0; (key = annex_setting_key(i)); i++)
		help_add_row(text, key, annex_setting_help(i));
}

struct set_default_options {
	const char *word;
	const char *name;
};

static const struct option default_options[] = {
	{OPTION_TEXT, 'n', "name", offsetof(struct set_default_options, name), "NAME", "the machine, instead of a word",
	 COMPLETES_MACHINE},
	{OPTION_WORD_OPTIONAL, 0, NULL, offsetof(struct set_default_options, word), "NAME", "the machine",
	 COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run_default(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct set_default_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;

	if (!wanted->word && !wanted->name) {
		fail(err, ANNEX_ERROR_USAGE, "set-default: NAME is missing");
		return fail_hint(err, "annex list");
	}
	if (machines_open(&machine, cli, wanted->word, wanted->name, err) < 0)
		return -1;
	if (annex_machine_set_default(machine, err) < 0)
		return fail_while(err, "set-default %s", annex_machine_name(machine));
	return 0;
}

const struct command set_command = {
	.name = "set",
	.section = "Machines",
	.summary = "change a machine's settings",
	.description =
		"Changes settings of a machine. A running machine takes over volumes, ports, what it may reach, "
		"processors, memory and a larger disk at once, as far as it can; others wait for its next start. "
		"KEY=default is what a new machine has. Without KEY=VALUE, shows what is set, and what waits.",
	.example = "annex set -n dev\nannex set -n dev memory=8G cpus=4\nannex set --now kernel=6.1.0-30-cloud-amd64\n"
		   "annex set volume=~/data:/data:ro volume=-/srv mask=.netrc\nannex set publish=8080:80 publish=-8443",
	.options = options,
	.add_help = add_help,
	.size = sizeof(struct set_options),
	.run = run,
};

const struct command set_default_command = {
	.name = "set-default",
	.section = "Machines",
	.summary = "choose the machine that is meant when none is named",
	.description = "Chooses the machine that commands work on when they name none and $ANNEX_MACHINE is not set.",
	.example = "annex set-default dev",
	.options = default_options,
	.size = sizeof(struct set_default_options),
	.run = run_default,
};
