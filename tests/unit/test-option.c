#include "test.h"

#include "base/text.h"
#include "cli/option.h"

struct wanted {
	bool all;
	bool interactive;
	bool terminal;
	const char *name;
	const char *format;
	struct option_number lines;
	struct option_number memory;
	struct option_list environment;
	const char *first;
	const char *second;
	struct option_list rest;
};
#define AT(field) offsetof(struct wanted, field)
#define COMMON                                                                                 \
	{OPTION_FLAG, 0, "all", AT(all), NULL, "", COMPLETES_NOTHING},                         \
		{OPTION_FLAG, 'i', NULL, AT(interactive), NULL, "", COMPLETES_NOTHING},        \
		{OPTION_FLAG, 't', NULL, AT(terminal), NULL, "", COMPLETES_NOTHING},           \
		{OPTION_TEXT, 'n', "name", AT(name), "NAME", "", COMPLETES_NOTHING},           \
		{OPTION_CHOICE, 0, "format", AT(format), "table|json", "", COMPLETES_NOTHING}, \
		{OPTION_NUMBER, 'l', "lines", AT(lines), "N", "", COMPLETES_NOTHING},          \
		{OPTION_SIZE, 'm', "memory", AT(memory), "SIZE", "", COMPLETES_NOTHING},       \
	{                                                                                      \
		OPTION_LIST, 'e', "env", AT(environment), "K=V", "", COMPLETES_NOTHING         \
	}
#define LAST                                                          \
	{                                                             \
		OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING \
	}

static const struct option plain_rows[] = {
	COMMON,
	{OPTION_WORD, 0, NULL, AT(first), "FIRST", "", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(second), "SECOND", "", COMPLETES_NOTHING},
	LAST,
};
static const struct option many_rows[] = {
	COMMON,
	{OPTION_WORDS_SOME, 0, NULL, AT(rest), "NAME", "", COMPLETES_NOTHING},
	LAST,
};
static const struct option rest_rows[] = {
	COMMON,
	{OPTION_REST, 0, NULL, AT(rest), "CMD", "", COMPLETES_NOTHING},
	LAST,
};

/* What parsing gives, with the message of a failure. */
struct outcome {
	int result;
	struct wanted wanted;
	struct annex_error *err;
	const struct option *rows;
};

static struct outcome parse(const struct option *rows, const char *const *words)
{
	struct outcome outcome = {.rows = rows};

	outcome.result = option_parse(&outcome.wanted, rows, words, &outcome.err);
	return outcome;
}

static void clear(struct outcome *outcome)
{
	annex_error_free(outcome->err);
	option_clear(&outcome->wanted, outcome->rows);
}

#define PARSE(rows, ...) parse(rows, (const char *const[]){__VA_ARGS__, NULL})

static void check_refused(struct outcome outcome, const char *message, const char *hint)
{
	assert_int_equal(outcome.result, -1);
	assert_int_equal(annex_error_kind(outcome.err), ANNEX_ERROR_USAGE);
	assert_string_equal(annex_error_message(outcome.err), message);
	if (hint)
		assert_string_equal(annex_error_hint(outcome.err), hint);
	else
		assert_null(annex_error_hint(outcome.err));
	clear(&outcome);
}

static void values_come_in_every_spelling(void **state)
{
	struct outcome outcome = PARSE(plain_rows, "--name=a=b", "--lines", "7", "-m4G", "-e", "A=1", "-eB=2", "word");

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.wanted.name, "a=b");
	assert_true(outcome.wanted.lines.set);
	assert_int_equal(outcome.wanted.lines.value, 7);
	assert_true(outcome.wanted.memory.value == 4ull << 30);
	assert_int_equal(outcome.wanted.environment.count, 2);
	assert_string_equal(outcome.wanted.environment.words[1], "B=2");
	assert_null(outcome.wanted.environment.words[2]);
	assert_string_equal(outcome.wanted.first, "word");
	assert_null(outcome.wanted.second);
	clear(&outcome);
}

static void letters_can_be_bundled(void **state)
{
	struct outcome outcome = PARSE(plain_rows, "-itn", "x", "w");

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_true(outcome.wanted.interactive && outcome.wanted.terminal);
	assert_string_equal(outcome.wanted.name, "x");
	clear(&outcome);
	outcome = PARSE(plain_rows, "-tinx", "w");
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.wanted.name, "x");
	clear(&outcome);
}

static void options_may_stand_behind_words(void **state)
{
	struct outcome outcome = PARSE(many_rows, "a", "--all", "b", "-n", "x", "-", "--", "--all", "-z");

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_true(outcome.wanted.all);
	assert_string_equal(outcome.wanted.name, "x");
	assert_int_equal(outcome.wanted.rest.count, 5);
	assert_string_equal(outcome.wanted.rest.words[2], "-");
	assert_string_equal(outcome.wanted.rest.words[3], "--all");
	assert_string_equal(outcome.wanted.rest.words[4], "-z");
	clear(&outcome);
}

static void a_command_keeps_all_behind_its_first_word(void **state)
{
	struct outcome outcome = PARSE(rest_rows, "-n", "x", "ls", "-n", "--", "--help", "");

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.wanted.name, "x");
	assert_int_equal(outcome.wanted.rest.count, 5);
	assert_string_equal(outcome.wanted.rest.words[1], "-n");
	assert_string_equal(outcome.wanted.rest.words[2], "--");
	assert_string_equal(outcome.wanted.rest.words[4], "");
	clear(&outcome);
	outcome = PARSE(rest_rows, "--", "--all", "--");
	assert_int_equal(outcome.result, 0);
	assert_false(outcome.wanted.all);
	assert_int_equal(outcome.wanted.rest.count, 2);
	clear(&outcome);
}

static void the_last_of_two_values_wins(void **state)
{
	struct outcome outcome = PARSE(plain_rows, "-n", "a", "--name", "b", "w");

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.wanted.name, "b");
	clear(&outcome);
}

static void help_is_asked_for_anywhere_before_the_end_of_options(void **state)
{
	static const char *const rows[][3] = {{"-h"}, {"--help"}, {"word", "--help"}, {"-ith"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outcome outcome = parse(plain_rows, rows[i]);

		assert_int_equal(outcome.result, 1);
		clear(&outcome);
	}
}

static void what_is_wrong_is_said_with_the_word_as_it_was_given(void **state)
{
	(void)state;
	check_refused(PARSE(plain_rows, "--nmae", "x"), "unknown option '--nmae'", "did you mean '--name'?");
	check_refused(PARSE(plain_rows, "--mem=4G"), "unknown option '--mem'", "did you mean '--memory'?");
	check_refused(PARSE(plain_rows, "--zzzzzzzz"), "unknown option '--zzzzzzzz'", NULL);
	check_refused(PARSE(plain_rows, "-z"), "unknown option '-z'", NULL);
	check_refused(PARSE(plain_rows, "-iz"), "unknown option '-z'", NULL);
	check_refused(PARSE(plain_rows, "--all=yes"), "--all takes no value", NULL);
	check_refused(PARSE(plain_rows, "w", "--name"), "--name needs a value (NAME)", NULL);
	check_refused(PARSE(plain_rows, "w", "-n"), "-n needs a value (NAME)", NULL);
	check_refused(PARSE(plain_rows, "--format", "xml"), "--format: 'xml' is not one of table|json", NULL);
	check_refused(PARSE(plain_rows, "--format", "table|json"), "--format: 'table|json' is not one of table|json",
		      NULL);
	check_refused(PARSE(plain_rows, "--format="), "--format: '' is not one of table|json", NULL);
	check_refused(PARSE(plain_rows, "--lines=-1"), "--lines: '-1' is not a number", NULL);
	check_refused(PARSE(plain_rows, "-m", "4X"), "-m: '4X' is not a size like 512M or 4G", NULL);
	check_refused(PARSE(plain_rows, "--all"), "FIRST is missing", NULL);
	check_refused(PARSE(plain_rows, "a", "b", "c"), "unexpected word 'c'", NULL);
	check_refused(PARSE(many_rows, "--all"), "NAME is missing", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_in_every_spelling),
		cmocka_unit_test(letters_can_be_bundled),
		cmocka_unit_test(options_may_stand_behind_words),
		cmocka_unit_test(a_command_keeps_all_behind_its_first_word),
		cmocka_unit_test(the_last_of_two_values_wins),
		cmocka_unit_test(help_is_asked_for_anywhere_before_the_end_of_options),
		cmocka_unit_test(what_is_wrong_is_said_with_the_word_as_it_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
