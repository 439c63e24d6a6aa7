/*
 * annex: the command line.
 *
 * The words name a command record; its option rows fill a zeroed structure of the command's own, and its function does
 * the work with libannex. Here is everything that all commands share: the context, the progress line, signals,
 * reporting the error, and the exit status.
 */
#include "cli/command.h"

#include "base/text.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/output.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static int print_text(struct text *text, struct annex_error **err)
{
	auto_free char *taken = text_take(text);

	if (!taken)
		return fail_memory(err);
	fputs(taken, stdout);
	return output_finish(err);
}

/* Work on the options that were parsed; gives the command's result. */
static int work(struct cli *cli, const void *options, struct annex_error **err)
{
	const struct command *command = cli->command;
	auto_progress struct progress *progress = NULL;
	int result;

	if (progress_new(&progress, NULL, err) < 0)
		return -1;
	cli->progress = progress;
	if (!(command->flags & COMMAND_ALONE)) {
		if (annex_context_new(&cli->context, NULL, err) < 0)
			return fail_while(err, "%s", command->name);
		annex_context_set_progress(cli->context, progress_report, progress);
		interrupt_install(cli->context);
	}
	result = command->run(cli, options, err);
	cli->progress = NULL;
	if (result == 0 && output_finish(err) < 0)
		return fail_while(err, "%s", command->name);
	return result;
}

static int exit_status(const struct command *command, const struct annex_error *err)
{
	return command->exit_status ? command->exit_status(err) : fail_exit_status(err);
}

static int execute(const struct command *command, const char *const *words)
{
	auto_error struct annex_error *err = NULL;
	auto_free void *options = calloc(1, command->size ? command->size : 1);
	struct cli cli = {.command = command};
	auto_text struct text help = {0};
	int result;

	if (!options) {
		fail_memory(&err);
		fail_print(NULL, err);
		return FAIL_STATUS_FAILED;
	}
	result = option_parse(options, command->options, words, &err);
	if (result == 1) {
		help_add_command(&help, command);
		result = print_text(&help, &err);
	} else if (result < 0) {
		fail_while(&err, "%s", command->name);
		fail_hint(&err, "annex %s --help", command->name);
	} else {
		result = work(&cli, options, &err);
	}
	option_clear(options, command->options);
	if (result < 0)
		fail_print(NULL, err);
	if (interrupt_signal() && result != 0) {
		fflush(stdout);
		interrupt_die();
	}
	interrupt_forget();
	annex_context_unref(cli.context);
	return result < 0 ? exit_status(command, err) : result;
}

static int unknown(const char *const *words)
{
	auto_error struct annex_error *err = NULL;
	const char *near = command_closest(words);

	if (command_is_group(words[0]))
		fail(&err, ANNEX_ERROR_USAGE, "unknown command '%s %s'", words[0], words[1]);
	else if (words[0][0] == '-')
		fail(&err, ANNEX_ERROR_USAGE, "unknown option '%s'", words[0]);
	else
		fail(&err, ANNEX_ERROR_USAGE, "unknown command '%s'", words[0]);
	if (near)
		fail_hint(&err, "did you mean 'annex %s'?", near);
	else if ((near = command_closest_group(words[0])))
		fail_hint(&err, "did you mean 'annex %.*s'?", (int)strcspn(near, " "), near);
	else if (command_is_group(words[0]))
		fail_hint(&err, "annex help %s", words[0]);
	fail_hint(&err, "annex help");
	fail_print(NULL, err);
	return FAIL_STATUS_USAGE;
}

static bool asks_for_help(const char *word)
{
	return text_equal(word, "-h") || text_equal(word, "--help");
}

/* `annex`, `annex --help`, `annex image`, `annex image --help`: the overviews. */
static int overview(const char *group)
{
	auto_error struct annex_error *err = NULL;
	auto_text struct text text = {0};

	if (group)
		help_add_group(&text, group);
	else
		help_add_overview(&text);
	if (print_text(&text, &err) == 0)
		return 0;
	fail_print(NULL, err);
	return FAIL_STATUS_FAILED;
}

/* Standard streams that were closed must not become something that is opened later. Input is empty then; output can't
 * be written, which is told as any other failure to write. */
static void fill_streams(void)
{
	static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* open() gives the lowest free number. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			_exit(FAIL_STATUS_FAILED);
	}
}

int main(int argc, char **argv)
{
	static const char *const version[] = {"version", NULL};
	const char *const *words = (const char *const *)argv + (argc > 0);
	const struct command *command;
	size_t used = 0;

	fill_streams();
	setlocale(LC_CTYPE, ""); /* widths of characters in tables */
	words += command_prefix(words);
	if (words[0] && !words[1] && text_equal(words[0], "--version"))
		words = version;
	if (!words[0] || asks_for_help(words[0]))
		return overview(NULL);
	command = command_find(&used, words);
	if (command)
		return execute(command, words + used);
	if (command_is_group(words[0]) && (!words[1] || asks_for_help(words[1])))
		return overview(words[0]);
	return unknown(words);
}
