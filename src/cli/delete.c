/* annex delete: machines and their disks go for good. */
#include "base/text.h"
#include "cli/ask.h"
#include "cli/hosts.h"
#include "cli/machines.h"
#include "cli/stop.h"

#include <stdio.h>

struct delete_options {
	struct option_list names;
	const char *name;
	struct option_number time;
	const char *progress;
	bool force;
	bool all;
};
#define AT(field) offsetof(struct delete_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_FLAG, 'f', "force", AT(force), NULL, "don't ask", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "all", AT(all), NULL, "all machines", COMPLETES_NOTHING},
	{OPTION_NUMBER, 't', "time", AT(time), "SECONDS",
	 "how long to wait for a clean end before it is forced (default 0: at once)", COMPLETES_NOTHING},
	PROGRESS_ROW(struct delete_options),
	{OPTION_WORDS, 0, NULL, AT(names), "NAME", "the machines", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int delete_one(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err)
{
	const struct delete_options *wanted = data;

	(void)cli;
	return annex_machine_delete(machine, wanted->time.set ? stop_timeout_ms(&wanted->time) : 0, err);
}

/* 1: yes, 0: no. */
static int ask(const struct delete_options *wanted, struct annex_error **err)
{
	if (!ask_can()) {
		fail(err, ANNEX_ERROR_USAGE, "delete: nobody to ask whether the machine and its disk may go");
		return fail_hint(err, "annex delete --force %s",
				 wanted->all    ? "--all"
				 : wanted->name ? wanted->name
						: wanted->names.words[0]);
	}
	fputs("Delete ", stderr);
	if (wanted->all)
		fputs("all machines", stderr);
	else if (wanted->name)
		fputs(wanted->name, stderr);
	for (size_t i = 0; i < wanted->names.count; i++)
		fprintf(stderr, "%s%s", i ? ", " : "", wanted->names.words[i]);
	fputs(wanted->all || wanted->names.count > 1 ? " with their disks?" : " with its disk?", stderr);
	return ask_yes();
}

/* Asking makes sense only for machines that are there. */
static int check_names(struct cli *cli, const struct delete_options *wanted, struct annex_error **err)
{
	for (size_t i = 0; i < wanted->names.count; i++) {
		auto_machine struct annex_machine *machine = NULL;

		if (machines_open(&machine, cli, wanted->names.words[i], wanted->name, err) < 0)
			return -1;
	}
	return 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct delete_options *wanted = parsed;
	const struct machines_choice choice = {&wanted->names, wanted->name, wanted->all, false};
	int answer = 1, result;

	progress_set_mode(cli->progress, wanted->progress);
	if (!wanted->names.count && !wanted->name && !wanted->all) {
		fail(err, ANNEX_ERROR_USAGE, "delete: NAME is missing");
		return fail_hint(err, "annex list");
	}
	if (!wanted->force) {
		if (check_names(cli, wanted, err) < 0)
			return -1;
		answer = ask(wanted, err);
	}
	if (answer < 0)
		return -1;
	if (!answer)
		return FAIL_STATUS_FAILED;
	result = machines_each(cli, &choice, delete_one, wanted, err);
	hosts_follow(cli);
	return result;
}

const struct command delete_command = {
	.name = "delete",
	.aliases = "rm",
	.section = "Machines",
	.summary = "delete machines with their disks",
	.description =
		"Stops machines and deletes them with all that is on their disks. Asks first when it can; without a "
		"terminal, --force is needed.",
	.example = "annex delete dev\nannex delete --force --all",
	.options = options,
	.size = sizeof(struct delete_options),
	.run = run,
};
