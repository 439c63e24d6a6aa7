#include "test.h"

#include "cli/closest.h"

static void a_slip_is_one_letter_or_two_swapped(void **state)
{
	(void)state;
	assert_int_equal(closest_distance("list", "list"), 0);
	assert_int_equal(closest_distance("lsit", "list"), 1);
	assert_int_equal(closest_distance("lis", "list"), 1);
	assert_int_equal(closest_distance("liist", "list"), 1);
	assert_int_equal(closest_distance("lost", "list"), 1);
	assert_int_equal(closest_distance("", "list"), 4);
}

static void words_that_are_too_long_are_far_apart(void **state)
{
	const char *word = "a-word-that-is-longer-than-any-of-our-names";

	(void)state;
	assert_false(closest_is_near(word, closest_distance(word, word)));
}

static void short_words_allow_fewer_slips(void **state)
{
	(void)state;
	assert_true(closest_is_near("lsit", 1));
	assert_false(closest_is_near("lsit", 2));
	assert_true(closest_is_near("inspcte", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slip_is_one_letter_or_two_swapped),
		cmocka_unit_test(words_that_are_too_long_are_far_apart),
		cmocka_unit_test(short_words_allow_fewer_slips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
