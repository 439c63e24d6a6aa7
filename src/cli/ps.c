/* annex ps: the sessions of a machine. */
#include "base/text.h"
#include "base/time.h"
#include "cli/machines.h"
#include "cli/output.h"
#include "cli/printable.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_COLUMNS = 60 }; /* of a command, in the table */

struct ps_options {
	const char *word;
	const char *name;
	const char *format;
	bool all;
	bool quiet;
};
#define AT(field) offsetof(struct ps_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_FLAG, 'a', "all", AT(all), NULL, "also detached sessions that have ended", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "only ids", COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(word), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {
	{"ID", false}, {"USER", false}, {"COMMAND", false}, {"STARTED", false}, {"TTY", false}, {"STATE", false},
};

static int add_row(struct libscols_table *table, const struct annex_session_info *info, struct annex_error **err)
{
	char started[TIME_BUFFER], state[32];
	auto_text struct text command = {0};
	const char *const cells[] = {
		info->id, info->user, "", time_format(started, info->started), info->terminal ? "yes" : "no", state,
	};
	const char *all[COUNT_OF(cells)];
	size_t shown;

	printable_add(&command, info->command);
	if (!text_ok(&command) || !command.data)
		text_add(&command, "-");
	if (!text_ok(&command))
		return fail_memory(err);
	shown = printable_cut(command.data, SHOWN_COLUMNS);
	if (shown < command.size) {
		command.size = printable_cut(command.data, SHOWN_COLUMNS - 3);
		command.data[command.size] = '\0';
		text_add(&command, "...");
	}
	snprintf(state, sizeof(state), "%s", annex_session_state_name(info->state));
	if (info->state == ANNEX_SESSION_EXITED)
		snprintf(state, sizeof(state), "exited %d", info->status);
	memcpy(all, cells, sizeof(all));
	all[2] = command.data;
	return text_ok(&command) ? output_table_row(table, all, err) : fail_memory(err);
}

static int add_object(json_t *array, const struct annex_session_info *info, struct annex_error **err)
{
	json_t *status = info->state == ANNEX_SESSION_EXITED ? json_integer(info->status) : json_null();
	json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:s, s:o}", "id", info->id, "user", info->user,
				   "command", info->command, "started", output_json_time(info->started), "ended",
				   output_json_time(info->ended), "terminal", info->terminal, "detached",
				   info->detached, "state", annex_session_state_name(info->state), "status", status);

	return object && json_array_append_new(array, object) == 0 ? 0 : fail_memory(err);
}

static int print(const struct annex_session_info *list, size_t count, enum output_format format,
		 struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	int result = 0;

	if (output_table_new(&table, columns, COUNT_OF(columns), err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++) {
		if (format == OUTPUT_QUIET)
			puts(list[i].id);
		else if (format == OUTPUT_JSON)
			result = add_object(array, &list[i], err);
		else
			result = add_row(table, &list[i], err);
	}
	if (result < 0 || format == OUTPUT_QUIET)
		return result;
	return format == OUTPUT_JSON ? output_json(TAKE(array), err) : output_table_print(table, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct ps_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	struct annex_session_info *list = NULL;
	enum output_format format = OUTPUT_TABLE;
	size_t count = 0;
	int result;

	if (output_format(&format, wanted->format, wanted->quiet, err) < 0)
		return fail_while(err, "ps");
	if (machines_open(&machine, cli, wanted->word, wanted->name, err) < 0)
		return -1;
	if (annex_session_list(&list, &count, machine, wanted->all, err) < 0)
		return fail_while(err, "ps %s", annex_machine_name(machine));
	result = print(list, count, format, err);
	annex_session_list_free(list, count);
	return result;
}

const struct command ps_command = {
	.name = "ps",
	.section = "Machines",
	.summary = "show the sessions of a machine",
	.description = "Shows what 'annex run' has started in a machine and still runs, from whatever terminal; with "
		       "--all also the detached sessions that have ended, of which the newest 64 are kept with their "
		       "output, as long as that has no more than 64 MiB. The state is 'running', 'exited' with the "
		       "status, or 'lost': how it ended is not known, as the machine was ended by force.",
	.example = "annex ps dev\nannex ps -a --format json\nannex kill $(annex ps -q)",
	.options = options,
	.size = sizeof(struct ps_options),
	.run = run,
};
