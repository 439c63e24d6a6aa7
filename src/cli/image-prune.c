/* annex image prune: what nobody needs goes. */
#include "base/text.h"
#include "cli/ask.h"
#include "cli/images.h"
#include "cli/output.h"

#include <stdio.h>

struct prune_options {
	bool all;
	bool force;
	bool dry_run;
};
#define AT(field) offsetof(struct prune_options, field)

static const struct option options[] = {
	{OPTION_FLAG, 'a', "all", AT(all), NULL, "also images with a name that no machine was made from",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 'f', "force", AT(force), NULL, "don't ask", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "dry-run", AT(dry_run), NULL, "only show what would go", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct output_column columns[] = {{"NAME", false}, {"SIZE", true}};

/* What goes, as a table. */
struct gone {
	struct libscols_table *table;
	uint64_t freed;
	struct annex_error *problem; /* of adding to the table */
};

static void gone_clear(struct gone *gone)
{
	scols_unref_table(gone->table);
	annex_error_free(gone->problem);
}
#define auto_gone CLEANUP(gone_clear)

static void add(const char *what, uint64_t bytes, void *data)
{
	struct gone *gone = data;
	char size[TEXT_SIZE_BUFFER];
	const char *const cells[] = {what, text_from_size(size, bytes)};

	if (!gone->problem)
		(void)!output_table_row(gone->table, cells, &gone->problem);
}

static int prune(struct gone *gone, struct cli *cli, bool all, bool dry_run, struct annex_error **err)
{
	struct annex_image_prune_options asked = ANNEX_IMAGE_PRUNE_OPTIONS_INIT;

	asked.all = all;
	asked.dry_run = dry_run;
	if (output_table_new(&gone->table, columns, COUNT_OF(columns), err) < 0)
		return -1;
	return annex_image_prune(cli->context, &asked, add, gone, &gone->freed, err);
}

static int print(struct gone *gone, FILE *stream, struct annex_error **err)
{
	if (gone->problem) {
		if (err)
			*err = TAKE(gone->problem);
		return -1;
	}
	scols_table_set_stream(gone->table, stream);
	return scols_table_get_nlines(gone->table) > 0 ? output_table_print(gone->table, err) : 0;
}

/* 1: yes, 0: no, or there is nothing to ask about (*ret_nothing). */
static int ask(bool *ret_nothing, struct cli *cli, const struct prune_options *wanted, struct annex_error **err)
{
	auto_gone struct gone gone = {0};
	char size[TEXT_SIZE_BUFFER];

	if (!ask_can()) {
		fail(err, ANNEX_ERROR_USAGE, "nobody to ask whether images may go");
		return fail_hint(err, "annex image prune --force%s", wanted->all ? " --all" : "");
	}
	if (prune(&gone, cli, wanted->all, true, err) < 0 || print(&gone, stderr, err) < 0)
		return -1;
	*ret_nothing = scols_table_get_nlines(gone.table) == 0;
	if (*ret_nothing)
		return 0;
	fprintf(stderr, "Delete all this, which frees %s?", text_from_size(size, gone.freed));
	return ask_yes();
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct prune_options *wanted = parsed;
	auto_gone struct gone gone = {0};
	char size[TEXT_SIZE_BUFFER];
	bool nothing = false;
	int answer = 1, result;

	if (!wanted->force && !wanted->dry_run)
		answer = ask(&nothing, cli, wanted, err);
	if (answer < 0)
		return fail_while(err, "image prune");
	if (!answer && !nothing)
		return FAIL_STATUS_FAILED;
	result = nothing ? 0 : prune(&gone, cli, wanted->all, wanted->dry_run, err);
	if (gone.table && print(&gone, stdout, result < 0 ? NULL : err) < 0)
		result = -1;
	if (result < 0)
		return fail_while(err, "image prune");
	if (nothing || scols_table_get_nlines(gone.table) == 0)
		fputs("there is nothing to delete\n", stderr);
	else
		fprintf(stderr, "%s %s\n", wanted->dry_run ? "would free" : "freed", text_from_size(size, gone.freed));
	return 0;
}

const struct command image_prune_command = {
	.name = "image prune",
	.section = "Images",
	.summary = "delete what is not needed",
	.description = "Deletes images without a name and what interrupted pulls left, and with --all also every image "
		       "that no machine was made from; shows what went. Asks first when it can; without a terminal, "
		       "--force is needed.",
	.example = "annex image prune --dry-run\nannex image prune --all --force",
	.options = options,
	.size = sizeof(struct prune_options),
	.run = run,
};
