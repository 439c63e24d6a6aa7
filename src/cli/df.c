/* annex df: where the room on the disk went. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

struct df_options {
	const char *format;
};

static const struct option options[] = {
	{OPTION_CHOICE, 0, "format", offsetof(struct df_options, format), "table|json", "how to print (default table)",
	 COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {
	{"KIND", false}, {"COUNT", true}, {"ACTIVE", true}, {"SIZE", true}, {"RECLAIMABLE", true},
};

static int add_row(struct libscols_table *table, const struct annex_usage *usage, struct annex_error **err)
{
	char count[24], active[24], size[TEXT_SIZE_BUFFER], reclaimable[TEXT_SIZE_BUFFER];
	const char *const cells[] = {
		usage->kind,
		count,
		active,
		text_from_size(size, usage->size),
		text_from_size(reclaimable, usage->reclaimable),
	};

	snprintf(count, sizeof(count), "%zu", usage->count);
	snprintf(active, sizeof(active), "%zu", usage->active);
	return output_table_row(table, cells, err);
}

static int add_object(json_t *array, const struct annex_usage *usage, struct annex_error **err)
{
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", usage->kind, "count", (json_int_t)usage->count,
				   "active", (json_int_t)usage->active, "size", (json_int_t)usage->size, "reclaimable",
				   (json_int_t)usage->reclaimable);

	return object && json_array_append_new(array, object) == 0 ? 0 : fail_memory(err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct df_options *wanted = parsed;
	bool json = text_equal(wanted->format, "json");
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	struct annex_usage *list = NULL;
	size_t count = 0;
	int result = 0;

	if (output_table_new(&table, columns, COUNT_OF(columns), err) < 0 ||
	    annex_usage_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "df");
	for (size_t i = 0; i < count && result == 0; i++)
		result = json ? add_object(array, &list[i], err) : add_row(table, &list[i], err);
	annex_usage_free(list);
	if (result < 0)
		return result;
	return json ? output_json(TAKE(array), err) : output_table_print(table, err);
}

const struct command df_command = {
	.name = "df",
	.aliases = "system df",
	.section = "Other",
	.summary = "show the room on the disk that annex takes",
	.description = "Shows what images, unfinished downloads, machines and kernels take on the disk. ACTIVE counts "
		       "what is in use: machines that run, and what machines were made from or boot. RECLAIMABLE is "
		       "what deleting the rest would free; see 'annex image prune', 'annex delete' and 'annex kernel "
		       "delete'.",
	.example = "annex df --format json",
	.options = options,
	.size = sizeof(struct df_options),
	.run = run,
};
