/* annex stop and annex restart. */
#include "cli/machines.h"
#include "cli/stop.h"

struct stop_options {
	struct option_list names;
	const char *name;
	struct option_number time;
	const char *progress;
	bool all;
};
#define AT(field) offsetof(struct stop_options, field)

#define STOP_ROWS                                                                                            \
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},   \
		{OPTION_FLAG, 0, "all", AT(all), NULL, "all machines", COMPLETES_NOTHING},                   \
		{OPTION_NUMBER,                                                                              \
		 't',                                                                                        \
		 "time",                                                                                     \
		 AT(time),                                                                                   \
		 "SECONDS",                                                                                  \
		 "how long to wait for a clean end before it is forced (0: at once; default 90, more under " \
		 "emulation)",                                                                               \
		 COMPLETES_NOTHING},                                                                         \
		PROGRESS_ROW(struct stop_options),                                                           \
		{OPTION_WORDS, 0, NULL, AT(names), "NAME", "the machines", COMPLETES_MACHINE},               \
	{                                                                                                    \
		OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING                                        \
	}
static const struct option options[] = {STOP_ROWS};

int64_t stop_timeout_ms(const struct option_number *seconds)
{
	if (!seconds->set)
		return -1;
	return (int64_t)(seconds->value > STOP_MAX_SECONDS ? STOP_MAX_SECONDS : seconds->value) * 1000;
}

static int stop(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err)
{
	const struct stop_options *wanted = data;

	(void)cli;
	return annex_machine_stop(machine, stop_timeout_ms(&wanted->time), err);
}

static int restart(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err)
{
	return stop(cli, machine, data, err) < 0 ? -1 : machines_start(cli, machine, err);
}

static int each(struct cli *cli, const struct stop_options *wanted, machines_fn *fn, struct annex_error **err)
{
	const struct machines_choice choice = {&wanted->names, wanted->name, wanted->all, true};

	progress_set_mode(cli->progress, wanted->progress);
	return machines_each(cli, &choice, fn, wanted, err);
}

static int run_stop(struct cli *cli, const void *parsed, struct annex_error **err)
{
	return each(cli, parsed, stop, err);
}

static int run_restart(struct cli *cli, const void *parsed, struct annex_error **err)
{
	return each(cli, parsed, restart, err);
}

const struct command stop_command = {
	.name = "stop",
	.section = "Machines",
	.summary = "shut machines down",
	.description =
		"Asks the machines' own init to shut down, waits, and ends those that don't. One that is stopped "
		"already is left alone.",
	.example = "annex stop dev\nannex stop --all --time 10",
	.options = options,
	.size = sizeof(struct stop_options),
	.run = run_stop,
};

const struct command restart_command = {
	.name = "restart",
	.section = "Machines",
	.summary = "shut machines down and boot them again",
	.description = "Stops the machines that run, and boots them. Settings that wait for it take effect.",
	.example = "annex restart dev",
	.options = options,
	.size = sizeof(struct stop_options),
	.run = run_restart,
};
