#include "test.h"

#include "machine/name.h"

#include <string.h>

static void a_host_name_is_a_machine_name(void **state)
{
	static const char *const good[] = {"a", "dev", "debian-12", "0", "a-b-c"}, *const bad[] = {
											   "",     "-a",  "a-",
											   "A",    "a_b", "a.b",
											   "../x", "a b", "\xc3\xa4"};
	char longest[MACHINE_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(machine_name_check(good[i], NULL), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		auto_error struct annex_error *err = NULL;

		assert_int_equal(machine_name_check(bad[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_non_null(annex_error_hint(err));
	}
	memset(longest, 'a', sizeof(longest));
	longest[MACHINE_NAME_MAX] = '\0';
	assert_int_equal(machine_name_check(longest, NULL), 0);
	longest[MACHINE_NAME_MAX] = 'a';
	longest[MACHINE_NAME_MAX + 1] = '\0';
	assert_int_equal(machine_name_check(longest, NULL), -1);
}

static void an_image_gives_a_name(void **state)
{
	static const struct {
		const char *image, *name;
	} rows[] = {
		{"debian:12", "debian"},
		{"ghcr.io/org/Debian_Dev:12", "debian-dev"},
		{"localhost:5000/x@sha256:00", "x"},
		{"oci:/tmp/layout:v1", "layout"},
		{"oci-archive:images/web.tar", "web"},
		{"docker-archive:a/..", "machine"},
		{"-", "machine"},
		{"__--__", "machine"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_free char *name = machine_name_from_image(rows[i].image);

		assert_string_equal(name, rows[i].name);
		assert_int_equal(machine_name_check(name, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_name_is_a_machine_name),
		cmocka_unit_test(an_image_gives_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
