#pragma once
#include "base/error.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * jansson behind tables: a row says where a field of an object goes in a struct. Decoding checks types and presence and
 * names the field in its error ("manifest: layers[2].size: not a whole number"); unknown fields are ignored.
 */
enum json_type {
	JSON_ROW_TEXT,  /* char *, owned by the struct; NULL when absent */
	JSON_ROW_U64,   /* uint64_t */
	JSON_ROW_I64,   /* int64_t */
	JSON_ROW_BOOL,  /* bool */
	JSON_ROW_TIME,  /* int64_t, seconds since 1970, RFC 3339 in the text */
	JSON_ROW_TEXTS, /* struct text_list */
	JSON_ROW_VALUE, /* json_t *, a new reference; NULL when absent */
};

struct json_row {
	const char *name;
	enum json_type type;
	size_t offset;
	bool required;
};
#define JSON_ROW(kind, name, structure, field, needed)               \
	{                                                            \
		(name), (kind), offsetof(structure, field), (needed) \
	}

#define JSON_LIMIT      (16u << 20) /* bytes of a document */
#define JSON_LIST_LIMIT 65536u      /* items of a list of texts */

/* `what` names the document in errors, which are CORRUPT. Fields already decoded stay with the caller on failure:
 * zero-initialise the struct and clear it with json_clear() in either case. */
MUST_USE int json_decode(void *into, const json_t *object, const struct json_row *rows, size_t count, const char *what,
			 struct annex_error **err);
/* Frees every owned field of the rows and zeroes it. */
void json_clear(void *structure, const struct json_row *rows, size_t count);
/* A new object from the struct; absent (NULL) texts and values are left out. NULL: out of memory. */
json_t *json_encode(const void *structure, const struct json_row *rows, size_t count);

/* Parse a document, nesting and size capped; CORRUPT with `what` and the position. */
MUST_USE int json_parse(json_t **ret, const char *bytes, size_t size, const char *what, struct annex_error **err);
/* A whole file of at most JSON_LIMIT; a missing file is NOT_FOUND. */
MUST_USE int json_read_file(json_t **ret, int dir, const char *path, struct annex_error **err);
/* Indented, with a final newline, by file_write_atomic(). */
MUST_USE int json_write_file(int dir, const char *path, const json_t *value, struct annex_error **err);
/* One line (or indented); the caller frees it; NULL: out of memory. */
char *json_text(const json_t *value, bool indented);

static inline void cleanup_json(json_t **value)
{
	json_decref(*value);
}
#define auto_json CLEANUP(cleanup_json)
