/* annex list: all machines. */
#include "base/text.h"
#include "base/time.h"
#include "cli/machines.h"
#include "cli/output.h"

#include <stdio.h>

struct list_options {
	const char *format;
	bool quiet;
};
#define AT(field) offsetof(struct list_options, field)

static const struct option options[] = {
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "only names", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {
	{"NAME", false}, {"CREATED", false}, {"IP", false},      {"CPUS", true},  {"MEMORY", true},
	{"DISK", true},  {"STATE", false},   {"DEFAULT", false}, {"NOTE", false},
};

/* What it waits for, why it failed, and which settings wait. NULL: out of memory. */
static char *make_note(const struct annex_machine_info *info)
{
	auto_text struct text note = {0};
	auto_json json_t *pending = json_loads(info->pending, 0, NULL);
	const char *key;
	json_t *value;

	if (info->waiting)
		text_printf(&note, "%s%s", info->state == ANNEX_MACHINE_BOOTING ? "waits for " : "", info->waiting);
	if (info->failure)
		text_printf(&note, "%s%s", note.size ? ": " : "", info->failure);
	if (json_object_size(pending))
		text_printf(&note, "%safter restart:", note.size ? "; " : "");
	json_object_foreach(pending, key, value) text_printf(&note, " %s", key);
	return text_take(&note);
}

static int add_row(struct libscols_table *table, const struct annex_machine_info *info, struct annex_error **err)
{
	auto_free char *note = make_note(info);
	char created[TIME_BUFFER], memory[TEXT_SIZE_BUFFER], disk[TEXT_SIZE_BUFFER], cpus[16];
	const char *const cells[] = {
		info->name,
		time_format(created, info->created),
		info->ip,
		cpus,
		text_from_size(memory, info->memory),
		text_from_size(disk, info->disk),
		annex_machine_state_name(info->state),
		info->is_default ? "*" : "",
		note,
	};

	if (!note)
		return fail_memory(err);

	snprintf(cpus, sizeof(cpus), "%u", info->cpus);
	return output_table_row(table, cells, err);
}

static int add_object(json_t *array, const struct annex_machine_info *info, struct annex_error **err)
{
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:I, s:I, s:I, s:s, s:o, s:b, s:o, s:o}", "name",
			  info->name, "id", info->id, "image", info->image, "created", output_json_time(info->created),
			  "started", output_json_time(info->started), "ip", output_json_text(info->ip), "cpus",
			  (int)info->cpus, "memory", (json_int_t)info->memory, "disk", (json_int_t)info->disk,
			  "diskUsed", (json_int_t)info->disk_used, "state", annex_machine_state_name(info->state),
			  "failure", output_json_text(info->failure), "default", info->is_default, "pending",
			  json_loads(info->pending, 0, NULL), "waiting", output_json_text(info->waiting));

	return object && json_array_append_new(array, object) == 0 ? 0 : fail_memory(err);
}

struct listing {
	enum output_format format;
	struct libscols_table *table;
	json_t *array;
};

static int add(struct listing *listing, struct annex_machine *machine, struct annex_error **err)
{
	const struct annex_machine_info *info;
	auto_error struct annex_error *problem = NULL;

	if (listing->format == OUTPUT_QUIET) {
		puts(annex_machine_name(machine));
		return 0;
	}
	if (annex_machine_info(&info, machine, &problem) < 0) {
		/* Somebody deleted it meanwhile: then it is not in the list. */
		if (annex_error_kind(problem) == ANNEX_ERROR_NOT_FOUND)
			return 0;
		*err = TAKE(problem);
		return fail_while(err, "list: %s", annex_machine_name(machine));
	}
	return listing->format == OUTPUT_JSON ? add_object(listing->array, info, err)
					      : add_row(listing->table, info, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct list_options *wanted = parsed;
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	struct listing listing = {.array = array};
	struct annex_machine **list = NULL;
	auto_error struct annex_error *first = NULL;
	size_t count = 0;
	int result = 0;

	if (output_format(&listing.format, wanted->format, wanted->quiet, err) < 0 ||
	    output_table_new(&table, columns, COUNT_OF(columns), err) < 0 ||
	    annex_machine_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "list");
	output_table_cut_last(table);
	listing.table = table;
	/* A machine that can't be asked hides no other one. */
	for (size_t i = 0; i < count; i++) {
		auto_error struct annex_error *problem = NULL;

		if (add(&listing, list[i], &problem) < 0 && !first)
			first = TAKE(problem);
	}
	annex_machine_list_free(list, count);
	if (listing.format == OUTPUT_JSON)
		result = output_json(TAKE(array), err);
	else if (listing.format == OUTPUT_TABLE)
		result = output_table_print(table, err);
	if (result < 0 || !first)
		return result;
	*err = TAKE(first);
	return -1;
}

const struct command list_command = {
	.name = "list",
	.aliases = "ls",
	.section = "Machines",
	.summary = "show all machines",
	.description =
		"Shows all machines, whether they run or not. IP is the address on this host where a machine is "
		"reached; * marks the default machine; NOTE says why one failed, what it waits for, and which settings "
		"take effect when it is restarted.",
	.example = "annex list\nannex stop $(annex list -q)",
	.options = options,
	.size = sizeof(struct list_options),
	.run = run,
};
