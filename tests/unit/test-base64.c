#include "base/base64.h"
#include "test.h"

#include <errno.h>
#include <string.h>

static void the_vectors_of_rfc_4648_go_both_ways(void **state)
{
	static const struct {
		const char *plain, *coded;
	} cases[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foobar", "Zm9vYmFy"},
		{"anna:secret", "YW5uYTpzZWNyZXQ="},
		{"\xff\xfe\xfd", "//79"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *coded = base64_encode(cases[i].plain, strlen(cases[i].plain)), *plain = NULL;
		size_t size = 99;

		assert_string_equal(coded, cases[i].coded);
		assert_int_equal(base64_decode(&plain, &size, cases[i].coded), 0);
		assert_int_equal(size, strlen(cases[i].plain));
		assert_string_equal(plain, cases[i].plain);
	}
}

static void zeroes_survive(void **state)
{
	auto_free char *coded = base64_encode("a\0b\0", 4), *plain = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(base64_decode(&plain, &size, coded), 0);
	assert_int_equal(size, 4);
	assert_memory_equal(plain, "a\0b\0", 4);
}

static void what_is_not_base64_is_refused(void **state)
{
	static const char *const cases[] = {"Z",     "Zg",        "Zg=",    "Zg===", "====",     "Z===",
					    "Zm9=v", " Zm9vYmFy", "Zm9v\n", "Zm-v",  "Zm9v====", "Zg==Zg=="};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *plain = NULL;
		size_t size;

		assert_int_equal(base64_decode(&plain, &size, cases[i]), -EINVAL);
		assert_null(plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_rfc_4648_go_both_ways),
		cmocka_unit_test(zeroes_survive),
		cmocka_unit_test(what_is_not_base64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
