#include "test.h"

#include "cli/printable.h"

#include <locale.h>

static void check(const char *from, const char *expected)
{
	auto_text struct text made = {0};

	printable_add(&made, from);
	assert_true(text_ok(&made));
	assert_string_equal(made.data ? made.data : "", expected);
}

static void what_controls_a_terminal_does_not_get_through(void **state)
{
	(void)state;
	check("", "");
	check("plain text", "plain text");
	check("a\033[2Jb\r\n\t\177", "a?[2Jb????");
	check("\302\2332J", "?2J");                  /* C1's control sequence introducer */
	check("a\342\200\256b\342\201\246", "a?b?"); /* right-to-left override, isolate */
	check("f\303\274r \342\202\254 \360\237\220\247", "f\303\274r \342\202\254 \360\237\220\247");
}

static void bytes_that_are_no_characters_are_replaced(void **state)
{
	(void)state;
	check("\374ber", "?ber");
	check("\303", "?");
	check("\342\202", "??");
	check("\2332J", "?2J");
}

static void columns_are_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(printable_width("abc"), 3);
	assert_int_equal(printable_width("f\303\274r"), 3);
	assert_int_equal(printable_cut("f\303\274r", 2), 3);
	assert_int_equal(printable_cut("abc", 5), 3);
	assert_int_equal(printable_cut("abc", 0), 0);
}

static void wide_characters_take_two(void **state)
{
	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	assert_int_equal(printable_width("\346\227\245\346\234\254"), 4);
	assert_int_equal(printable_cut("\346\227\245\346\234\254", 3), 3);
}

static void a_json_document_means_the_same_afterwards(void **state)
{
	auto_text struct text text = {0};

	(void)state;
	printable_add_json(&text, "{\n  \"gr\xc3\xbc\xc3\x9f\": \"a\xc2\x9b"
				  "2J\x7f\xe2\x80\xae\\u001b\"\n}");
	assert_string_equal(text.data, "{\n  \"gr\xc3\xbc\xc3\x9f\": \"a\\u009b2J\\u007f\\u202e\\u001b\"\n}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_controls_a_terminal_does_not_get_through),
		cmocka_unit_test(bytes_that_are_no_characters_are_replaced),
		cmocka_unit_test(columns_are_not_bytes),
		cmocka_unit_test(wide_characters_take_two),
		cmocka_unit_test(a_json_document_means_the_same_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
