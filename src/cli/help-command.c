/* annex help: the overview, or one command. */
#include "cli/closest.h"
#include "cli/help.h"

#include <stdio.h>

struct help_options {
	struct option_list words;
};

static const struct option options[] = {
	{OPTION_WORDS, 0, NULL, offsetof(struct help_options, words), "COMMAND", "the command", COMPLETES_COMMAND},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int unknown(const char *const *words, struct annex_error **err)
{
	const char *near = command_closest(words);

	fail(err, ANNEX_ERROR_USAGE, "help: there is no command '%s%s%s'", words[0], words[1] ? " " : "",
	     words[1] ? words[1] : "");
	if (near)
		fail_hint(err, "did you mean 'annex help %s'?", near);
	return fail_hint(err, "annex help");
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct help_options *wanted = parsed;
	const char *const *words = (const char *const *)wanted->words.words;
	const struct command *command = NULL;
	auto_text struct text text = {0};
	size_t used = 0;

	(void)cli;
	if (words)
		words += command_prefix(words);
	if (words && words[0])
		command = command_find(&used, words);
	if (!words || !words[0])
		help_add_overview(&text);
	else if (command && !words[used])
		help_add_command(&text, command);
	else if (!command && command_is_group(words[0]) && !words[1])
		help_add_group(&text, words[0]);
	else
		return unknown(words, err);
	if (!text_ok(&text))
		return fail_memory(err);
	fputs(text.data, stdout);
	return 0;
}

const struct command help_command = {
	.name = "help",
	.section = "Other",
	.summary = "show this overview, or how a command is used",
	.description = "Shows what annex can do, or how a command is used, as its option --help does.",
	.example = "annex help create",
	.options = options,
	.size = sizeof(struct help_options),
	.flags = COMMAND_ALONE,
	.run = run,
};
