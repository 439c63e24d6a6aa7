/*
 * The command line's options, by rows.
 *
 * Words and options may be mixed, except for a command with an OPTION_REST row: there the first word ends the options,
 * and it and everything behind it belong to somebody else. The parser never copies a word; lists point into the words
 * given. When a single-valued option comes twice the last one wins, so that an alias can be overridden.
 */
#include "cli/option.h"

#include "base/text.h"
#include "cli/closest.h"

#include <string.h>

struct parser {
	void *into;
	const struct option *rows;
	const char *const *next;
	size_t words;
	struct annex_error **err;
};

bool option_is_word(const struct option *row)
{
	return row->type >= OPTION_WORD;
}

bool option_takes_value(const struct option *row)
{
	return row->type != OPTION_FLAG && !option_is_word(row);
}

const struct option *option_find_name(const struct option *rows, const char *name, size_t length)
{
	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		if (row->name && !option_is_word(row) && strlen(row->name) == length &&
		    memcmp(row->name, name, length) == 0)
			return row;
	}
	return NULL;
}

const struct option *option_find_letter(const struct option *rows, char letter)
{
	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		if (row->letter && row->letter == letter)
			return row;
	}
	return NULL;
}

const struct option *option_find_word(const struct option *rows, size_t index)
{
	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		if (!option_is_word(row))
			continue;
		if (index == 0 || row->type >= OPTION_WORDS)
			return row;
		index--;
	}
	return NULL;
}

static int add_to_list(struct option_list *list, const char *word, struct annex_error **err)
{
	const char **grown = reallocarray(list->words, list->count + 2, sizeof(*grown));

	if (!grown)
		return fail_memory(err);
	list->words = grown;
	list->words[list->count++] = word;
	list->words[list->count] = NULL;
	return 0;
}

static bool is_choice(const char *choices, const char *word)
{
	size_t length = strlen(word), part;

	for (const char *at = choices; *at; at += part + (at[part] == '|')) {
		part = strcspn(at, "|");
		if (part == length && memcmp(at, word, length) == 0)
			return true;
	}
	return false;
}

static int set(struct parser *parser, const struct option *row, const char *spelling, const char *value)
{
	void *slot = (char *)parser->into + row->at;
	struct option_number *number = slot;
	int result;

	switch (row->type) {
	case OPTION_FLAG:
		*(bool *)slot = true;
		return 0;
	case OPTION_CHOICE:
		if (!is_choice(row->value, value))
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s: '%s' is not one of %s", spelling, value,
				    row->value);
		*(const char **)slot = value;
		return 0;
	case OPTION_NUMBER:
	case OPTION_SIZE:
		result = row->type == OPTION_SIZE ? text_to_size(&number->value, value)
						  : text_to_u64(&number->value, value, 10);
		if (result < 0)
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s: '%s' is not a %s", spelling, value,
				    row->type == OPTION_SIZE ? "size like 512M or 4G" : "number");
		number->set = true;
		return 0;
	case OPTION_LIST:
	case OPTION_WORDS:
	case OPTION_WORDS_SOME:
	case OPTION_REST:
		return add_to_list(slot, value, parser->err);
	default:
		*(const char **)slot = value;
		return 0;
	}
}

static int parse_name(struct parser *parser, const char *word)
{
	size_t length = strcspn(word + 2, "=");
	const char *value = word[2 + length] ? word + 2 + length + 1 : NULL;
	const struct option *row = option_find_name(parser->rows, word + 2, length);
	auto_free char *spelling = strndup(word, 2 + length);
	const char *near;

	if (!spelling)
		return fail_memory(parser->err);
	if (!row && text_equal(spelling, "--help"))
		return 1;
	if (!row) {
		near = closest_option(parser->rows, spelling + 2);
		fail(parser->err, ANNEX_ERROR_USAGE, "unknown option '%s'", spelling);
		return near ? fail_hint(parser->err, "did you mean '--%s'?", near) : -1;
	}
	if (!option_takes_value(row)) {
		if (value)
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s takes no value", spelling);
	} else if (!value) {
		value = *parser->next;
		if (!value)
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s needs a value (%s)", spelling, row->value);
		parser->next++;
	}
	return set(parser, row, spelling, value);
}

static int parse_letters(struct parser *parser, const char *word)
{
	for (const char *at = word + 1; *at; at++) {
		const struct option *row = option_find_letter(parser->rows, *at);
		const char spelling[] = {'-', *at, '\0'};
		const char *value = at[1] ? at + 1 : *parser->next;

		if (!row && *at == 'h')
			return 1;
		if (!row)
			return fail(parser->err, ANNEX_ERROR_USAGE, "unknown option '%s'",
				    at == word + 1 ? word : spelling);
		if (!option_takes_value(row)) {
			if (set(parser, row, spelling, NULL) < 0)
				return -1;
			continue;
		}
		if (!value)
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s needs a value (%s)", spelling, row->value);
		parser->next += !at[1];
		return set(parser, row, spelling, value);
	}
	return 0;
}

/* Sets *ret_rest when what follows belongs to an OPTION_REST row. */
static int parse_word(struct parser *parser, bool *ret_rest, const char *word)
{
	const struct option *row = option_find_word(parser->rows, parser->words++);

	if (!row)
		return fail(parser->err, ANNEX_ERROR_USAGE, "unexpected word '%s'", word);
	if (row->type == OPTION_REST)
		*ret_rest = true;
	return set(parser, row, row->value, word);
}

static int check_words(struct parser *parser)
{
	size_t index = 0;

	for (const struct option *row = parser->rows; row->type != OPTION_END; row++) {
		if (!option_is_word(row))
			continue;
		if (index++ >= parser->words && (row->type == OPTION_WORD || row->type == OPTION_WORDS_SOME))
			return fail(parser->err, ANNEX_ERROR_USAGE, "%s is missing", row->value);
	}
	return 0;
}

int option_parse(void *into, const struct option *rows, const char *const *words, struct annex_error **err)
{
	struct parser parser = {.into = into, .rows = rows, .next = words, .err = err};
	bool only_words = false;
	int result;

	while (*parser.next) {
		const char *word = *parser.next++;

		if (only_words || word[0] != '-' || !word[1]) {
			result = parse_word(&parser, &only_words, word);
		} else if (text_equal(word, "--")) {
			only_words = true;
			result = 0;
		} else {
			result = word[1] == '-' ? parse_name(&parser, word) : parse_letters(&parser, word);
		}
		if (result != 0)
			return result;
	}
	return check_words(&parser);
}

void option_clear(void *into, const struct option *rows)
{
	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		struct option_list *list = (void *)((char *)into + row->at);

		if (row->type != OPTION_LIST && row->type < OPTION_WORDS)
			continue;
		free(list->words);
		*list = (struct option_list){0};
	}
}
