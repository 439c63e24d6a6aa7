/* annex logs: what a machine's console or kernel said. */
#include "cli/interrupt.h"
#include "cli/machines.h"

#include <stdio.h>

struct logs_options {
	const char *name;
	struct option_number lines;
	bool boot;
	bool follow;
};
#define AT(field) offsetof(struct logs_options, field)

static const struct option options[] = {
	{OPTION_FLAG, 0, "boot", AT(boot), NULL, "the kernel's messages of the last boot instead of the console",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 'f', "follow", AT(follow), NULL, "go on with what comes", COMPLETES_NOTHING},
	{OPTION_NUMBER, 'n', "lines", AT(lines), "LINES", "only the last lines (default: all)", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct logs_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	int64_t lines = wanted->lines.set && wanted->lines.value < INT64_MAX ? (int64_t)wanted->lines.value : -1;

	if (machines_open(&machine, cli, wanted->name, NULL, err) < 0)
		return -1;
	if (annex_machine_logs(machine, wanted->boot ? ANNEX_LOG_BOOT : ANNEX_LOG_CONSOLE, STDOUT_FILENO, lines,
			       wanted->follow, err) < 0)
		return fail_while(err, "logs %s", annex_machine_name(machine));
	/* An interrupt is how following ends: no failure, but the process ends by it. */
	return interrupt_signal() ? FAIL_STATUS_FAILED : 0;
}

const struct command logs_command = {
	.name = "logs",
	.section = "Machines",
	.summary = "show what a machine's console said",
	.description =
		"Shows the output of a machine's console, or its kernel's messages. The log is kept when the machine "
		"stops.",
	.example = "annex logs dev\nannex logs --boot -n 50 dev",
	.options = options,
	.size = sizeof(struct logs_options),
	.run = run,
};
