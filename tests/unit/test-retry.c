#include "test.h"

#include "registry/retry.h"

#define NOW 1795650000 /* Wed, 25 Nov 2026 23:40:00 GMT */

static void failures_that_may_pass_are_tried_again_and_others_are_not(void **state)
{
	static const struct {
		enum failure failure;
		unsigned status;
		bool begun, again;
	} cases[] = {
		{FAILURE_NONE, 200, false, false},       {FAILURE_NONE, 401, false, false},
		{FAILURE_NONE, 404, false, false},       {FAILURE_NONE, 408, false, true},
		{FAILURE_NONE, 429, false, true},        {FAILURE_NONE, 500, false, true},
		{FAILURE_NONE, 501, false, false},       {FAILURE_NONE, 503, false, true},
		{FAILURE_BROKEN, 0, false, true},        {FAILURE_TIMEOUT, 0, false, true},
		{FAILURE_UNKNOWN_HOST, 0, false, false}, {FAILURE_UNKNOWN_HOST, 0, true, true},
		{FAILURE_REFUSED, 0, false, false},      {FAILURE_REFUSED, 0, true, true},
		{FAILURE_UNTRUSTED, 0, true, false},     {FAILURE_UNWANTED, 200, true, false},
		{FAILURE_LOCAL, 0, true, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct retry retry = {0};
		uint64_t delay;

		assert_int_equal(retry_next(&delay, &retry, cases[i].failure, cases[i].status, -1, cases[i].begun, 0),
				 cases[i].again);
	}
}

static void pauses_double_and_half_of_each_is_chance(void **state)
{
	struct retry low = {0}, high = {0};
	uint64_t shortest, longest;

	(void)state;
	for (unsigned i = 0, whole = RETRY_DELAY_MS; i < RETRY_LIMIT; i++, whole *= 2) {
		assert_true(retry_next(&shortest, &low, FAILURE_BROKEN, 0, -1, false, 0));
		assert_true(retry_next(&longest, &high, FAILURE_BROKEN, 0, -1, false, whole / 2));
		assert_int_equal(shortest, whole / 2);
		assert_int_equal(longest, whole);
	}
	assert_false(retry_next(&shortest, &low, FAILURE_BROKEN, 0, -1, false, 0));
}

static void a_time_out_is_tried_again_once(void **state)
{
	struct retry retry = {0};
	uint64_t delay;

	(void)state;
	assert_true(retry_next(&delay, &retry, FAILURE_TIMEOUT, 0, -1, false, 0));
	assert_false(retry_next(&delay, &retry, FAILURE_TIMEOUT, 0, -1, false, 0));
}

static void what_a_server_asks_to_wait_is_waited_within_reason(void **state)
{
	struct retry retry = {0};
	uint64_t delay;

	(void)state;
	assert_true(retry_next(&delay, &retry, FAILURE_NONE, 429, 0, false, 99));
	assert_int_equal(delay, 0);
	assert_true(retry_next(&delay, &retry, FAILURE_NONE, 429, RETRY_WAIT_LIMIT_MS, false, 99));
	assert_int_equal(delay, RETRY_WAIT_LIMIT_MS);
	assert_false(retry_next(&delay, &retry, FAILURE_NONE, 429, 1, false, 99));
	retry = (struct retry){0};
	assert_false(retry_next(&delay, &retry, FAILURE_NONE, 503, RETRY_WAIT_LIMIT_MS + 1, false, 99));
}

static void retry_after_is_read_in_both_forms(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"0", 0},
		{"120", 120000},
		{" 7", 7000},
		{"Wed, 25 Nov 2026 23:40:30 GMT", 30000},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"", -1},
		{"soon", -1},
		{"-5", -1},
		{"1.5", -1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(retry_parse_after(cases[i].text, NOW), cases[i].ms);
	assert_true(retry_parse_after("99999999999999999999999999", NOW) > RETRY_WAIT_LIMIT_MS);
	assert_true(retry_parse_after("18446744073709551615", NOW) > RETRY_WAIT_LIMIT_MS);
	assert_true(retry_parse_after("Fri, 31 Dec 2199 23:59:59 GMT", NOW) > RETRY_WAIT_LIMIT_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_that_may_pass_are_tried_again_and_others_are_not),
		cmocka_unit_test(pauses_double_and_half_of_each_is_chance),
		cmocka_unit_test(a_time_out_is_tried_again_once),
		cmocka_unit_test(what_a_server_asks_to_wait_is_waited_within_reason),
		cmocka_unit_test(retry_after_is_read_in_both_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
