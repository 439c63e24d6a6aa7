#include "test.h"

#include "machine/setting.h"

#include <string.h>

static void each_key_is_checked_and_kept(void **state)
{
	static const char *const pairs[] = {
		"cpus=3",       "memory=2g",          "disk=10G",          "env=A=1",   "env=B=x=y",   "env=A=2",
		"init=builtin", "kernel=6.1.0-cloud", "virtualization=on", "accel=tcg", "network=none"};
	auto_settings struct machine_settings settings = {0}, again = {0};
	auto_error struct annex_error *err = NULL;
	auto_json json_t *encoded = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, &err), 0);
	for (size_t i = 0; i < COUNT_OF(pairs); i++)
		assert_int_equal(settings_apply(&settings, pairs[i], &err), 0);
	encoded = settings_encode(&settings);
	assert_int_equal(settings_decode(&again, encoded, "settings", &err), 0);
	assert_int_equal(again.cpus, 3);
	assert_true(again.memory == 2ull << 30 && again.disk == 10ull << 30);
	assert_int_equal(again.environment.count, 2);
	assert_string_equal(again.environment.items[0], "B=x=y");
	assert_string_equal(again.environment.items[1], "A=2");
	assert_string_equal(again.init, "builtin");
	assert_true(again.virtualization);
	assert_string_equal(again.network, "none");
	assert_int_equal(settings_apply(&again, "env=-B", &err), 0);
	assert_int_equal(again.environment.count, 1);
}

static void a_bad_value_says_why_and_changes_nothing(void **state)
{
	static const char *const pairs[] = {
		"cpus=0",        "cpus=x", "cpus=",        "memory=1k",  "memory=lots",          "disk=1M",
		"env=novalue",   "env==x", "init=systemd", "kernel=",    "virtualization=maybe", "accel=hvf",
		"network=passt", "memory", "=x",           "colour=blue"};
	auto_settings struct machine_settings settings = {0};
	auto_json json_t *before = NULL, *after = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	before = settings_encode(&settings);
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		auto_error struct annex_error *err = NULL;

		assert_int_equal(settings_apply(&settings, pairs[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	}
	after = settings_encode(&settings);
	assert_true(json_equal(before, after));
}

static void an_unknown_key_lists_the_valid_ones(void **state)
{
	auto_settings struct machine_settings settings = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(settings_default(&settings, NULL), 0);
	assert_int_equal(settings_apply(&settings, "colour=blue", &err), -1);
	for (size_t i = 0; setting_key(i); i++)
		assert_non_null(strstr(annex_error_hint(err), setting_key(i)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_is_checked_and_kept),
		cmocka_unit_test(a_bad_value_says_why_and_changes_nothing),
		cmocka_unit_test(an_unknown_key_lists_the_valid_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
