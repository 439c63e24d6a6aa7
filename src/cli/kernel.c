/* annex kernel: install, list, set, delete. */
#include "base/text.h"
#include "base/time.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

struct install_options {
	const char *package;
	const char *file;
	const char *modules;
	const char *progress;
	bool set_default;
};
#define AT(field) offsetof(struct install_options, field)

static const struct option install_options[] = {
	{OPTION_TEXT, 0, "deb", AT(package), "FILE", "from a Debian package", COMPLETES_FILE},
	{OPTION_TEXT, 0, "file", AT(file), "VMLINUZ", "from a kernel's file", COMPLETES_FILE},
	{OPTION_TEXT, 0, "modules", AT(modules), "DIR", "with --file: the folder of its modules", COMPLETES_FOLDER},
	{OPTION_FLAG, 0, "set-default", AT(set_default), NULL, "make it the default, as the first one is anyway",
	 COMPLETES_NOTHING},
	PROGRESS_ROW(struct install_options),
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run_install(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct install_options *wanted = parsed;
	struct annex_kernel_install_options asked = ANNEX_KERNEL_INSTALL_OPTIONS_INIT;
	struct annex_kernel *kernel = NULL;

	progress_set_mode(cli->progress, wanted->progress);
	if (wanted->package && wanted->file)
		return fail(err, ANNEX_ERROR_USAGE, "kernel install: --deb and --file contradict each other");
	if (wanted->modules && !wanted->file)
		return fail(err, ANNEX_ERROR_USAGE, "kernel install: --modules goes with --file only");
	asked.deb = wanted->package;
	asked.file = wanted->file;
	asked.modules = wanted->modules;
	asked.make_default = wanted->set_default;
	if (annex_kernel_install(&kernel, cli->context, &asked, err) < 0)
		return fail_while(err, "kernel install");
	progress_clear(cli->progress);
	puts(annex_kernel_name(kernel));
	if (!annex_kernel_is_indexed(kernel))
		fputs("annex: depmod is not installed: modprobe in machines will not find the kernel's modules\n"
		      "hint: install kmod (Debian, Fedora and Arch: kmod); the next start does the rest\n",
		      stderr);
	annex_kernel_unref(kernel);
	return 0;
}

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option list_options[] = {
	{OPTION_CHOICE, 0, "format", offsetof(struct list_options, format), "table|json",
	 "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", offsetof(struct list_options, quiet), NULL, "only names", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {
	{"NAME", false}, {"SOURCE", false}, {"INSTALLED", false}, {"SIZE", true}, {"DEFAULT", false},
};

static int add_row(struct libscols_table *table, const struct annex_kernel *kernel, struct annex_error **err)
{
	char installed[TIME_BUFFER], size[TEXT_SIZE_BUFFER];
	const char *const cells[] = {
		annex_kernel_name(kernel),
		annex_kernel_source(kernel),
		time_format(installed, annex_kernel_installed(kernel)),
		text_from_size(size, annex_kernel_size(kernel)),
		annex_kernel_is_default(kernel) ? "*" : "",
	};

	return output_table_row(table, cells, err);
}

static int add_object(json_t *array, const struct annex_kernel *kernel, struct annex_error **err)
{
	json_t *object = json_pack("{s:s, s:o, s:o, s:I, s:b}", "name", annex_kernel_name(kernel), "source",
				   output_json_text(annex_kernel_source(kernel)), "installed",
				   output_json_time(annex_kernel_installed(kernel)), "size",
				   (json_int_t)annex_kernel_size(kernel), "default", annex_kernel_is_default(kernel));

	return object && json_array_append_new(array, object) == 0 ? 0 : fail_memory(err);
}

static int run_list(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct list_options *wanted = parsed;
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	struct annex_kernel **list = NULL;
	enum output_format format;
	size_t count = 0;
	int result = 0;

	if (output_format(&format, wanted->format, wanted->quiet, err) < 0 ||
	    output_table_new(&table, columns, COUNT_OF(columns), err) < 0 ||
	    annex_kernel_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "kernel list");
	for (size_t i = 0; i < count && result == 0; i++) {
		if (format == OUTPUT_QUIET)
			puts(annex_kernel_name(list[i]));
		else
			result = format == OUTPUT_JSON ? add_object(array, list[i], err) : add_row(table, list[i], err);
	}
	annex_kernel_list_free(list, count);
	if (result < 0 || format == OUTPUT_QUIET)
		return result;
	return format == OUTPUT_JSON ? output_json(TAKE(array), err) : output_table_print(table, err);
}

struct set_options {
	const char *name;
};

static const struct option set_options[] = {
	{OPTION_WORD, 0, NULL, offsetof(struct set_options, name), "NAME", "the kernel", COMPLETES_KERNEL},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run_set(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct set_options *wanted = parsed;

	if (annex_kernel_set_default(cli->context, wanted->name, err) < 0)
		return fail_while(err, "kernel set %s", wanted->name);
	return 0;
}

struct delete_options {
	struct option_list names;
};

static const struct option delete_options[] = {
	{OPTION_WORDS_SOME, 0, NULL, offsetof(struct delete_options, names), "NAME", "the kernels", COMPLETES_KERNEL},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* All get their turn; the first failure decides the exit status. */
static int run_delete(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct delete_options *wanted = parsed;
	int first = 0;

	(void)err;
	for (size_t i = 0; i < wanted->names.count; i++) {
		auto_error struct annex_error *problem = NULL;

		if (annex_kernel_delete(cli->context, wanted->names.words[i], &problem) == 0)
			continue;
		fail_while(&problem, "kernel delete %s", wanted->names.words[i]);
		fail_print(cli->progress, problem);
		first = first ? first : fail_exit_status(problem);
	}
	return first;
}

const struct command kernel_install_command = {
	.name = "kernel install",
	.section = "Guest kernels",
	.summary = "get a kernel for machines",
	.description =
		"Takes the distribution's cloud kernel out of its package, without installing that on this host, and "
		"prints the kernel's name. With --deb or --file, any other kernel.",
	.example = "annex kernel install\n"
		   "annex kernel install --file /boot/vmlinuz-6.1 --modules /lib/modules/6.1",
	.options = install_options,
	.size = sizeof(struct install_options),
	.run = run_install,
};

const struct command kernel_list_command = {
	.name = "kernel list",
	.aliases = "kernel ls",
	.section = "Guest kernels",
	.summary = "show the kernels that are here",
	.description =
		"Shows the kernels that are here; * marks the one that machines boot unless they are set otherwise.",
	.example = "annex kernel list",
	.options = list_options,
	.size = sizeof(struct list_options),
	.run = run_list,
};

const struct command kernel_set_command = {
	.name = "kernel set",
	.section = "Guest kernels",
	.summary = "choose the default kernel",
	.description =
		"Chooses the kernel that machines boot from their next start on, unless their setting 'kernel' names "
		"another.",
	.example = "annex kernel set 6.1.0-30-cloud-amd64",
	.options = set_options,
	.size = sizeof(struct set_options),
	.run = run_set,
};

const struct command kernel_delete_command = {
	.name = "kernel delete",
	.aliases = "kernel rm",
	.section = "Guest kernels",
	.summary = "delete kernels",
	.description = "Deletes kernels that no machine's settings name.",
	.example = "annex kernel delete 6.1.0-29-cloud-amd64",
	.options = delete_options,
	.size = sizeof(struct delete_options),
	.run = run_delete,
};
