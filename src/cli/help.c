#include "cli/help.h"

#include <string.h>

#define RIGHT_COLUMN 28
#define USAGE_INDENT 10

static void add_spaces(struct text *text, size_t count)
{
	text_printf(text, "%*s", (int)count, "");
}

void help_add_wrapped(struct text *text, const char *words, size_t column, size_t indent)
{
	bool at_start = true;

	while (*words) {
		size_t length = strcspn(words, " \n");

		if (!at_start && column + 1 + length > HELP_COLUMNS) {
			text_add_char(text, '\n');
			add_spaces(text, indent);
			column = indent;
			at_start = true;
		}
		if (!at_start && length)
			text_add_char(text, ' ');
		column += length + (!at_start && length);
		text_add_bytes(text, words, length);
		at_start = at_start && !length;
		words += length;
		if (*words == '\n') {
			text_add_char(text, '\n');
			if (words[1] && words[1] != '\n')
				add_spaces(text, indent);
			column = indent;
			at_start = true;
		}
		words += *words != '\0';
	}
	text_add_char(text, '\n');
}

void help_add_row(struct text *text, const char *left, const char *right)
{
	size_t width = strlen(left) + 2;

	text_printf(text, "  %s", left);
	if (width + 2 > RIGHT_COLUMN) {
		text_add_char(text, '\n');
		width = 0;
	}
	add_spaces(text, RIGHT_COLUMN - width);
	help_add_wrapped(text, right, RIGHT_COLUMN, RIGHT_COLUMN);
}

static void add_commands(struct text *text, const char *section, const char *group)
{
	const struct command *command;

	for (size_t i = 0; (command = command_at(i)); i++) {
		if (command->flags & COMMAND_HIDDEN)
			continue;
		if (section ? text_equal(command->section, section)
			    : text_starts(command->name, group) && command->name[strlen(group)] == ' ')
			help_add_row(text, command->name, command->summary);
	}
}

void help_add_overview(struct text *text)
{
	const char *section = NULL;
	const struct command *command;

	text_add(text, "Usage: annex COMMAND [options] [words]\n\n");
	help_add_wrapped(text, "Persistent Linux machines from standard OCI images, each with a kernel of its own.", 0,
			 0);
	for (size_t i = 0; (command = command_at(i)); i++) {
		if ((command->flags & COMMAND_HIDDEN) || text_equal(command->section, section))
			continue;
		section = command->section;
		text_printf(text, "\n%s:\n", section);
		add_commands(text, section, NULL);
	}
	text_add(text, "\n");
	help_add_wrapped(text,
			 "Where a machine's name is left out, $ANNEX_MACHINE is meant, else the default machine. "
			 "'annex help COMMAND' tells more about a command.",
			 0, 0);
}

void help_add_group(struct text *text, const char *group)
{
	text_printf(text, "Usage: annex %s COMMAND [options] [words]\n\nCommands:\n", group);
	add_commands(text, NULL, group);
	text_printf(text, "\n'annex help %s COMMAND' tells more about a command.\n", group);
}

static void add_usage(struct text *text, const struct command *command)
{
	auto_text struct text usage = {0};
	bool rest = false;

	text_printf(&usage, "annex %s [options]", command->name);
	for (const struct option *row = command->options; row->type != OPTION_END; row++)
		rest = rest || row->type == OPTION_REST;
	if (rest)
		text_add(&usage, " [--]");
	for (const struct option *row = command->options; row->type != OPTION_END; row++) {
		static const char *const shapes[] = {
			[OPTION_WORD] = " %s",          [OPTION_WORD_OPTIONAL] = " [%s]", [OPTION_WORDS] = " [%s...]",
			[OPTION_WORDS_SOME] = " %s...", [OPTION_REST] = " [%s [ARG...]]",
		};

		if (!option_is_word(row))
			continue;
		for (const char *at = shapes[row->type]; *at; at++) {
			if (at[0] == '%' && at[1] == 's') {
				text_add(&usage, row->value);
				at++;
			} else {
				text_add_char(&usage, *at);
			}
		}
	}
	text_add(text, "Usage: ");
	if (text_ok(&usage))
		help_add_wrapped(text, usage.data, strlen("Usage: "), USAGE_INDENT);
}

static void add_spelling(struct text *left, const struct option *row)
{
	if (left->size)
		text_add(left, ", ");
	if (row->letter)
		text_printf(left, "-%c", row->letter);
	if (row->letter && row->name)
		text_add(left, ", ");
	if (row->name)
		text_printf(left, "--%s", row->name);
}

/* One option with the other spellings that follow it. */
static void add_option(struct text *text, const struct option *row)
{
	auto_text struct text left = {0};

	if (!row->letter && row->name)
		text_add(&left, "    ");
	if (option_is_word(row)) {
		text_add(&left, row->value);
	} else {
		auto_text struct text names = {0};

		add_spelling(&names, row);
		for (const struct option *more = row + 1; more->type != OPTION_END && !more->help; more++)
			add_spelling(&names, more);
		if (option_takes_value(row))
			text_printf(&names, " %s", row->value);
		if (text_ok(&names) && names.data)
			text_add(&left, names.data);
	}
	if (text_ok(&left) && left.data)
		help_add_row(text, left.data, row->help);
}

static void add_rows(struct text *text, const struct command *command, bool words)
{
	bool any = false;

	for (const struct option *row = command->options; row->type != OPTION_END; row++) {
		if (option_is_word(row) != words || !row->help)
			continue;
		if (!any)
			text_printf(text, "\n%s:\n", words ? "Words" : "Options");
		any = true;
		add_option(text, row);
	}
	if (!words) {
		if (!any)
			text_add(text, "\nOptions:\n");
		help_add_row(text, "-h, --help", "show this help");
	}
}

void help_add_command(struct text *text, const struct command *command)
{
	add_usage(text, command);
	text_add_char(text, '\n');
	help_add_wrapped(text, command->description, 0, 0);
	if (command->aliases) {
		text_add(text, "\nOther spellings: annex ");
		for (const char *at = command->aliases; *at; at++)
			text_add(text, *at == ',' ? ", annex " : (char[]){*at, '\0'});
		text_add_char(text, '\n');
	}
	add_rows(text, command, true);
	add_rows(text, command, false);
	if (command->add_help)
		command->add_help(text);
	text_add(text, "\nExample:\n");
	for (const char *at = command->example; *at;) {
		size_t length = strcspn(at, "\n");

		text_add(text, "  ");
		text_add_bytes(text, at, length);
		text_add_char(text, '\n');
		at += length + (at[length] == '\n');
	}
}
