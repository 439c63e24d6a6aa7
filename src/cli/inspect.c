/* annex inspect: everything about machines, as JSON. */
#include "cli/machines.h"
#include "cli/output.h"

struct inspect_options {
	struct option_list names;
	const char *name;
};
#define AT(field) offsetof(struct inspect_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_WORDS, 0, NULL, AT(names), "NAME", "the machines", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int describe(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err)
{
	json_t *const *array = data;
	auto_free char *text = NULL;

	(void)cli;
	return annex_machine_describe(&text, machine, err) < 0 ? -1 : output_json_append(*array, text, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct inspect_options *wanted = parsed;
	const struct machines_choice choice = {&wanted->names, wanted->name, false, false};
	auto_json json_t *array = json_array();
	int status;

	if (!array)
		return fail_memory(err);
	status = machines_each(cli, &choice, describe, &array, err);
	if (status < 0 || output_json(TAKE(array), err) < 0)
		return -1;
	return status;
}

const struct command inspect_command = {
	.name = "inspect",
	.section = "Machines",
	.summary = "show everything about machines, as JSON",
	.description =
		"Prints a JSON array with an object per machine: its state, what it shares with this host, and every "
		"setting, the value in effect and the one that waits for a restart.",
	.example = "annex inspect dev | jq '.[0].settings'",
	.options = options,
	.size = sizeof(struct inspect_options),
	.run = run,
};
