/* What the supervisor makes of the guest's time. */
#include "test.h"

#include "supervisor/clock.h"

#define MS  INT64_C(1000000)
#define NOW (INT64_C(1700000000000) * MS)

static enum clock_verdict judge(int64_t *ret, int64_t behind_ms, int64_t took_ms)
{
	*ret = 0;
	return clock_judge(ret, NOW + took_ms * MS / 2 - behind_ms * MS, NOW, NOW + took_ms * MS);
}

static void a_small_difference_is_left_alone(void **state)
{
	int64_t by;

	(void)state;
	assert_int_equal(judge(&by, 0, 2), CLOCK_FINE);
	assert_int_equal(judge(&by, 20, 2), CLOCK_FINE);
	assert_int_equal(judge(&by, -20, 2), CLOCK_FINE);
}

static void one_that_is_not_worth_a_step_is_slewed(void **state)
{
	int64_t by;

	(void)state;
	assert_int_equal(judge(&by, 30, 2), CLOCK_SLEW);
	assert_int_equal(by, 30 * MS);
	assert_int_equal(judge(&by, -499, 2), CLOCK_SLEW);
	assert_int_equal(by, -499 * MS);
}

static void a_large_one_is_stepped_in_either_direction(void **state)
{
	int64_t by;

	(void)state;
	assert_int_equal(judge(&by, 501, 2), CLOCK_STEP);
	assert_int_equal(judge(&by, 60000, 2), CLOCK_STEP);
	assert_int_equal(judge(&by, -60000, 2), CLOCK_STEP);
}

static void what_the_way_there_and_back_may_have_cost_does_not_count(void **state)
{
	int64_t by;

	(void)state;
	assert_int_equal(judge(&by, 90, 200), CLOCK_FINE);
	assert_int_equal(judge(&by, 150, 200), CLOCK_SLEW);
	assert_int_equal(judge(&by, 500, 2000), CLOCK_UNSURE);
	assert_int_equal(judge(&by, 1600, 2000), CLOCK_STEP);
	assert_int_equal(judge(&by, 60000, 2000), CLOCK_STEP);
}

static void no_time_of_a_guest_is_too_odd(void **state)
{
	int64_t by = 0;

	(void)state;
	assert_int_equal(clock_judge(&by, INT64_MIN, NOW, NOW), CLOCK_STEP);
	assert_int_equal(clock_judge(&by, INT64_MAX, NOW, NOW), CLOCK_STEP);
	assert_int_equal(clock_judge(&by, 0, NOW, NOW), CLOCK_STEP);
	assert_int_equal(clock_judge(&by, NOW, NOW, NOW - 5 * MS), CLOCK_FINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_difference_is_left_alone),
		cmocka_unit_test(one_that_is_not_worth_a_step_is_slewed),
		cmocka_unit_test(a_large_one_is_stepped_in_either_direction),
		cmocka_unit_test(what_the_way_there_and_back_may_have_cost_does_not_count),
		cmocka_unit_test(no_time_of_a_guest_is_too_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
