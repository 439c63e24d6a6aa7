#include "test.h"

#include "machine/passt.h"

static void versions_are_dates(void **state)
{
	static const struct {
		const char *said;
		uint32_t version;
	} rows[] = {
		{"passt 2025_09_11.8a29a4f\nCopyright Red Hat\n", 20250911},
		{"passt 2024_12_11.09478d5-dirty", 20241211},
		{"passt 0.0~git20230309.7c7625d-1\n", 20230309},
		{"passt 0.0~git20250919.623dbf6-1+b1", 20250919},
		{"passt 20251001", 20251001},
		{"passt unknown version\n", 0},
		{"passt 2025_9_11", 0},
		{"passt 2025_09", 0},
		{"passt 202509110", 0},
		{"pasta 2025_09_11", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(machine_passt_version(rows[i].said), rows[i].version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(versions_are_dates)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
