/*
 * annex __complete: what the shells' completion scripts ask.
 *
 * Its words are those of the command line up to the cursor, the last one being the one to complete, perhaps empty. The
 * answer is one candidate per line, with a tab and a description where there is one. A candidate that ends in = or : is
 * not a whole word. The lines ":files" and ":folders" leave the rest to the shell. The option rows say what can follow,
 * so nothing here knows a command, but `logs`, whose sessions may have ended, and that the values of a setting are
 * those of the option of `create` with its name; failures just give no candidates.
 */
#include "base/text.h"
#include "cli/machines.h"
#include "cli/ports.h"
#include "cli/shares.h"
#include "cli/signal.h"

#include <stdio.h>
#include <string.h>

struct complete_options {
	struct option_list words;
};

static const struct option options[] = {
	{OPTION_REST, 0, NULL, offsetof(struct complete_options, words), "WORD", "the command line's words",
	 COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

struct completer {
	struct cli *cli;
	const char *word;        /* that is completed */
	size_t done;             /* bytes of it that stay as they are, such as "--opt=" */
	const char *machine;     /* that the words before name, or NULL */
	const char *word_before; /* the command's own, or NULL */
	bool ended;              /* sessions that have ended are meant too, detached ones only */
};

/* What the candidates must start with. */
static const char *prefix_of(const struct completer *completer)
{
	return completer->word + completer->done;
}

/* The same with so many more bytes done. */
static struct completer past(const struct completer *completer, size_t bytes)
{
	struct completer inner = *completer;

	inner.done += bytes;
	return inner;
}

static void offer(const struct completer *completer, const char *candidate, const char *description)
{
	if (!text_starts(candidate, prefix_of(completer)))
		return;
	printf("%.*s%s", (int)completer->done, completer->word, candidate);
	if (description)
		printf("\t%s", description);
	putchar('\n');
}

static void offer_machines(const struct completer *completer)
{
	struct annex_machine **list = NULL;
	size_t count = 0;

	if (annex_machine_list(&list, &count, completer->cli->context, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		offer(completer, annex_machine_name(list[i]), NULL);
	annex_machine_list_free(list, count);
}

static void offer_images(const struct completer *completer)
{
	struct annex_image **list = NULL;
	size_t count = 0;

	if (annex_image_list(&list, &count, completer->cli->context, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < annex_image_name_count(list[i]); j++)
			offer(completer, annex_image_name(list[i], j), NULL);
	}
	annex_image_list_free(list, count);
}

static void offer_sources(const struct completer *completer)
{
	static const char *const sources[] = {"oci:", "oci-archive:", "docker-archive:"};

	for (size_t i = 0; i < COUNT_OF(sources); i++) {
		if (text_starts(prefix_of(completer), sources[i]))
			printf("%s %s\n", i ? ":files" : ":folders", sources[i]);
		else
			offer(completer, sources[i], NULL);
	}
}

static void offer_kernels(const struct completer *completer)
{
	struct annex_kernel **list = NULL;
	size_t count = 0;

	if (annex_kernel_list(&list, &count, completer->cli->context, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		offer(completer, annex_kernel_name(list[i]), NULL);
	annex_kernel_list_free(list, count);
}

static void offer_networks(const struct completer *completer, bool only_named)
{
	struct annex_network **list = NULL;
	size_t count = 0;

	if (annex_network_list(&list, &count, completer->cli->context, NULL) < 0)
		return;
	/* The first is the default one. */
	for (size_t i = only_named; i < count; i++)
		offer(completer, annex_network_name(list[i]), NULL);
	annex_network_list_free(list, count);
}

static void offer_registries(const struct completer *completer)
{
	char **list = NULL;
	size_t count = 0;

	if (annex_registry_list(&list, &count, completer->cli->context, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		offer(completer, list[i], NULL);
	annex_registry_list_free(list);
}

static void offer_files(const struct completer *completer, bool folders)
{
	printf("%s %.*s\n", folders ? ":folders" : ":files", (int)completer->done, completer->word);
}

/* Words with a bar between them. */
static void offer_choices(const struct completer *completer, const char *choices)
{
	for (const char *at = choices; *at;) {
		size_t length = strcspn(at, "|");
		auto_free char *word = strndup(at, length);

		if (word)
			offer(completer, word, NULL);
		at += length + (at[length] == '|');
	}
}

/* OPTIONS of a volume, with commas between them. */
static void offer_volume_options(const struct completer *completer)
{
	const char *prefix = prefix_of(completer), *comma = strrchr(prefix, ',');
	struct completer inner = past(completer, comma ? (size_t)(comma - prefix) + 1 : 0);

	offer(&inner, "ro", "read-only");
	offer(&inner, "rw", "may be written to");
	offer(&inner, "cache=auto", "changes are seen within a second");
	offer(&inner, "cache=none", "changes are seen at once");
	offer(&inner, "cache=always", "nothing changes on the host");
}

/* GUEST[:OPTIONS]; most want it at the path that it has here. */
static void offer_guest(const struct completer *completer, const char *host)
{
	const char *prefix = prefix_of(completer), *colon = strchr(prefix, ':'), *home = getenv("HOME");
	auto_free char *expanded = NULL, *path = NULL;

	if (colon) {
		struct completer inner = past(completer, (size_t)(colon - prefix) + 1);

		offer_volume_options(&inner);
		return;
	}
	if (asprintf(&expanded, "%s%s", host[0] == '~' && home ? home : "", host + (host[0] == '~')) < 0) {
		expanded = NULL;
		return;
	}
	path = realpath(expanded, NULL);
	if (path)
		offer(completer, path, NULL);
}

/* HOST:GUEST[:OPTIONS]; HOST may have colons, GUEST begins with a slash. */
static void offer_volume(const struct completer *completer)
{
	const char *prefix = prefix_of(completer), *colon = NULL;
	auto_free char *host = NULL;
	struct completer inner;

	for (const char *at = prefix; (at = strchr(at, ':')); at++)
		colon = at[1] == '/' || (!at[1] && !colon) ? at : colon;
	if (!colon) {
		offer_files(completer, false);
		return;
	}
	host = strndup(prefix, (size_t)(colon - prefix));
	inner = past(completer, (size_t)(colon - prefix) + 1);
	if (host)
		offer_guest(&inner, host);
}

/* What can be taken away from what the machine shares: all but the kernel's modules, or only the volumes. */
static void offer_shares(const struct completer *completer, bool only_volumes)
{
	auto_machine struct annex_machine *machine = NULL;
	auto_json json_t *list = NULL;

	if (annex_machine_open(&machine, completer->cli->context, completer->machine, NULL) < 0 ||
	    shares_list(&list, machine, NULL) < 0)
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *share = json_array_get(list, i);
		const char *name = shares_text(share, "name");
		bool is_volume = !text_equal(name, "home") && json_is_true(json_object_get(share, "kept"));

		if (!text_equal(name, "modules") && (is_volume || !only_volumes))
			offer(completer, shares_text(share, "target"), shares_text(share, "source"));
	}
}

/* What is published, or only what is by the setting. */
static void offer_ports(const struct completer *completer, bool only_kept)
{
	auto_machine struct annex_machine *machine = NULL;
	auto_json json_t *list = NULL;
	const char *last = "";

	if (annex_machine_open(&machine, completer->cli->context, completer->machine, NULL) < 0 ||
	    ports_list(&list, machine, NULL) < 0)
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *port = json_array_get(list, i);
		const char *text = ports_text(port, "publish");

		if (*text && !text_equal(text, last) && (!only_kept || json_is_true(json_object_get(port, "kept"))))
			offer(completer, text, ports_text(port, "state"));
		last = text;
	}
}

static void offer_sessions(const struct completer *completer)
{
	auto_machine struct annex_machine *machine = NULL;
	struct annex_session_info *list = NULL;
	size_t count = 0;

	if (annex_machine_open(&machine, completer->cli->context, completer->machine, NULL) < 0 ||
	    annex_session_list(&list, &count, machine, completer->ended, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (list[i].detached || !completer->ended)
			offer(completer, list[i].id, list[i].command);
	}
	annex_session_list_free(list, count);
}

static void offer_signals(const struct completer *completer)
{
	for (int i = 1; i < SIGNAL_NAMES; i++) {
		if (*signal_name(i))
			offer(completer, signal_name(i), NULL);
	}
}

static void offer_value(const struct completer *completer, const struct option *row);

/* Of a setting that takes some words only. */
static bool offer_words(const struct completer *completer, const char *key, size_t length)
{
	for (size_t i = 0; annex_setting_key(i); i++) {
		const char *words = annex_setting_words(i);

		if (!words || strlen(annex_setting_key(i)) != length || strncmp(annex_setting_key(i), key, length) != 0)
			continue;
		offer_choices(completer, words);
		return true;
	}
	return false;
}

static void offer_settings(const struct completer *completer)
{
	const char *key, *prefix = prefix_of(completer);
	size_t length = strcspn(prefix, "=");

	if (prefix[length]) {
		const struct option *row = option_find_name(create_command.options, prefix, length);
		struct completer inner = past(completer, length + 1);

		if (text_starts(prefix, "volume=-")) {
			inner.done++;
			offer_shares(&inner, true);
		} else if (text_starts(prefix, "publish=-")) {
			inner.done++;
			offer_ports(&inner, true);
		} else if (!offer_words(&inner, prefix, length) && row && option_takes_value(row)) {
			offer_value(&inner, row);
		}
		return;
	}
	for (size_t i = 0; (key = annex_setting_key(i)); i++) {
		auto_free char *assignment = NULL;

		if (asprintf(&assignment, "%s=", key) < 0) {
			assignment = NULL;
			return;
		}
		offer(completer, assignment, annex_setting_help(i));
	}
}

static bool same_group(const struct command *a, const struct command *b)
{
	size_t length = strcspn(a->name, " ");

	return length == strcspn(b->name, " ") && strncmp(a->name, b->name, length) == 0;
}

/* First words of commands, or with a group what can follow it. */
static void offer_commands(const struct completer *completer, const char *group)
{
	const struct command *command;

	for (size_t i = 0; (command = command_at(i)); i++) {
		const char *space = strchr(command->name, ' ');
		size_t length = strcspn(command->name, " ");
		auto_free char *first = strndup(command->name, length);

		if (!first || (command->flags & COMMAND_HIDDEN))
			continue;
		if (group) {
			if (space && text_equal(first, group))
				offer(completer, space + 1, command->summary);
		} else if (!space) {
			offer(completer, first, command->summary);
		} else if (i == 0 || !same_group(command_at(i - 1), command)) {
			offer(completer, first, command->section);
		}
	}
}

static void offer_value(const struct completer *completer, const struct option *row)
{
	if (row->type == OPTION_CHOICE || row->completes == COMPLETES_CHOICES) {
		offer_choices(completer, row->value);
		return;
	}
	switch (row->completes) {
	case COMPLETES_FILE:
	case COMPLETES_FOLDER:
		offer_files(completer, row->completes == COMPLETES_FOLDER);
		break;
	case COMPLETES_MACHINE:
		offer_machines(completer);
		break;
	case COMPLETES_IMAGE_OR_SOURCE:
	case COMPLETES_IMAGE:
		offer_images(completer);
		if (row->completes == COMPLETES_IMAGE_OR_SOURCE)
			offer_sources(completer);
		break;
	case COMPLETES_SOURCE:
		offer_sources(completer);
		break;
	case COMPLETES_NETWORK:
		offer_networks(completer, false);
		break;
	case COMPLETES_UPLINK:
		offer_choices(completer, "auto|passt|slirp|none");
		offer_networks(completer, true);
		break;
	case COMPLETES_KERNEL:
		offer_kernels(completer);
		break;
	case COMPLETES_REGISTRY:
		offer_registries(completer);
		break;
	case COMPLETES_SETTING:
		offer_settings(completer);
		break;
	case COMPLETES_COMMAND:
		offer_commands(completer, completer->word_before);
		break;
	case COMPLETES_VOLUME:
		offer_volume(completer);
		break;
	case COMPLETES_GUEST:
		if (completer->word_before)
			offer_guest(completer, completer->word_before);
		break;
	case COMPLETES_SHARE:
		offer_shares(completer, false);
		break;
	case COMPLETES_SESSION:
		offer_sessions(completer);
		break;
	case COMPLETES_SIGNAL:
		offer_signals(completer);
		break;
	case COMPLETES_PORT:
		offer_ports(completer, false);
		break;
	case COMPLETES_CHOICES:
	case COMPLETES_NOTHING:
		break;
	}
}

static void offer_options(const struct completer *completer, const struct option *rows)
{
	const char *help = "";

	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		char spelling[64] = "";

		if (row->help)
			help = row->help;
		if (option_is_word(row))
			continue;
		if (row->name)
			snprintf(spelling, sizeof(spelling), "--%s", row->name);
		else
			snprintf(spelling, sizeof(spelling), "-%c", row->letter);
		offer(completer, spelling, help);
	}
	offer(completer, "--help", "show help");
}

struct place {
	const struct option *option; /* whose value comes next, or NULL */
	size_t words;                /* of the command's own that came */
	bool only_words;
	const char *word_before; /* the last of them */
	const char *machine;     /* that an option names */
};

static void take_value(struct place *place, const struct option *row, const char *value)
{
	if (row->completes == COMPLETES_MACHINE)
		place->machine = value;
	place->option = NULL;
}

static void walk_letters(struct place *place, const struct option *rows, const char *word)
{
	for (const char *at = word + 1; *at; at++) {
		const struct option *row = option_find_letter(rows, *at);

		if (!row || !option_takes_value(row))
			continue;
		if (at[1])
			take_value(place, row, at + 1);
		else
			place->option = row;
		return;
	}
}

static void walk_name(struct place *place, const struct option *rows, const char *word)
{
	size_t length = strcspn(word + 2, "=");
	const struct option *row = option_find_name(rows, word + 2, length);

	if (!row || !option_takes_value(row))
		return;
	if (word[2 + length])
		take_value(place, row, word + 2 + length + 1);
	else
		place->option = row;
}

/* Where the words that are complete lead to: the parser's rules without its checks. */
static void walk(struct place *place, const struct option *rows, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *word = words[i];
		const struct option *row;

		if (place->option) {
			take_value(place, place->option, word);
		} else if (place->only_words || word[0] != '-' || !word[1]) {
			row = option_find_word(rows, place->words++);
			place->only_words = place->only_words || (row && row->type == OPTION_REST);
			place->word_before = word;
		} else if (text_equal(word, "--")) {
			place->only_words = true;
		} else if (word[1] == '-') {
			walk_name(place, rows, word);
		} else {
			walk_letters(place, rows, word);
		}
	}
}

static void complete_in(struct cli *cli, const struct command *command, const char *const *words, size_t count)
{
	const char *current = words[count - 1], *equals = strchr(current, '=');
	struct completer completer = {.cli = cli, .word = current, .ended = command == &logs_command};
	const struct option *rows = command->options, *row;
	struct place place = {0};

	walk(&place, rows, words, count - 1);
	completer.machine = place.machine;
	completer.word_before = place.word_before;
	if (place.option) {
		offer_value(&completer, place.option);
	} else if (!place.only_words && text_starts(current, "--") && equals) {
		row = option_find_name(rows, current + 2, (size_t)(equals - current) - 2);
		completer.done = (size_t)(equals - current) + 1;
		if (row && option_takes_value(row))
			offer_value(&completer, row);
	} else if (!place.only_words && current[0] == '-') {
		offer_options(&completer, rows);
	} else {
		row = option_find_word(rows, place.words);
		if (row)
			offer_value(&completer, row);
	}
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct complete_options *asked = parsed;
	const char *const *words = (const char *const *)asked->words.words;
	struct completer completer = {.cli = cli};
	const struct command *command = NULL;
	size_t count = asked->words.count, used = 0;

	(void)err;
	if (count > 1 && command_prefix(words)) {
		words++;
		count--;
	}
	if (!count)
		return 0;
	completer.word = words[count - 1];
	if (count > 1)
		command = command_find(&used, words);
	if (command && used < count) {
		/* `annex port`: a machine's name, or what else it can be followed by. */
		if (used == 1 && count == 2 && command_is_group(words[0]))
			offer_commands(&completer, words[0]);
		complete_in(cli, command, words + used, count - used);
	} else if (count == 1) {
		offer_commands(&completer, NULL);
	} else if (count == 2) {
		offer_commands(&completer, words[0]);
	}
	return 0;
}

const struct command complete_command = {
	.name = "__complete",
	.section = "Hidden",
	.summary = "answer the shells' completion scripts",
	.description = "Answers the completion scripts that 'annex completion' prints.",
	.example = "annex __complete -- create --na",
	.options = options,
	.size = sizeof(struct complete_options),
	.flags = COMMAND_HIDDEN,
	.run = run,
};
