/* annex df: where the room on the disk went; in all, and machine by machine. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

struct df_options {
	struct option_list names;
	const char *name;
	const char *format;
	bool verbose;
};
#define AT(field) offsetof(struct df_options, field)

static const struct option options[] = {
	{OPTION_FLAG, 'v', "verbose", AT(verbose), NULL, "each image and each machine too", COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_WORDS, 0, NULL, AT(names), "NAME", "only these machines", COMPLETES_MACHINE},
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

/* What there is of one kind: its table or its objects. */
struct part {
	struct libscols_table *table;
	json_t *array;
};

static void part_clear(struct part *part)
{
	scols_unref_table(part->table);
	json_decref(part->array);
}
#define auto_part CLEANUP(part_clear)

static int make_part(struct part *ret, const struct output_column *heads, size_t count, struct annex_error **err)
{
	ret->array = json_array();
	return ret->array ? output_table_new(&ret->table, heads, count, err) : fail_memory(err);
}

static int take_usage(struct part *ret, struct annex_context *context, struct annex_error **err)
{
	struct annex_usage *list = NULL;
	size_t count = 0;
	int result = 0;

	if (make_part(ret, columns, COUNT_OF(columns), err) < 0 || annex_usage_list(&list, &count, context, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++)
		result = add_object(ret->array, &list[i], err) < 0 ? -1 : add_row(ret->table, &list[i], err);
	annex_usage_free(list);
	return result;
}

static const struct output_column machine_columns[] = {
	{"MACHINE", false}, {"STATE", false}, {"DISK", true}, {"USED", true}, {"SIZE", true}, {"RECLAIMABLE", true},
};

static int add_machine(struct part *to, const struct annex_machine_usage *usage, struct annex_error **err)
{
	char disk[TEXT_SIZE_BUFFER], used[TEXT_SIZE_BUFFER], size[TEXT_SIZE_BUFFER], reclaimable[TEXT_SIZE_BUFFER];
	const char *const cells[] = {
		usage->name,
		annex_machine_state_name(usage->state),
		text_from_size(disk, usage->disk),
		usage->used < 0 ? NULL : text_from_size(used, (uint64_t)usage->used),
		text_from_size(size, usage->host),
		text_from_size(reclaimable, usage->reclaimable),
	};
	json_t *object =
		json_pack("{s:s, s:s, s:I, s:o, s:I, s:I}", "name", usage->name, "state", cells[1], "disk",
			  (json_int_t)usage->disk, "used", usage->used < 0 ? json_null() : json_integer(usage->used),
			  "size", (json_int_t)usage->host, "reclaimable", (json_int_t)usage->reclaimable);

	if (!object || json_array_append_new(to->array, object) < 0)
		return fail_memory(err);
	return output_table_row(to->table, cells, err);
}

static int take_machines(struct part *ret, struct annex_context *context, const char *const *names,
			 struct annex_error **err)
{
	struct annex_machine_usage *list = NULL;
	size_t count = 0;
	int result = 0;

	if (make_part(ret, machine_columns, COUNT_OF(machine_columns), err) < 0 ||
	    annex_usage_machines(&list, &count, context, names, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++)
		result = add_machine(ret, &list[i], err);
	annex_usage_machines_free(list, count);
	return result;
}

static const struct output_column image_columns[] = {
	{"IMAGE", false}, {"ID", false}, {"MACHINES", true}, {"SIZE", true}, {"RECLAIMABLE", true},
};

static int add_image(struct part *to, const struct annex_image_usage *usage, struct annex_error **err)
{
	char id[16], machines[24], size[TEXT_SIZE_BUFFER], reclaimable[TEXT_SIZE_BUFFER];
	const char *const cells[] = {
		usage->name,
		id,
		machines,
		text_from_size(size, usage->size),
		text_from_size(reclaimable, usage->reclaimable),
	};
	json_t *object = json_pack("{s:o, s:s, s:I, s:I, s:I}", "name", output_json_text(usage->name), "id", usage->id,
				   "machines", (json_int_t)usage->machines, "size", (json_int_t)usage->size,
				   "reclaimable", (json_int_t)usage->reclaimable);

	if (!object || json_array_append_new(to->array, object) < 0)
		return fail_memory(err);
	snprintf(id, sizeof(id), "%.12s", strchr(usage->id, ':') ? strchr(usage->id, ':') + 1 : usage->id);
	snprintf(machines, sizeof(machines), "%zu", usage->machines);
	return output_table_row(to->table, cells, err);
}

static int take_images(struct part *ret, struct annex_context *context, struct annex_error **err)
{
	struct annex_image_usage *list = NULL;
	size_t count = 0;
	int result = 0;

	if (make_part(ret, image_columns, COUNT_OF(image_columns), err) < 0 ||
	    annex_usage_images(&list, &count, context, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++)
		result = add_image(ret, &list[i], err);
	annex_usage_images_free(list, count);
	return result;
}

static int print_part(struct part *part, bool json, struct annex_error **err)
{
	return json ? output_json(json_incref(part->array), err) : output_table_print(part->table, err);
}

static int print_all(const struct part parts[3], bool json, struct annex_error **err)
{
	if (json)
		return output_json(json_pack("{s:O, s:O, s:O}", "usage", parts[0].array, "images", parts[1].array,
					     "machines", parts[2].array),
				   err);
	for (size_t i = 0; i < 3; i++) {
		if (i)
			putchar('\n');
		if (output_table_print(parts[i].table, err) < 0)
			return -1;
	}
	return 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct df_options *wanted = parsed;
	const char *const one[] = {wanted->name, NULL};
	const char *const *names = wanted->name ? one : wanted->names.count ? wanted->names.words : NULL;
	auto_part struct part usage = {0}, images = {0}, machines = {0};
	bool json = text_equal(wanted->format, "json");
	int result;

	if (names && (wanted->verbose || (wanted->name && wanted->names.count)))
		return fail(err, ANNEX_ERROR_USAGE, "df: %s contradict each other",
			    wanted->verbose ? "--verbose and a name" : "--name and a word");
	if (names)
		result = take_machines(&machines, cli->context, names, err);
	else
		result = take_usage(&usage, cli->context, err);
	if (result == 0 && wanted->verbose)
		result = take_images(&images, cli->context, err) < 0
				 ? -1
				 : take_machines(&machines, cli->context, NULL, err);
	if (result < 0)
		return fail_while(err, "df");
	if (wanted->verbose)
		return print_all((const struct part[]){usage, images, machines}, json, err);
	return print_part(names ? &machines : &usage, json, err);
}

const struct command df_command = {
	.name = "df",
	.aliases = "system df",
	.section = "Other",
	.summary = "show the room on the disk that annex takes",
	.description =
		"Shows what images, unfinished downloads, machines and kernels take on the disk. ACTIVE counts "
		"what is in use: machines that run, and what machines were made from or boot. RECLAIMABLE is "
		"what deleting the rest would free; see 'annex image prune', 'annex delete' and 'annex kernel "
		"delete'. Of machines, DISK is what they see, USED what files take of it, while they run, and SIZE "
		"what they take here, without their image.",
	.example = "annex df\nannex df -v --format json\nannex df dev",
	.options = options,
	.size = sizeof(struct df_options),
	.run = run,
};
