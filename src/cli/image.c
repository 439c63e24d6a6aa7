/* annex image: import, list, inspect, delete. */
#include "base/text.h"
#include "base/time.h"
#include "cli/images.h"
#include "cli/output.h"
#include "cli/platform.h"

#include <stdio.h>
#include <string.h>

#define SHORT_ID 12 /* digits shown in tables */

struct import_options {
	const char *source;
	const char *name;
	const char *platform;
	const char *architecture;
	const char *progress;
};

static const struct option import_options[] = {
	{OPTION_TEXT, 'n', "name", offsetof(struct import_options, name), "REF",
	 "name to give it (default: what the source says)", COMPLETES_NOTHING},
	PLATFORM_ROWS(struct import_options),
	PROGRESS_ROW(struct import_options),
	{OPTION_WORD, 0, NULL, offsetof(struct import_options, source), "SOURCE",
	 "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], or - for an archive on standard input",
	 COMPLETES_SOURCE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run_import(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct import_options *wanted = parsed;
	struct annex_image_import_options asked = ANNEX_IMAGE_IMPORT_OPTIONS_INIT;
	auto_image struct annex_image *image = NULL;
	auto_free char *platform = NULL;

	progress_set_mode(cli->progress, wanted->progress);
	if (platform_choose(&platform, wanted->platform, wanted->architecture, err) < 0)
		return fail_while(err, "image import");
	asked.name = wanted->name;
	asked.platform = platform;
	if (annex_image_import(&image, cli->context, wanted->source, &asked, err) < 0)
		return -1;
	progress_clear(cli->progress);
	puts(images_name(image));
	return 0;
}

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option list_options[] = {
	{OPTION_CHOICE, 0, "format", offsetof(struct list_options, format), "table|json",
	 "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", offsetof(struct list_options, quiet), NULL,
	 "only names; the id of an image without one", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {
	{"NAME", false}, {"ID", false}, {"PLATFORM", false}, {"CREATED", false}, {"SIZE", true},
};

/* One line per name. */
static int add_rows(struct libscols_table *table, const struct annex_image *image, struct annex_error **err)
{
	char created[TIME_BUFFER], size[TEXT_SIZE_BUFFER], id[SHORT_ID + 1];
	const char *full = annex_image_id(image), *digits = strchr(full, ':');
	size_t names = annex_image_name_count(image), i = 0;

	snprintf(id, sizeof(id), "%s", digits ? digits + 1 : full);
	do {
		const char *const cells[] = {
			i < names ? annex_image_name(image, i) : NULL,
			id,
			annex_image_platform(image),
			time_format(created, annex_image_created(image)),
			text_from_size(size, annex_image_size(image)),
		};

		if (output_table_row(table, cells, err) < 0)
			return -1;
	} while (++i < names);
	return 0;
}

static int add_object(json_t *array, const struct annex_image *image, struct annex_error **err)
{
	json_t *names = json_array();
	json_t *object =
		json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:I}", "names", names, "id", annex_image_id(image), "digest",
			  annex_image_digest(image), "platform", annex_image_platform(image), "created",
			  output_json_time(annex_image_created(image)), "imported",
			  output_json_time(annex_image_imported(image)), "size", (json_int_t)annex_image_size(image));

	if (!object || json_array_append_new(array, object) < 0)
		return fail_memory(err);
	for (size_t i = 0; i < annex_image_name_count(image); i++) {
		if (json_array_append_new(names, json_string(annex_image_name(image, i))) < 0)
			return fail_memory(err);
	}
	return 0;
}

static void print_names(const struct annex_image *image)
{
	size_t names = annex_image_name_count(image), i = 0;

	do
		puts(i < names ? annex_image_name(image, i) : annex_image_id(image));
	while (++i < names);
}

static int run_list(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct list_options *wanted = parsed;
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	struct annex_image **list = NULL;
	enum output_format format;
	size_t count = 0;
	int result = 0;

	if (output_format(&format, wanted->format, wanted->quiet, err) < 0 ||
	    output_table_new(&table, columns, COUNT_OF(columns), err) < 0 ||
	    annex_image_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "image list");
	for (size_t i = 0; i < count && result == 0; i++) {
		if (format == OUTPUT_QUIET)
			print_names(list[i]);
		else
			result =
				format == OUTPUT_JSON ? add_object(array, list[i], err) : add_rows(table, list[i], err);
	}
	annex_image_list_free(list, count);
	if (result < 0 || format == OUTPUT_QUIET)
		return result;
	return format == OUTPUT_JSON ? output_json(TAKE(array), err) : output_table_print(table, err);
}

struct names_options {
	struct option_list names;
};

static const struct option names_options[] = {
	{OPTION_WORDS_SOME, 0, NULL, offsetof(struct names_options, names), "NAME", "names, digests or ids of images",
	 COMPLETES_IMAGE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int inspect_one(struct cli *cli, const char *name, void *data, struct annex_error **err)
{
	auto_image struct annex_image *image = NULL;
	auto_free char *text = NULL;

	if (annex_image_open(&image, cli->context, name, err) < 0)
		return fail_while(err, "image inspect %s", name);
	text = annex_image_describe(image);
	return text ? output_json_append(data, text, err) : fail_memory(err);
}

static int run_inspect(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct names_options *wanted = parsed;
	auto_json json_t *array = json_array();
	int status = images_each(cli, &wanted->names, inspect_one, array);

	return output_json(TAKE(array), err) < 0 ? -1 : status;
}

static int delete_one(struct cli *cli, const char *name, void *data, struct annex_error **err)
{
	(void)data;
	return annex_image_delete(cli->context, name, err);
}

static int run_delete(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct names_options *wanted = parsed;

	(void)err;
	return images_each(cli, &wanted->names, delete_one, NULL);
}

const struct command image_import_command = {
	.name = "image import",
	.section = "Images",
	.summary = "take an image from files",
	.description =
		"Takes an image from an OCI layout, an OCI archive or what 'docker save' writes, builds the disk that "
		"machines start from, and prints its name.",
	.example = "annex image import oci:images/debian:12\ndocker save alpine | annex image import -",
	.options = import_options,
	.size = sizeof(struct import_options),
	.run = run_import,
};

const struct command image_list_command = {
	.name = "image list",
	.aliases = "image ls,images",
	.section = "Images",
	.summary = "show the images that are here",
	.description = "Shows the images that are here, the newest first.",
	.example = "annex image list --format json",
	.options = list_options,
	.size = sizeof(struct list_options),
	.run = run_list,
};

const struct command image_inspect_command = {
	.name = "image inspect",
	.section = "Images",
	.summary = "show everything about images, as JSON",
	.description = "Prints a JSON array with an object per image.",
	.example = "annex image inspect debian:12",
	.options = names_options,
	.size = sizeof(struct names_options),
	.run = run_inspect,
};

const struct command image_delete_command = {
	.name = "image delete",
	.aliases = "image rm,rmi",
	.section = "Images",
	.summary = "delete images",
	.description = "Deletes names of images, and an image with its last name. Machines made from it keep working.",
	.example = "annex image delete debian:12",
	.options = names_options,
	.size = sizeof(struct names_options),
	.run = run_delete,
};
