#include "test.h"

#include "supervisor/restart.h"

static void only_what_the_policy_means_is_started_again(void **state)
{
	static const struct {
		struct restart_end end;
		unsigned next;
	} cases[] = {
		{{"no", false, true, 0, 1000}, 0},
		{{"on-failure", false, true, 0, 1000}, 1},
		{{"on-failure", false, false, 0, 1000}, 0},
		{{"on-failure", true, true, 0, 1000}, 0},
		{{"always", false, true, 0, 1000}, 1},
		{{"always", false, false, 0, 1000}, 1},
		{{"always", true, false, 0, 1000}, 0},
		/* One that never came up, unless it was up before. */
		{{"on-failure", false, true, 0, 0}, 0},
		{{"always", false, true, 0, 0}, 0},
		{{"on-failure", false, true, 3, 0}, 4},
		{{"on-failure", true, true, 3, 0}, 0},
		/* It was well for a while. */
		{{"on-failure", false, true, 7, RESTART_CALM_MS - 1}, 8},
		{{"on-failure", false, true, 7, RESTART_CALM_MS}, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(restart_next(&cases[i].end), cases[i].next);
}

static void waits_grow_up_to_a_minute(void **state)
{
	(void)state;
	assert_int_equal(restart_wait_ms(1), 1000);
	assert_int_equal(restart_wait_ms(2), 2000);
	assert_int_equal(restart_wait_ms(6), 32000);
	assert_int_equal(restart_wait_ms(7), 60000);
	assert_int_equal(restart_wait_ms(4000000000u), 60000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_the_policy_means_is_started_again),
		cmocka_unit_test(waits_grow_up_to_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
