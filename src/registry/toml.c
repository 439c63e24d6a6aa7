/*
 * One pass over the text into a tree of jansson's. The rules on what may be defined where are TOML's: each table and
 * each array of tables is marked with how it came to be, and what is not marked was only passed through on the way to
 * a table below it.
 */
#include "registry/toml.h"

#include <string.h>

#define BARE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

enum kind {
	PASSED,  /* made by a header further down; can still be defined */
	DEFINED, /* by a header of its own */
	DOTTED,  /* by dotted keys */
	ARRAY,   /* of tables */
	CLOSED,  /* written in place: an array or an inline table */
};

struct mark {
	const json_t *value;
	enum kind kind;
};

struct toml {
	const char *at, *end;
	unsigned line, depth;
	const char *what;
	struct annex_error **err;
	struct mark marks[TOML_TABLE_LIMIT];
	size_t mark_count;
};

static int parse_value(json_t **ret, struct toml *toml);

static int bad(struct toml *toml, const char *reason)
{
	return fail(toml->err, ANNEX_ERROR_CORRUPT, "%s: line %u: %s", toml->what, toml->line, reason);
}

static char peek(const struct toml *toml)
{
	return toml->at < toml->end ? *toml->at : '\0';
}

static bool next_is(const struct toml *toml, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(toml->end - toml->at) >= length && memcmp(toml->at, text, length) == 0;
}

static bool accept(struct toml *toml, const char *text)
{
	if (!next_is(toml, text))
		return false;
	toml->at += strlen(text);
	return true;
}

static void skip_spaces(struct toml *toml)
{
	while (peek(toml) == ' ' || peek(toml) == '\t')
		toml->at++;
}

/* A line's end with the spaces and the comment before it. Returns whether it was there. */
static bool skip_line_end(struct toml *toml)
{
	skip_spaces(toml);
	if (peek(toml) == '#') {
		while (toml->at < toml->end && *toml->at != '\n')
			toml->at++;
	}
	if (toml->at == toml->end)
		return true;
	if (!accept(toml, "\r\n") && !accept(toml, "\n"))
		return false;
	toml->line++;
	return true;
}

static void skip_lines(struct toml *toml)
{
	while (toml->at < toml->end && skip_line_end(toml))
		;
}

static enum kind kind_of(const struct toml *toml, const json_t *value)
{
	for (size_t i = toml->mark_count; i > 0; i--) {
		if (toml->marks[i - 1].value == value)
			return toml->marks[i - 1].kind;
	}
	return PASSED;
}

static int mark(struct toml *toml, const json_t *value, enum kind kind)
{
	if (toml->mark_count == TOML_TABLE_LIMIT)
		return bad(toml, "too many tables");
	toml->marks[toml->mark_count++] = (struct mark){value, kind};
	return 0;
}

static void add_character(struct text *text, uint32_t code)
{
	if (code < 0x80) {
		text_add_char(text, (char)code);
		return;
	}
	if (code < 0x800) {
		text_add_char(text, (char)(0xc0 | code >> 6));
	} else {
		if (code < 0x10000) {
			text_add_char(text, (char)(0xe0 | code >> 12));
		} else {
			text_add_char(text, (char)(0xf0 | code >> 18));
			text_add_char(text, (char)(0x80 | (code >> 12 & 0x3f)));
		}
		text_add_char(text, (char)(0x80 | (code >> 6 & 0x3f)));
	}
	text_add_char(text, (char)(0x80 | (code & 0x3f)));
}

static int parse_escape(struct toml *toml, struct text *text)
{
	static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
	const char letter = peek(toml), *known = letter ? strchr(letters, letter) : NULL;
	size_t digits = letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
	char number[9] = "";
	uint32_t code = 0;

	if (known) {
		text_add_char(text, meanings[known - letters]);
		toml->at++;
		return 0;
	}
	if (!digits || (size_t)(toml->end - toml->at) <= digits)
		return bad(toml, "there is no such escape in a string");
	memcpy(number, toml->at + 1, digits);
	if (strspn(number, "0123456789abcdefABCDEF") != digits || text_to_u32(&code, number, 16) < 0 || code == 0 ||
	    code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return bad(toml, "there is no such character");
	add_character(text, code);
	toml->at += 1 + digits;
	return 0;
}

/* Either kind of string of one line. */
static int parse_string(char **ret, struct toml *toml)
{
	auto_text struct text text = {0};
	const char quote = *toml->at++;

	if (peek(toml) == quote && toml->at + 1 < toml->end && toml->at[1] == quote)
		return bad(toml, "strings of several lines are not supported");
	for (;;) {
		const char c = peek(toml);

		if (toml->at == toml->end || c == '\n')
			return bad(toml, "a string does not end");
		if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
			return bad(toml, "a string has a control character in it");
		toml->at++;
		if (c == quote)
			break;
		if (c != '\\' || quote == '\'')
			text_add_char(&text, c);
		else if (parse_escape(toml, &text) < 0)
			return -1;
	}
	*ret = text_take(&text);
	return *ret ? 0 : fail_memory(toml->err);
}

static int parse_key(char **ret, struct toml *toml)
{
	const char *start = toml->at;

	if (peek(toml) == '"' || peek(toml) == '\'')
		return parse_string(ret, toml);
	while (peek(toml) && strchr(BARE, peek(toml)))
		toml->at++;
	if (toml->at == start)
		return bad(toml, "a key is missing");
	*ret = strndup(start, (size_t)(toml->at - start));
	return *ret ? 0 : fail_memory(toml->err);
}

/* "a.b.c" with spaces around. */
static int parse_keys(struct text_list *ret, struct toml *toml)
{
	do {
		char *key = NULL;

		if (ret->count == TOML_KEY_LIMIT)
			return bad(toml, "a key has too many parts");
		skip_spaces(toml);
		if (parse_key(&key, toml) < 0)
			return -1;
		if (text_list_add_owned(ret, key) < 0)
			return fail_memory(toml->err);
		skip_spaces(toml);
	} while (accept(toml, "."));
	return 0;
}

/* Takes the value. */
static int add_new(json_t **ret, struct toml *toml, json_t *table, const char *key, json_t *value, enum kind kind)
{
	if (json_object_set_new(table, key, value) < 0)
		return fail_memory(toml->err);
	*ret = value;
	return kind == PASSED ? 0 : mark(toml, value, kind);
}

/* key = value, in `table`. */
static int parse_pair(struct toml *toml, json_t *table)
{
	auto_text_list struct text_list keys = {0};
	auto_json json_t *value = NULL;

	if (parse_keys(&keys, toml) < 0)
		return -1;
	if (!accept(toml, "="))
		return bad(toml, "= is missing behind a key");
	for (size_t i = 0; i + 1 < keys.count; i++) {
		json_t *below = json_object_get(table, keys.items[i]);

		if (below && kind_of(toml, below) != DOTTED)
			return bad(toml, "a key stands for two things");
		if (!below && add_new(&below, toml, table, keys.items[i], json_object(), DOTTED) < 0)
			return -1;
		table = below;
	}
	if (json_object_get(table, keys.items[keys.count - 1]))
		return bad(toml, "a key is there twice");
	skip_spaces(toml);
	if (parse_value(&value, toml) < 0)
		return -1;
	return json_object_set_new(table, keys.items[keys.count - 1], TAKE(value)) < 0 ? fail_memory(toml->err) : 0;
}

static int parse_array(json_t **ret, struct toml *toml)
{
	auto_json json_t *array = json_array();

	if (!array)
		return fail_memory(toml->err);
	toml->at++;
	for (skip_lines(toml); !accept(toml, "]"); skip_lines(toml)) {
		json_t *value = NULL;

		if (parse_value(&value, toml) < 0)
			return -1;
		if (json_array_append_new(array, value) < 0)
			return fail_memory(toml->err);
		skip_lines(toml);
		if (!accept(toml, ",") && peek(toml) != ']')
			return bad(toml, "an array does not end");
	}
	*ret = TAKE(array);
	return 0;
}

static int parse_inline_table(json_t **ret, struct toml *toml)
{
	auto_json json_t *table = json_object();

	if (!table)
		return fail_memory(toml->err);
	toml->at++;
	skip_spaces(toml);
	if (!accept(toml, "}")) {
		do {
			if (parse_pair(toml, table) < 0)
				return -1;
			skip_spaces(toml);
		} while (accept(toml, ","));
		if (!accept(toml, "}"))
			return bad(toml, "an inline table does not end");
	}
	*ret = TAKE(table);
	return 0;
}

static int parse_composite(json_t **ret, struct toml *toml)
{
	json_t *value = NULL;
	int result;

	if (toml->depth == TOML_DEPTH_LIMIT)
		return bad(toml, "arrays are nested too deep");
	toml->depth++;
	result = peek(toml) == '[' ? parse_array(&value, toml) : parse_inline_table(&value, toml);
	toml->depth--;
	if (result == 0 && mark(toml, value, CLOSED) < 0) {
		json_decref(value);
		return -1;
	}
	if (result == 0)
		*ret = value;
	return result;
}

/* What is neither quoted nor bracketed. */
static int parse_word(json_t **ret, struct toml *toml)
{
	const char *start = toml->at;
	auto_text struct text word = {0};
	int64_t number = 0;

	while (peek(toml) && strchr(BARE "+.:", peek(toml)))
		toml->at++;
	text_add(&word, "");
	for (const char *at = start; at < toml->at; at++) {
		bool is_sign = at == start && *at == '+' && (at + 1 == toml->at || at[1] != '-');

		if (*at != '_' && !is_sign)
			text_add_char(&word, *at);
	}
	if (!text_ok(&word))
		return fail_memory(toml->err);
	if (text_equal(word.data, "true") || text_equal(word.data, "false")) {
		*ret = json_boolean(word.data[0] == 't');
		return 0;
	}
	if (toml->at == start)
		return bad(toml, "a value is missing");
	if (text_to_i64(&number, word.data) < 0)
		return bad(toml,
			   "a value is not supported: strings, whole numbers, true, false, arrays and tables are");
	*ret = json_integer(number);
	return *ret ? 0 : fail_memory(toml->err);
}

static int parse_value(json_t **ret, struct toml *toml)
{
	char *string = NULL;

	if (peek(toml) == '[' || peek(toml) == '{')
		return parse_composite(ret, toml);
	if (peek(toml) != '"' && peek(toml) != '\'')
		return parse_word(ret, toml);
	if (parse_string(&string, toml) < 0)
		return -1;
	*ret = json_string(string);
	free(string);
	return *ret ? 0 : fail_memory(toml->err);
}

/* One step down on the way to the table that a header names. */
static int descend(json_t **ret, struct toml *toml, json_t *table, const char *key)
{
	json_t *below = json_object_get(table, key);

	if (!below)
		return add_new(ret, toml, table, key, json_object(), PASSED);
	if (kind_of(toml, below) == ARRAY)
		below = json_array_get(below, json_array_size(below) - 1);
	if (!json_is_object(below) || kind_of(toml, below) == CLOSED)
		return bad(toml, "a table's name stands for something else");
	*ret = below;
	return 0;
}

static int append_table(json_t **ret, struct toml *toml, json_t *table, const char *key)
{
	json_t *array = json_object_get(table, key), *made;

	if (!array && add_new(&array, toml, table, key, json_array(), ARRAY) < 0)
		return -1;
	if (kind_of(toml, array) != ARRAY)
		return bad(toml, "an array of tables has the name of something else");
	made = json_object();
	if (json_array_append_new(array, made) < 0)
		return fail_memory(toml->err);
	*ret = made;
	return mark(toml, made, DEFINED);
}

static int define_table(json_t **ret, struct toml *toml, json_t *table, const char *key)
{
	json_t *below = json_object_get(table, key);

	if (!below)
		return add_new(ret, toml, table, key, json_object(), DEFINED);
	if (!json_is_object(below) || kind_of(toml, below) != PASSED)
		return bad(toml, "a table is there twice");
	*ret = below;
	return mark(toml, below, DEFINED);
}

/* [table] and [[array of tables]] */
static int parse_header(json_t **ret, struct toml *toml, json_t *root)
{
	bool is_array = next_is(toml, "[[");
	auto_text_list struct text_list keys = {0};
	json_t *table = root;

	toml->at += is_array ? 2 : 1;
	if (parse_keys(&keys, toml) < 0)
		return -1;
	if (!accept(toml, is_array ? "]]" : "]"))
		return bad(toml, "a table's name does not end");
	for (size_t i = 0; i + 1 < keys.count; i++) {
		if (descend(&table, toml, table, keys.items[i]) < 0)
			return -1;
	}
	return (is_array ? append_table : define_table)(ret, toml, table, keys.items[keys.count - 1]);
}

static int parse_document(struct toml *toml, json_t *root)
{
	json_t *table = root;

	accept(toml, "\xef\xbb\xbf");
	for (skip_lines(toml); toml->at < toml->end; skip_lines(toml)) {
		if ((peek(toml) == '[' ? parse_header(&table, toml, root) : parse_pair(toml, table)) < 0)
			return -1;
		if (!skip_line_end(toml))
			return bad(toml, "there is more in the line than belongs there");
	}
	return 0;
}

int toml_parse(json_t **ret, const char *bytes, size_t size, const char *what, struct annex_error **err)
{
	auto_free struct toml *toml = calloc(1, sizeof(*toml));
	auto_json json_t *root = json_object();

	if (!toml || !root)
		return fail_memory(err);
	*toml = (struct toml){.at = bytes, .end = bytes + size, .line = 1, .what = what, .err = err};
	if (size > TOML_SIZE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: larger than %u MiB", what, TOML_SIZE_LIMIT >> 20);
	if (!text_is_utf8(bytes, size))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not UTF-8", what);
	if (parse_document(toml, root) < 0)
		return -1;
	*ret = TAKE(root);
	return 0;
}
