#include "json/json.h"

#include "base/file.h"
#include "base/time.h"

#include <assert.h>
#include <string.h>

static void *at(void *structure, const struct json_row *row)
{
	return (char *)structure + row->offset;
}

static int wrong(struct annex_error **err, const char *what, const char *name, const char *expected)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s: not %s", what, name, expected);
}

static int decode_texts(struct text_list *list, const json_t *value, const char *what, const char *name,
			struct annex_error **err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(value) || json_array_size(value) > JSON_LIST_LIMIT)
		return wrong(err, what, name, "a list of texts");
	json_array_foreach(value, i, item)
	{
		if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
			return wrong(err, what, name, "a list of texts");
		if (text_list_add(list, json_string_value(item)) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int decode_text(char **ret, const json_t *value, const char *what, const char *name, struct annex_error **err)
{
	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
		return wrong(err, what, name, "a text");
	free(*ret);
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : fail_memory(err);
}

static int decode_row(void *into, const json_t *value, const struct json_row *row, const char *what,
		      struct annex_error **err)
{
	void *field = at(into, row);

	switch (row->type) {
	case JSON_ROW_TEXT:
		return decode_text(field, value, what, row->name, err);
	case JSON_ROW_U64:
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return wrong(err, what, row->name, "a whole number");
		*(uint64_t *)field = (uint64_t)json_integer_value(value);
		return 0;
	case JSON_ROW_I64:
		if (!json_is_integer(value))
			return wrong(err, what, row->name, "a whole number");
		*(int64_t *)field = json_integer_value(value);
		return 0;
	case JSON_ROW_BOOL:
		if (!json_is_boolean(value))
			return wrong(err, what, row->name, "true or false");
		*(bool *)field = json_is_true(value);
		return 0;
	case JSON_ROW_TIME:
		if (!json_is_string(value) || time_parse(field, json_string_value(value)) < 0)
			return wrong(err, what, row->name, "a time");
		return 0;
	case JSON_ROW_TEXTS:
		return decode_texts(field, value, what, row->name, err);
	case JSON_ROW_VALUE:
		json_decref(*(json_t **)field);
		*(json_t **)field = json_incref((json_t *)value);
		return 0;
	}
	assert(false); /* every type has a decoder above */
	return -1;
}

int json_decode(void *into, const json_t *object, const struct json_row *rows, size_t count, const char *what,
		struct annex_error **err)
{
	if (!json_is_object(object))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not a JSON object", what);
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(object, rows[i].name);

		if (!value || json_is_null(value)) {
			if (rows[i].required)
				return fail(err, ANNEX_ERROR_CORRUPT, "%s: %s is missing", what, rows[i].name);
			continue;
		}
		if (decode_row(into, value, &rows[i], what, err) < 0)
			return -1;
	}
	return 0;
}

void json_clear(void *structure, const struct json_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void *field = at(structure, &rows[i]);

		if (rows[i].type == JSON_ROW_TEXT) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (rows[i].type == JSON_ROW_TEXTS) {
			text_list_clear(field);
		} else if (rows[i].type == JSON_ROW_VALUE) {
			json_decref(*(json_t **)field);
			*(json_t **)field = NULL;
		}
	}
}

static json_t *encode_texts(const struct text_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static json_t *encode_row(const void *structure, const struct json_row *row)
{
	const void *field = (const char *)structure + row->offset;
	char buffer[TIME_BUFFER];

	switch (row->type) {
	case JSON_ROW_TEXT:
		return *(char *const *)field ? json_string(*(char *const *)field) : NULL;
	case JSON_ROW_U64:
		return json_integer((json_int_t) * (const uint64_t *)field);
	case JSON_ROW_I64:
		return json_integer(*(const int64_t *)field);
	case JSON_ROW_BOOL:
		return json_boolean(*(const bool *)field);
	case JSON_ROW_TIME:
		return json_string(time_format(buffer, *(const int64_t *)field));
	case JSON_ROW_TEXTS:
		return encode_texts(field);
	case JSON_ROW_VALUE:
		return json_incref(*(json_t *const *)field);
	}
	assert(false); /* every type has an encoder above */
	return NULL;
}

json_t *json_encode(const void *structure, const struct json_row *rows, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < count; i++) {
		json_t *value = encode_row(structure, &rows[i]);

		if (value && json_object_set_new(object, rows[i].name, value) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

int json_parse(json_t **ret, const char *bytes, size_t size, const char *what, struct annex_error **err)
{
	json_error_t problem;
	json_t *value;

	if (size > JSON_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: larger than %u MiB", what, JSON_LIMIT >> 20);
	value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
	if (!value)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not JSON: line %d: %s", what, problem.line, problem.text);
	*ret = value;
	return 0;
}

int json_read_file(json_t **ret, int dir, const char *path, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, dir, path, JSON_LIMIT);

	if (result == -ENOENT)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "%s does not exist", path);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", path);
	return json_parse(ret, bytes, size, path, err);
}

int json_write_file(int dir, const char *path, const json_t *value, struct annex_error **err)
{
	auto_free char *text = json_text(value, true);
	int result;

	if (!text)
		return fail_memory(err);
	result = file_write_atomic(dir, path, text, strlen(text), 0600);
	return result < 0 ? fail_os(err, result, "cannot write %s", path) : 0;
}

char *json_text(const json_t *value, bool indented)
{
	auto_text struct text text = {0};
	char *dumped = json_dumps(value, (indented ? JSON_INDENT(2) : JSON_COMPACT) | JSON_ENCODE_ANY);

	if (!dumped)
		return NULL;
	text_add(&text, dumped);
	if (indented)
		text_add_char(&text, '\n');
	free(dumped);
	return text_take(&text);
}
