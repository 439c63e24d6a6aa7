#include "test.h"

#include "base/cleanup.h"
#include "base/time.h"

static void what_is_written_is_read(void **state)
{
	char buffer[TIME_BUFFER];
	int64_t seconds = 0;

	(void)state;
	assert_string_equal(time_format(buffer, 1764094020), "2025-11-25T18:07:00Z");
	assert_int_equal(time_parse(&seconds, buffer), 0);
	assert_int_equal(seconds, 1764094020);
	assert_int_equal(time_parse(&seconds, "2025-11-25T19:07:00.123456+01:00"), 0);
	assert_int_equal(seconds, 1764094020);
}

static void what_is_not_a_time_is_refused(void **state)
{
	static const char *const rows[] = {"",
					   "2025",
					   "2025-13-01T00:00:00Z",
					   "2025-11-25T18:07:00",
					   "2025-11-25T18:07:00Zx",
					   "2025-11-25T18:07:00.Z",
					   "2025-11-25T18:07:00+1"};
	int64_t seconds;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(time_parse(&seconds, rows[i]) < 0);
}

static void deadlines_are_scaled(void **state)
{
	static const struct {
		const char *scale;
		uint64_t expected;
	} rows[] = {{"3", 60000}, {"0.5", 10000}, {"1.25", 25000}, {".5", 20000},    {"", 20000},
		    {"0", 20000}, {"-1", 20000},  {"2x", 20000},   {"10000", 20000}, {"0.0019", 20}};

	(void)state;
	unsetenv("ANNEX_TIMEOUT_SCALE");
	assert_int_equal(time_scaled_ms(2000, 10), 20000);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		setenv("ANNEX_TIMEOUT_SCALE", rows[i].scale, 1);
		assert_int_equal(time_scaled_ms(2000, 10), rows[i].expected);
	}
	unsetenv("ANNEX_TIMEOUT_SCALE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_is_not_a_time_is_refused),
		cmocka_unit_test(deadlines_are_scaled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
