#pragma once
#include "base/error.h"

#include <jansson.h>
#include <libsmartcols.h>
#include <stdbool.h>
#include <stdint.h>

/* Results, on standard output. */

static inline void cleanup_json(json_t **value)
{
	json_decref(*value);
}
#define auto_json CLEANUP(cleanup_json)

struct output_column {
	const char *name;
	bool right; /* numbers */
};

static inline void cleanup_table(struct libscols_table **table)
{
	scols_unref_table(*table);
}
#define auto_table CLEANUP(cleanup_table)

MUST_USE int output_table_new(struct libscols_table **ret, const struct output_column *columns, size_t count,
			      struct annex_error **err);
/* One text per column; NULL shows as "-". */
MUST_USE int output_table_row(struct libscols_table *table, const char *const *cells, struct annex_error **err);
/* Let the last column end where the terminal does; elsewhere it is printed whole. */
void output_table_cut_last(struct libscols_table *table);
MUST_USE int output_table_print(struct libscols_table *table, struct annex_error **err);
/* What would be printed; the caller frees *ret. */
MUST_USE int output_table_text(char **ret, struct libscols_table *table, struct annex_error **err);

/* Takes the value, also on failure; NULL: memory ran out. */
MUST_USE int output_json(json_t *value, struct annex_error **err);
/* The same in one line, at once. */
MUST_USE int output_json_line(json_t *value, struct annex_error **err);
/* Parse one JSON object of the library's and append it. */
MUST_USE int output_json_append(json_t *array, const char *text, struct annex_error **err);
/* RFC 3339; null for 0. */
json_t *output_json_time(int64_t seconds);
json_t *output_json_text(const char *text); /* null for NULL */

/* How a list is wanted. USAGE when the two options contradict each other. */
enum output_format {
	OUTPUT_TABLE,
	OUTPUT_JSON,
	OUTPUT_QUIET,
};
MUST_USE int output_format(enum output_format *ret, const char *format, bool quiet, struct annex_error **err);

/* Everything written? Call once, last. */
MUST_USE int output_finish(struct annex_error **err);
