/*
 * annex __complete: what the shells' completion scripts ask.
 *
 * Its words are those of the command line up to the cursor, the last one being the one to complete, perhaps empty. The
 * answer is one candidate per line, with a tab and a description where there is one. A candidate that ends in = or : is
 * not a whole word. The lines ":files" and ":folders" leave the rest to the shell. The option rows say what can follow,
 * so nothing here knows a command; failures just give no candidates.
 */
#include "base/text.h"
#include "cli/command.h"

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
	const char *prefix; /* what the candidates must start with */
	const char *before; /* what is printed before each: "--opt=" */
	size_t before_size;
};

static void offer(const struct completer *completer, const char *candidate, const char *description)
{
	if (!text_starts(candidate, completer->prefix))
		return;
	printf("%.*s%s", (int)completer->before_size, completer->before, candidate);
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
		if (text_starts(completer->prefix, sources[i]))
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

static void offer_settings(const struct completer *completer)
{
	const char *key;

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

static void offer_value(const struct completer *completer, const struct option *row, const char *word_before)
{
	if (row->type == OPTION_CHOICE || row->completes == COMPLETES_CHOICES) {
		for (const char *at = row->value; *at;) {
			size_t length = strcspn(at, "|");
			auto_free char *word = strndup(at, length);

			if (word)
				offer(completer, word, NULL);
			at += length + (at[length] == '|');
		}
		return;
	}
	switch (row->completes) {
	case COMPLETES_FILE:
	case COMPLETES_FOLDER:
		printf("%s %.*s\n", row->completes == COMPLETES_FILE ? ":files" : ":folders",
		       (int)completer->before_size, completer->before);
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
		offer_commands(completer, word_before);
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
};

static void walk_letters(struct place *place, const struct option *rows, const char *word)
{
	for (const char *at = word + 1; *at; at++) {
		const struct option *row = option_find_letter(rows, *at);

		if (!row || !option_takes_value(row))
			continue;
		place->option = at[1] ? NULL : row;
		return;
	}
}

/* Where the words that are complete lead to: the parser's rules without its checks. */
static void walk(struct place *place, const struct option *rows, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *word = words[i];
		const struct option *row;

		if (place->option) {
			place->option = NULL;
		} else if (place->only_words || word[0] != '-' || !word[1]) {
			row = option_find_word(rows, place->words++);
			place->only_words = place->only_words || (row && row->type == OPTION_REST);
			place->word_before = word;
		} else if (text_equal(word, "--")) {
			place->only_words = true;
		} else if (word[1] == '-') {
			row = strchr(word, '=') ? NULL : option_find_name(rows, word + 2, strlen(word + 2));
			place->option = row && option_takes_value(row) ? row : NULL;
		} else {
			walk_letters(place, rows, word);
		}
	}
}

static void complete_in(struct cli *cli, const struct command *command, const char *const *words, size_t count)
{
	const char *current = words[count - 1], *equals = strchr(current, '=');
	struct completer completer = {.cli = cli, .prefix = current, .before = ""};
	const struct option *rows = command->options, *row;
	struct place place = {0};

	walk(&place, rows, words, count - 1);
	if (place.option) {
		offer_value(&completer, place.option, NULL);
	} else if (!place.only_words && text_starts(current, "--") && equals) {
		row = option_find_name(rows, current + 2, (size_t)(equals - current) - 2);
		completer.before = current;
		completer.before_size = (size_t)(equals - current) + 1;
		completer.prefix = equals + 1;
		if (row && option_takes_value(row))
			offer_value(&completer, row, NULL);
	} else if (!place.only_words && current[0] == '-') {
		offer_options(&completer, rows);
	} else {
		row = option_find_word(rows, place.words);
		if (row)
			offer_value(&completer, row, place.word_before);
	}
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct complete_options *asked = parsed;
	const char *const *words = (const char *const *)asked->words.words;
	struct completer completer = {.cli = cli, .before = ""};
	const struct command *command = NULL;
	size_t count = asked->words.count, used = 0;

	(void)err;
	if (count > 1 && command_prefix(words)) {
		words++;
		count--;
	}
	if (!count)
		return 0;
	completer.prefix = words[count - 1];
	if (count > 1)
		command = command_find(&used, words);
	if (command && used < count)
		complete_in(cli, command, words + used, count - used);
	else if (count == 1)
		offer_commands(&completer, NULL);
	else if (count == 2)
		offer_commands(&completer, words[0]);
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
