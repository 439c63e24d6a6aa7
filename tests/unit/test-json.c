#include "test.h"

#include "json/json.h"

#include <string.h>

struct thing {
	char *name;
	uint64_t size;
	bool ready;
	int64_t made;
	struct text_list words;
};

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "name", struct thing, name, true),
	JSON_ROW(JSON_ROW_U64, "size", struct thing, size, false),
	JSON_ROW(JSON_ROW_BOOL, "ready", struct thing, ready, false),
	JSON_ROW(JSON_ROW_TIME, "made", struct thing, made, false),
	JSON_ROW(JSON_ROW_TEXTS, "words", struct thing, words, false),
};

static int decode(struct thing *thing, const char *text, struct annex_error **err)
{
	auto_json json_t *value = NULL;

	if (json_parse(&value, text, strlen(text), "thing", err) < 0)
		return -1;
	return json_decode(thing, value, rows, COUNT_OF(rows), "thing", err);
}

static void what_is_encoded_is_decoded(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_json json_t *value = NULL;
	auto_free char *text = NULL;
	struct thing thing = {0}, again = {0};

	(void)state;
	assert_int_equal(decode(&thing,
				"{\"name\":\"a\",\"size\":7,\"ready\":true,\"made\":\"2025-11-25T18:07:00Z\","
				"\"words\":[\"x\",\"y\"],\"unknown\":{}}",
				&err),
			 0);
	value = json_encode(&thing, rows, COUNT_OF(rows));
	text = json_text(value, false);
	assert_int_equal(decode(&again, text, &err), 0);
	assert_string_equal(again.name, "a");
	assert_int_equal(again.size, 7);
	assert_true(again.ready);
	assert_int_equal(again.made, 1764094020);
	assert_int_equal(again.words.count, 2);
	json_clear(&thing, rows, COUNT_OF(rows));
	json_clear(&again, rows, COUNT_OF(rows));
	assert_null(again.name);
}

static void an_error_names_the_field(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "thing: not a JSON object"},
		{"{}", "thing: name is missing"},
		{"{\"name\":1}", "thing: name: not a text"},
		{"{\"name\":\"a\\u0000b\"}", NULL},
		{"{\"name\":\"a\",\"size\":-1}", "thing: size: not a whole number"},
		{"{\"name\":\"a\",\"size\":1.5}", "thing: size: not a whole number"},
		{"{\"name\":\"a\",\"words\":[1]}", "thing: words: not a list of texts"},
		{"{\"name\":\"a\",\"made\":\"x\"}", "thing: made: not a time"},
		{"{\"name\":", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		struct thing thing = {0};

		assert_int_equal(decode(&thing, cases[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		if (cases[i].message)
			assert_string_equal(annex_error_message(err), cases[i].message);
		json_clear(&thing, rows, COUNT_OF(rows));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(an_error_names_the_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
