#include "test.h"

#include "base/text.h"
#include "machine/config.h"

#include <string.h>

static void settings_become_the_texts_that_set_takes(void **state)
{
	static const char text[] = "{\n  \"version\": 1,\n  \"defaults\": {\n    \"cpus\": 4, \"memory\": \"4G\",\n"
				   "    \"autostart\": true,\n    \"env\": [\n      \"cpus\",\n      \"A=1\"],\n"
				   "    \"volume\": [\"~/x:/x\", \"/y:/y\"]\n  }\n}\n";
	static const struct {
		const char *pair;
		unsigned line;
	} expected[] = {{"cpus=4", 4},  {"memory=4G", 4},     {"autostart=true", 5}, {"env=cpus", 6},
			{"env=A=1", 6}, {"volume=~/x:/x", 9}, {"volume=/y:/y", 9}};
	auto_config struct config config = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(config_parse(&config, text, strlen(text), "c.json", &err), 0);
	assert_int_equal(config.count, COUNT_OF(expected));
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		assert_string_equal(config.entries[i].pair, expected[i].pair);
		assert_int_equal(config.entries[i].line, expected[i].line);
	}
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "c.json:1: not JSON: "},
		{"{\"version\": 1,\n}", "c.json:2: not JSON: "},
		{"[1]", "c.json:1: not a JSON object"},
		{"{}", "c.json:1: version is missing, which is 1"},
		{"{\n\"version\": 2}", "c.json:2: version: not one that this annex knows, which is 1"},
		{"{\"version\": \"1\"}", "c.json:1: version: not one that this annex knows, which is 1"},
		{"{\"version\": 1,\n\n\"default\": {}}", "c.json:3: default: there is no such key"},
		{"{\"version\": 1, \"defaults\": []}", "c.json:1: defaults: must be an object of settings"},
		{"{\"version\": 1, \"defaults\": {\n\"colour\": 1}}", "c.json:2: colour: there is no such setting"},
		{"{\"version\": 1, \"defaults\": {\n\"cpus\": 1.5}}",
		 "c.json:2: cpus: must be a text, a whole number, true or false"},
		{"{\"version\": 1, \"defaults\": {\n\"cpus\": [1]}}",
		 "c.json:2: cpus: must be a text, a whole number, true or false"},
		{"{\"version\": 1, \"defaults\": {\n\"env\": \"A=1\"}}", "c.json:2: env: must be a list of texts"},
		{"{\"version\": 1, \"defaults\": {\n\"mask\": [1]}}", "c.json:2: mask: must be a list of texts"},
		{"{\"version\": 1, \"defaults\": {\n\"volume\": [\"x:/x\"]}}",
		 "c.json:2: volume: must be an absolute path"},
		{"{\"version\": 1, \"defaults\": {\n\"kernel\": \"./k\"}}",
		 "c.json:2: kernel: must be an absolute path"},
		{"{\"version\": 1, \"defaults\": {\"cpus\": 1,\n \"cpus\": 2}}", "c.json:2: not JSON: duplicate"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_config struct config config = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(config_parse(&config, cases[i].text, strlen(cases[i].text), "c.json", &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		if (!text_starts(annex_error_message(err), cases[i].message))
			assert_string_equal(annex_error_message(err), cases[i].message);
	}
}

static void a_folder_without_a_file_configures_nothing(void **state)
{
	auto_config struct config config = {0};

	(void)state;
	assert_int_equal(config_load(&config, "/nowhere/annex", NULL), 0);
	assert_int_equal(config.count, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_become_the_texts_that_set_takes),
		cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(a_folder_without_a_file_configures_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
