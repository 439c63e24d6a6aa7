#include "test.h"

#include "cli/envfile.h"

#include <string.h>

static char *lookup(const char *key)
{
	static char value[] = "from the host";

	return strcmp(key, "HOSTED") == 0 ? value : NULL;
}

static int parse(struct text_list *list, const char *text, struct annex_error **err)
{
	return envfile_parse(list, "my.env", text, strlen(text), lookup, err);
}

static void values_are_verbatim(void **state)
{
	auto_text_list struct text_list list = {0};

	(void)state;
	assert_int_equal(parse(&list, "A=1\n  B='two words' \nC=\nD=a=b # c\r\n\n# comment\n\t# another\nE=last", NULL),
			 0);
	assert_int_equal(list.count, 5);
	assert_string_equal(list.items[0], "A=1");
	assert_string_equal(list.items[1], "B='two words' ");
	assert_string_equal(list.items[2], "C=");
	assert_string_equal(list.items[3], "D=a=b # c");
	assert_string_equal(list.items[4], "E=last");
}

static void a_key_alone_comes_from_the_host_or_not_at_all(void **state)
{
	auto_text_list struct text_list list = {0};

	(void)state;
	assert_int_equal(parse(&list, "HOSTED\nMISSING\n", NULL), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0], "HOSTED=from the host");
}

static void a_byte_order_mark_is_no_part_of_the_first_key(void **state)
{
	auto_text_list struct text_list list = {0};

	(void)state;
	assert_int_equal(parse(&list,
			       "\xef\xbb\xbf"
			       "A=1",
			       NULL),
			 0);
	assert_string_equal(list.items[0], "A=1");
}

static void errors_name_file_and_line(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{"A=1\n=2\n", "my.env:2: no variable name before the ="},
		{"\n\nA B=1", "my.env:3: blanks in a variable's name"},
		{"A B", "my.env:1: blanks in a variable's name"},
		{"A=\xff", "my.env:1: not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_text_list struct text_list list = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(parse(&list, rows[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_string_equal(annex_error_message(err), rows[i].message);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	auto_text_list struct text_list list = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(envfile_parse(&list, "my.env", "A=\0b\n", 5, lookup, &err), -1);
	assert_string_equal(annex_error_message(err), "my.env:1: a NUL byte");
}

static void there_are_caps(void **state)
{
	auto_text_list struct text_list list = {0};
	auto_error struct annex_error *err = NULL;
	auto_text struct text text = {0};

	(void)state;
	for (unsigned i = 0; i <= ENVFILE_MAX_VARIABLES; i++)
		text_add(&text, "A=1\n");
	assert_int_equal(parse(&list, text.data, &err), -1);
	assert_string_equal(annex_error_message(err), "my.env:4097: too many variables");
	assert_int_equal(list.count, ENVFILE_MAX_VARIABLES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_verbatim),
		cmocka_unit_test(a_key_alone_comes_from_the_host_or_not_at_all),
		cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_first_key),
		cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(there_are_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
