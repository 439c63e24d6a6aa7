#include "test.h"

#include "machine/secret.h"

#include <string.h>

static const char *const homes[] = {"/home/u", "/data/u", NULL};

static void a_mask_is_kept_relative_to_the_home(void **state)
{
	static const char *const rows[][2] = {
		{".ssh", ".ssh"},   {"~/.ssh/", ".ssh"},     {"./a//b/./c", "a/b/c"},
		{"/home/u/a", "a"}, {"/data/u//a/b", "a/b"}, {"~x", "~x"},
		{"-x", "-x"},       {"a b/..c", "a b/..c"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_free char *mask = NULL;

		assert_int_equal(secret_parse(&mask, rows[i][0], homes, NULL), 0);
		assert_string_equal(mask, rows[i][1]);
	}
}

static void what_is_no_path_below_the_home_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{"", "home itself"},
		{".", "home itself"},
		{"~", "home itself"},
		{"~/", "home itself"},
		{"/home/u", "home itself"},
		{"/home/u/./", "home itself"},
		{"/home/user/x", "not below"},
		{"/etc", "not below"},
		{"/", "not below"},
		{"..", "'..'"},
		{"a/../../b", "'..'"},
		{"~/..", "'..'"},
		{"./~/a", "folder '~'"},
		{"a\nb", "line break"},
		{"a\xff", "UTF-8"},
		{"1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3", "too deep"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_error struct annex_error *err = NULL;
		auto_free char *mask = NULL;

		assert_int_equal(secret_parse(&mask, rows[i][0], homes, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		if (!strstr(annex_error_message(err), rows[i][1]))
			assert_string_equal(annex_error_message(err), rows[i][1]);
		assert_non_null(annex_error_hint(err));
	}
}

static void each_default_is_spelled_as_it_is_kept_and_there_once(void **state)
{
	auto_text_list struct text_list list = {0};

	(void)state;
	assert_int_equal(secret_defaults(&list, NULL), 0);
	for (size_t i = 0; i < list.count; i++) {
		auto_free char *mask = NULL;

		assert_int_equal(secret_parse(&mask, list.items[i], homes, NULL), 0);
		assert_string_equal(mask, list.items[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(list.items[k], mask);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mask_is_kept_relative_to_the_home),
		cmocka_unit_test(what_is_no_path_below_the_home_is_refused),
		cmocka_unit_test(each_default_is_spelled_as_it_is_kept_and_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
