#include "registry/toml.h"
#include "test.h"

#include <string.h>

static void expect(const char *toml, const char *json)
{
	auto_error struct annex_error *err = NULL;
	auto_json json_t *value = NULL;
	auto_free char *text = NULL;

	if (toml_parse(&value, toml, strlen(toml), "x.conf", &err) < 0)
		assert_string_equal(annex_error_message(err), "");
	text = json_text(value, false);
	assert_string_equal(text, json);
}

static void values_are_read(void **state)
{
	static const struct {
		const char *toml, *json;
	} cases[] = {
		{"", "{}"},
		{"\xef\xbb\xbf# nothing\r\n\n \t# else", "{}"},
		{"a = 1\nb= -2 # c\r\n  c =true\nd=false\ne = +1_000",
		 "{\"a\":1,\"b\":-2,\"c\":true,\"d\":false,\"e\":1000}"},
		{"a = \"\"\nb = ''\nc = \"#\" # d", "{\"a\":\"\",\"b\":\"\",\"c\":\"#\"}"},
		{"a = 'C:\\n'\nb = \"\\t\\\"\\\\\\n\"", "{\"a\":\"C:\\\\n\",\"b\":\"\\t\\\"\\\\\\n\"}"},
		{"a = \"\\u00e4\\U0001F600\\u20ac\"", "{\"a\":\"\xc3\xa4\xf0\x9f\x98\x80\xe2\x82\xac\"}"},
		{"a = [ \"x\", 'y' ,]\nb = []\nc = [[1],\n# d\n [2, 3\n]\n]",
		 "{\"a\":[\"x\",\"y\"],\"b\":[],\"c\":[[1],[2,3]]}"},
		{"a = { b = 1, \"c d\" = { e.f = 'g' } }\nh = {}",
		 "{\"a\":{\"b\":1,\"c d\":{\"e\":{\"f\":\"g\"}}},\"h\":{}}"},
		{"a.b = 1\na . \"c\" = 2\n[d]\ne.f = 3", "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"e\":{\"f\":3}}}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		expect(cases[i].toml, cases[i].json);
}

static void tables_are_read(void **state)
{
	static const struct {
		const char *toml, *json;
	} cases[] = {
		{"a = 1\n[b]\nc = 2\n[ d . e ] # f\ng = 3", "{\"a\":1,\"b\":{\"c\":2},\"d\":{\"e\":{\"g\":3}}}"},
		{"[a.b]\nc = 1\n[a]\nd = 2", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}"},
		{"[[a]]\n[[a]]\nb = 1\n[[a.c]]\nd = 2\n[[a.c]]\n[a.e]\nf = 3\n[[a]]\n[a.e]",
		 "{\"a\":[{},{\"b\":1,\"c\":[{\"d\":2},{}],\"e\":{\"f\":3}},{\"e\":{}}]}"},
		{"[a]\nb.c = 1\n[a.b.d]\ne = 2", "{\"a\":{\"b\":{\"c\":1,\"d\":{\"e\":2}}}}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		expect(cases[i].toml, cases[i].json);
}

static void what_is_not_understood_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *toml, *message;
	} cases[] = {
		{"a", "line 1: = is missing"},
		{"\n\na = ", "line 3: a value is missing"},
		{"a = b", "line 1: a value is not supported"},
		{"a = 1.5", "line 1: a value is not supported"},
		{"a = 0x10", "line 1: a value is not supported"},
		{"a = 1979-05-27T07:32:00Z", "line 1: a value is not supported"},
		{"a = 99999999999999999999", "line 1: a value is not supported"},
		{"a = +-1", "line 1: a value is not supported"},
		{"a = \"\"\"x\"\"\"", "line 1: strings of several lines"},
		{"a = '''x'''", "line 1: strings of several lines"},
		{"a = \"x", "line 1: a string does not end"},
		{"a = \"x\n\"", "line 1: a string does not end"},
		{"a = \"\\x\"", "no such escape"},
		{"a = \"\\u12\"", "no such escape"},
		{"a = \"\\u12\" # more", "no such character"},
		{"a = \"\\u0000\"", "no such character"},
		{"a = \"\\ud800\"", "no such character"},
		{"a = \"\\U00110000\"", "no such character"},
		{"a = \"\x01\"", "control character"},
		{"a = 1 b = 2", "line 1: there is more in the line"},
		{"[a] b = 2", "line 1: there is more in the line"},
		{"a = [1\nb = 2", "line 2: an array does not end"},
		{"a = [1,,2]", "a value is missing"},
		{"a = { b = 1,\nc = 2 }", "line 1: a key is missing"},
		{"a = { b = 1", "an inline table does not end"},
		{"[a", "a table's name does not end"},
		{"[[a]", "a table's name does not end"},
		{"[]", "a key is missing"},
		{"= 1", "a key is missing"},
		{"\xc3\xa4 = 1", "a key is missing"},
		{"a = 1\na = 2", "line 2: a key is there twice"},
		{"a = 1\na.b = 2", "line 2: a key stands for two things"},
		{"a.b = 1\na = 2", "line 2: a key is there twice"},
		{"[a]\n[a]", "line 2: a table is there twice"},
		{"a = 1\n[a]", "line 2: a table is there twice"},
		{"a = 1\n[a.b]", "line 2: a table's name stands for something else"},
		{"a = {}\n[a.b]", "line 2: a table's name stands for something else"},
		{"a = [{}]\n[[a]]", "line 2: an array of tables has the name"},
		{"[a]\n[[a]]", "line 2: an array of tables has the name"},
		{"[[a]]\n[a]", "line 2: a table is there twice"},
		{"a.b = 1\n[a]", "line 2: a table is there twice"},
		{"[a.b]\n[a]\nb.c = 1", "line 3: a key stands for two things"},
		{"a = \"\xff\"", "not UTF-8"},
		{"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1", "too many parts"},
		{"a = [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]", "nested too deep"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_json json_t *value = NULL;

		assert_int_equal(toml_parse(&value, cases[i].toml, strlen(cases[i].toml), "x.conf", &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		if (!strstr(annex_error_message(err), cases[i].message) ||
		    strncmp(annex_error_message(err), "x.conf: ", 8) != 0)
			assert_string_equal(annex_error_message(err), cases[i].message);
		assert_null(value);
	}
}

static void tables_are_limited(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_text struct text text = {0};
	auto_json json_t *value = NULL;

	(void)state;
	for (unsigned i = 0; i < TOML_TABLE_LIMIT; i++)
		text_add(&text, "[[a]]\n");
	assert_int_equal(toml_parse(&value, text.data, text.size, "x.conf", &err), -1);
	assert_string_equal(annex_error_message(err), "x.conf: line 2048: too many tables");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(tables_are_read),
		cmocka_unit_test(what_is_not_understood_is_refused_with_its_line),
		cmocka_unit_test(tables_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
