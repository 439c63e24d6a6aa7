/* How fast the host's processors count. */
#include "test.h"

#include "machine/counter.h"

static void two_looks_at_the_counter_agree(void **state)
{
	uint64_t first = counter_khz(), second = counter_khz();

	(void)state;
	if (!first)
		skip(); /* not on this architecture */
	assert_in_range(first, 100000, 20000000);
	assert_in_range(second, first - first / 1000, first + first / 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(two_looks_at_the_counter_agree)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
