#include "test.h"

#include "registry/platform.h"

#include <string.h>

static void a_platform_is_understood_in_the_names_of_go_and_of_the_kernel(void **state)
{
	static const char *const cases[][2] = {
		{"linux/amd64", "linux/amd64"},     {"x86_64", "linux/amd64"},        {"linux/aarch64", "linux/arm64"},
		{"arm64", "linux/arm64"},           {"linux/arm/v6", "linux/arm/v6"}, {"armv7l", "linux/arm/v7"},
		{"windows/amd64", "windows/amd64"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		struct platform platform;
		char text[PLATFORM_LIMIT];

		assert_int_equal(platform_parse(&platform, cases[i][0], &err), 0);
		assert_string_equal(platform_text(text, &platform), cases[i][1]);
	}
}

static void what_is_not_a_platform_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"/",
		"linux/",
		"/amd64",
		"linux/amd64/",
		"linux/arm/v7/x",
		"a b",
		"linux/abcdefghijklmnopqrstuvwxyz",
		"linux/amd64/v1linux/amd64/v1linux/amd64/v1linux/amd64/v1linux/amd64/v1",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		struct platform platform;

		assert_int_equal(platform_parse(&platform, cases[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	}
}

static unsigned match(const char *wanted, const char *offered)
{
	struct platform one, other;

	assert_int_equal(platform_parse(&one, wanted, NULL), 0);
	assert_int_equal(platform_parse(&other, offered, NULL), 0);
	return platform_match(&one, &other);
}

static void the_nearest_variant_that_runs_fits_best(void **state)
{
	(void)state;
	assert_int_equal(match("linux/amd64", "linux/arm64"), 0);
	assert_int_equal(match("linux/amd64", "windows/amd64"), 0);
	assert_int_not_equal(match("linux/arm64", "linux/arm64/v8"), 0);
	assert_int_not_equal(match("linux/arm64/v8", "linux/arm64"), 0);
	assert_int_not_equal(match("linux/amd64", "linux/amd64/v1"), 0);
	assert_int_equal(match("linux/amd64", "linux/amd64/v3"), 0);
	assert_true(match("linux/amd64/v3", "linux/amd64/v2") > match("linux/amd64/v3", "linux/amd64"));
	assert_true(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"));
	assert_int_equal(match("linux/arm/v6", "linux/arm/v7"), 0);
	assert_int_equal(match("linux/mips/softfloat", "linux/mips"), 0);
}

static void the_host_is_a_linux(void **state)
{
	struct platform host;

	(void)state;
	platform_host(&host);
	assert_string_equal(host.os, "linux");
	assert_true(strlen(host.architecture) > 0);
	assert_string_not_equal(host.architecture, "x86_64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_platform_is_understood_in_the_names_of_go_and_of_the_kernel),
		cmocka_unit_test(what_is_not_a_platform_is_refused),
		cmocka_unit_test(the_nearest_variant_that_runs_fits_best),
		cmocka_unit_test(the_host_is_a_linux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
