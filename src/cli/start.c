/* annex start: boot machines, or show how. */
#include "cli/machines.h"

#include <stdio.h>

struct start_options {
	struct option_list names;
	const char *name;
	const char *progress;
	bool all;
	bool foreground;
	bool dry_run;
};
#define AT(field) offsetof(struct start_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_FLAG, 0, "all", AT(all), NULL, "all machines", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "foreground", AT(foreground), NULL,
	 "stay in front until it stops, as a service manager wants it; SIGTERM stops it", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "dry-run", AT(dry_run), NULL, "only print the command that would run", COMPLETES_NOTHING},
	PROGRESS_ROW(struct start_options),
	{OPTION_WORDS, 0, NULL, AT(names), "NAME", "the machines", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int print_command_line(struct cli *cli, struct annex_machine *machine, const void *data,
			      struct annex_error **err)
{
	auto_free char *text = NULL;

	(void)cli;
	(void)data;
	if (annex_machine_command_line(&text, machine, err) < 0)
		return -1;
	fputs(text, stdout);
	return 0;
}

static int start(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err)
{
	const struct start_options *wanted = data;

	return wanted->foreground ? annex_machine_start_foreground(machine, err) : machines_start(cli, machine, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct start_options *wanted = parsed;
	const struct machines_choice choice = {&wanted->names, wanted->name, wanted->all,
					       !wanted->dry_run && !wanted->foreground};

	progress_set_mode(cli->progress, wanted->progress);
	if (wanted->foreground && (wanted->all || wanted->names.count > 1))
		return fail(err, ANNEX_ERROR_USAGE, "start: only one machine can be in the foreground");
	if (wanted->foreground && wanted->dry_run)
		return fail(err, ANNEX_ERROR_USAGE, "start: --foreground and --dry-run contradict each other");
	return machines_each(cli, &choice, wanted->dry_run ? print_command_line : start, wanted, err);
}

const struct command start_command = {
	.name = "start",
	.section = "Machines",
	.summary = "boot machines",
	.description = "Boots machines and waits until they are up. One that runs already is left alone.",
	.example = "annex start dev web\nannex start --foreground dev",
	.options = options,
	.size = sizeof(struct start_options),
	.run = run,
};
