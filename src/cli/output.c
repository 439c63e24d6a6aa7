#include "cli/output.h"

#include "base/text.h"
#include "base/time.h"
#include "cli/printable.h"

#include <stdio.h>

enum { REAL_DIGITS = 12 }; /* so that 0.1 is 0.1 */

int output_table_new(struct libscols_table **ret, const struct output_column *columns, size_t count,
		     struct annex_error **err)
{
	auto_table struct libscols_table *made = scols_new_table();

	if (!made)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		if (!scols_table_new_column(made, columns[i].name, 0, columns[i].right ? SCOLS_FL_RIGHT : 0))
			return fail_memory(err);
	}
	*ret = TAKE(made);
	return 0;
}

int output_table_row(struct libscols_table *table, const char *const *cells, struct annex_error **err)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	size_t count = scols_table_get_ncols(table);

	if (!line)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		if (scols_line_set_data(line, i, cells[i] ? cells[i] : "-") != 0)
			return fail_memory(err);
	}
	return 0;
}

void output_table_cut_last(struct libscols_table *table)
{
	scols_column_set_flags(scols_table_get_column(table, scols_table_get_ncols(table) - 1), SCOLS_FL_TRUNC);
}

int output_table_text(char **ret, struct libscols_table *table, struct annex_error **err)
{
	size_t count = scols_table_get_ncols(table);
	auto_text struct text header = {0};

	if (scols_table_get_nlines(table) > 0)
		return scols_print_table_to_string(table, ret) == 0 ? 0 : fail_memory(err);
	/* libsmartcols prints nothing at all for a table without lines. */
	for (size_t i = 0; i < count; i++)
		text_printf(&header, "%s%c", scols_column_get_name(scols_table_get_column(table, i)),
			    i + 1 < count ? ' ' : '\n');
	*ret = text_take(&header);
	return *ret ? 0 : fail_memory(err);
}

int output_table_print(struct libscols_table *table, struct annex_error **err)
{
	auto_free char *text = NULL;

	if (scols_table_get_nlines(table) > 0)
		return scols_print_table(table) == 0 ? 0 : fail_memory(err);
	if (output_table_text(&text, table, err) < 0)
		return -1;
	fputs(text, stdout);
	return 0;
}

static int print_json(json_t *value, size_t flags, struct annex_error **err)
{
	auto_json json_t *taken = value;
	auto_free char *dumped = taken ? json_dumps(taken, flags | JSON_REAL_PRECISION(REAL_DIGITS)) : NULL;
	auto_text struct text text = {0};

	if (dumped)
		printable_add_json(&text, dumped);
	if (!dumped || !text_ok(&text))
		return fail_memory(err);
	puts(text.data);
	return 0;
}

int output_json(json_t *value, struct annex_error **err)
{
	return print_json(value, JSON_INDENT(2), err);
}

int output_json_line(json_t *value, struct annex_error **err)
{
	return print_json(value, JSON_COMPACT, err) < 0 ? -1 : output_finish(err);
}

int output_json_append(json_t *array, const char *text, struct annex_error **err)
{
	json_error_t problem;
	json_t *value = json_loads(text, 0, &problem);

	if (!value)
		return fail(err, ANNEX_ERROR_CORRUPT, "not a JSON object: %s", problem.text);
	return json_array_append_new(array, value) == 0 ? 0 : fail_memory(err);
}

json_t *output_json_time(int64_t seconds)
{
	char buffer[TIME_BUFFER];

	return seconds ? json_string(time_format(buffer, seconds)) : json_null();
}

json_t *output_json_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

int output_format(enum output_format *ret, const char *format, bool quiet, struct annex_error **err)
{
	bool json = text_equal(format, "json");

	if (quiet && json)
		return fail(err, ANNEX_ERROR_USAGE, "-q and --format json contradict each other");
	*ret = quiet ? OUTPUT_QUIET : json ? OUTPUT_JSON : OUTPUT_TABLE;
	return 0;
}

int output_finish(struct annex_error **err)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return fail_os(err, errno ? errno : EIO, "cannot write to standard output");
}
